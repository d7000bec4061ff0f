# SPDX-License-Identifier: Apache-2.0
"""The conductor dies in the middle of what it sends, or a writer in the middle of its work: nobody
takes the part for the whole, nothing of it stays, and the next run completes the work."""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path

import paramiko
import pytest

from tacker_cir import exceptions as exc
from tacker_cir.batch import Batch
from tacker_cir.command import Command
from tacker_cir.facts import Facts, gather, unfinished
from tacker_cir.host.files import ManagedFile, kept
from tacker_cir.ssh import Connection
from tests.functional.conftest import connect
from tests.functional.server import IS_ROOT, Sshd, wait_for
from tests.machine import machine

root_only = pytest.mark.skipif(not IS_ROOT, reason="managed files belong to root")

OLD = b"127.0.0.1 localhost\n" * 40
NEW = b"".join(b"%06d line of a file\n" % number for number in range(14_000))  # 300 kB
SECRET = b"password\n" * 200

Work = Callable[[Connection], object]


def count_sent(sshd: Sshd, work: Work) -> int:
    """Return how many bytes a piece of work sends to the standard input of its commands."""
    sent = 0
    send = paramiko.Channel.sendall

    def sendall(channel: paramiko.Channel, data: bytes) -> None:
        nonlocal sent
        sent += len(data)
        send(channel, data)

    with connect(sshd) as connection, pytest.MonkeyPatch.context() as patch:
        connection.identity()
        patch.setattr(paramiko.Channel, "sendall", sendall)
        work(connection)
    return sent


def die_after(count: int) -> None:
    """Kill this process as soon as it has sent ``count`` bytes to its commands."""
    send = paramiko.Channel.sendall
    left = count

    def sendall(channel: paramiko.Channel, data: bytes) -> None:
        nonlocal left
        send(channel, data[:left])
        left -= len(data)
        if left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)

    paramiko.Channel.sendall = sendall


#: Forks a process that has no thread: a lock of OpenSSL's that a thread of this one held at a fork
#: would never be free in the other. What it is given to do must be pickled.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([__name__])


@dataclass(frozen=True)
class Peer:
    """What another process needs to know of an sshd."""

    port: int
    host_keys: tuple[str, ...]
    user_key: str

    @classmethod
    def of(cls, sshd: Sshd) -> Peer:
        return cls(sshd.port, sshd.host_keys, sshd.user_key)


def elsewhere(sshd: Sshd, work: Work, count: int | None = None) -> BaseProcess:
    """Begin work in a process of its own; parameters as for :func:`do`."""
    process = PROCESSES.Process(target=do, args=(Peer.of(sshd), work, count))
    process.start()
    return process


def do(peer: Peer, work: Work, count: int | None) -> None:
    """Do work over a connection of this process.

    :param count: bytes of it after which this process dies
    """
    with connect(peer) as connection:
        connection.identity()
        if count is not None:
            die_after(count)
        work(connection)


def killed_after(sshd: Sshd, count: int, work: Work) -> None:
    """Do work in a process of its own that dies; return when nothing of it runs any more."""
    process = elsewhere(sshd, work, count)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    wait_for(lambda: not sshd.left_over(), "what ran on the machine has ended")


def cuts(total: int, parts: int) -> list[int]:
    """Return places to cut: around both ends of a stream, and between all over it."""
    ends = (0, 1, 5, 72, 80, 160, total - 4, total - 1, total)
    return sorted({*ends, *(total * n // parts for n in range(1, parts))})


def leftovers(sshd: Sshd, directory: Path) -> list[str]:
    with connect(sshd) as connection:
        listed = connection.run(Command.script("look", "ls -A /run /tmp"), root=False).stdout
    prefixes = ("tacker-cir-input", "tacker-cir-pipe")
    names = [name for name in listed.split() if name.startswith(prefixes)]
    return names + [str(path) for path in directory.rglob("*tacker-cir-new*")]


def ensure(connection: Connection, files: Sequence[ManagedFile], there: str = "") -> None:
    """Write files; of one it is known that it is there, and empty."""
    facts = Facts()
    if there:
        facts.note_file(there, b"", 0o644)
    machine(connection, facts).ensure(*files)


@root_only
@pytest.mark.parametrize(("new", "parts"), [(NEW[:2000], 4), (NEW, 16)], ids=["2 kB", "300 kB"])
def test_a_file_is_the_old_or_the_new_one(sshd, tmp_path, new, parts):
    path = tmp_path / "hosts"
    file = ManagedFile(str(path), new)

    write = partial(ensure, files=[file])
    total = count_sent(sshd, write)
    assert total > len(new) and path.read_bytes() == new
    for cut in cuts(total, parts):
        path.write_bytes(OLD)
        killed_after(sshd, cut, write)
        # The end may not get out any more.
        allowed = (OLD,) if cut < total else (OLD, new)
        assert path.read_bytes() in allowed, f"cut after {cut} bytes"
        assert leftovers(sshd, tmp_path) == []
    path.write_bytes(OLD)
    with connect(sshd) as connection:
        facts = gather(connection, files=[str(path)])
        assert machine(connection, facts).ensure(file) == {str(path)}
        assert machine(connection, facts).ensure(file) == frozenset()
    assert path.read_bytes() == new


@root_only
def test_of_several_files_none_is_changed(sshd, tmp_path):
    first, second, third = (tmp_path / name for name in ("a/first", "second", "third"))
    files = [
        ManagedFile(str(first), NEW[:50_000]),
        ManagedFile(str(second), SECRET, 0o600),
        ManagedFile(str(third), None),
    ]

    write = partial(ensure, files=files, there=str(third))

    def restore() -> None:
        first.unlink(missing_ok=True)
        second.write_bytes(OLD)
        third.touch()

    restore()
    total = count_sent(sshd, write)
    assert second.read_bytes() == SECRET and not third.exists()
    for cut in cuts(total, 5)[:-1]:
        restore()
        killed_after(sshd, cut, write)
        assert not first.exists() and second.read_bytes() == OLD and third.exists()
        assert leftovers(sshd, tmp_path) == []


def feed(connection: Connection, command: Command, kind: str) -> None:
    stdin = NEW if kind == "text" else io.BytesIO(NEW)
    connection.run(command, stdin=stdin, root=False)


@pytest.mark.parametrize("kind", ["text", "stream"])
def test_a_command_does_not_take_the_beginning_of_its_input_for_all_of_it(sshd, tmp_path, kind):
    """What kubectl, kubeadm, docker load and scripts are: they act when they see the end."""
    acted = tmp_path / "acted"
    command = Command.script("load", 'cat >/dev/null; : >"$1"', str(acted))

    run = partial(feed, command=command, kind=kind)
    total = count_sent(sshd, run)
    assert total > len(NEW) and acted.exists()
    for cut in cuts(total, 10):
        acted.unlink(missing_ok=True)
        killed_after(sshd, cut, run)
        assert cut == total or not acted.exists(), f"cut after {cut} bytes"
        assert leftovers(sshd, tmp_path) == []


def test_a_file_that_became_shorter_while_it_was_sent(sshd, dial):
    command = Command.script("load", "cat >/dev/null")
    with pytest.raises(exc.CommandFailed, match="the input was cut"):
        dial(sshd).run(command, stdin=io.BytesIO(NEW), size=len(NEW) + 1, root=False)
    with pytest.raises(exc.CommandFailed, match="the input was cut"):
        dial(sshd).run(command, stdin=io.BytesIO(NEW), size=len(NEW) - 1, root=False)


class Unreadable(io.BytesIO):
    """A file on a disk of the conductor that fails in its middle."""

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell():
            raise OSError(5, "Input/output error", "/package/image.tar")
        return super().read(size)


def test_a_file_that_the_conductor_cannot_read_is_not_blamed_on_the_connection(
    sshd, dial, tmp_path
):
    acted = tmp_path / "acted"
    command = Command.script("load", 'cat >/dev/null; : >"$1"', str(acted))
    connection = dial(sshd)
    with pytest.raises(exc.HostError, match="the conductor cannot read .*/package/image.tar"):
        connection.run(command, stdin=Unreadable(bytes(3_000_000)), root=False)
    wait_for(lambda: not sshd.left_over(), "what ran on the machine has ended")
    assert not acted.exists()
    assert connection.run(Command(("echo", "on"), "test"), root=False).stdout == "on\n"


@pytest.fixture
def slow_disk(make_sshd, tmp_path) -> Sshd:
    """A machine that does not come back from sync(1)."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "sync").write_text(f"#!/bin/sh\n: >{tmp_path}/syncing\nexec sleep 60\n")
    (programs / "sync").chmod(0o755)
    return make_sshd(environment=[f"PATH={programs}:{os.environ['PATH']}"]).start()


@root_only
def test_a_write_past_its_deadline_leaves_nothing(slow_disk, tmp_path):
    path = tmp_path / "etc/secret"
    with connect(slow_disk, command_timeout=1) as connection:
        with pytest.raises(exc.CommandTimeout):
            machine(connection).ensure(ManagedFile(str(path), SECRET, 0o600))
    wait_for(lambda: not slow_disk.left_over(), "what ran on the machine has ended")
    assert (tmp_path / "syncing").exists()
    assert not path.exists() and leftovers(slow_disk, tmp_path) == []


def children_first(pids: Iterable[int]) -> list[int]:
    """Put processes before those that started them; those that have ended are left out."""
    parents = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            stat = Path(f"/proc/{pid}/stat").read_text()
            parents[pid] = int(stat.rpartition(")")[2].split()[1])

    def depth(pid: int) -> int:
        return 1 + depth(parents[pid]) if pid in parents else 0

    return sorted(parents, key=depth, reverse=True)


@root_only
@pytest.mark.parametrize("wanted", [SECRET, None], ids=["written anew", "not wanted any more"])
def test_what_a_kill_leaves_is_gone_after_the_next_run(sshd, slow_disk, tmp_path, wanted):
    path = tmp_path / "etc/secret"
    process = elsewhere(slow_disk, partial(ensure, files=[ManagedFile(str(path), SECRET, 0o600)]))
    wait_for((tmp_path / "syncing").exists, "the file is about to be renamed")
    left = Path(unfinished(str(path)))
    # All at once, as a power cut does: who saw another one end would clean up. And children first,
    # as the kernel has a stopped process go on when the parent of its group ends.
    pids = children_first(slow_disk.left_over())
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
    process.join()
    assert left.read_bytes() == SECRET and left.stat().st_mode & 0o777 == 0o600
    file = ManagedFile(str(path), wanted, 0o600)
    with connect(sshd) as connection:
        for want in ({"files": [str(path)]}, {"contents": [str(path)]}, {"trees": [str(tmp_path)]}):
            facts = gather(connection, **want)
            assert not file.is_current(facts)
        assert machine(connection, facts).ensure(file) == {str(path)}
        assert file.is_current(facts) and file.is_current(gather(connection, files=[str(path)]))
    assert not left.exists() and path.exists() == (wanted is not None)


@root_only
def test_a_file_that_somebody_else_changes_meanwhile_is_not_replaced(sshd, dial, tmp_path):
    path, other = tmp_path / "hosts", tmp_path / "other"
    path.write_bytes(OLD)
    connection = dial(sshd)
    facts = gather(connection, contents=[str(path), str(other)])
    files = [kept(facts, str(path), "ours\n"), kept(facts, str(other), "ours\n")]
    path.write_bytes(OLD + b"theirs\n")
    with pytest.raises(exc.CommandFailed, match=f"{path} was changed by somebody else meanwhile"):
        machine(connection, facts).ensure(*files)
    assert path.read_bytes() == OLD + b"theirs\n" and not other.exists()
    path.write_bytes(OLD)
    other.write_bytes(b"theirs\n")
    with pytest.raises(exc.CommandFailed, match=f"{other} was changed by somebody else meanwhile"):
        machine(connection, facts).ensure(*files)
    assert path.read_bytes() == OLD and leftovers(sshd, tmp_path) == []
    # Somebody else did the same.
    path.write_bytes(b"ours\n")
    other.unlink()
    assert machine(connection, facts).ensure(*files) == {str(path), str(other)}
    gone = ManagedFile(str(path), None, made_from="0" * 64)
    path.unlink()
    assert machine(connection, facts).ensure(gone) == {str(path)}


@root_only
def test_a_link_stays_one(sshd, dial, tmp_path):
    link, target = tmp_path / "daemon.json", tmp_path / "elsewhere/daemon.json"
    target.parent.mkdir()
    target.write_bytes(OLD)
    target.chmod(0o640)
    link.symlink_to(target)
    connection = dial(sshd)
    facts = gather(connection, contents=[str(link)])
    file = kept(facts, str(link), "ours\n")
    assert file.mode == 0o640
    machine(connection, facts).ensure(file)
    assert link.is_symlink() and target.read_text() == "ours\n"
    assert file.is_current(gather(connection, files=[str(link)]))


@root_only
def test_a_file_that_its_program_would_refuse_is_not_written(sshd, dial, tmp_path):
    path, other = tmp_path / "haproxy.cfg", tmp_path / "other"
    path.write_bytes(OLD)
    check = ("sh", "-c", 'grep "it\'s good" "$1" || { echo "line 1: bad"; exit 1; }', "sh")
    connection, facts = dial(sshd), Facts()
    files = [
        ManagedFile(str(other), b"x"),
        ManagedFile(str(path), b"it's bad\n", check=check),
    ]
    with pytest.raises(exc.CommandFailed) as caught:
        machine(connection, facts).ensure(*files, remedy="mend it")
    assert "line 1: bad" in str(caught.value) and "To do: mend it" in str(caught.value)
    assert f"{path} is not written, as it would be refused" in str(caught.value)
    assert path.read_bytes() == OLD and not other.exists() and leftovers(sshd, tmp_path) == []
    files[1] = ManagedFile(str(path), b"it's good\n", check=check)
    assert machine(connection, facts).ensure(*files) == {str(path), str(other)}
    assert path.read_bytes() == b"it's good\n"


@root_only
@pytest.mark.parametrize("batched", [False, True])
def test_what_was_written_for_a_step_that_fails_is_taken_back(sshd, dial, tmp_path, batched):
    """New sources of packages that apt cannot use, say."""
    new, known, other = (tmp_path / name for name in ("new", "known", "other"))
    for path in (known, other):
        path.write_bytes(OLD)
    connection = dial(sshd)
    facts = gather(connection, files=[str(new), str(other)], contents=[str(known)])
    paths = [str(new), str(known), str(other)]
    used = Batch(connection) if batched else connection
    with pytest.raises(exc.HostError) as caught, machine(used, facts).taken_back(paths):
        machine(used, facts).ensure(*(ManagedFile(path, b"x") for path in paths))
        used.run(Command.script("update", "echo no such source >&2; exit 100"))
    assert f"no such source ({new} and {known} are as before)" in caught.value.cause
    assert not new.exists() and known.read_bytes() == OLD
    # What it was, nobody knows.
    assert other.read_bytes() == b"x"


def test_a_connection_that_is_gone_does_not_hide_what_went_wrong(sshd):
    """Whoever leaves a session closes it, over a connection that may not be there any more."""
    with connect(sshd) as connection, pytest.raises(ZeroDivisionError):
        with connection.session("cat", 10):
            connection.transport.packetizer.close()
            raise ZeroDivisionError


def test_a_connection_that_breaks_as_a_request_begins_is_given_up(sshd, monkeypatch):
    """paramiko forgets the end of the connection where it comes right before it waits for the
    answer: such a wait would last for ever."""
    begins = paramiko.Channel._event_pending

    def breaks(channel: paramiko.Channel) -> None:
        if channel.active:  # the command's request, not that for the channel
            channel.transport.close()
        begins(channel)

    with connect(sshd) as connection:
        monkeypatch.setattr(paramiko.Channel, "_event_pending", breaks)
        with pytest.raises((paramiko.SSHException, EOFError)), connection.session("cat", 1):
            pass
