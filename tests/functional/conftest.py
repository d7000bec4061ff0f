# SPDX-License-Identifier: Apache-2.0
"""Fixtures: real servers, and connections to them."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tacker_cir import ssh
from tacker_cir.command import Redactor, Secret
from tacker_cir.hostkeys import KnownKeys
from tests.functional import program
from tests.functional.server import ADDRESS, USER, Sshd, public_pairs, serve
from tests.machine import limits

NODE = f"CP1 ({ADDRESS})"


def pytest_configure() -> None:
    """End servers and their (perhaps stopped) sessions also when the run is terminated."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.fixture(scope="session")
def sshd_program() -> program.Program:
    return program.find()


@pytest.fixture(scope="module")
def sshd(sshd_program, tmp_path_factory) -> Iterator[Sshd]:
    """A server that the tests of a module share."""
    server = Sshd(sshd_program, tmp_path_factory.mktemp("sshd"))
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture
def make_sshd(sshd_program, tmp_path) -> Iterator[Callable[..., Sshd]]:
    """Make servers of one's own; they are not started yet."""
    servers: list[Sshd] = []

    def make(**settings: Any) -> Sshd:
        directory = tmp_path / f"sshd{len(servers)}"
        servers.append(Sshd(sshd_program, directory, **settings))
        return servers[-1]

    try:
        yield make
    finally:
        for server in servers:
            server.stop()


LOOPBACK = {
    "ssh_wait_timeout": 10,
    "ssh_connect_timeout": 5,
    "ssh_auth_timeout": 0,
    "command_timeout": 30,
}


@pytest.fixture
def dial() -> Iterator[Callable[..., ssh.Connection]]:
    """Open connections that are closed with the test."""
    with contextlib.ExitStack() as stack:

        def open_connection(server: Sshd, **settings: Any) -> ssh.Connection:
            return stack.enter_context(connect(server, **settings))

        yield open_connection


def connect(server: Sshd, **settings: Any) -> ssh.Connection:
    """Open a connection with time limits that suit loopback.

    :param settings: of :func:`tacker_cir.ssh.connect`, and time limits
    """
    times = {name: settings.pop(name) for name in list(settings) if name.endswith("_timeout")}
    defaults = {
        "credentials": ssh.Credentials(USER, private_key=Secret(server.user_key)),
        "host_keys": KnownKeys(public_pairs(server), "the test"),
        "redactor": Redactor(),
        "limits": limits(**{**LOOPBACK, **times}),
        "port": server.port,
    }
    return ssh.connect(NODE, ADDRESS, **{**defaults, **settings})


@pytest.fixture
def short_grace(monkeypatch) -> None:
    """Let the local side give up one second after the remote one should have."""
    monkeypatch.setattr(ssh, "GRACE", 1)


class _Registry(BaseHTTPRequestHandler):
    """Stand-in for a registry: answers GET /v2/ with the statuses it was told, the last for ever.

    The real registry is tested in the lab.
    """

    def __init__(self, statuses: list[int], *args: Any):
        self._statuses = statuses
        super().__init__(*args)

    def do_GET(self) -> None:
        status = self._statuses.pop(0) if len(self._statuses) > 1 else self._statuses[0]
        self.send_response(status if self.path == "/v2/" else 404)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_args: Any) -> None:
        pass


@pytest.fixture
def http_server() -> Iterator[Callable[..., int]]:
    """Start an HTTP server on loopback that answers with the given statuses; return its port."""
    with contextlib.ExitStack() as stack:

        def start(*statuses: int, address: str = ADDRESS) -> int:
            server = ThreadingHTTPServer((address, 0), partial(_Registry, list(statuses)))
            return serve(server, stack)

        yield start


@pytest.fixture
def mark(tmp_path) -> Path:
    """A path that a remote command can put into its arguments, to be found in /proc."""
    return tmp_path / "mark"
