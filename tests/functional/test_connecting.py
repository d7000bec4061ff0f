# SPDX-License-Identifier: Apache-2.0
"""Logging in to machines that boot late, refuse the login or are none at all."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from tacker_cir import exceptions as exc
from tacker_cir import ssh
from tacker_cir.command import Command, Secret
from tests.functional.conftest import connect
from tests.functional.server import (
    ADDRESS,
    IS_ROOT,
    USER,
    Sshd,
    free_port,
    new_key,
    public_line,
    wait_for,
)


def echo(connection: ssh.Connection) -> str:
    return connection.run(Command(("echo", "on"), "test"), root=False).stdout


@contextlib.contextmanager
def connecting(sshd: Sshd, **settings: Any) -> Iterator[Future[ssh.Connection]]:
    """Connect in a thread, so that the test can change the server meanwhile."""
    with ThreadPoolExecutor() as pool:
        future = pool.submit(connect, sshd, **settings)
        try:
            yield future
        finally:
            with future.result() as connection:
                assert echo(connection) == "on\n"


def test_sshd_that_is_up_only_after_a_while_is_waited_for(make_sshd):
    sshd = make_sshd()
    start = time.monotonic()
    with connecting(sshd, ssh_wait_timeout=20) as future:
        wait_for(lambda: time.monotonic() - start > 2, "two seconds")
        assert not future.done()
        sshd.start()


def test_no_server_is_reported_when_the_wait_is_over(make_sshd):
    start = time.monotonic()
    with pytest.raises(exc.ConnectError) as caught:
        connect(make_sshd(), ssh_wait_timeout=1)
    assert time.monotonic() - start < 6
    assert "no SSH server answered at 127.0.0.1 port" in str(caught.value)
    assert "ssh_wait_timeout" in caught.value.remedy


@pytest.mark.parametrize("greeting", [b"", b"HTTP/1.0 400 Bad Request\r\n\r\n"])
def test_a_port_that_does_not_speak_ssh_is_given_up(make_sshd, greeting):
    with socket.create_server((ADDRESS, free_port())) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    clients.append(client)
                    client.sendall(greeting)

        clients: list[socket.socket] = []
        threading.Thread(target=serve, daemon=True).start()
        start = time.monotonic()
        with pytest.raises(exc.ConnectError):
            connect(
                make_sshd(port=listener.getsockname()[1]), ssh_wait_timeout=1, ssh_connect_timeout=1
            )
        assert time.monotonic() - start < 15
        listener.shutdown(socket.SHUT_RDWR)
        for client in clients:
            client.close()


def test_a_wrong_key_is_refused_at_once_where_no_time_is_given(sshd):
    wrong = ssh.Credentials(USER, private_key=Secret(new_key()))
    with pytest.raises(exc.AuthenticationFailed) as caught:
        connect(sshd, credentials=wrong)
    assert f"refuses user {USER} with the given key" in str(caught.value)


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_every_supported_kind_of_key_lets_in(make_sshd, dial, kind):
    sshd = make_sshd().start()
    key = new_key(kind)
    sshd.authorize(public_line(key))
    assert echo(dial(sshd, credentials=ssh.Credentials(USER, private_key=Secret(key)))) == "on\n"


def test_a_wrong_password_is_refused_and_not_shown(sshd):
    wrong = ssh.Credentials(USER, Secret("marked-password"))
    with pytest.raises(exc.AuthenticationFailed, match="the given password") as caught:
        connect(sshd, credentials=wrong)
    assert "marked-password" not in str(caught.value) + repr(caught.value)


def test_a_login_that_cloud_init_allows_later_is_tried_again(make_sshd):
    sshd = make_sshd()
    allowed = sshd.authorized_keys.read_text()
    sshd.authorized_keys.write_text("")
    sshd.start()
    with connecting(sshd, ssh_auth_timeout=10):
        wait_for(lambda: "Connection closed by auth" in sshd.log.read_text(), "a refused login")
        sshd.authorized_keys.write_text(allowed)


@pytest.mark.skipif(not IS_ROOT, reason="password login needs root: sshd reads /etc/shadow")
def test_passwords_that_cloud_init_allows_later_are_tried_again(make_sshd):
    """Cloud images forbid passwords until cloud-init's ssh_pwauth rewrites sshd_config."""
    sshd = make_sshd(password="one word", options=["PasswordAuthentication no"]).start()
    credentials = ssh.Credentials(USER, Secret("one word"))
    with connecting(sshd, credentials=credentials, ssh_auth_timeout=15, ssh_wait_timeout=20):
        wait_for(lambda: "Connection closed by auth" in sshd.log.read_text(), "a refused login")
        sshd.stop()
        sshd.options = ()
        sshd.start()


@pytest.mark.skipif(not IS_ROOT, reason="password login needs root: sshd reads /etc/shadow")
def test_the_password_lets_in_where_the_key_does_not(make_sshd, dial):
    sshd = make_sshd(password="ä one word").start()
    credentials = ssh.Credentials(USER, Secret("ä one word"), Secret(new_key()))
    assert echo(dial(sshd, credentials=credentials)) == "on\n"


BOTH = [
    "AuthenticationMethods publickey,password",
    "AuthenticationMethods password,publickey",
]


@pytest.mark.skipif(not IS_ROOT, reason="password login needs root: sshd reads /etc/shadow")
@pytest.mark.parametrize("option", BOTH)
def test_a_machine_that_wants_key_and_password(make_sshd, dial, option):
    """In either order, with the same command at work afterwards; one alone does not let in."""
    sshd = make_sshd(password="one word", options=[option]).start()
    key = Secret(sshd.user_key)
    assert echo(dial(sshd, credentials=ssh.Credentials(USER, Secret("one word"), key))) == "on\n"
    start = time.monotonic()
    with pytest.raises(exc.AuthenticationFailed) as caught:
        connect(sshd, credentials=ssh.Credentials(USER, private_key=key))
    assert "sshd may want both" in caught.value.remedy
    if option == BOTH[0]:
        assert "it accepts the key, and wants password too" in caught.value.cause
    with pytest.raises(exc.AuthenticationFailed) as caught:
        connect(sshd, credentials=ssh.Credentials(USER, Secret("one word")))
    if option == BOTH[1]:
        assert "it accepts the password, and wants publickey too" in caught.value.cause
    with pytest.raises(exc.AuthenticationFailed) as caught:
        connect(sshd, credentials=ssh.Credentials(USER, Secret("wrong"), key))
    assert "wrong" not in str(caught.value)
    if option == BOTH[0]:
        assert "it accepts the key, but then: Authentication failed" in caught.value.cause
    assert time.monotonic() - start < 20


def test_a_machine_that_wants_two_keys(make_sshd):
    sshd = make_sshd(options=["AuthenticationMethods publickey,publickey"]).start()
    with pytest.raises(exc.AuthenticationFailed, match="accepts the key, and wants publickey too"):
        connect(sshd)
