# SPDX-License-Identifier: Apache-2.0
"""A connection to no machine: it answers each command as a table says, and keeps what it was asked.

So a step is tested without a machine and without root::

    connection = Answering({"wait for": "20.10.24\n"})
    ensure_docker(machine(connection), DockerPackage(), None)
    assert connection.taken() == ["read the package lists", ...]
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tacker_cir.command import Command, Redactor
from tacker_cir.facts import Facts
from tacker_cir.ssh import RETRY, Connection, Result

#: What a command prints, its exit status, both as a whole, what returns one of these when it is
#: asked, or several in turn, of which the last one stays.
Answer = str | int | Result | Callable[[], "Answer"] | list["Answer"]


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
        if callable(answer):
            answer = answer()
        if isinstance(answer, int):
            return Result(answer, "", "")
        return answer if isinstance(answer, Result) else Result(0, str(answer), "")


def run_one_by_one(connection: Connection, calls: Iterable[Any]) -> None:
    """Stand in for :func:`tacker_cir.batch._run_all`."""
    for call in calls:
        call.run_alone(connection)


def told(facts: Facts) -> str:
    """Return what a machine tells that has these facts (``read the machine's state``)."""
    lines = [f"os\t{key}={value}" for key, value in facts.os_release.items()]
    lines += [f"arch\t{facts.architecture}", f"cgroup\t{'cgroup2fs' if facts.cgroup2 else ''}"]
    if facts.docker_installed:
        said = f"20.10.24\t{facts.docker_cgroup_driver}\t{json.dumps(facts.docker_registries)}"
        lines.append(f"docker\t{_state(facts, 'docker')}\t{said if facts.docker_serving else ''}")
    if facts.containerd:
        lines.append(f"containerd\t{_state(facts, 'containerd')}\tcontainerd {facts.containerd}")
        dump = base64.b64encode(facts.containerd_dump.encode()).decode()
        lines.append(f"containerd-config\t{facts.containerd_config_file}\t{dump}")
    lines += [f"package\t{name}\t{version}\tinstalled" for name, version in facts.packages.items()]
    for path, fact in facts.files.items():
        lines.append(f"file\t{path}\t{fact.mode:o} {fact.owner} {fact.group}\t{fact.sha256}")
    for path, content in facts.contents.items():
        lines.append(f"content\t{path}\t{base64.b64encode(content).decode()}")
    return "\n".join([*lines, "end\n"])


def _state(facts: Facts, service: str) -> str:
    active = "active" if service in facts.active else "inactive"
    return f"{active}\t{'enabled' if service in facts.enabled else 'disabled'}"
