# SPDX-License-Identifier: Apache-2.0
"""What Docker, containerd, ctr and crictl say of a pull that failed, by what it means.

They print the errors of Go's net, net/http and crypto packages and of the registry, in which names
stand that somebody chose: an image "certificate-manager:403" was not found for another reason than
its name. So names are taken out, and a text is told by more than one word of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class PullFault:
    """Why a pull failed.

    :param kind: TLS, DNS, an HTTP status, ...
    :param remedy: what to do
    """

    kind: str
    remedy: str


_AUTHORITY = "give the authority's certificate that signed the registry's as certificate_path"
_REACH = (
    "check server and its port, that the registry runs, and the security groups between node and "
    "registry"
)
_MAY_PULL = "check that the image is there and that the user may pull it"

# The first that matches counts: who stands nearer to the node is asked first.
_FAULTS: tuple[tuple[str, str, str], ...] = (
    (
        r"docker daemon running|\bdial unix\b|unknown service runtime\.|validate service connection"
        r"|no such file or directory.{0,40}\.sock",
        "runtime",
        "see 'journalctl -u docker -u containerd' on the node",
    ),
    (
        r"proxy authentication required|\b407\b",
        "proxy",
        "check user and password in http_proxy and https_proxy",
    ),
    (
        # The answer of a proxy to CONNECT is told without its number.
        r"\bproxyconnect \w+:|invalid proxy address|unsupported proxy|socks connect"
        r"|\b(head|get)\s*: (forbidden|bad gateway|service unavailable|gateway timeout)\s*$",
        "proxy",
        "check http_proxy and https_proxy, or name the registry in no_proxy",
    ),
    (r"no space left on device|disk quota exceeded", "disk", "give the VM a larger disk"),
    (
        r"no match for platform|no matching manifest for",
        "platform",
        "push the image for the VM's architecture as well",
    ),
    (r"invalid reference format", "reference", "correct test_image"),
    (
        r"server gave http response to https client|first record does not look like a tls",
        "HTTP on HTTPS",
        'give connection_type "0", or the port at which it speaks HTTPS',
    ),
    (
        r"http request to an https server|http request was sent to https port",
        "HTTPS on HTTP",
        'give connection_type "1"',
    ),
    (
        r"certificate has expired or is not yet valid",
        "TLS",
        "renew the registry's certificate, or set the VM's clock right (see 'timedatectl' there)",
    ),
    (
        r"x509: certificate is (valid for|not valid for any)|x509: cannot validate certificate for"
        r"|x509: certificate relies on legacy common name",
        "TLS",
        "give a server that the certificate names, or give the registry a certificate for it",
    ),
    (
        r"certificate signed by unknown authority|unable to load ca cert",
        "TLS",
        _AUTHORITY,
    ),
    (
        r"remote error: tls: (bad certificate|certificate required|unknown certificate"
        r"|(expired|revoked|unsupported) certificate|handshake failure|access denied)"
        r"|failed to load x509 key pair",
        "TLS",
        "give client_certificate_path and client_key_path that the registry's authority signed",
    ),
    (r"\bx509: |\btls: ", "TLS", "check server, its port and the registry's TLS settings"),
    # Also where the name server does not answer: then no connection to the registry was tried.
    (
        r"\blookup\s.*: \S|temporary failure in name resolution|name or service not known",
        "DNS",
        "give hosts_string, or make the node's DNS know the name",
    ),
    (
        r"toomanyrequests|\b429 too many requests\b",
        "HTTP 429",
        "wait, or give a login that may pull more",
    ),
    # Before 401: the registry knows who asks.
    (
        r"insufficient_scope|\b403 forbidden\b|requested access to the resource is denied",
        "HTTP 403",
        _MAY_PULL,
    ),
    (
        r"no basic auth credentials|\b401 unauthorized\b|unauthorized: |authentication required"
        r"|incorrect username or password|server message: invalid_token",
        "HTTP 401",
        "check username and password",
    ),
    (r"\bdenied: |pull access denied|authorization failed", "HTTP 403", _MAY_PULL),
    (
        r"manifest[ _]unknown|name[ _]unknown|\b404 not found\b|repository name not known"
        r"|: not found\s*$|\bnot found: ",
        "HTTP 404",
        "push the image, or correct test_image",
    ),
    (
        r"\b5\d\d (internal server error|bad gateway|service unavailable|gateway timeout)\b",
        "HTTP 5xx",
        "look at the registry's log",
    ),
    (r"\b400 bad request\b", "HTTP 400", "check connection_type, server and its port"),
    (
        r"unexpected commit digest|failed size validation|layer verification failed"
        r"|digest did not match",
        "content",
        "push the image again, and look at the registry's storage",
    ),
    (
        r"manifest schema|schema ?1|manifest\.v1\b.*no longer supported",
        "image format",
        "push the image with a current docker: its format is too old",
    ),
    (
        r"connection refused|no route to host|(network|host) is unreachable|connection timed out"
        r"|connection reset by peer|broken pipe|i/o timeout|tls handshake timeout|client\.timeout"
        r"|context deadline exceeded|request canceled|\beof\s*$",
        "TCP",
        _REACH,
    ),
)
#: Characters at the end of a text that are looked at: there the reason is.
MOST = 4000
_COMPILED = tuple((re.compile(p, re.IGNORECASE), PullFault(k, r)) for p, k, r in _FAULTS)

# References and URLs, in quotes (of a log line, with backslashes before them) or without.
_NAMES = re.compile(r'\\?"[^"\s]*"|https?://\S+')


def tell(said: str, image: str) -> PullFault | None:
    """Return why a pull failed, None where the text is not known.

    :param said: by the program that pulled, on one line
    :param image: that was to be pulled
    """
    text = _NAMES.sub(" ", said[-MOST:])
    name = image.partition("@")[0]
    repository = name.rpartition(":")[0] if ":" in name.rpartition("/")[2] else name
    for own in (image, name, repository):
        text = text.replace(own, " ")
    return next((fault for pattern, fault in _COMPILED if pattern.search(text)), None)
