# SPDX-License-Identifier: Apache-2.0
"""Readers of what others wrote: machines, the API server, Heat. All of them fail in one way.

A machine may be broken or hostile, so that what it says has any shape, and code that expects one
stumbles in any way. A reader is decorated with :func:`reader` and then raises :class:`Unreadable`
and nothing else; who knows the machine and the step says so with :func:`answer_of`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from tacker_cir.documents import DocumentError
from tacker_cir.exceptions import HostError, TackerCirError

P = ParamSpec("P")
T = TypeVar("T")

_REMEDY = (
    "see what is wrong with the machine: it said something else than its programs say; if they are "
    "new ones, take a release of tacker_cir that knows them"
)


class Unreadable(TackerCirError):
    """What somebody else wrote is not what was asked for. Shows nothing of it but where."""


def reader(what: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Decorate a function that reads what others wrote and does nothing else.

    :param what: what it should be, with its article, e.g. ``a list of nodes``
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
            try:
                return function(*args, **kwargs)
            except TackerCirError:
                raise
            except Exception as error:
                # Libraries raise nearly anything. Without its context: it holds the data.
                raise Unreadable(f"it is not {what} ({_where(error)})") from None

        return wrapper

    return decorate


def _where(error: BaseException) -> str:
    return str(error) if isinstance(error, DocumentError) else type(error).__name__


@contextmanager
def answer_of(node: str, step: str) -> Iterator[None]:
    """Name the machine whose answer is read, and the step that asked for it.

    :raises HostError: the answer is unreadable
    """
    try:
        yield
    except Unreadable as error:
        raise HostError(node, step, f"the answer cannot be used: {error}", _REMEDY) from None
