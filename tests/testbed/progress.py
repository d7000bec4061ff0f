# SPDX-License-Identifier: Apache-2.0
"""What the drivers do, out of the conductor's log: node, step and seconds of each step that took
one or more (:mod:`tacker_cir.steps`), and what they warn of; and what a service calls an error."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

#: Seconds between two looks at the log.
EVERY = 0.5

# oslo.log: time, process, level, module, [context], text.
_LINE = re.compile(
    r"^\S+ (?P<time>[0-9:]{8})\S* \d+ "
    r"(?:INFO tacker_cir\.steps|(?:WARNING|ERROR) tacker_cir\S*) \[[^\]]*\] (?P<text>.*)$"
)
_ERROR = re.compile(
    r"^\S+ (?P<time>[0-9:]{8})\S* \d+ (?:ERROR|CRITICAL) \S+(?: \[[^\]]*\])? +(?P<text>\S.*)$"
)

#: Length of the time of day with which a line begins.
TIME = len("23:59:59 ")


def steps(log: str) -> list[str]:
    """The steps of a conductor's log, each with its time of day."""
    return _found(_LINE, log)


def errors(log: str) -> list[str]:
    """What a service calls an error, the lines of a traceback among it, with the time of day."""
    return _found(_ERROR, log)


def _found(pattern: re.Pattern[str], log: str) -> list[str]:
    found = (pattern.match(line) for line in log.splitlines())
    return [f"{line['time']} {line['text']}" for line in found if line]


class Follower:
    """Reads what is added to the log.

    :param path: the log.
    :param find: takes the lines of interest out of a piece of it.
    """

    def __init__(self, path: Path, find: Callable[[str], list[str]] = steps) -> None:
        self._path = path
        self._find = find
        self._read = path.stat().st_size if path.exists() else 0

    def new(self) -> list[str]:
        """The lines of interest since the last call; a line that is not complete comes later."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as log:
            log.seek(self._read)
            data = log.read()
        complete = data[: data.rfind(b"\n") + 1]
        self._read += len(complete)
        return self._find(complete.decode("utf-8", "replace"))


@contextlib.contextmanager
def shown(path: Path, show: Callable[[str], None]) -> Iterator[None]:
    """Show the drivers' lines as they come while the block runs."""
    follower, over = Follower(path), threading.Event()

    def follow() -> None:
        while not over.wait(EVERY):
            for line in follower.new():
                show(line)

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        for line in follower.new():
            show(line)
