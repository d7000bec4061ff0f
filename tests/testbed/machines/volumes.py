# SPDX-License-Identifier: Apache-2.0
"""Volumes of the lab: sparse files that outlive the machines whose block devices they are.

A machine has a volume as /dev/vdb, vdc, ... with the link below /dev/disk/by-id that udev makes on
a VM of QEMU; the device is a loop device of the host. What is on disk for a volume ID:
  CACHE/volumes/NETNS/ID    its data
  RUN/machines/NAME/volumes/vdb    its path, for as long as machine NAME has it
  RUN/machines/NAME/by-id/virtio-...    the link
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.testbed.machines.host import LabError, locked, remove, run, wait_for
from tests.testbed.machines.machine import Machine

DEVICES = [f"vd{letter}" for letter in "bcdefgh"]
# What is still mounted somewhere keeps its loop device until it is not any more.
RELEASE_SECONDS = 20


@dataclass(frozen=True)
class Volume:
    """A volume by its id, whether it exists or not.

    :param directory: of all the lab's volumes
    """

    id: str
    directory: Path

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[0-9a-f-]{36}", self.id):
            raise LabError(f"volume {self.id!r}: not an id")

    @property
    def file(self) -> Path:
        return self.directory / self.id

    @property
    def link(self) -> str:
        """Name of the link that tells its serial number, of which virtio keeps 20 characters."""
        return f"virtio-{self.id[:20]}"

    def create(self, gigabytes: int) -> None:
        """Make it, blank.

        :raises LabError: it exists already
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        try:
            with self.file.open("xb") as file:
                file.truncate(gigabytes * 1024**3)
        except FileExistsError:
            raise LabError(f"volume {self.id} exists already") from None

    def delete(self) -> None:
        """Remove it with its data; an absent one is no error."""
        free(self.directory, self.id)
        remove(self.file)

    def attach(self, machine: Machine) -> str:
        """Give it to a running machine and return its device there.

        :raises LabError: there is none, or another machine has it
        """
        with locked(self.directory.with_name("volumes.lock")):
            if not self.file.exists():
                raise LabError(f"no volume {self.id}")
            self._wait_until_free()
            loop = run(["losetup", "--find", "--show", self.file]).stdout.strip()
            name = self._plan(machine, loop)
            number = run(["lsblk", "--nodeps", "--noheadings", "--output", "MAJ:MIN", loop])
            node = ["mknod", "--mode=660", f"/dev/{name}", "b", *number.stdout.strip().split(":")]
            run(machine.enter(node))
            (machine.state_dir / "by-id" / self.link).symlink_to(f"../../{name}")
            return f"/dev/{name}"

    def _wait_until_free(self) -> None:
        wait_for(
            lambda: not loops(self.directory, self.id),
            f"volume {self.id}: no machine has it any more",
            RELEASE_SECONDS,
        )

    def _plan(self, machine: Machine, loop: str) -> str:
        """Have the machine get the device at each boot, too."""
        plan = machine.state_dir / "volumes"
        plan.mkdir(exist_ok=True)
        name = next(name for name in DEVICES if not (plan / name).exists())
        (plan / name).write_text(f"{loop}\n")
        return name

    def detach(self, machine: Machine) -> None:
        """Take it from a machine; an absent machine, or one without it, is no error.

        What has it mounted keeps the mount, as a loop device cannot be pulled out.
        """
        link = machine.state_dir / "by-id" / self.link
        if link.is_symlink():
            name = link.readlink().name
            link.unlink()
            (machine.state_dir / "volumes" / name).unlink(missing_ok=True)
            if machine.leader():
                gone = f"umount /dev/{name} 2>/dev/null; rm -f /dev/{name}"
                run(machine.enter(["sh", "-c", gone]))
        free(self.directory, self.id)


def loops(directory: Path, name: str = "") -> list[str]:
    """Loop devices of the volumes in a directory, or of one of them."""
    found = []
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            file = Path(backing.read_text().strip().removesuffix(" (deleted)"))
        except OSError:
            continue  # it was freed meanwhile
        if file.parent == directory and name in ("", file.name):
            found.append(f"/dev/{backing.parents[1].name}")
    return found


def free(directory: Path, name: str = "") -> None:
    """Let go of the loop devices of a directory's volumes, or of one of them."""
    release(loops(directory, name))


def release(devices: Sequence[str]) -> None:
    """Let go of loop devices; of one that is mounted the kernel does so later."""
    for loop in devices:
        run(["losetup", "--detach", loop], check=False)
