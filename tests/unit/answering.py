# SPDX-License-Identifier: Apache-2.0
"""A connection to no machine: it answers each command as a table says, and keeps what it was asked.

So a step is tested without a machine and without root::

    connection = Answering({"wait for": "20.10.24\n"})
    ensure_docker(machine(connection), DockerPackage(), None)
    assert connection.taken() == ["read the package lists", ...]
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tacker_cir.command import Command, Redactor
from tacker_cir.ssh import RETRY, Connection, Result

#: What a command prints, its exit status, both as a whole, or several of these in turn, of which
#: the last one stays.
Answer = str | int | Result | list["Answer"]


class Answering(Connection):
    """Stands in for a connection.

    :param answers: by the beginning of a command's step; another one prints nothing and is a
        success
    """

    def __init__(self, answers: Mapping[str, Answer] | None = None, node: str = "CP1 (192.0.2.9)"):
        self.node, self.redactor, self.command_timeout = node, Redactor(), 120
        self.answers = dict(answers or {})
        self.asked: list[Command] = []
        self.inputs: list[bytes] = []
        self._taken = 0

    def run(
        self,
        command: Command,
        *,
        stdin: Any = b"",
        ok: tuple[int, ...] | None = (0,),
        remedy: str = RETRY,
        **_options: Any,
    ) -> Result:
        self.asked.append(command)
        self.inputs.append(stdin)
        return self.judge(command, self._answer(command.step), ok, remedy)

    def taken(self) -> list[str]:
        """Return the steps that were taken since the last time."""
        steps = [command.step for command in self.asked[self._taken :]]
        self._taken = len(self.asked)
        return steps

    @property
    def commands(self) -> int:  # type: ignore[override]
        return len(self.asked)

    @property
    def home(self) -> str:
        return "/home/ubuntu"

    def close(self) -> None:
        pass

    def _answer(self, step: str) -> Result:
        found = next((key for key in self.answers if step.startswith(key)), None)
        answer: Answer = "" if found is None else self.answers[found]
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        if isinstance(answer, int):
            return Result(answer, "", "")
        return answer if isinstance(answer, Result) else Result(0, str(answer), "")
