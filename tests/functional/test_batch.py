# SPDX-License-Identifier: Apache-2.0
"""Several commands in one round trip."""

from __future__ import annotations

import random

import pytest

from tacker_cir import exceptions as exc
from tacker_cir.batch import Batch, batched
from tacker_cir.command import Command
from tests.functional.server import IS_ROOT

pytestmark = pytest.mark.skipif(not IS_ROOT, reason="a batch is run as root")


def script(step: str, text: str, *args: str) -> Command:
    return Command.script(step, text, *args)


@pytest.fixture
def connection(sshd, dial):
    return dial(sshd)


def test_a_batch_is_one_command_and_each_step_has_its_own_result(sshd, connection):
    data = random.Random(1).randbytes(300_001)
    before = sshd.commands
    batch = Batch(connection)
    first = batch.later(script("first", 'printf "%s" "$1"; echo said >&2', "it's\n"))
    length = batch.later(script("second", "wc -c"), stdin=data)
    unread = batch.later(script("third", "exit 3"), stdin=data, ok=(0, 3))
    nothing = batch.later(script("fourth", "wc -c; exit 9"), ok=None)
    assert first.is_due and sshd.commands == before
    last = batch.run(script("fifth", "cat"), stdin=b"\xc3\xa4\n\n")
    assert sshd.commands - before == 1
    assert (first.result.stdout, first.result.stderr) == ("it's\n", "said\n")
    assert length.result.stdout == f"{len(data)}\n"
    assert unread.result.exit_status == 3
    assert (nothing.result.stdout, nothing.result.exit_status) == ("0\n", 9)
    assert last.stdout == "ä\n\n"


def test_the_first_failure_ends_it_and_is_named(connection, tmp_path):
    batch, done = Batch(connection), []
    good = batch.later(script("good", "echo on"), done=lambda: done.append("good"))
    bad = batch.later(
        script("bad", "echo why >&2; exit 4"), remedy="mend it", done=lambda: done.append("bad")
    )
    with pytest.raises(exc.HostError) as caught:
        batch.run(script("after", 'touch "$1"', str(tmp_path / "after")))
    # The caller of the last one may try its own command again, not this.
    assert not isinstance(caught.value, exc.CommandFailed)
    told = f"node {connection.node}, step 'bad': exit status 4: why. To do: mend it"
    assert str(caught.value) == told
    assert not (tmp_path / "after").exists() and done == ["good"]
    assert good.result.stdout == "on\n" and bad.is_due
    with pytest.raises(exc.HostError, match="step 'bad'"):
        batch.run(script("again", "true"))


def test_the_last_may_fail_and_be_tried_again(connection):
    batch = Batch(connection)
    batch.later(script("first", "true"))
    with pytest.raises(exc.CommandFailed) as caught:
        batch.run(script("last", "echo not yet >&2; exit 5"))
    assert (caught.value.step, caught.value.exit_status) == ("last", 5)
    assert caught.value.stderr.strip() == "not yet"
    assert batch.run(script("last", "echo now")).stdout == "now\n"


def test_what_is_left_is_sent_in_the_end(connection, tmp_path):
    with batched(connection) as batch:
        batch.later(script("first", 'touch "$1"', str(tmp_path / "first")))
        batch.later(script("second", 'touch "$1"', str(tmp_path / "second")))
    assert (tmp_path / "first").exists() and (tmp_path / "second").exists()


def test_nothing_is_sent_after_an_error(connection, tmp_path):
    with pytest.raises(ValueError, match="why"), batched(connection) as batch:
        batch.later(script("first", 'touch "$1"', str(tmp_path / "first")))
        raise ValueError("why")
    assert not (tmp_path / "first").exists()


def test_a_lot_of_errors_does_not_mix_up_the_steps(connection):
    batch = Batch(connection)
    loud = batch.later(script("loud", "head -c 300000 /dev/zero | tr '\\0' e >&2; echo loud"))
    last = batch.run(script("last", "echo last; echo end >&2"))
    assert (loud.result.stdout, last.stdout, last.stderr) == ("loud\n", "last\n", "end\n")


def test_a_batch_past_its_deadline_is_ended(connection):
    batch = Batch(connection)
    batch.later(script("first", "sleep 60"), timeout=0.5)
    with pytest.raises(exc.CommandTimeout, match="not done after 1 seconds"):
        batch.run(script("last", "true"), timeout=0.1)
