# SPDX-License-Identifier: Apache-2.0
"""Which master speaks for the cluster, found while all machines are still being reached."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from tacker_cir.exceptions import TackerCirError

T = TypeVar("T")


class NoLead(TackerCirError):
    """No master speaks for the cluster; why is told by the error of a master."""


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """What the election came to.

    :param lead: the master whose API answers; None where there is no cluster yet
    """

    lead: T | None


class Election(Generic[T]):
    """Masters report what they are; whoever asks waits until the outcome is certain.

    A cluster is made anew only where every master is known to be blank: one that cannot be reached
    may be the one that has the cluster.

    :param voters: names of all masters
    """

    def __init__(self, voters: Iterable[str]):
        self._waiting = set(voters)
        self._failed = False
        self._lead: T | None = None
        self._changed = threading.Condition()

    def living(self, name: str, lead: T) -> None:
        """Report a master whose API answers. The first one leads."""
        with self._changed:
            self._waiting.discard(name)
            if self._lead is None:
                self._lead = lead
            self._changed.notify_all()

    def blank(self, name: str) -> None:
        """Report a master that is not part of any cluster."""
        with self._changed:
            self._waiting.discard(name)
            self._changed.notify_all()

    def failed(self, name: str) -> None:
        """Report a master of which nothing is known."""
        with self._changed:
            if name in self._waiting:
                self._waiting.discard(name)
                self._failed = True
            self._changed.notify_all()

    @property
    def lead(self) -> T | None:
        """The lead as far as it is known now."""
        with self._changed:
            return self._lead

    def outcome(self) -> Outcome[T]:
        """Wait for the outcome and return it.

        :raises NoLead: no master's API answers, and not all of them are known to be blank
        """
        with self._changed:
            self._changed.wait_for(lambda: self._lead is not None or not self._waiting)
            if self._lead is None and self._failed:
                raise NoLead("no master of the cluster can be used")
            return Outcome(self._lead)
