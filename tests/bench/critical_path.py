# SPDX-License-Identifier: Apache-2.0
"""What an operation waited for, step by step, out of the driver's own log (tacker_cir.steps).

Usage: python -m tests.bench.critical_path LOG

Takes the last operation of the log, walks back from its end, and prints each step that it waited
for, what passed between two of them, and what share is apt, pulls and kubeadm. A step goes before
another if it is the last one that ended before that one began: on the same machine, or, where that
machine had nothing to do just then, on any.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

_TIME = r"(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)[.,](?P<part>\d+) "
_STEP = re.compile(
    _TIME + r".*?(?P<node>[\w.-]+ \([^()]*\)(?:, [\w.-]+ \([^()]*\))*): (?P<step>.+): "
    # At level DEBUG oslo.log adds where it was written.
    r"(?:done in|failed after) (?P<seconds>[\d.]+) s(?: timed /\S+)?$"
)
_OPERATION = re.compile(
    _TIME + r".*?(?P<name>\w+) of VNF instance \S+: (?P<what>start|(?:done in|failed after) .*)$"
)
#: What a step is, by the words that it begins with.
KINDS = {
    "apt": ("install ", "read the package lists", "complete earlier"),
    "pull": ("pull ", "load image"),
    "kubeadm": ("kubeadm ", "reset the node"),
}
#: Seconds of short steps, which leave no line, that may stand between two steps of a machine.
SHORT = 3.0
#: A line is written a moment after its step ended.
CLOCK = 0.2


@dataclass(frozen=True)
class Step:
    """A step on a machine; times are seconds since the operation began."""

    node: str
    name: str
    start: float
    end: float

    @property
    def kind(self) -> str:
        found = (k for k, begins in KINDS.items() if self.name.startswith(begins))
        return next(found, "other")

    def holds(self, other: Step) -> bool:
        """Tell whether another step is a part of this one."""
        return (
            self != other
            and self.node == other.node
            and self.start <= other.start + CLOCK
            and other.end <= self.end + CLOCK
            and self.end - self.start >= other.end - other.start
        )


@dataclass(frozen=True)
class Operation:
    """One hook of a driver.

    :param steps: all that left a line
    """

    name: str
    seconds: float
    steps: tuple[Step, ...]

    def critical_path(self) -> list[Step]:
        """Return the steps that it waited for, in their order."""
        steps = [s for s in self.steps if not any(other.holds(s) for other in self.steps)]
        path: list[Step] = []
        while before := _last_before(steps, path[0] if path else None, self.seconds):
            path.insert(0, before)
            steps.remove(before)
        return path


def _last_before(steps: Sequence[Step], step: Step | None, end: float) -> Step | None:
    limit = step.start if step else end
    ended = [s for s in steps if s.end <= limit + CLOCK]
    latest = max(ended, key=lambda s: s.end, default=None)
    if step is None or latest is None:
        return latest
    own = max((s for s in ended if s.node == step.node), key=lambda s: s.end, default=None)
    return own if own and limit - own.end <= SHORT else latest


def last_operation(lines: Sequence[str], name: str = "") -> Operation:
    """Return the last operation that came to its end.

    :param name: of its hook; any where it is empty
    :raises LookupError: there is none
    """
    begun: datetime | None = None
    found: Operation | None = None
    ended: list[tuple[datetime, re.Match[str]]] = []
    for when, match in _matches(lines):
        if "what" not in match.re.groupindex:
            ended.append((when, match))
        elif name in match["name"] and match["what"] == "start":
            begun, ended = when, []
        elif name in match["name"] and begun:
            seconds = (when - begun).total_seconds()
            found = Operation(match["name"], seconds, tuple(_step(begun, *e) for e in ended))
    if found is None:
        raise LookupError("the log has no operation that came to its end")
    return found


def _matches(lines: Sequence[str]) -> Iterator[tuple[datetime, re.Match[str]]]:
    for line in lines:
        match = _OPERATION.match(line) or _STEP.match(line)
        if match:
            second = datetime.fromisoformat(match["time"])
            yield second + timedelta(seconds=float(f"0.{match['part']}")), match


def _step(begun: datetime, when: datetime, match: re.Match[str]) -> Step:
    end = (when - begun).total_seconds()
    return Step(match["node"], match["step"], max(0.0, end - float(match["seconds"])), end)


def share(operation: Operation) -> float:
    """Return how much of an operation's time its critical path spent in apt, pulls and kubeadm."""
    path = operation.critical_path()
    return sum(s.end - s.start for s in path if s.kind in KINDS) / operation.seconds


def table(operation: Operation) -> str:
    """Return the critical path as a table."""
    rows = [f"{'begins':>8} {'seconds':>8}  {'kind':8} node and step"]
    position = 0.0
    for step in operation.critical_path():
        if step.start - position > CLOCK:
            rows.append(_row(position, step.start - position, "between", "short steps"))
        rows.append(_row(step.start, step.end - step.start, step.kind, f"{step.node}: {step.name}"))
        position = step.end
    if operation.seconds - position > CLOCK:
        rows.append(_row(position, operation.seconds - position, "between", "short steps"))
    rows.append(
        f"{operation.name}: {operation.seconds:.1f} s, of which apt, pulls and kubeadm "
        f"{100 * share(operation):.0f} %"
    )
    return "\n".join(rows)


def _row(start: float, seconds: float, kind: str, what: str) -> str:
    return f"{start:8.1f} {seconds:8.1f}  {kind:8} {what}"


if __name__ == "__main__":
    print(table(last_operation(Path(sys.argv[1]).read_text(errors="replace").splitlines())))
