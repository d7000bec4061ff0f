# SPDX-License-Identifier: Apache-2.0
"""Proof that a node can pull from its registries; if not, at which step it fails and what to do."""

from __future__ import annotations

import functools
import http.client
import json
import re
import ssl
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import urlencode, urlsplit
from urllib.request import parse_http_list, parse_keqv_list

import paramiko
from oslo_log import log as logging

from tacker_cir.command import Command
from tacker_cir.exceptions import CommandFailed, CommandTimeout, HostError
from tacker_cir.host.runtime import CONTAINERD_CERTS_D
from tacker_cir.params.names import split_server
from tacker_cir.params.registry_connection import RegistryConnection
from tacker_cir.registry import from_node
from tacker_cir.registry.from_node import Answer
from tacker_cir.render import docker_auth, hosts_toml
from tacker_cir.ssh import Connection
from tacker_cir.waiting import Deadline, poll

LOG = logging.getLogger(__name__)

#: Seconds for one question to a registry.
REQUEST_TIMEOUT = 10

_NODE_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"

_DOCKER_PULL = 'exec docker --config /root/.docker pull --quiet "$1"'
# crictl asks what the kubelet asks. It is there where kubeadm's package brought it.
_CRI_PULL = r"""
IFS= read -r login || :
if command -v crictl >/dev/null 2>&1; then
  if [ -n "$login" ]; then export CRICTL_AUTH="$login"; fi
  exec crictl --runtime-endpoint unix:///run/containerd/containerd.sock pull "$1"
fi
exec ctr -n k8s.io images pull --hosts-dir "$2" "$1" >/dev/null
"""


class Fault(Exception):
    """What is wrong between a node and a registry.

    :param kind: DNS, TCP, TLS, an HTTP status, ...
    :param problem: in words
    :param remedy: what to do
    """

    def __init__(self, kind: str, problem: str, remedy: str):
        self.kind, self.problem, self.remedy = kind, problem, remedy
        super().__init__(f"{kind}: {problem}")


class _NotYet(Fault):
    """A fault that a registry which is just starting shows as well."""


def verify_access(
    connection: Connection,
    registries: Sequence[RegistryConnection],
    *,
    runtime: str,
    timeout: float,
    pull_timeout: float,
) -> None:
    """Prove that a node resolves, reaches, trusts and may use each registry, and pulls from it.

    Every registry is tried, so that one error tells all that is wrong.

    :param runtime: ``docker`` or ``containerd``
    :param timeout: seconds for each registry to answer; one that restarts is asked again
    :param pull_timeout: seconds for the pull of one test_image
    :raises HostError: naming each registry that failed, why, and what to do
    """
    faults: list[tuple[RegistryConnection, Fault]] = []
    authorities = functools.cache(lambda: _node_authorities(connection))
    for registry in registries:
        visit = _Visit(connection, registry, authorities)
        try:
            poll(visit.check, Deadline(timeout), retry_on=(_NotYet,))
            if registry.test_image:
                _pull(connection, registry, registry.test_image, runtime, pull_timeout)
        except Fault as fault:
            faults.append((registry, fault))
        else:
            what = f"pulled {registry.test_image}" if registry.test_image else "reached it"
            LOG.info("%s: registry %s: %s", connection.node, registry.server, what)
    if faults:
        causes = [f"{registry.server}: {fault}" for registry, fault in faults]
        remedies = [fault.remedy for _, fault in faults]
        raise HostError(
            connection.node,
            "use the private registries",
            "; ".join(causes),
            "; ".join(dict.fromkeys(remedies)),
        )


class _Visit:
    """Asks one registry from one node."""

    def __init__(
        self,
        connection: Connection,
        registry: RegistryConnection,
        node_authorities: Callable[[], str],
    ):
        self._connection, self._registry = connection, registry
        self._node_authorities = node_authorities
        server = urlsplit(hosts_toml.upstream(registry.server).url).netloc
        self._host, port = split_server(server)
        self._port = port or (443 if registry.https else 80)
        self._tls: ssl.SSLContext | None = None

    def check(self) -> None:
        """Ask for the registry's API as the runtimes do.

        :raises Fault: something is wrong
        """
        registry = self._registry
        if registry.https and self._tls is None:
            self._tls = self._tls_context()
        login = {}
        if registry.username is not None and registry.password is not None:
            encoded = docker_auth.basic_auth(registry.username, registry.password.reveal())
            login = {"Authorization": f"Basic {encoded}"}
        answer = self._ask(self._host, self._port, "/v2/", login, registry.https)
        challenge = answer.headers.get("www-authenticate", "")
        if answer.status == 401 and challenge.lower().startswith("bearer "):
            answer = self._ask_with_token(challenge, login)
        self._judge(answer)

    def _tls_context(self) -> ssl.SSLContext:
        registry = self._registry
        authorities = ""
        if not registry.skip_verify:
            # Both runtimes trust the given authority beside the node's.
            authorities = f"{registry.ca or ''}\n{self._node_authorities()}"
        client = None
        if registry.client_certificate and registry.client_key:
            client = (registry.client_certificate, registry.client_key)
        return from_node.tls_context(authorities, client, verify=not registry.skip_verify)

    def _judge(self, answer: Answer) -> None:
        registry, status = self._registry, answer.status
        if status in (429, 500, 502, 503, 504):
            raise _NotYet(
                f"HTTP {status}", "the registry cannot answer now", "look at the registry's log"
            )
        if status == 401 and registry.username is None:
            raise Fault("HTTP 401", "it wants a login", "give username and password")
        if status == 401:
            raise Fault(
                "HTTP 401",
                f"it refuses the login of user {registry.username}",
                "check username and password",
            )
        if status == 403:
            who = f"user {registry.username}" if registry.username else "anybody without a login"
            raise Fault("HTTP 403", f"it forbids {who} to use it", "check the user's rights there")
        if status == 400 and not registry.https and self._speaks_tls():
            raise _https_expected()
        location = answer.headers.get("location", "")
        if 300 <= status < 400 and location.startswith("https:") and not registry.https:
            raise _https_expected()
        if status >= 400:
            raise Fault(
                f"HTTP {status}",
                f"what answers at /v2/ is no Docker registry (HTTP {status})",
                "check server and its port",
            )

    def _ask_with_token(self, challenge: str, login: Mapping[str, str]) -> Answer:
        """Ask with the token that a registry wants (distribution's "Token Authentication")."""
        try:
            values = parse_keqv_list(parse_http_list(challenge.partition(" ")[2]))
            realm = urlsplit(values["realm"])
            https = realm.scheme == "https"
            port = realm.port or (443 if https else 80)
        except (ValueError, KeyError):
            raise _no_token() from None
        query = {"service": values["service"]} if "service" in values else {}
        image = self._registry.test_image
        if image:
            name = image.partition("/")[2].partition("@")[0].rpartition(":")[0]
            query["scope"] = f"repository:{name}:pull"
        path = f"{realm.path}?{realm.query + '&' if realm.query else ''}{urlencode(query)}"
        answer = self._ask(realm.hostname or "", port, path, login, https)
        if answer.status != 200:
            return answer
        token = _token(answer.body)
        authorization = {"Authorization": f"Bearer {token}"}
        return self._ask(self._host, self._port, "/v2/", authorization, self._registry.https)

    def _ask(
        self, host: str, port: int, path: str, headers: Mapping[str, str], https: bool
    ) -> Answer:
        try:
            return self._ask_once(host, port, path, headers, https)
        except ssl.SSLCertVerificationError as error:
            raise self._distrust(host, error) from None
        except ssl.SSLError as error:
            # Who sends an alert speaks TLS.
            if "ALERT" not in (error.reason or "") and self._speaks_http(host, port):
                raise Fault(
                    "HTTP on HTTPS",
                    "it speaks plain HTTP, not HTTPS",
                    'give connection_type "0", or the port at which it speaks HTTPS',
                ) from None
            raise self._tls_failure(error) from None
        except TimeoutError:
            raise _NotYet(
                "HTTP",
                f"no answer for {REQUEST_TIMEOUT} seconds",
                "look at the registry's log",
            ) from None
        except (http.client.HTTPException, OSError) as error:
            if not https and self._speaks_tls():
                raise _https_expected() from None
            raise _NotYet(
                "HTTP",
                f"what answers is not HTTP ({error or type(error).__name__})",
                "check server and its port, and the registry's log",
            ) from None

    def _ask_once(
        self, host: str, port: int, path: str, headers: Mapping[str, str], https: bool
    ) -> Answer:
        try:
            with from_node.dial(self._connection, host, port, REQUEST_TIMEOUT) as channel:
                tls = self._tls if https else None
                return from_node.get(channel, host, port, path, headers, tls)
        except from_node.NotResolved as error:
            raise _NotYet(
                "DNS",
                f"the node does not resolve {host} ({error})",
                "give hosts_string, or make the node's DNS know the name",
            ) from None
        except from_node.NotConnected as error:
            raise _NotYet(
                "TCP",
                f"the node gets no connection to {host} port {port} ({error})",
                "check server and its port, that the registry runs, and the security groups "
                "between node and registry",
            ) from None
        except (paramiko.SSHException, EOFError) as error:
            raise _NotYet(
                "SSH",
                f"the node could not be asked ({error or type(error).__name__})",
                "see whether the node is alive and reachable",
            ) from None

    def _distrust(self, host: str, error: ssl.SSLCertVerificationError) -> Fault:
        reason = error.verify_message
        if "mismatch" in reason or "not valid for" in reason:
            remedy = (
                "give a server that the certificate names, with hosts_string where DNS does not "
                "know it, or give the registry a certificate for this name or address"
            )
        elif "expired" in reason or "not yet valid" in reason:
            remedy = "renew the registry's certificate; check the clocks"
        elif self._registry.ca:
            remedy = (
                "give the authority's certificate that signed the registry's as certificate_path"
            )
        else:
            remedy = "give the registry's authority as certificate_path"
        return Fault("TLS", f"the certificate of {host} is refused: {reason}", remedy)

    def _tls_failure(self, error: ssl.SSLError) -> Fault:
        reason = (error.reason or str(error)).replace("_", " ").lower()
        # Alerts of RFC 8446, section 6.2; servers before TLS 1.3 only say "handshake failure".
        if "alert" in reason and re.search("certificate|unknown ca|handshake failure", reason):
            if self._registry.client_certificate:
                return Fault(
                    "TLS",
                    f"the registry refuses the client's certificate ({reason})",
                    "give a client_certificate_path that the registry's authority signed",
                )
            return Fault(
                "TLS",
                f"the registry wants a client's certificate ({reason})",
                "give client_certificate_path and client_key_path",
            )
        return Fault("TLS", reason, "check server, its port and the registry's TLS settings")

    def _speaks_http(self, host: str, port: int) -> bool:
        try:
            with from_node.dial(self._connection, host, port, REQUEST_TIMEOUT) as channel:
                from_node.get(channel, host, port, "/v2/", {}, None)
        except (http.client.HTTPException, paramiko.SSHException, EOFError, OSError):
            return False
        return True

    def _speaks_tls(self) -> bool:
        anything = from_node.tls_context("", None, verify=False)
        try:
            with from_node.dial(self._connection, self._host, self._port, REQUEST_TIMEOUT) as to:
                from_node.get(to, self._host, self._port, "/v2/", {}, anything)
        except ssl.SSLError as error:
            # TLS as well: the registry wants a client's certificate.
            return "ALERT" in (error.reason or "")
        except (http.client.HTTPException, paramiko.SSHException, EOFError, OSError):
            return False
        return True


def _https_expected() -> Fault:
    return Fault(
        "HTTPS on HTTP",
        "it speaks HTTPS, not plain HTTP",
        'give connection_type "1", with certificate_path where its authority is a private one',
    )


def _node_authorities(connection: Connection) -> str:
    """Return the certificates that the node's system trusts, in PEM."""
    command = Command(("cat", _NODE_AUTHORITIES), "read the node's certificate authorities")
    return connection.run(command, ok=None).stdout


def _token(body: str) -> str:
    try:
        document = json.loads(body)
        return str(document.get("token") or document["access_token"])
    except (ValueError, KeyError, AttributeError):
        raise _no_token() from None


def _no_token() -> Fault:
    return Fault(
        "HTTP", "it wants a token, but none is to be had", "look at the log of its token server"
    )


# What Docker, containerd and crictl say, by what it means. The first that matches counts.
_PULL_FAULTS = (
    (r"server gave HTTP response to HTTPS client", "HTTP on HTTPS", 'give connection_type "0"'),
    (r"x509:|certificate|tls:", "TLS", "check certificate_path"),
    (r"no such host|name resolution", "DNS", "give hosts_string, or make DNS know the name"),
    (r"connection refused|i/o timeout|no route to host", "TCP", "check server and its port"),
    (
        r"403|forbidden|denied",
        "HTTP 403",
        "check that the image is there and that the user may pull it",
    ),
    (
        r"401|unauthorized|authentication required|no basic auth",
        "HTTP 401",
        "check username and password",
    ),
    (r"not found|manifest unknown|404|name unknown", "HTTP 404", "push the image, or correct it"),
)


def _pull(
    connection: Connection,
    registry: RegistryConnection,
    image: str,
    runtime: str,
    timeout: float,
) -> None:
    """Pull an image with the node's runtime and the kubelet's login.

    :raises Fault: it cannot be pulled
    """
    script = _DOCKER_PULL if runtime == "docker" else _CRI_PULL
    command = Command.script(f"pull {image}", script, image, CONTAINERD_CERTS_D)
    login = b""
    if registry.username is not None and registry.password is not None:
        auth = docker_auth.basic_auth(registry.username, registry.password.reveal())
        login = f"{auth}\n".encode()
    try:
        connection.run(command, stdin=login, timeout=timeout)
    except CommandTimeout:
        raise Fault(
            "pull", f"{image} was not pulled in {timeout:.0f} seconds", "try a smaller test_image"
        ) from None
    except CommandFailed as error:
        # containerd's client logs each of its attempts beside its error.
        lines = [line for line in error.stderr.splitlines() if not line.startswith("time=")]
        said = " ".join(" ".join(lines).split())[-500:] or error.stderr[-500:]
        for pattern, kind, remedy in _PULL_FAULTS:
            if re.search(pattern, said, re.IGNORECASE):
                raise Fault(kind, f"test_image {image}: {said}", remedy) from None
        raise Fault(
            "pull", f"test_image {image}: {said}", "see the runtime's log on the node"
        ) from None
