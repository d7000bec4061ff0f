# SPDX-License-Identifier: Apache-2.0
"""What a lab would leave on the host if its teardown forgot something."""

from __future__ import annotations

from pathlib import Path

from tests.lab.machines import cgroups, network


def find(netns: str) -> list[str]:
    """Processes, mounts, cgroups and the namespace of a lab, as far as they are there."""
    found = [f"process {pid}: {_command(pid)}" for pid in sorted(cgroups.pids(netns))]
    found += [f"cgroup {top / netns}" for top in cgroups.hierarchies() if (top / netns).exists()]
    if network.exists(netns):
        found.append(f"network namespace {netns}")
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = Path(line.split()[4])
        if point in (network.NETNS_DIR, network.NETNS_DIR / netns) and network.exists(netns):
            found.append(f"mount {point}")
    return found


def files(*directories: Path) -> list[str]:
    """Those of the directories that are there, and mounts below them."""
    found = [f"directory {path}" for path in directories if path.exists()]
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = Path(line.split()[4])
        if any(point.is_relative_to(path) for path in directories):
            found.append(f"mount {point}")
    return found


def _command(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return "ended meanwhile"
    return b" ".join(words).decode(errors="replace").strip()
