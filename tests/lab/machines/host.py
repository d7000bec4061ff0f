# SPDX-License-Identifier: Apache-2.0
"""What every part of the machine layer needs from the host: paths, progress, commands, locks."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

NETNS = os.environ.get("TACKER_CIR_LAB_NETNS", "tcirlab")
"""Name of the lab's network namespace; also of its cgroups, so that two labs never share one."""

CACHE = Path(os.environ.get("TACKER_CIR_LAB_CACHE", "/var/cache/tacker-cir-lab"))
RUN = Path(os.environ.get("TACKER_CIR_LAB_RUN", "/run/tacker-cir-lab"))
REPOSITORY = Path(__file__).resolve().parents[3]


class LabError(Exception):
    """The lab could not do what was asked; the message says what and why."""


def say(message: str) -> None:
    """Print one progress line; stdout stays free for a command's JSON answer."""
    print(f"[lab {time.strftime('%H:%M:%S')}] {message}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def step(what: str) -> Iterator[None]:
    """Say that something longer begins, and how long it took."""
    say(f"{what} ...")
    start = time.monotonic()
    yield
    say(f"{what}: done in {time.monotonic() - start:.1f} s")


def run(
    argv: Sequence[str | os.PathLike[str]],
    *,
    check: bool = True,
    stdin: str | None = None,
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command of the host and keep what it printed.

    :raises LabError: when check is set and the command fails; with the end of its output.
    """
    # Without a given text the command must not read the caller's terminal.
    source = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
    result = subprocess.run(argv, capture_output=True, text=True, env=env, cwd=cwd, **source)
    if check and result.returncode != 0:
        tail = (result.stdout + result.stderr).strip()[-2000:]
        command = shlex.join(os.fspath(word) for word in argv)
        raise LabError(f"exit {result.returncode}: {command}\n{tail}")
    return result


def wait_for(probe: Callable[[], T | None], what: str, seconds: float, every: float = 0.05) -> T:
    """Poll until probe gives something true, and return it.

    :raises LabError: when the deadline passes first.
    """
    deadline = time.monotonic() + seconds
    while True:
        found = probe()
        if found:
            return found
        if time.monotonic() > deadline:
            raise LabError(f"{what}: not so within {seconds:g} s")
        time.sleep(every)


@contextlib.contextmanager
def locked(path: Path, shared: bool = False) -> Iterator[None]:
    """Hold a lock between processes; the kernel drops it when its holder dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield


def os_release(root: Path = Path("/")) -> dict[str, str]:
    """The fields of a tree's os-release."""
    text = (root / "usr/lib/os-release").read_text()
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line)
    return {key: "".join(shlex.split(value)) for key, value in pairs}
