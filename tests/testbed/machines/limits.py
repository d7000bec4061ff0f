# SPDX-License-Identifier: Apache-2.0
"""Limits of the host's kernel that all machines share, raised while a lab is up.

A machine's init, container runtime and kubelet hold some twenty instances of inotify(7), which
count for root of the whole host; its usual limit of 128 ends a lab at six nodes: a kubelet says
"too many open files" then and ends.
"""

from __future__ import annotations

from pathlib import Path

from tests.testbed.machines.host import locked, say

_INSTANCES = Path("/proc/sys/fs/inotify/max_user_instances")
_WANTED = 2048


def lift(cache: Path, netns: str) -> None:
    """Raise the limit for a lab.

    :param cache: where it is kept who needs it, and what it was before
    """
    with locked(cache / "locks/limits"):
        users = cache / "limits"
        users.mkdir(parents=True, exist_ok=True)
        (users / netns).touch()
        before = int(_INSTANCES.read_text())
        if before >= _WANTED:
            return
        try:
            _INSTANCES.write_text(str(_WANTED))
        except OSError as error:
            say(f"{_INSTANCES} stays at {before}: {error}; large clusters may not start")
            return
        (users / ".before").write_text(str(before))


def restore(cache: Path, netns: str) -> None:
    """Give the limit back when the last lab that needs it is down."""
    users = cache / "limits"
    if not users.exists():
        return
    with locked(cache / "locks/limits"):
        (users / netns).unlink(missing_ok=True)
        before = users / ".before"
        if before.exists() and not any(path != before for path in users.iterdir()):
            _INSTANCES.write_text(before.read_text())
            before.unlink()
