# SPDX-License-Identifier: Apache-2.0
"""How long each stage of a run took, kept in a file that its processes share, and as a table."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

#: Names the file for processes that we start.
VARIABLE = "TACKER_CIR_LAB_TIMES"


class Times:
    """The times of one run.

    :param path: the file, to which every process of the run appends.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @classmethod
    def of_environment(cls, environment: Mapping[str, str] = os.environ) -> Times:
        """That of the run that this process is a part of; what a process alone adds is lost."""
        return cls(Path(environment.get(VARIABLE, os.devnull)))

    @classmethod
    @contextlib.contextmanager
    def of_this_run(cls) -> Iterator[Times]:
        """Those of the run that begins with this process, whose table is printed in the end; or of
        the run that started us, which prints it itself."""
        if VARIABLE in os.environ:
            yield cls.of_environment()
            return
        with tempfile.TemporaryDirectory(prefix="tacker-cir-times-") as directory:
            times = cls(Path(directory) / "times")
            try:
                yield times
            finally:
                if table := times.table():
                    print(f"\n{table}")

    @property
    def environment(self) -> dict[str, str]:
        """Variables for processes that belong to the run."""
        return {VARIABLE: str(self._path)}

    def add(self, stage: str, name: str, seconds: float, result: str = "") -> None:
        """Add a row."""
        with self._path.open("a") as file:
            file.write(json.dumps([stage, name, seconds, result]) + "\n")

    @contextlib.contextmanager
    def taken(self, stage: str, name: str = "") -> Iterator[None]:
        """Add a row for what the block takes, also when it fails."""
        begun, result = time.monotonic(), "FAILED"
        try:
            yield
            result = ""
        finally:
            self.add(stage, name, time.monotonic() - begun, result)

    def table(self) -> str:
        """All rows, in their order; nothing where there is none."""
        if not self._path.is_file():
            return ""
        rows = [json.loads(line) for line in self._path.read_text().splitlines()]
        if not rows:
            return ""
        head = ["stage", "", "seconds", "result"]
        widths = [max(len(str(row[n])) for row in [head, *rows]) for n in range(2)]
        lines = [f"{head[0]:{widths[0]}}  {head[1]:{widths[1]}}  {head[2]:>8}  {head[3]}"]
        for stage, name, seconds, result in rows:
            lines.append(f"{stage:{widths[0]}}  {name:{widths[1]}}  {seconds:8.1f}  {result}")
        return "\n".join(line.rstrip() for line in lines)
