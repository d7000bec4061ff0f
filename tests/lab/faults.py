# SPDX-License-Identifier: Apache-2.0
"""Faults on the way of an operation: each of its steps goes wrong once, in one of several ways."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from tacker_cir.command import Command
from tacker_cir.ssh import Connection, Result
from tests.testbed.machines import MachineLab

_SESSIONS = "^sshd: ubuntu"
# Of the command its own processes, so that its session tells that a signal ended it; or the session
# alone. Who takes the file away comes first.
_KILL = r"""
tree() { for child in $(pgrep -P "$1"); do tree "$child"; done; echo "$1"; }
touch /run/kill
{
  until children=$(pgrep -P "$(pgrep -d, -f '^sshd: ubuntu@notty')"); do
    [ -e /run/kill ] || exit 0
  done
  rm /run/kill || exit 0
  case $1 in
    command) for child in $children; do kill -KILL $(tree "$child"); done ;;
    session) pkill -KILL -f '^sshd: ubuntu' ;;
  esac
} >/dev/null 2>&1 &
"""

#: Runs the command of a step.
Go = Callable[[], Result]
#: What runs it, or not.
Fault = Callable[[Go], Result]


@dataclass
class Faults:
    """What goes wrong on a machine.

    :param seen: the steps that did so
    :param happened: whether one did during the last operation
    """

    lab: MachineLab
    machine: str
    seen: list[str] = field(default_factory=list)
    happened: bool = False

    def at_the_next_step(self, fault: Fault) -> AbstractContextManager[None]:
        """Have the first step that was not seen yet go wrong."""
        return self._at(lambda step: step not in self.seen, fault)

    def at(self, step: str, fault: Fault) -> AbstractContextManager[None]:
        """Have a step go wrong that begins with these words."""
        return self._at(lambda known: known.startswith(step), fault)

    @contextmanager
    def _at(self, is_it: Callable[[str], bool], fault: Fault) -> Iterator[None]:
        run, self.happened = Connection.run, False

        def wrong(connection: Connection, command: Command, **options: Any) -> Result:
            def go() -> Result:
                return run(connection, command, **options)

            if self.happened or not is_it(command.step):
                return go()
            self.happened = True
            self.seen.append(command.step)
            return fault(go)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Connection, "run", wrong)
            yield

    def cut_before(self, go: Go) -> Result:
        """The connection breaks, and the command is not run."""
        self._cut()
        return go()

    def cut_after(self, go: Go) -> Result:
        """The command is run, and then the connection breaks."""
        result = go()
        self._cut()
        return result

    def kill(self, go: Go) -> Result:
        """Somebody kills the command while it runs, unless it ends too soon for that."""
        result = self._meanwhile("command", go)
        self.happened = False
        return result

    def cut_meanwhile(self, go: Go) -> Result:
        """The connection breaks while the command runs, which goes on; unless it ends too soon."""
        return self._meanwhile("session", go)

    def _meanwhile(self, killed: str, go: Go) -> Result:
        self.lab.run(self.machine, ["bash", "-c", _KILL, "bash", killed])
        try:
            return go()
        finally:
            ended_before = ["rm", "/run/kill"]
            done = self.lab.run(self.machine, ended_before, check=False)
            self.happened = done.returncode != 0

    def _cut(self) -> None:
        self.lab.run(self.machine, ["pkill", "-KILL", "-f", _SESSIONS], check=False)
