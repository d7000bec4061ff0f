# SPDX-License-Identifier: Apache-2.0
"""What every operation needs of a connection. Run in two kinds of process: with native threads
(Tacker 16), and patched by eventlet (before it; see test_patched.py)."""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import random
import signal
import threading
import time
from pathlib import Path

import pytest

from tacker_cir import exceptions as exc
from tacker_cir.cluster import load_balancer
from tacker_cir.command import Command
from tacker_cir.registry import from_node
from tacker_cir.waiting import NotYet
from tests.functional.conftest import connect
from tests.functional.server import ADDRESS, free_port, wait_for

MB = 1024 * 1024


def script(text: str, *args: str) -> Command:
    return Command.script("test", text, *args)


def run(connection, text: str, *args: str, **options):
    return connection.run(script(text, *args), root=False, **options)


def running(mark: str) -> list[int]:
    """Return the processes that have a text in their arguments."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark.encode() in file.read_bytes():
                found.append(int(file.parent.name))
        except OSError:
            continue
    return found


@pytest.fixture
def connection(sshd, dial):
    return dial(sshd)


def test_a_command_gives_both_outputs_and_its_status(connection):
    result = run(connection, "echo out; echo err >&2; exit 3", ok=(3,))
    assert (result.exit_status, result.stdout, result.stderr) == (3, "out\n", "err\n")


def test_arguments_arrive_as_they_are(connection):
    words = ("", "a b", "it's", '"', "$HOME", "`id`", "a\nb", "\\", "*", "ä€😀", "-n", ";")
    result = connection.run(Command(("printf", "<%s>", *words), "test"), root=False)
    assert result.stdout == "".join(f"<{word}>" for word in words)


def test_messages_of_programs_are_in_english(connection):
    assert run(connection, "echo $LC_ALL $DEBIAN_FRONTEND").stdout == "C noninteractive\n"


def test_stdin_arrives_byte_by_byte(connection):
    data = random.Random(1).randbytes(300_001)
    result = connection.run(Command(("sha256sum",), "test"), root=False, stdin=data)
    assert result.stdout.split()[0] == hashlib.sha256(data).hexdigest()


def test_5_mb_on_stderr_while_stdout_is_written(connection):
    result = run(
        connection,
        "dd if=/dev/zero bs=1M count=5 2>/dev/null | tr '\\0' e >&2 & "
        "for i in 1 2 3 4 5 6 7 8 9; do echo $i; done; wait; echo last >&2",
    )
    assert result.stdout.split() == list("123456789")
    assert result.stderr.endswith("e\nlast\n") or result.stderr.endswith("elast\n")
    assert len(result.stderr) <= 64 * 1024


def test_5_mb_on_both_streams_at_once(connection):
    result = run(
        connection,
        "zeros() { dd if=/dev/zero bs=1M count=5 2>/dev/null | tr '\\0' \"$1\"; }; "
        "zeros e >&2 & zeros o; wait",
    )
    assert result.stdout == "o" * (4 * MB)
    assert result.stderr == "e" * (64 * 1024)


@pytest.mark.parametrize(
    ("text", "told"), [("sleep 1.1", "done in 1."), ("sleep 1.1; exit 3", "failed after 1.")]
)
def test_a_step_is_told_in_the_log_as_it_ends(connection, caplog, text, told):
    with caplog.at_level(logging.INFO), contextlib.suppress(exc.CommandFailed):
        run(connection, text)
    assert f"{connection.node}: test: {told}" in caplog.text
    assert caplog.text.count("test: ") == 1


def test_output_on_stderr_is_no_failure(connection):
    assert run(connection, "echo warning >&2").exit_status == 0


def test_the_exit_status_decides(connection):
    with pytest.raises(exc.CommandFailed) as caught:
        run(connection, "echo good; echo bad >&2; exit 4", remedy="mend it")
    assert (caught.value.exit_status, caught.value.stderr) == (4, "bad\n")
    assert str(caught.value) == (
        f"node CP1 ({ADDRESS}), step 'test': exit status 4: bad; standard output: good. "
        "To do: mend it"
    )


def test_the_reason_is_shown_whichever_stream_it_is_on(connection):
    with pytest.raises(exc.CommandFailed, match="exit status 1: E: broken; standard output: .*why"):
        run(connection, "seq 100000; echo why; echo E: broken >&2; exit 1")
    with pytest.raises(exc.CommandFailed, match="exit status 1: why. To do") as caught:
        run(connection, "echo why; exit 1")
    assert len(str(caught.value)) < 4000


def test_what_may_hold_a_secret_is_not_shown(connection):
    command = Command.script("test", "echo hidden; echo why >&2; exit 1", confidential=True)
    with pytest.raises(exc.CommandFailed, match="exit status 1: why. To do") as caught:
        connection.run(command, root=False)
    assert "hidden" not in str(caught.value)


def test_a_command_that_reads_nothing_is_judged_by_its_status(connection):
    with pytest.raises(exc.CommandFailed, match="exit status 7: no space"):
        run(connection, "echo no space >&2; exit 7", stdin=io.BytesIO(bytes(20 * MB)))
    assert run(connection, "exit 0", stdin=io.BytesIO(bytes(20 * MB))).exit_status == 0


def test_what_a_command_said_before_its_deadline_is_told(connection):
    with pytest.raises(exc.CommandTimeout, match="after 1 seconds; it said: waiting for apt; s"):
        run(connection, "echo waiting for apt >&2; echo half; sleep 60", timeout=1)


def test_a_command_past_its_deadline_is_ended_on_the_machine(connection, mark):
    start = time.monotonic()
    with pytest.raises(exc.CommandTimeout, match="not done after 1 seconds"):
        run(connection, "sleep 60; : $1", str(mark), timeout=1)
    assert time.monotonic() - start < 5
    wait_for(lambda: not running(str(mark)), "the remote process is gone")
    assert run(connection, "echo on").stdout == "on\n"


@pytest.mark.parametrize("sent", [0, 50 * MB], ids=["idle", "upload"])
def test_a_machine_that_vanishes_is_given_up(sshd, dial, short_grace, sent):
    connection = dial(sshd)
    run(connection, "true")
    sshd.signal_sessions(signal.SIGSTOP)
    start = time.monotonic()
    try:
        with pytest.raises(exc.CommandTimeout, match="see whether the machine is alive"):
            run(connection, "cat >/dev/null", timeout=1, stdin=io.BytesIO(bytes(sent)))
        assert time.monotonic() - start < 10
    finally:
        sshd.signal_sessions(signal.SIGKILL)


def test_a_machine_that_vanishes_during_an_upload_is_given_up(sshd, dial, short_grace):
    connection = dial(sshd)

    class Vanishing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > 20 * MB:
                sshd.signal_sessions(signal.SIGSTOP)
            return super().read(size)

    try:
        with pytest.raises(exc.CommandTimeout):
            run(connection, "cat >/dev/null", timeout=2, stdin=Vanishing(bytes(60 * MB)))
    finally:
        sshd.signal_sessions(signal.SIGKILL)


def test_a_connection_that_breaks_is_reported_at_once(sshd, dial):
    connection = dial(sshd)
    thread = threading.Thread(
        target=lambda: (
            wait_for(lambda: running("sleep\x0061"), "the command runs"),
            sshd.signal_sessions(signal.SIGKILL),
        )
    )
    thread.start()
    with pytest.raises(exc.ConnectionLost, match=r"the SSH connection broke \(\w"):
        run(connection, "sleep 61")
    thread.join()
    with pytest.raises(exc.ConnectionLost):
        run(connection, "true")


def test_a_file_is_streamed(connection, tmp_path):
    file = tmp_path / "file"
    file.write_bytes(random.Random(2).randbytes(20 * MB))
    with file.open("rb") as source:
        result = connection.run(
            Command(("sha256sum",), "test"), root=False, stdin=source, size=20 * MB
        )
    assert result.stdout.split()[0] == hashlib.sha256(file.read_bytes()).hexdigest()


def test_a_port_that_the_machine_reaches(connection, http_server):
    port = http_server(200)
    with from_node.dial(connection, ADDRESS, port, 5) as stream:
        assert from_node.get(stream, ADDRESS, port, "/v2/", {}, None).status == 200


@pytest.mark.parametrize("forwards", ["yes", "no"])
def test_no_port_needs_sshd_to_forward(make_sshd, dial, http_server, forwards):
    """Hardened images say AllowTcpForwarding no."""
    connection = dial(make_sshd(options=[f"AllowTcpForwarding {forwards}"]).start())
    port = http_server(200)
    with from_node.dial(connection, ADDRESS, port, 5) as stream:
        assert from_node.get(stream, ADDRESS, port, "/v2/", {}, None).status == 200
    load_balancer._reach(connection, ADDRESS, port)
    with pytest.raises(NotYet, match="does not reach its port"):
        load_balancer._reach(connection, ADDRESS, free_port())


def test_many_operations_at_once(sshd):
    """One driver object serves every operation of the process: nothing may be shared."""
    wrong = []

    def operation(number: int) -> None:
        try:
            with connect(sshd) as connection:
                for step in range(3):
                    data = f"{number}.{step}\n".encode() * 20_000
                    result = connection.run(Command(("cat",), "test"), root=False, stdin=data)
                    assert result.stdout.encode() == data
        except Exception as error:
            wrong.append((number, error))

    threads = [threading.Thread(target=operation, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_daemon_that_keeps_the_streams_open_does_not_stall(connection, short_grace):
    start = time.monotonic()
    assert run(connection, "sleep 20 & echo started").stdout == "started\n"
    assert time.monotonic() - start < 5
