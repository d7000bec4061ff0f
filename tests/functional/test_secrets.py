# SPDX-License-Identifier: Apache-2.0
"""Marked secrets go through whole operations at debug level and are found nowhere."""

from __future__ import annotations

import contextlib
import logging
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from tacker_cir import exceptions as exc
from tacker_cir import ssh
from tacker_cir.command import Command, Redactor, Secret
from tacker_cir.facts import Facts
from tacker_cir.host import docker
from tacker_cir.host.files import ManagedFile
from tacker_cir.inventory import Node
from tacker_cir.params.private_registry import DockerPackage, PrivateRegistryParams
from tacker_cir.params.proxy import Proxy
from tacker_cir.params.registry_proxy_of import ProxyOf
from tacker_cir.params.registry_tls import ServerTls
from tacker_cir.params.registry_users import RegistryUser
from tacker_cir.registry import own_files, upstream
from tacker_cir.registry.places import Places
from tacker_cir.registry.serving import Access, wait_until_serving
from tests.certificates import Authority
from tests.functional.conftest import connect
from tests.functional.server import ADDRESS, IS_ROOT, USER, free_port
from tests.machine import DEBIAN_12, machine

#: In every secret of these tests, and in no command line of anything else on the machine.
MARK = "tcir7secret"
PASSWORD = "tcir7secretpassword it's"
PROXY_PASSWORD = "tcir7secretproxy"
PROXY_URL = "http://user:tcir7secretproxy%21@192.0.2.9:3128"


class CommandLines:
    """Reads every process's arguments and environment names again and again."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()
        self.samples = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        while not self._end.is_set():
            for file in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    self.seen.add(file.read_bytes())
            self.samples += 1

    def __enter__(self) -> CommandLines:
        self._thread.start()
        return self

    def __exit__(self, *_exc_info: object) -> None:
        self._end.set()
        self._thread.join()


@pytest.fixture
def everything_logged(caplog) -> Iterator[pytest.LogCaptureFixture]:
    with contextlib.ExitStack() as stack:
        for name in (None, "tacker_cir", "paramiko", "paramiko.transport"):
            stack.enter_context(caplog.at_level(logging.DEBUG, name))
        yield caplog


def texts_of(error: BaseException) -> str:
    lines = traceback.format_exception(error)
    return "".join(lines) + str(error) + repr(error) + repr(vars(error))


def key_lines(key: str) -> list[str]:
    return [line for line in key.splitlines() if "-----" not in line]


def assert_unmarked(text: str, *keys: str) -> None:
    for mark in (MARK, *(line for key in keys for line in key_lines(key))):
        assert mark not in text


def test_no_secret_in_logs_errors_and_command_lines(sshd, everything_logged):
    credentials = ssh.Credentials(USER, Secret(PASSWORD), Secret(sshd.user_key))
    secrets = (*credentials.secrets, Secret(PROXY_PASSWORD + "%21"))
    texts = [repr(credentials), str(credentials)]
    with CommandLines() as watch:
        settings = {"credentials": credentials, "redactor": Redactor(secrets)}
        with connect(sshd, **settings) as connection:
            texts.append(repr(connection))
            read = Command.script("feed secrets", "cat >/dev/null; sleep 0.3")
            connection.run(read, stdin=PROXY_URL.encode(), root=False)
            # A program that shows what it was told, as apt does with a proxy that refuses.
            blab = Command.script("configure the proxy", "tee /dev/stderr; exit 1")
            for told in (PROXY_URL, PASSWORD, sshd.user_key):
                with pytest.raises(exc.CommandFailed) as failed:
                    connection.run(blab, stdin=told.encode(), root=False)
                texts.append(texts_of(failed.value))
                assert "***" in str(failed.value)
    assert watch.samples > 3
    assert any(b"feed secrets" in line or b"sleep\x000.3" in line for line in watch.seen)
    assert_unmarked("".join(texts), sshd.user_key)
    assert_unmarked(everything_logged.text, sshd.user_key)
    assert any(r.name.startswith("paramiko") for r in everything_logged.records)
    assert not any(MARK.encode() in line for line in watch.seen)


def test_no_secret_in_a_refused_login(sshd, everything_logged):
    with pytest.raises(exc.AuthenticationFailed) as caught:
        connect(sshd, credentials=ssh.Credentials(USER, Secret(PASSWORD)))
    assert_unmarked(texts_of(caught.value) + everything_logged.text)


class Modes:
    """Reads a directory again and again: which permissions files had while a secret was in them.

    :param secrets: lines of which a file with one is noted
    """

    def __init__(self, directory: Path, *secrets: str):
        self.found: dict[str, set[int]] = {}
        self._directory = directory
        self._secrets = [secret.encode() for secret in secrets]
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        while not self._end.is_set():
            self._look()
        self._look()

    def _look(self) -> None:
        for path in self._directory.rglob("*"):
            with contextlib.suppress(OSError):
                if path.is_file() and any(map(path.read_bytes().__contains__, self._secrets)):
                    self.found.setdefault(path.name, set()).add(path.stat().st_mode & 0o777)

    def __enter__(self) -> dict[str, set[int]]:
        self._thread.start()
        return self.found

    def __exit__(self, *_exc_info: object) -> None:
        self._end.set()
        self._thread.join()


@pytest.mark.skipif(not IS_ROOT, reason="managed files belong to root")
def test_only_root_reads_files_with_secrets_at_any_moment(sshd, dial, tmp_path):
    proxy = Proxy(Secret(PROXY_URL), Secret(PROXY_URL), "localhost")
    wanted = docker.desired_files(Facts(os_release=DEBIAN_12), DockerPackage(), proxy)
    files = [ManagedFile(f"{tmp_path}/root{f.path}", f.content, f.mode) for f in wanted]
    secret = [file for file in files if file.content and MARK.encode() in file.content]
    assert len(secret) == 2
    with Modes(tmp_path / "root", MARK) as modes:
        machine(dial(sshd)).ensure(*files)
    assert len(modes) >= 2
    assert set().union(*modes.values()) == {0o600}


@pytest.mark.skipif(not IS_ROOT, reason="managed files belong to root")
def test_no_secret_of_a_registry(sshd, tmp_path, monkeypatch, everything_logged):
    """Its key, its users' passwords and their hashes, and the login for another registry."""
    certificate, key = Authority("given").issue("registry.example")
    alice = RegistryUser("alice", Secret(PASSWORD))
    proxy_of = ProxyOf("quay.io", login=("bob", Secret(PROXY_PASSWORD)))
    tls = ServerTls(certificate, Secret(key))
    params = PrivateRegistryParams(
        "CP1", ssh.Credentials(USER), tls=tls, users=(alice,), proxy_of=proxy_of
    )
    directory = f"{tmp_path}/etc/tacker-cir/registry"
    monkeypatch.setattr(own_files, "DIRECTORY", directory)
    monkeypatch.setattr(upstream, "PATH", f"{directory}/upstream.json")
    # There is no Docker here to tell it.
    monkeypatch.setattr(upstream, "_configuration", lambda *_: "/etc/distribution/config.yml")
    lines = key_lines(key)
    with (
        CommandLines() as watch,
        Modes(tmp_path / "etc", MARK, lines[1], "$2b$") as modes,
        connect(sshd, redactor=Redactor(params.secrets)) as connection,
    ):
        found = machine(connection, service_timeout=1)
        places = Places(None, f"{tmp_path}/data", f"{tmp_path}/own")
        ensured = own_files.ensure(found, params, places, ("192.0.2.7", "192.0.2.7"))
        upstream.ensure(found, proxy_of, "sha256:1")
        access = Access(free_port(), certificate, alice.login)
        with pytest.raises(exc.HostError, match="Connection refused") as caught:
            wait_until_serving(found, Node("CP1", ADDRESS, ADDRESS, "server-1"), access)
    assert modes == {name: {0o600} for name in ("server.key", "htpasswd", "upstream.json")} | {
        name: {0o600} for name in modes if name.startswith(".")
    }
    texts = texts_of(caught.value) + everything_logged.text + repr((params, ensured, access))
    assert_unmarked(texts, key)
    hashed = Path(directory, "htpasswd").read_text().partition(":")[2].strip()
    login = alice.login.reveal()
    assert hashed not in texts and login not in texts
    for secret in (MARK, hashed, login, *lines):
        assert not any(secret.encode() in line for line in watch.seen)
