# SPDX-License-Identifier: Apache-2.0
"""Polling with a deadline. The package waits for conditions, never for a fixed time."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from typing import TypeVar

import tenacity

T = TypeVar("T")

#: Seconds between two reports of a wait.
PROGRESS = 5
#: Seconds before the second attempt; doubled from one to the next, up to the other.
FIRST_WAIT, MAX_WAIT = 0.2, 3.0


class Deadline:
    """A point in time that work must be done by.

    :param seconds: time from now
    """

    def __init__(self, seconds: float):
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    @property
    def remaining(self) -> float:
        """Seconds left, never below 0."""
        return max(0.0, self._end - time.monotonic())

    @property
    def expired(self) -> bool:
        return self.remaining == 0.0

    def within(self, seconds: float) -> Deadline:
        """Return a deadline for a part of the work: so many seconds from now, yet not later."""
        return Deadline(min(seconds, self.remaining))


class Alarms:
    """Calls functions when their time has come; one thread waits for all of them."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._numbers = itertools.count()
        self._due: dict[int, tuple[float, Callable[[], object]]] = {}
        self._thread: threading.Thread | None = None

    def set(self, seconds: float, call: Callable[[], object]) -> int:
        """Have a function called, in a thread of its own, unless :meth:`cancel` comes before.

        :param seconds: time from now
        :return: the alarm, to cancel it
        """
        with self._changed:
            number = next(self._numbers)
            self._due[number] = (time.monotonic() + seconds, call)
            # None is left in a process that was forked.
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._wait, daemon=True)
                self._thread.start()
            self._changed.notify()
            return number

    def cancel(self, alarm: int) -> None:
        """Have it not called; nothing is done if it was already."""
        with self._changed:
            self._due.pop(alarm, None)

    def _wait(self) -> None:
        while True:
            with self._changed:
                now = time.monotonic()
                for number, (when, call) in list(self._due.items()):
                    if when <= now:
                        del self._due[number]
                        threading.Thread(target=call, daemon=True).start()
                if not self._due:
                    self._thread = None
                    return
                self._changed.wait(min(when for when, _ in self._due.values()) - now)


#: Those of this process.
ALARMS = Alarms()


class NotYet(Exception):
    """What is waited for is not so yet; the text tells how it is instead."""


def wait_until(
    attempt: Callable[[], T],
    deadline: Deadline,
    otherwise: Callable[[NotYet], Exception],
    *,
    first_wait: float = FIRST_WAIT,
    max_wait: float = MAX_WAIT,
    on_retry: Callable[[BaseException, float], None] | None = None,
) -> T:
    """Call ``attempt`` until it is as it shall be, and return what it returned then.

    :param attempt: raises :class:`NotYet` as long as it is not
    :param otherwise: returns the error that is raised when the deadline passes; told the last
        :class:`NotYet`
    :param first_wait: others as for :func:`poll`
    """
    try:
        return poll(
            attempt,
            deadline,
            retry_on=(NotYet,),
            first_wait=first_wait,
            max_wait=max_wait,
            on_retry=on_retry,
        )
    except NotYet as last:
        raise otherwise(last) from None


def poll(
    attempt: Callable[[], T],
    deadline: Deadline,
    *,
    retry_on: tuple[type[BaseException], ...] | Callable[[BaseException], bool],
    first_wait: float = FIRST_WAIT,
    max_wait: float = MAX_WAIT,
    on_retry: Callable[[BaseException, float], None] | None = None,
) -> T:
    """Call ``attempt`` until it returns, and return what it returned.

    :param attempt: raises one of ``retry_on`` while the condition does not hold
    :param deadline: when it passes, the last error of ``attempt`` is raised
    :param retry_on: errors that mean "not yet", or what tells of an error whether it does; every
        other error ends the wait at once
    :param first_wait: seconds before the second attempt; doubled up to ``max_wait``
    :param on_retry: told the error and the seconds waited so far, for progress in the log; at once,
        and then not more often than every :data:`PROGRESS` seconds
    """
    told: float | None = None
    backoff = tenacity.wait_exponential(multiplier=first_wait, max=max_wait)

    def before_sleep(state: tenacity.RetryCallState) -> None:
        nonlocal told
        error = state.outcome.exception() if state.outcome is not None else None
        elapsed = state.seconds_since_start or 0.0
        if on_retry is None or error is None or (told is not None and elapsed - told < PROGRESS):
            return
        told = elapsed
        on_retry(error, elapsed)

    is_not_yet = retry_on if callable(retry_on) else lambda error: isinstance(error, retry_on)
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(is_not_yet),
        stop=lambda _state: deadline.expired,
        wait=lambda state: min(backoff(state), deadline.remaining),
        before_sleep=before_sleep,
        reraise=True,
    )
    return retrying(attempt)
