# SPDX-License-Identifier: Apache-2.0
"""What a lab would leave on the host if its teardown forgot something."""

from __future__ import annotations

from pathlib import Path

from tests.testbed.machines import cgroups, network
from tests.testbed.machines.host import mounts_below


def find(netns: str) -> list[str]:
    """Processes, cgroups and the namespace of a lab, as far as they are there."""
    found = [f"process {pid}: {_command(pid)}" for pid in sorted(cgroups.pids(netns))]
    found += [f"cgroup {top / netns}" for top in cgroups.hierarchies() if (top / netns).exists()]
    if network.exists(netns):
        found.append(f"network namespace {netns}")
    return found


def files(*directories: Path) -> list[str]:
    """Those of the directories that are there, and mounts below them."""
    found = [f"directory {path}" for path in directories if path.exists()]
    found += [f"mount {point}" for path in directories for point in mounts_below(path)]
    return found


def _command(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return "ended meanwhile"
    return b" ".join(words).decode(errors="replace").strip()
