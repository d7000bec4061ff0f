# SPDX-License-Identifier: Apache-2.0
"""What every part of the machine layer needs from the host: paths, progress, commands, locks."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shlex
import shutil
import signal
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
PROGRAMS = Path(os.environ.get("TACKER_CIR_LAB_PROGRAMS", CACHE / "kubernetes/programs"))
"""Compiled programs, which alone are worth more than one cache."""

RUN = Path(os.environ.get("TACKER_CIR_LAB_RUN", "/run/tacker-cir-lab"))
REPOSITORY = Path(__file__).resolve().parents[3]
STAGE = "tox -e lab -- prepare"
"""The command that makes everything which a lab needs."""


class LabError(Exception):
    """The lab could not do what was asked; the message says what and why."""


def say(message: str) -> None:
    """Print one progress line; stdout stays free for a command's JSON answer."""
    # Whoever read it may have been killed; the cleaning up that is told of goes on.
    with contextlib.suppress(BrokenPipeError):
        # In one piece, as threads speak too.
        line = f"[lab {time.strftime('%H:%M:%S')}] {message}\n"
        print(line, end="", file=sys.stderr, flush=True)


_preparing = False


@contextlib.contextmanager
def preparation() -> Iterator[None]:
    """Let the block download, build and install: the one stage in which that is done.

    Before it there is nothing of a lab; after it everything is there, so that no run depends on
    a network or on what somebody does to the host meanwhile.

    :raises LabError: inside the lab's network, which has no way out.
    """
    global _preparing, _over
    if _inside_the_lab():
        raise LabError(f"inside the lab's network nothing can be downloaded; outside: {STAGE}")
    _preparing, _over = True, False
    try:
        yield
    finally:
        _preparing = False


def demand_preparation(what: str) -> None:
    """Refuse to make something outside the stage.

    :raises LabError: naming the stage.
    """
    if not _preparing:
        raise LabError(
            f"{what}: not there, and made only in the stage of preparation, before a lab is up; "
            f"run: {STAGE}"
        )


def _inside_the_lab() -> bool:
    try:
        return os.path.samefile("/proc/thread-self/ns/net", f"/run/netns/{NETNS}")
    except FileNotFoundError:
        return False


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
    finish: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Run a command of the host and keep what it printed.

    :param finish: when we are interrupted, let the command come to its end all the same.
    :raises LabError: when check is set and the command fails; with the end of its output.
    """
    process = subprocess.Popen(
        argv,
        # Without a given text the command must not read the caller's terminal.
        stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=env,
        cwd=cwd,
        start_new_session=True,  # so that we, not the terminal's Ctrl-C, decide when it ends
    )
    command = shlex.join(os.fspath(word) for word in argv)
    try:
        with ended_with_the_others(process, finish):
            out, err = process.communicate(stdin)
    except BaseException:
        say(f"interrupted; waiting for the end of: {command}")
        if not finish:
            os.killpg(process.pid, signal.SIGTERM)  # not KILL: it may have mounts to undo
        process.communicate()
        raise
    if check and process.returncode != 0:
        tail = (out + err).strip()[-2000:]
        raise LabError(f"exit {process.returncode}: {command}\n{tail}")
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


_commands: set[subprocess.Popen[str]] = set()
_over = False


@contextlib.contextmanager
def ended_with_the_others(process: subprocess.Popen[str], finish: bool = False) -> Iterator[None]:
    """Have a command ended by :func:`end_commands` while the block waits for it.

    :param finish: let it come to its end all the same.
    """
    if not finish:
        _commands.add(process)
        if _over:  # another thread failed before this one was known to it
            end_commands()
    try:
        yield
    finally:
        _commands.discard(process)


def end_commands() -> None:
    """End what threads of ours run, or are about to: an interrupt reaches the main thread only."""
    global _over
    _over = True
    for process in list(_commands):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)


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


def build_once(target: Path, what: str, build: Callable[[Path], object]) -> Path:
    """Return a directory or file of the cache, building it if it is not there.

    It appears complete or not at all. Siblings, made from older recipes, go when nobody asked
    for them in two days: no lab lasts that long, so none is in use.

    :param build: makes it at the path that it is given.
    :raises LabError: it is not there, and this is not the stage of preparation.
    """
    with locked(target.parent.with_name(target.parent.name + ".lock")):
        if not target.exists():
            demand_preparation(what)
            part = target.with_name(target.name + ".part")
            remove(part)
            part.parent.mkdir(parents=True, exist_ok=True)
            try:
                with step(what):
                    build(part)
            except BaseException:
                remove(part)
                raise
            part.rename(target)
        os.utime(target)
        for sibling in target.parent.iterdir():
            if sibling.stat().st_mtime < time.time() - 2 * 86400:
                remove(sibling)
    return target


def remove(path: Path) -> None:
    """Remove a file or a directory with all in it; one that is not there is no error.

    :raises LabError: when something is mounted below: what it leads to is not ours to remove.
    """
    if mounts := mounts_below(path):
        raise LabError(f"not removed, as there are mounts in it: {' '.join(map(str, mounts))}")
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def mounts_below(path: Path) -> list[Path]:
    """Mount points in a directory, itself included."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = (Path(line.split()[4]) for line in lines)
    return [point for point in points if point.is_relative_to(path.resolve())]


def os_release(root: Path = Path("/")) -> dict[str, str]:
    """The fields of a tree's os-release."""
    text = (root / "usr/lib/os-release").read_text()
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line)
    return {key: "".join(shlex.split(value)) for key, value in pairs}
