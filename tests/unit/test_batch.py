# SPDX-License-Identifier: Apache-2.0
"""Several commands in one round trip, run by this machine's own shell; functional tests have them
go through a real sshd."""

from __future__ import annotations

import subprocess
import tempfile

import pytest

from tacker_cir.batch import Batch, batched
from tacker_cir.command import Command, Redactor
from tacker_cir.exceptions import CommandFailed, HostError
from tacker_cir.ssh import RETRY, Connection, Result

UPPER = Command(("tr", "a-z", "A-Z"), "write it large")
FAIL = Command.script("fail", "echo why >&2; exit 7")


class Here(Connection):
    """Runs commands here, their input a file as on a machine."""

    def __init__(self):
        self.node, self.redactor, self.command_timeout = "here", Redactor(), 10
        self.round_trips = 0

    def run(self, command, *, stdin=b"", ok=(0,), remedy=RETRY, **_options):
        self.round_trips += 1
        with tempfile.TemporaryFile() as given:
            given.write(stdin)
            given.seek(0)
            done = subprocess.run(
                ["sh", "-c", command.line()], stdin=given, capture_output=True, text=True
            )
        result = Result(done.returncode, done.stdout, done.stderr)
        return self.judge(command, result, ok, remedy)


def test_each_has_its_own_input_and_its_own_result():
    connection = Here()
    with batched(connection) as batch:
        first = batch.later(UPPER, stdin=b"abc")
        # What it leaves unread is not the next one's.
        nothing = batch.later(Command(("true",), "read nothing"), stdin=b"unread")
        second = batch.later(UPPER, stdin=b"d\nef\n")
        told: list[str] = []
        batch.when_done(lambda: told.append(second.result.stdout))
        assert connection.round_trips == 0 and told == []
    assert (first.result.stdout, nothing.result.stdout) == ("ABC", "")
    assert told == ["D\nEF\n"] and connection.round_trips == 1


def test_a_result_that_counts_sends_what_was_kept():
    connection = Here()
    batch = Batch(connection)
    kept = batch.later(UPPER, stdin=b"a")
    assert batch.run(UPPER, stdin=b"b").stdout == "B"
    assert kept.result.stdout == "A" and connection.round_trips == 1
    assert batch.run(UPPER, stdin=b"c").stdout == "C" and connection.round_trips == 2
    batch.flush()
    assert connection.round_trips == 2 and batch.last_kept is None


def test_a_failure_ends_it_and_is_that_commands():
    batch = Batch(Here())
    before = batch.later(UPPER, stdin=b"a")
    batch.later(FAIL, remedy="mend it")
    after = batch.later(UPPER, stdin=b"b")
    with pytest.raises(HostError) as caught:
        batch.flush()
    assert not isinstance(caught.value, CommandFailed)
    assert (caught.value.step, caught.value.remedy) == ("fail", "mend it")
    assert "why" in caught.value.cause
    assert before.result.stdout == "A" and after.is_due
    with pytest.raises(HostError, match="step 'fail'"):
        batch.flush()


def test_the_last_ones_failure_is_its_callers():
    """Who runs a command may try it again; what is kept with it is done by then."""
    batch = Batch(Here())
    kept = batch.later(UPPER, stdin=b"a")
    with pytest.raises(CommandFailed) as caught:
        batch.run(FAIL)
    assert caught.value.exit_status == 7 and kept.result.stdout == "A"
    assert batch.run(FAIL, ok=(7,)).stderr == "why\n"
    batch.later(FAIL, ok=None)
    assert batch.run(UPPER, stdin=b"x").stdout == "X"


def test_a_shell_that_is_killed_is_told_as_the_command_that_it_took_with_it():
    batch = Batch(Here())
    done = batch.later(UPPER, stdin=b"a")
    batch.later(Command.script("kill all", "echo so >&2; kill -9 $PPID"))
    with pytest.raises(HostError) as caught:
        batch.flush()
    assert caught.value.step == "kill all"
    assert caught.value.cause == "exit status 137: so | Killed"
    assert done.result.stdout == "A"
