# SPDX-License-Identifier: Apache-2.0
"""A machine on its way to the state that it shall have: what every step needs, as one thing.

A step is a function that takes a machine and what shall be there. It compares that with what the
machine has (:attr:`Machine.facts`, read in one round trip), does over :attr:`Machine.connection`
only what is missing, within :attr:`Machine.limits`, and lets the facts follow what it did::

    machine = Machine.read(connection, TimeLimits.of(conf), files=["/etc/motd"])
    machine.ensure(ManagedFile("/etc/motd", b"hello"))  # writes it
    machine.ensure(ManagedFile("/etc/motd", b"hello"))  # does nothing

So a step that is asked for twice does nothing the second time, whether the machine was read again
in between or not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from tacker_cir import log as logging
from tacker_cir.config import TimeLimits
from tacker_cir.exceptions import ConnectionLost, HostError
from tacker_cir.facts import Facts, gather
from tacker_cir.host import files
from tacker_cir.host.files import ManagedFile
from tacker_cir.ssh import RETRY, Connection

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Machine:
    """A machine, as each step is given it.

    :param connection: to it, as root; a :class:`tacker_cir.batch.Batch` where steps share a round
        trip
    :param facts: what it has, brought up to date by what is done
    :param limits: how long that may take
    """

    connection: Connection
    facts: Facts
    limits: TimeLimits

    @classmethod
    def read(cls, connection: Connection, limits: TimeLimits, **wants: Iterable[str]) -> Machine:
        """Return a machine with what it has.

        :param wants: what to look at, as for :func:`tacker_cir.facts.gather`
        """
        return cls(connection, gather(connection, **wants), limits)

    @property
    def node(self) -> str:
        """The machine as the user knows it."""
        return self.connection.node

    def over(self, connection: Connection) -> Machine:
        """Return the same machine, with the same facts, over another connection."""
        return replace(self, connection=connection)

    def ensure(self, *wanted: ManagedFile, remedy: str = RETRY) -> frozenset[str]:
        """Write or remove the files that differ, in the given order.

        All of it goes in one command, and no file is touched before all are on the machine and the
        programs that read them have judged them.

        :param remedy: what the user reads if it fails
        :return: the paths that changed
        :raises HostError: a file cannot be written, its program would refuse it, or somebody else
            changed what is to be completed
        """
        due = [file for file in wanted if not file.is_current(self.facts)]
        if due:
            files.write(self.connection, due, remedy)
        for file in due:
            self.facts.note_file(file.path, file.content, file.mode)
        return frozenset(file.path for file in due)

    @contextmanager
    def taken_back(
        self, paths: Iterable[str], reread: Callable[[Machine], object] | None = None
    ) -> Iterator[None]:
        """Put files back as they were where what reads them does not bear the new ones.

        :param paths: of files whose content the facts have, and of such as are not there
        :param reread: makes their program read them again
        """
        before = [files.as_it_is(self.facts, path) for path in paths]
        try:
            yield
        except ConnectionLost:
            raise
        except HostError as error:
            changed = [file for file in before if file and not file.is_current(self.facts)]
            if not changed:
                raise
            told = " and ".join(file.path for file in changed)
            verb = "is" if len(changed) == 1 else "are"
            try:
                self._put_back(changed, reread)
            except HostError as second:
                LOG.warning("%s: %s may stay changed: %s", self.node, told, second)
                raise error from None
            cause = f"{error.cause.rstrip('.')} ({told} {verb} as before)"
            raise HostError(error.node, error.step, cause, error.remedy) from None

    def _put_back(
        self, changed: Iterable[ManagedFile], reread: Callable[[Machine], object] | None
    ) -> None:
        # A batch that failed is of no use any more.
        direct = self.over(self.connection.direct)
        direct.ensure(*(files.made_from_what_is(self.facts, file) for file in changed))
        if reread:
            reread(direct)
