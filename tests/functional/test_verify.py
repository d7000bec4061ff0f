# SPDX-License-Identifier: Apache-2.0
"""What a node is told of its registries: the words for each fault.

The registry is a stand-in that answers as it is told; real registries and pulls are the lab's.
"""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tacker_cir.command import Secret
from tacker_cir.exceptions import HostError
from tacker_cir.host.runtimes import RUNTIMES
from tacker_cir.params.registry_connection import RegistryConnection
from tacker_cir.registry import from_node
from tacker_cir.registry.verify import verify_access
from tests.certificates import Authority
from tests.functional.server import ADDRESS, free_port, wait_for
from tests.machine import machine

USER, PASSWORD = "user01", "p w'd$é☃"
LOGIN = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


class Registry(BaseHTTPRequestHandler):
    """Stand-in for a registry and its token server, as ``settings`` of its server say."""

    def do_GET(self) -> None:
        settings = self.server.settings  # type: ignore[attr-defined]
        settings["asked"].append(self.path)
        login = self.headers.get("Authorization")
        if self.path.startswith("/token"):
            known = login in (LOGIN, None)
            self._answer(200 if known else 401, json.dumps({"token": login or "anybody"}))
        elif settings.get("token") and login != f"Bearer {settings['token']}":
            realm = f'realm="{settings["url"]}/token?a=b",service="registry, of tests"'
            self._answer(401, "", {"WWW-Authenticate": f"Bearer {realm}"})
        elif settings.get("login") and login != settings["login"]:
            self._answer(401, "", {"WWW-Authenticate": 'Basic realm="x"'})
        else:
            statuses = settings["statuses"]
            status = statuses.pop(0) if len(statuses) > 1 else statuses[0]
            self._answer(status, "{}", settings.get("headers", {}))

    def _answer(self, status: int, body: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_args: Any) -> None:
        pass


@pytest.fixture
def registry(tmp_path) -> Iterator[Callable[..., RegistryConnection]]:
    """Start a registry and return how to reach it."""
    with ExitStack() as stack:

        def start(
            *statuses: int,
            tls: tuple[str, str] | None = None,
            clients: Authority | None = None,
            **settings: Any,
        ) -> RegistryConnection:
            server = ThreadingHTTPServer((ADDRESS, 0), Registry)
            # A client that trusts nobody ends the connection; that is no error of the server.
            server.handle_error = lambda *_: None  # type: ignore[method-assign]
            at = f"{ADDRESS}:{server.server_port}"
            url = f"{'https' if tls else 'http'}://{at}"
            server.settings = {  # type: ignore[attr-defined]
                "statuses": list(statuses or [200]), "url": url, "asked": asked, **settings
            }  # fmt: skip
            if tls:
                context = _server_context(tmp_path, tls, clients)
                server.socket = context.wrap_socket(
                    server.socket, server_side=True, do_handshake_on_connect=False
                )
            thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
            return RegistryConnection(at, https=bool(tls))

        asked: list[str] = []
        start.asked = asked  # type: ignore[attr-defined]
        yield start


def _server_context(
    directory: Path, tls: tuple[str, str], clients: Authority | None
) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    pair = directory / "server.pem"
    pair.write_text("\n".join(tls))
    context.load_cert_chain(pair)
    if clients:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=clients.pem)
    return context


@pytest.fixture
def check(sshd, dial) -> Callable[..., None]:
    """Verify registries from the node."""
    connection = dial(sshd)

    def verify(*registries: RegistryConnection, timeout: float = 0.5) -> None:
        asked = machine(connection, registry_timeout=timeout, image_timeout=5)
        verify_access(asked, registries, runtime=RUNTIMES["containerd"])

    return verify


@pytest.fixture
def fault(check) -> Callable[..., str]:
    """Verify registries that cannot be used, and return what the user reads."""

    def find(*registries: RegistryConnection) -> str:
        with pytest.raises(HostError) as caught:
            check(*registries)
        return str(caught.value)

    return find


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority("right")


def logged_in(registry: RegistryConnection, password: str = PASSWORD) -> RegistryConnection:
    return replace(registry, username=USER, password=Secret(password))


def test_plain_http(check, registry):
    check(registry())


def test_a_login(check, fault, registry):
    at = registry(login=LOGIN)
    check(logged_in(at))
    assert f"{at.server}: HTTP 401: it wants a login. To do: give username" in fault(at)
    said = fault(logged_in(at, "wrong"))
    assert "HTTP 401: it refuses the login of user user01. To do: check username" in said
    assert "wrong" not in said and PASSWORD not in said


def test_a_token(check, fault, registry):
    at = registry(token=LOGIN)
    check(logged_in(at))
    assert registry.asked == ["/v2/", "/token?a=b&service=registry%2C+of+tests", "/v2/"]
    assert "HTTP 401: it refuses the login" in fault(logged_in(at, "wrong"))
    assert "HTTP 401: it wants a login" in fault(at)


def test_a_token_for_anybody(check, registry):
    check(registry(token="anybody"))


def test_tls(check, registry, authority):
    check(replace(registry(tls=authority.issue(ADDRESS)), ca=authority.pem))


def test_any_certificate(check, registry, authority):
    check(replace(registry(tls=authority.issue("elsewhere")), skip_verify=True))


def test_a_certificate_that_is_trusted_itself(check, registry, authority):
    """Go's programs trust each certificate of certificate_path, an authority's or not."""
    pair = authority.issue(ADDRESS)
    check(replace(registry(tls=pair), ca=pair[0]))


@pytest.mark.parametrize(
    ("names", "days", "given", "said"),
    [
        ((ADDRESS,), 1, False, "To do: give the registry's authority as certificate_path"),
        ((ADDRESS,), -1, True, "certificate has expired. To do: renew"),
        (("elsewhere",), 1, True, "mismatch, certificate is not valid for '127.0.0.1'"),
    ],
)
def test_certificates_that_are_refused(fault, registry, authority, names, days, given, said):
    at = registry(tls=authority.issue(*names, days=days))
    text = fault(replace(at, ca=authority.pem if given else None))
    assert f"{at.server}: TLS: the certificate of {ADDRESS} is refused: " in text
    assert said in text


def test_the_wrong_authority(fault, registry, authority):
    at = registry(tls=authority.issue(ADDRESS))
    text = fault(replace(at, ca=Authority("wrong").pem))
    assert "TLS: the certificate of 127.0.0.1 is refused" in text
    assert "give the authority's certificate that signed the registry's as certificate" in text


def test_clients_that_show_a_certificate(check, fault, registry, authority):
    at = replace(registry(tls=authority.issue(ADDRESS), clients=authority), ca=authority.pem)
    certificate, key = authority.issue("node", client=True)
    check(replace(at, client_certificate=certificate, client_key=Secret(key)))
    assert "TLS: the registry wants a client's certificate" in fault(at)
    certificate, key = Authority("wrong").issue("node", client=True)
    text = fault(replace(at, client_certificate=certificate, client_key=Secret(key)))
    assert "TLS: the registry refuses the client's certificate" in text


def test_a_refusal_that_comes_before_the_question(fault, registry, authority, monkeypatch):
    """In TLS 1.3 the server judges the client's certificate after the client has begun to talk."""
    certificate, key = Authority("wrong").issue("node", client=True)
    at = replace(registry(tls=authority.issue(ADDRESS), clients=authority), ca=authority.pem)
    sendall = from_node._Tls.sendall

    def late(tls: from_node._Tls, data: bytes) -> None:
        wait_for(lambda: tls._stream._line.closed, "the registry has ended it")
        sendall(tls, data)

    monkeypatch.setattr(from_node._Tls, "sendall", late)
    text = fault(replace(at, client_certificate=certificate, client_key=Secret(key)))
    assert "TLS: the registry refuses the client's certificate" in text


def test_http_given_as_https_and_the_other_way(fault, registry, authority):
    text = fault(replace(registry(), https=True))
    assert "HTTP on HTTPS: it speaks plain HTTP, not HTTPS. To do: give connection_type " in text
    at = registry(tls=authority.issue(ADDRESS))
    assert "HTTPS on HTTP: it speaks HTTPS, not plain HTTP. To do: give connection_type " in fault(
        replace(at, https=False)
    )


def test_a_registry_that_sends_to_https(fault, registry):
    at = registry(301, headers={"Location": "https://127.0.0.1/v2/"})
    assert "HTTPS on HTTP" in fault(at)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (403, "HTTP 403: it forbids anybody without a login to use it"),
        (404, "HTTP 404: what answers at /v2/ is no Docker registry"),
        (503, "HTTP 503: the registry cannot answer now"),
    ],
)
def test_statuses(fault, registry, status, said):
    assert said in fault(registry(status))


def test_a_registry_that_serves_after_a_while(check, registry):
    check(registry(503, 500, 200), timeout=10)


def test_nobody_listens(fault):
    text = fault(RegistryConnection(f"{ADDRESS}:{free_port()}", https=False))
    assert "TCP: the node gets no connection to 127.0.0.1 port" in text
    assert "(Connection refused)" in text


def test_a_name_that_does_not_resolve(fault):
    text = fault(RegistryConnection("registry.invalid:5000", https=False))
    assert "registry.invalid:5000: DNS: the node does not resolve registry.invalid (" in text


def test_something_else_listens(fault, sshd):
    text = fault(RegistryConnection(f"{ADDRESS}:{sshd.port}", https=False))
    assert "HTTP: what answers is not HTTP" in text
    text = fault(RegistryConnection(f"{ADDRESS}:{sshd.port}", https=True))
    assert ": TLS: " in text


def test_every_registry_is_tried(fault, registry):
    good, bad = registry(), registry(403)
    text = fault(RegistryConnection(f"{ADDRESS}:{free_port()}", https=False), good, bad)
    assert "TCP: " in text and f"{bad.server}: HTTP 403" in text and good.server not in text
