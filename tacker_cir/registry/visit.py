# SPDX-License-Identifier: Apache-2.0
"""One registry asked from one node, as the container runtimes ask it.

With one difference: they take a login to whatever address the registry calls its token server. Here
it goes to the registry itself, to the token server that the request names, and nowhere else.
"""

from __future__ import annotations

import http.client
import re
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

import paramiko

from tacker_cir import docker_hub
from tacker_cir.command import Redactor, Secret
from tacker_cir.exceptions import ConnectionLost
from tacker_cir.host.system import clock_difference
from tacker_cir.params.names import split_server
from tacker_cir.params.registry_connection import RegistryConnection
from tacker_cir.registry import from_node
from tacker_cir.registry.distribution import (
    Challenge,
    TokenServer,
    bearer_token,
    challenges,
    is_registry,
)
from tacker_cir.registry.from_node import Answer
from tacker_cir.render import hosts_toml
from tacker_cir.ssh import Connection
from tacker_cir.text import shown
from tacker_cir.waiting import Deadline

#: Seconds for one question to a registry.
REQUEST_TIMEOUT = 10
#: Seconds for all questions that belong together: for a token, and why there was no answer.
VISIT_TIMEOUT = 20

# As long as an operation knows a registry. Two nodes at once may both make its settings.
_SHARED: WeakKeyDictionary[RegistryConnection, ssl.SSLContext] = WeakKeyDictionary()


class AccessFault(Exception):
    """What is wrong between a node and a registry.

    :param kind: DNS, TCP, TLS, an HTTP status, ...
    :param problem: in words
    :param remedy: what to do
    """

    def __init__(self, kind: str, problem: str, remedy: str):
        self.kind, self.problem, self.remedy = kind, problem, remedy
        super().__init__(f"{kind}: {problem}")


class PassingFault(AccessFault):
    """A fault that a registry which is just starting shows as well."""


class _Distrust(AccessFault):
    """A certificate is refused."""


@dataclass(frozen=True)
class Trust:
    """By what a node judges certificates.

    :param authorities: what its system trusts, in PEM
    :param clock_ahead: seconds that its clock is ahead of ours
    """

    authorities: str = ""
    clock_ahead: float = 0.0


@dataclass(frozen=True)
class _Question:
    """What is asked of whom.

    :param tls: None for plain HTTP
    """

    host: str
    port: int
    path: str
    headers: Mapping[str, str]
    tls: ssl.SSLContext | None


class Visit:
    """Asks one registry from one node.

    :param node_trust: asks the node by what it judges certificates
    :param clock_ahead: seconds that its clock is ahead of ours, None where it has to be asked
    """

    def __init__(
        self,
        connection: Connection,
        registry: RegistryConnection,
        node_trust: Callable[[], Trust],
        clock_ahead: float | None = None,
    ):
        self._connection, self._registry = connection, registry
        self._node_trust, self._clock_ahead = node_trust, clock_ahead
        server = urlsplit(hosts_toml.upstream(registry.server).url).netloc
        self._host, port = split_server(server)
        self._port = port or (443 if registry.https else 80)
        self._tls: ssl.SSLContext | None = None
        # A given authority mostly is the one: the node's many others are read if it is not.
        self._trusts_all = not registry.ca
        self._deadline = Deadline(0)
        self._tokens = Redactor()

    def check(self) -> None:
        """Ask for the registry's API (distribution specification, end-1).

        :raises PassingFault: it is worth to ask again
        :raises AccessFault: something else is wrong
        """
        try:
            self._check()
        except _Distrust:
            if self._trusts_all:
                raise
            self._trusts_all, self._tls = True, None
            self._check()

    def _check(self) -> None:
        if self._registry.https and self._tls is None:
            # Before anything is dialled: the node may be asked for its authorities.
            self._tls = self._registry_tls()
        self._deadline = Deadline(VISIT_TIMEOUT)
        answer = self._ask_registry(self._login)
        bearer = next((c for c in _challenges(answer) if c.scheme == "bearer"), None)
        # As the runtimes, which prefer a token to a password.
        self._judge(self._ask_with_token(bearer) if bearer else answer)

    @property
    def _login(self) -> Mapping[str, str]:
        login = self._registry.login
        return {"Authorization": f"Basic {login.reveal()}"} if login else {}

    def _registry_tls(self) -> ssl.SSLContext:
        registry = self._registry
        if self._trusts_all and not registry.skip_verify:
            return _tls_of(registry, self._authorities())
        # Nothing of the node's is in it: all nodes have the same.
        shared = _SHARED.get(registry)
        if shared is None:
            shared = _SHARED[registry] = _tls_of(registry, registry.ca or "")
        return shared

    def _authorities(self) -> str:
        """Return what both runtimes trust: the given authority beside the node's."""
        return f"{self._registry.ca or ''}\n{self._node_trust().authorities}"

    def _judge(self, answer: Answer) -> None:
        registry, status = self._registry, answer.status
        if is_registry(answer):
            return
        _judge_overload(status, "the registry")
        asked_for = _challenges(answer)
        if status == 401 and asked_for:
            raise self._refused(asked_for)
        if status == 403:
            who = f"user {registry.username}" if registry.username else "anybody without a login"
            raise AccessFault(
                "HTTP 403", f"it forbids {who} to use it", "check the user's rights there"
            )
        location = answer.headers.get("location", "")
        https = location.startswith("https:") and 300 <= status < 400
        if not registry.https and (https or (status == 400 and self._speaks_tls())):
            raise _https_expected()
        raise AccessFault(
            f"HTTP {status}",
            f"what answers at /v2/ is no Docker registry (HTTP {status}){self._what(answer)}",
            "check server and its port",
        )

    def _what(self, answer: Answer) -> str:
        """Return what an answer is instead, for an error."""
        if 300 <= answer.status < 400:
            location = self._masked(answer.headers.get("location", "nowhere"))
            return f": it sends to {shown(location, 100)}"
        media_type = self._masked(answer.headers.get("content-type", ""))
        return f": it is {shown(media_type, 60)}" if media_type else ""

    def _refused(self, asked_for: list[Challenge]) -> AccessFault:
        registry = self._registry
        schemes = list(dict.fromkeys(c.scheme for c in asked_for))
        if not {"basic", "bearer"} & set(schemes):
            kinds = shown(self._masked(", ".join(schemes)), 60)
            return AccessFault(
                "HTTP 401",
                f"it wants a login of another kind ({kinds})",
                "let the registry take Basic or Bearer, which Docker and containerd know",
            )
        if registry.username is None:
            return AccessFault("HTTP 401", "it wants a login", "give username and password")
        return AccessFault(
            "HTTP 401",
            f"it refuses the login of user {registry.username}",
            "check username and password",
        )

    def _ask_with_token(self, challenge: Challenge) -> Answer:
        """Ask with the token that a registry wants (distribution's "Token Authentication")."""
        try:
            server = TokenServer.of(challenge, self._scope)
        except ValueError:
            raise AccessFault(
                "HTTP",
                "it wants a token, but does not say from where",
                "look at the registry's settings for tokens (realm)",
            ) from None
        answer = self._ask_for_token(server)
        if answer.status != 200:
            raise self._no_token(server, answer)
        try:
            token = bearer_token(answer.body)
        except ValueError:
            raise AccessFault(
                "HTTP",
                f"it wants a token, but none is to be had from {server.name}",
                "look at the log of its token server",
            ) from None
        self._tokens = Redactor([Secret(token)])
        return self._ask_registry({"Authorization": f"Bearer {token}"})

    @property
    def _scope(self) -> str | None:
        image = self._registry.test_image
        if not image:
            return None
        name = image.partition("/")[2].partition("@")[0].rpartition(":")[0]
        return f"repository:{name}:pull"

    def _ask_for_token(self, server: TokenServer) -> Answer:
        registry = self._registry
        if registry.https and not server.https:
            raise AccessFault(
                "token",
                f"it speaks HTTPS, but its token server {server.name} does not",
                "let the registry name a token server that speaks HTTPS (realm)",
            )
        itself = (server.https, server.host, server.port) == (
            registry.https,
            self._host.lower(),
            self._port,
        )
        if registry.login and not (itself or self._is_named(server)):
            raise AccessFault(
                "token",
                f"it wants the login to be sent to {server.name}, which the request does not name",
                f'if that host shall have it, give token_server "{server.name}"; if not, the '
                "registry is not to be trusted",
            )
        tls = None
        if server.https:
            # Another host does not see the client's certificate, and has to show its own.
            tls = self._tls if itself else _context(self._authorities(), None, verify=True)
        return self._ask(_Question(server.host, server.port, server.target, self._login, tls))

    def _is_named(self, server: TokenServer) -> bool:
        """Return whether the request names a token server."""
        named = self._registry.token_server
        if named is None:
            return self._registry.server == docker_hub.NAME and server.name == docker_hub.TOKENS
        host, port = split_server(named)
        return (host.lower(), port or (443 if server.https else 80)) == (server.host, server.port)

    def _no_token(self, server: TokenServer, answer: Answer) -> AccessFault:
        _judge_overload(answer.status, f"its token server {server.name}")
        if answer.status in (401, 403):
            return self._refused([Challenge("bearer", {})])
        problem = f"its token server {server.name} gives no token (HTTP {answer.status})"
        return AccessFault(
            f"HTTP {answer.status}",
            problem + self._what(answer),
            "look at the log of its token server",
        )

    def _ask_registry(self, headers: Mapping[str, str]) -> Answer:
        return self._ask(_Question(self._host, self._port, "/v2/", headers, self._tls))

    def _ask(self, question: _Question) -> Answer:
        host, port = question.host, question.port
        try:
            answer = self._ask_once(question)
            self._judge_dates(host, answer)
            return answer
        except ssl.SSLCertVerificationError as error:
            raise self._distrust(host, port, error) from None
        except ssl.SSLError as error:
            # Who sends an alert speaks TLS.
            if not from_node.is_alert(error) and self._speaks(replace(question, tls=None)):
                raise AccessFault(
                    "HTTP on HTTPS",
                    "it speaks plain HTTP, not HTTPS",
                    'give connection_type "0", or the port at which it speaks HTTPS',
                ) from None
            raise self._tls_failure(error) from None
        except TimeoutError:
            raise PassingFault(
                "HTTP",
                f"no whole answer for {REQUEST_TIMEOUT} seconds",
                "look at the registry's log",
            ) from None
        except (http.client.HTTPException, OSError) as error:
            if question.tls is None and self._speaks_tls():
                raise _https_expected() from None
            raise PassingFault(
                "HTTP",
                f"what answers is not HTTP ({self._said(error)})",
                "check server and its port, and the registry's log",
            ) from None

    def _judge_dates(self, host: str, answer: Answer) -> None:
        """Judge a certificate by the node's clock, as its runtime will."""
        if answer.validity is None:
            return
        first, last = answer.validity
        ahead = self._clock_ahead
        if ahead is None:
            ahead = self._node_trust().clock_ahead
        if not first <= time.time() + ahead <= last:
            raise AccessFault(
                "TLS",
                f"the certificate of {host} does not hold by the clock of the node, which is "
                f"{clock_difference(ahead)} the conductor's",
                "let the VM reach a time server (see 'timedatectl' there)",
            )

    def _said(self, error: Exception) -> str:
        return shown(self._masked(str(error))) or type(error).__name__

    def _masked(self, text: str) -> str:
        """Return a text that may be the server's, who knows the login and the token."""
        return self._tokens(self._connection.redactor(text))

    def _ask_once(self, question: _Question) -> Answer:
        host, port = question.host, question.port
        seconds = self._deadline.within(REQUEST_TIMEOUT).seconds
        try:
            with from_node.dial(self._connection, host, port, seconds) as stream:
                return from_node.get(
                    stream, host, port, question.path, question.headers, question.tls
                )
        except from_node.NotResolved as error:
            raise PassingFault(
                "DNS",
                f"the node does not resolve {host} ({error})",
                "give hosts_string, or make the node's DNS know the name",
            ) from None
        except from_node.NotConnected as error:
            raise PassingFault(
                "TCP",
                f"the node gets no connection to {host} port {port} ({error})",
                "check server and its port, that the registry runs, and the security groups "
                "between node and registry",
            ) from None
        except (paramiko.SSHException, EOFError) as error:
            step = f"ask registry {self._registry.server}"
            raise self._connection.lost(step, self._said(error)) from None

    def _distrust(self, host: str, port: int, error: ssl.SSLCertVerificationError) -> _Distrust:
        reason = error.verify_message
        if "mismatch" in reason or "not valid for" in reason:
            remedy = (
                "give a server that the certificate names, with hosts_string where DNS does not "
                "know it, or give the registry a certificate for this name or address"
            )
        elif "expired" in reason or "not yet valid" in reason:
            remedy = "renew its certificate, or correct the conductor's clock"
        elif (host, port) != (self._host, self._port):
            remedy = (
                "give the authority of the token server as certificate_path, too; skip_verify "
                "counts for the registry itself alone"
            )
        elif self._registry.ca:
            remedy = (
                "give the authority's certificate that signed the registry's as certificate_path"
            )
        else:
            remedy = "give the registry's authority as certificate_path"
        return _Distrust("TLS", f"the certificate of {host} is refused: {reason}", remedy)

    def _tls_failure(self, error: ssl.SSLError) -> AccessFault:
        reason = (error.reason or str(error)).replace("_", " ").lower()
        # Alerts of RFC 8446, section 6.2; servers before TLS 1.3 only say "handshake failure".
        if "alert" in reason and re.search("certificate|unknown ca|handshake failure", reason):
            if self._registry.client_certificate:
                return AccessFault(
                    "TLS",
                    f"the registry refuses the client's certificate ({reason})",
                    "give a client_certificate_path that the registry's authority signed",
                )
            return AccessFault(
                "TLS",
                f"the registry wants a client's certificate ({reason})",
                "give client_certificate_path and client_key_path",
            )
        return AccessFault("TLS", reason, "check server, its port and the registry's TLS settings")

    def _speaks_tls(self) -> bool:
        anything = from_node.tls_context("", None, verify=False)
        return self._speaks(_Question(self._host, self._port, "/v2/", {}, anything))

    def _speaks(self, question: _Question) -> bool:
        """Return whether somebody answers, who is shown nothing."""
        try:
            self._ask_once(replace(question, path="/v2/", headers={}))
        except ssl.SSLError as error:
            # TLS as well: the registry wants a client's certificate.
            return from_node.is_alert(error)
        except (http.client.HTTPException, OSError, PassingFault, ConnectionLost):
            return False
        return True


def _challenges(answer: Answer) -> list[Challenge]:
    if answer.status != 401:
        return []
    return challenges(answer.headers.get("www-authenticate", ""))


def _tls_of(registry: RegistryConnection, authorities: str) -> ssl.SSLContext:
    client = None
    if registry.client_certificate and registry.client_key:
        client = (registry.client_certificate, registry.client_key)
    return _context(authorities, client, verify=not registry.skip_verify)


def _context(authorities: str, client: tuple[str, Secret] | None, verify: bool) -> ssl.SSLContext:
    try:
        return from_node.tls_context(authorities, client, verify)
    except ssl.SSLError as error:
        raise AccessFault(
            "TLS",
            f"OpenSSL does not take client_certificate_path and its key ({shown(error)})",
            "give a certificate and key that OpenSSL accepts at its default security level",
        ) from None


def _judge_overload(status: int, who: str) -> None:
    if status in (429, 500, 502, 503, 504):
        raise PassingFault(
            f"HTTP {status}", f"{who} cannot answer now", "look at the registry's log"
        )


def _https_expected() -> AccessFault:
    return AccessFault(
        "HTTPS on HTTP",
        "it speaks HTTPS, not plain HTTP",
        'give connection_type "1", with certificate_path where its authority is a private one',
    )
