# SPDX-License-Identifier: Apache-2.0
"""The connection is cut before or after every single command of an operation; a retry completes
the work, and one more run changes nothing.

Docker and apt are cut likewise in the lab; here is what any machine can do.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tacker_cir import exceptions as exc
from tacker_cir.command import Command
from tacker_cir.facts import gather
from tacker_cir.host.files import ManagedFile
from tacker_cir.ssh import Connection
from tests.functional.conftest import connect
from tests.functional.server import IS_ROOT
from tests.machine import machine

CONTENT = b"# caf\xc3\xa9\n" * 1000


def managed_files(connection: Connection, directory: Path) -> int:
    """Files as the drivers write them (as root): a note, then others at once, then what goes."""
    (directory / "old").parent.mkdir(exist_ok=True)
    files = [
        ManagedFile(f"{directory}/pending", b""),
        ManagedFile(f"{directory}/etc/apt/proxy conf", CONTENT),
        ManagedFile(f"{directory}/etc/docker/env", b"SECRET=x\n", 0o600),
        ManagedFile(f"{directory}/old", None),
    ]
    facts = gather(connection, files=[file.path for file in files])
    written = machine(connection, facts)
    changed = written.ensure(*files[:1])
    changed |= written.ensure(*files[1:3])
    changed |= written.ensure(*files[3:])
    facts = gather(connection, files=[file.path for file in files])
    assert all(file.is_current(facts) for file in files)
    return len(changed)


def chain_of_commands(connection: Connection, directory: Path) -> int:
    """A chain of commands of which each is done only where its result is missing."""
    changed = 0
    for number in range(3):
        path = f"{directory}/step{number}"
        digest = hashlib.sha256(CONTENT).hexdigest()
        look = Command.script("look", 'sha256sum <"$1" || true', path)
        if digest in connection.run(look, root=False).stdout:
            continue
        write = Command.script("write", 'cat >"$1.part" && mv "$1.part" "$1"', path)
        connection.run(write, stdin=CONTENT, root=False)
        changed += 1
    return changed


WORKS = [
    pytest.param(chain_of_commands, id="commands"),
    pytest.param(
        managed_files,
        id="files",
        marks=pytest.mark.skipif(not IS_ROOT, reason="managed files belong to root"),
    ),
]


@pytest.mark.parametrize("work", WORKS)
def test_an_operation_cut_at_any_command_can_be_retried(sshd, tmp_path, work):
    complete = tmp_path / "complete"
    complete.mkdir()
    (complete / "old").touch()
    sshd.cut_at(0, "never")
    with connect(sshd) as connection:
        changes = work(connection, complete)
    commands = sshd.commands
    assert changes >= 3 and commands >= 5
    for when in ("before", "after"):
        for number in range(1, commands + 1):
            directory = tmp_path / f"{when}{number}"
            directory.mkdir()
            (directory / "old").touch()
            sshd.cut_at(number, when)
            with connect(sshd) as connection, pytest.raises(exc.ConnectionLost):
                work(connection, directory)
            sshd.cut_at(0, "never")
            with connect(sshd) as connection:
                work(connection, directory)
                assert work(connection, directory) == 0, "a third run changes nothing"
            assert content(directory) == content(complete)


def content(directory: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(file.relative_to(directory)): (file.stat().st_mode, file.read_bytes())
        for file in directory.rglob("*")
        if file.is_file()
    }
