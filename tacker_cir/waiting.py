# SPDX-License-Identifier: Apache-2.0
"""Polling with a deadline. The package waits for conditions, never for a fixed time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import tenacity

T = TypeVar("T")

#: Seconds between two reports of a wait.
PROGRESS = 5


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


def poll(
    attempt: Callable[[], T],
    deadline: Deadline,
    *,
    retry_on: tuple[type[BaseException], ...],
    first_wait: float = 0.2,
    max_wait: float = 3.0,
    on_retry: Callable[[BaseException, float], None] | None = None,
) -> T:
    """Call ``attempt`` until it returns, and return what it returned.

    :param attempt: raises one of ``retry_on`` while the condition does not hold
    :param deadline: when it passes, the last error of ``attempt`` is raised
    :param retry_on: errors that mean "not yet"; every other error ends the wait at once
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

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(retry_on),
        stop=lambda _state: deadline.expired,
        wait=lambda state: min(backoff(state), deadline.remaining),
        before_sleep=before_sleep,
        reraise=True,
    )
    return retrying(attempt)
