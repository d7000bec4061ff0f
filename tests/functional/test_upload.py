# SPDX-License-Identifier: Apache-2.0
"""A large image goes to a command's stdin: whole, told of in the log, and not through memory."""

from __future__ import annotations

import hashlib
import re
import tracemalloc
from typing import BinaryIO

import pytest

from tacker_cir import exceptions as exc
from tacker_cir import ssh
from tacker_cir.command import Command

SIZE = 120_000_000


class Generated:
    """A file of SIZE bytes that no two blocks of are alike, and its digest so far."""

    def __init__(self) -> None:
        self.digest, self._sent = hashlib.sha256(), 0

    def read(self, size: int) -> bytes:
        length = min(size, SIZE - self._sent)
        block = (self._sent.to_bytes(8, "big") * (length // 8 + 1))[:length]
        self._sent += length
        self.digest.update(block)
        return block


@pytest.fixture
def connection(sshd, dial):
    return dial(sshd)


def upload(connection: ssh.Connection, source: BinaryIO | Generated, *words: str) -> ssh.Result:
    command = Command(words, "load image registry.tar")
    return connection.run(command, stdin=source, size=SIZE, root=False, timeout=60)


def test_a_large_file_arrives_whole(connection):
    source = Generated()
    assert upload(connection, source, "sha256sum").stdout.split()[0] == source.digest.hexdigest()


def test_progress_is_logged(connection, caplog, monkeypatch):
    monkeypatch.setattr(ssh, "PROGRESS", 0.05)
    caplog.set_level("INFO", "tacker_cir")
    upload(connection, Generated(), "cat")
    # Not that of the step's end, which is there where it took long.
    lines = [r.getMessage() for r in caplog.records if r.name == ssh.__name__]
    assert all("load image" in line for line in lines)
    assert len(lines) > 3
    form = r"CP1 \(127.0.0.1\): load image registry.tar: \d+ of 120 MB \(\d+ %\), \d+ MB/s"
    assert all(re.fullmatch(form, line) for line in lines[:-1])
    assert re.search(r"registry.tar: sent 120 of 120 MB \(100 %\), \d+ MB/s", lines[-1])


def test_memory_is_bounded(connection):
    upload(connection, Generated(), "true")
    tracemalloc.start()
    try:
        upload(connection, Generated(), "sh", "-c", "cat >/dev/null")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16_000_000


def test_a_machine_without_room_says_so(connection):
    with pytest.raises(exc.CommandFailed, match="No space left on device"):
        upload(connection, Generated(), "sh", "-c", "cat >/dev/full")
