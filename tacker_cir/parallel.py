# SPDX-License-Identifier: Apache-2.0
"""Work on several machines at once: how many, what they share, and what their errors come to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

from tacker_cir.exceptions import SeveralFailed, TackerCirError

T = TypeVar("T")

#: Machines at once: each costs a thread and an SSH connection.
LIMIT = 64


class Once(Generic[T]):
    """A value that the first who asks makes, without a lock held meanwhile: others wait for it if
    they need it, and for nothing else.

    :param make: makes the value; where it fails, who asks later tries anew
    """

    def __init__(self, make: Callable[[], T]):
        self._make, self._lock = make, threading.Lock()
        self._future: Future[T] | None = None

    def __call__(self) -> T:
        """Return the value."""
        with self._lock:
            is_first = self._future is None
            future = self._future = self._future or Future()
        if is_first:
            try:
                future.set_result(self._make())
            except BaseException as error:
                with self._lock:
                    self._future = None
                future.set_exception(error)
        return future.result()


def raise_errors(errors: Sequence[BaseException]) -> None:
    """Raise what was collected: nothing, the only error, or all of them in one.

    An error that is not foreseen goes first, as itself: it is a defect and needs its traceback.
    """
    for error in errors:
        if not isinstance(error, TackerCirError):
            raise error
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise SeveralFailed([error for error in errors if isinstance(error, TackerCirError)])
