# SPDX-License-Identifier: Apache-2.0
"""Polling."""

from __future__ import annotations

import threading
import time

import pytest

from tacker_cir.waiting import Alarms, Deadline, NotYet, poll, wait_until


def test_a_deadline_runs_down_to_zero():
    deadline = Deadline(0.05)
    assert 0 < deadline.remaining <= 0.05 and not deadline.expired
    while not deadline.expired:
        assert deadline.remaining <= 0.05
    assert deadline.remaining == 0
    assert Deadline(0).expired


def test_poll_returns_what_the_attempt_returns():
    outcomes, told = [NotYet("1"), NotYet("2"), "done"], []

    def attempt():
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    result = poll(
        attempt,
        Deadline(10),
        retry_on=(NotYet,),
        first_wait=0.001,
        on_retry=lambda error, elapsed: told.append((str(error), elapsed >= 0)),
    )
    assert result == "done"
    # The second wait came too soon after the first to be worth another line in the log.
    assert told == [("1", True)]


def test_poll_ends_with_the_last_error():
    calls = []

    def attempt():
        calls.append(None)
        raise NotYet(len(calls))

    start = time.monotonic()
    with pytest.raises(NotYet) as caught:
        poll(attempt, Deadline(0.1), retry_on=(NotYet,), first_wait=0.01, max_wait=0.02)
    assert caught.value.args == (len(calls),) and len(calls) > 2
    assert 0.1 <= time.monotonic() - start < 2


def test_every_other_error_ends_the_wait():
    def attempt():
        raise KeyError("x")

    with pytest.raises(KeyError):
        poll(attempt, Deadline(60), retry_on=(NotYet,))


def test_an_expired_deadline_still_gives_one_attempt():
    assert poll(lambda: 1, Deadline(0), retry_on=(NotYet,)) == 1


def test_an_error_is_judged_by_what_it_tells():
    errors = [ValueError("busy"), ValueError("broken")]

    def attempt():
        raise errors.pop(0)

    with pytest.raises(ValueError, match="broken"):
        poll(attempt, Deadline(60), retry_on=lambda error: "busy" in str(error), first_wait=0.001)


def test_what_is_waited_for_is_returned():
    outcomes = [NotYet("it boots"), "up"]

    def attempt():
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    assert wait_until(attempt, Deadline(60), lambda last: last, first_wait=0.001) == "up"


def test_what_does_not_come_is_told_as_it_was_last():
    outcomes = ["it boots", "it starts"]

    def attempt():
        raise NotYet(outcomes.pop(0) if outcomes else "it hangs")

    with pytest.raises(LookupError, match="it hangs after all") as caught:
        wait_until(
            attempt, Deadline(0.05), lambda last: LookupError(f"{last} after all"), first_wait=0.01
        )
    assert caught.value.__suppress_context__


def test_an_error_of_another_kind_ends_the_wait():
    def attempt():
        raise KeyError("x")

    with pytest.raises(KeyError):
        wait_until(attempt, Deadline(60), lambda last: last)


def test_an_alarm_calls_when_its_time_has_come_and_not_when_it_is_cancelled():
    alarms, called, rang = Alarms(), [], threading.Event()
    late = alarms.set(0.2, lambda: (called.append("late"), rang.set()))
    alarms.set(0.02, lambda: called.append("early"))
    alarms.cancel(alarms.set(0.01, lambda: called.append("cancelled")))
    assert rang.wait(5)
    assert called == ["early", "late"]
    alarms.cancel(late)


def test_an_alarm_that_takes_long_or_fails_holds_up_no_other():
    alarms, release, rang = Alarms(), threading.Event(), threading.Event()
    alarms.set(0.01, release.wait)
    alarms.set(0.02, rang.set)
    assert rang.wait(5)
    release.set()
    # The thread ends with the last alarm; another one begins anew.
    again = threading.Event()
    alarms.set(0.01, again.set)
    assert again.wait(5)
