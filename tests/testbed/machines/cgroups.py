# SPDX-License-Identifier: Apache-2.0
"""Control groups of the lab: what runs in a machine is known by them, and ends through them.

A group exists under the same path in every mounted hierarchy, so that the container engines
of two machines never meet in one cgroup. Works on version 2, on version 1 and on both mixed.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.testbed.machines.host import LabError, wait_for

V2_CONTROLLERS = ("cpu", "cpuset", "io", "memory", "pids")


def is_unified() -> bool:
    """Whether this host has version 2 only, as a kubelet asks for it."""
    return Path("/sys/fs/cgroup/cgroup.controllers").exists()


@cache
def hierarchies() -> tuple[Path, ...]:
    """Mount points of all hierarchies of the host; one of version 2, if there is one, first."""
    mounts = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, right = line.split(" - ", 1)
        kind, point = right.split()[0], Path(left.split()[4])
        if kind in ("cgroup", "cgroup2"):
            mounts.append((kind != "cgroup2", point))
    if not mounts:
        raise LabError("no cgroup hierarchy is mounted on this host")
    return tuple(point for _, point in sorted(set(mounts)))


def create(group: str) -> list[Path]:
    """Make a group (a path such as "lab/web/guest") everywhere; its directories are returned."""
    made = []
    for top in hierarchies():
        directory = top
        for name in group.split("/"):
            parent, directory = directory, directory / name
            _hand_down_controllers(parent, is_top=parent == top)
            directory.mkdir(exist_ok=True)
            _copy_cpuset(parent, directory)
        made.append(directory)
    return made


def pids(group: str) -> set[int]:
    """Processes in the group and the groups below it."""
    found: set[int] = set()
    for directory in _directories(group):
        try:
            found.update(int(pid) for pid in (directory / "cgroup.procs").read_text().split())
        except OSError:
            continue  # removed meanwhile, or a threaded group of version 2
    return found


def kill(group: str, seconds: float = 20) -> None:
    """Kill every process of the group, until none is left."""

    def none_left() -> bool:
        left = pids(group) - {os.getpid()}
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        return not left

    wait_for(none_left, f"end of the processes in {group}", seconds, every=0.01)


def remove(group: str) -> None:
    """Remove the group, whose processes have ended, and the groups below it."""

    def gone() -> bool:
        for directory in _directories(group):
            try:
                directory.rmdir()
            except OSError:
                return False  # the kernel still lets go of a process that has just ended
        return True

    wait_for(gone, f"removal of cgroup {group}", 10, every=0.01)


def exists(group: str) -> bool:
    """Whether the group is in any hierarchy."""
    return any((top / group).is_dir() for top in hierarchies())


def _directories(group: str) -> Iterator[Path]:
    """All directories of the group, the deepest first."""
    for top in hierarchies():
        for path, _, _ in os.walk(top / group, topdown=False):
            yield Path(path)


def _hand_down_controllers(parent: Path, is_top: bool) -> None:
    """Give the group's children the controllers it has itself (version 2 only).

    The top group is the host's: what the host does not hand out, the lab does not either.
    """
    available = parent / "cgroup.controllers"
    if is_top or not available.exists():
        return
    for name in set(available.read_text().split()) & set(V2_CONTROLLERS):
        (parent / "cgroup.subtree_control").write_text(f"+{name}")


def _copy_cpuset(parent: Path, directory: Path) -> None:
    """A new version 1 cpuset is empty and takes no process until it has CPUs and memory nodes."""
    inherit = directory / "cgroup.clone_children"
    if inherit.exists() and (directory / "cpuset.cpus").exists():
        for name in ("cpuset.cpus", "cpuset.mems"):
            (directory / name).write_text((parent / name).read_text())
        inherit.write_text("1")
