# SPDX-License-Identifier: Apache-2.0
"""The proof that a registry serves. The HTTP server is a stand-in; the lab asks a real registry."""

from __future__ import annotations

import contextlib
import ssl
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import paramiko
import pytest

from tacker_cir.command import Secret
from tacker_cir.exceptions import ConnectionLost, HostError
from tacker_cir.inventory import Node
from tacker_cir.registry import from_node
from tacker_cir.registry.serving import Access, shows_other_certificate, wait_until_serving
from tests.certificates import Authority
from tests.functional.server import ADDRESS, free_port, serve
from tests.machine import machine


@pytest.fixture
def connection(sshd, dial):
    return dial(sshd)


def node(ssh_address: str = ADDRESS, address: str = ADDRESS) -> Node:
    return Node("CP1", ssh_address, address, "server-1")


def test_a_registry_that_serves(connection, http_server, caplog):
    caplog.set_level("INFO", "tacker_cir")
    port = http_server(200)
    wait_until_serving(machine(connection, service_timeout=5), node(), Access(port))
    assert f"http://{ADDRESS}:{port}/v2/ answers" in caplog.text


def test_a_registry_that_serves_after_a_while(connection, http_server):
    wait_until_serving(
        machine(connection, service_timeout=10), node(), Access(http_server(500, 500, 503, 200))
    )


def test_a_registry_that_fails(connection, http_server):
    port = http_server(500)
    with pytest.raises(HostError) as caught:
        wait_until_serving(machine(connection, service_timeout=1), node(), Access(port))
    assert f"no HTTP 200 from http://{ADDRESS}:{port}/v2/ for 1 seconds" in str(caught.value)
    assert "asked from here: HTTP 500; asked from the VM itself: HTTP 500" in str(caught.value)


def test_no_registry_at_all(connection):
    with pytest.raises(HostError, match=r"asked from here: \[Errno 111\] Connection refused"):
        wait_until_serving(machine(connection, service_timeout=1), node(), Access(free_port()))


def test_a_registry_that_only_the_machine_reaches(connection, http_server, caplog):
    """As behind a security group; 127.0.0.2 stands for the floating IP that is not let through."""
    wait_until_serving(
        machine(connection, service_timeout=5),
        node(ssh_address="127.0.0.2"),
        Access(http_server(200)),
    )
    assert "cannot be reached from here" in caplog.text


def test_a_machine_that_is_gone_is_not_waited_for(connection):
    connection.close()
    began = time.monotonic()
    with pytest.raises(ConnectionLost, match="the SSH connection broke"):
        wait_until_serving(machine(connection, service_timeout=60), node(), Access(free_port()))
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("is_gone", [True, False])
def test_who_ends_a_dial_without_a_word(connection, monkeypatch, is_gone):
    """The node's bash gives a reason; where the connection is gone, nobody does."""
    monkeypatch.setattr(from_node, "_RELAY", "exit 1")
    with contextlib.ExitStack() as stack:
        if is_gone:
            stop = from_node._no_connection

            def gone(stderr):
                connection.close()
                return stop(stderr)

            monkeypatch.setattr(from_node, "_no_connection", gone)
        wanted = paramiko.SSHException if is_gone else from_node.NotConnected
        with pytest.raises(wanted):
            stack.enter_context(from_node.dial(connection, ADDRESS, free_port(), 5))


CA = Authority("of the registry")
LOGIN = Secret("YWxpY2U6UzNjcmV0")


@pytest.fixture
def tls_registry(tmp_path):
    """Start a registry with a certificate, which asks for a login; return its port."""
    with contextlib.ExitStack() as stack:

        def start(certificate: str, key: str) -> int:
            (tmp_path / "pair.pem").write_text(certificate + key)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.load_cert_chain(tmp_path / "pair.pem")
            server = ThreadingHTTPServer((ADDRESS, 0), AskingForLogin)
            server.socket = context.wrap_socket(server.socket, server_side=True)
            return serve(server, stack)

        yield start


class AskingForLogin(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        known = self.headers.get("Authorization") == f"Basic {LOGIN.reveal()}"
        self.send_response(200 if known else 401)
        self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("ssh_address", [ADDRESS, "127.0.0.2"])
def test_a_registry_with_tls_and_a_login(connection, tls_registry, ssh_address):
    certificate, key = CA.issue("not.the.address")
    access = Access(tls_registry(certificate, key), certificate + CA.pem, LOGIN)
    found = machine(connection, service_timeout=5)
    wait_until_serving(found, node(ssh_address), access)
    assert not shows_other_certificate(found, node(ssh_address), access)


@pytest.mark.parametrize("ssh_address", [ADDRESS, "127.0.0.2"])
def test_a_registry_with_another_certificate(connection, tls_registry, ssh_address):
    """One of the same authority, as the registry has it until it is restarted."""
    port = tls_registry(*CA.issue("registry.example"))
    access = Access(port, CA.issue("registry.example")[0] + CA.pem, LOGIN)
    found = machine(connection, service_timeout=1)
    assert shows_other_certificate(found, node(ssh_address), access)
    with pytest.raises(HostError, match="no HTTP 200 from https://.*another certificate than it"):
        wait_until_serving(found, node(ssh_address), access)


def test_a_registry_that_does_not_know_the_user(connection, tls_registry):
    certificate, key = CA.issue("registry.example")
    access = Access(tls_registry(certificate, key), certificate, Secret("MARK"))
    with pytest.raises(HostError, match="asked from here: HTTP 401") as caught:
        wait_until_serving(machine(connection, service_timeout=1), node(), access)
    assert "MARK" not in str(caught.value)
