# SPDX-License-Identifier: Apache-2.0
"""One registry asked from one node, as the container runtimes ask it."""

from __future__ import annotations

import functools
import http.client
import json
import re
import ssl
from collections.abc import Callable, Mapping
from urllib.parse import urlencode, urlsplit
from urllib.request import parse_http_list, parse_keqv_list

import paramiko

from tacker_cir.exceptions import ConnectionLost
from tacker_cir.params.names import split_server
from tacker_cir.params.registry_connection import RegistryConnection
from tacker_cir.registry import from_node
from tacker_cir.registry.from_node import Answer
from tacker_cir.render import hosts_toml
from tacker_cir.ssh import Connection

#: Seconds for one question to a registry.
REQUEST_TIMEOUT = 10


class Fault(Exception):
    """What is wrong between a node and a registry.

    :param kind: DNS, TCP, TLS, an HTTP status, ...
    :param problem: in words
    :param remedy: what to do
    """

    def __init__(self, kind: str, problem: str, remedy: str):
        self.kind, self.problem, self.remedy = kind, problem, remedy
        super().__init__(f"{kind}: {problem}")


class NotYet(Fault):
    """A fault that a registry which is just starting shows as well."""


class Visit:
    """Asks one registry from one node.

    :param node_authorities: returns the certificates that the node's system trusts, in PEM
    """

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

    def check(self) -> None:
        """Ask for the registry's API (distribution specification, end-1).

        :raises NotYet: it is worth to ask again
        :raises Fault: something else is wrong
        """
        registry = self._registry
        login = {}
        if registry.login:
            login = {"Authorization": f"Basic {registry.login.reveal()}"}
        answer = self._ask(self._host, self._port, "/v2/", login, registry.https)
        challenge = answer.headers.get("www-authenticate", "")
        if answer.status == 401 and challenge.lower().startswith("bearer "):
            answer = self._ask_with_token(challenge, login)
        self._judge(answer)

    @functools.cached_property
    def _tls(self) -> ssl.SSLContext:
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
            raise NotYet(
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
            raise NotYet(
                "HTTP",
                f"no answer for {REQUEST_TIMEOUT} seconds",
                "look at the registry's log",
            ) from None
        except (http.client.HTTPException, OSError) as error:
            if not https and self._speaks_tls():
                raise _https_expected() from None
            raise NotYet(
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
            raise NotYet(
                "DNS",
                f"the node does not resolve {host} ({error})",
                "give hosts_string, or make the node's DNS know the name",
            ) from None
        except from_node.NotConnected as error:
            raise NotYet(
                "TCP",
                f"the node gets no connection to {host} port {port} ({error})",
                "check server and its port, that the registry runs, and the security groups "
                "between node and registry",
            ) from None
        except (paramiko.SSHException, EOFError) as error:
            raise ConnectionLost(
                self._connection.node,
                f"ask registry {self._registry.server}",
                f"the SSH connection broke ({error or type(error).__name__})",
                "see whether the machine is alive and reachable, then retry the operation",
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
