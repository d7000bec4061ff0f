# SPDX-License-Identifier: Apache-2.0
"""Work on several machines at once, in threads that eventlet may have made green."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from tacker_cir.exceptions import SeveralFailed, TackerCirError

T = TypeVar("T")
R = TypeVar("R")

#: Machines at once: each costs a thread and an SSH connection.
LIMIT = 64


def in_parallel(work: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Call ``work`` with each item at once and return the results in the items' order.

    One item's failure does not stop the others' work: errors are raised when all are done.

    :raises TackerCirError: the only error, or :class:`SeveralFailed` with all of them
    """
    if not items:
        return []
    with ThreadPoolExecutor(max_workers=min(LIMIT, len(items))) as pool:
        futures = [pool.submit(work, item) for item in items]
    raise_errors([error for error in map(Future.exception, futures) if error is not None])
    return [future.result() for future in futures]


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
