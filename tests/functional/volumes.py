# SPDX-License-Identifier: Apache-2.0
"""A machine with volumes: this one, in a mount namespace with device nodes of its own.

The volumes are loop devices, and what udev would make of them on a VM is made here. Of systemd,
which need not run here, there is a stand-in that notes what it is asked for.
"""

from __future__ import annotations

import subprocess
import uuid
from pathlib import Path

from tests.functional.server import IS_ROOT, Sshd

SIZE = 64 * 1024 * 1024

# Directories of the machine that are changed lie over its own; the rest of /dev is not there.
_ENTER = r"""
set -e
mount -t tmpfs tmpfs "$1/machine"
cd "$1/machine"
mkdir dev etc work
for name in null zero full random urandom; do cp -a "/dev/$name" dev/; done
ln -s /proc/self/fd dev/fd
mkdir -p dev/disk/by-id
cp -a "$1/passwd" "$1/shadow" etc/
mount -t overlay -o "lowerdir=/etc,upperdir=$PWD/etc,workdir=$PWD/work" overlay /etc
mount --bind dev /dev
mount -t tmpfs tmpfs /srv
mount -t tmpfs tmpfs /home
"""

_SYSTEMCTL = r"""#!/bin/sh
state=$(dirname -- "$0")
echo "$*" >>"$state/asked"
case $1 in
  is-active) if [ -e "$state/active" ]; then echo active; else echo inactive; exit 3; fi ;;
  is-enabled) if [ -e "$state/enabled" ]; then echo enabled; else echo disabled; exit 1; fi ;;
  enable) : >"$state/enabled" ;;
  start) if [ ! -e "$state/active" ]; then
      $(sed -n 's/^ExecStart=//p' "/etc/systemd/system/$2") && : >"$state/active"
    fi ;;
esac
"""


def why_not() -> str:
    """Return why this machine can have no volumes, "" where it can."""
    if not IS_ROOT:
        return "volumes are attached by root"
    found = subprocess.run(["losetup", "--find"], capture_output=True, text=True)
    return "" if found.returncode == 0 else f"no loop device can be had: {found.stderr.strip()}"


class LoopVolume:
    """A volume of Cinder: a sparse file and a loop device.

    :param directory: where the file is
    :param size: in bytes
    """

    def __init__(self, directory: Path, size: int = SIZE):
        self.id = str(uuid.uuid4())
        self.file = directory / f"volume-{self.id}"
        with self.file.open("wb") as file:
            file.truncate(size)
        self.loop = run("losetup", "--find", "--show", str(self.file))

    def remove(self) -> None:
        run("losetup", "--detach", self.loop)
        self.file.unlink()


class VolumeMachine(Sshd):
    """A machine that volumes are attached to."""

    def start(self) -> VolumeMachine:
        programs = self.directory / "programs"
        programs.mkdir()
        (self.directory / "machine").mkdir()
        self.program_file("systemctl", _SYSTEMCTL)
        force = self.directory / "force"
        force.write_text(force.read_text().replace("cd / &&", f"PATH={programs}:$PATH; cd / &&"))
        super().start()
        self.sh(f"set -- {self.directory}\n{_ENTER}")
        return self

    def program_file(self, name: str, text: str) -> Path:
        """Put a program before the machine's own."""
        path = self.directory / "programs" / name
        path.write_text(text)
        path.chmod(0o755)
        return path

    def attach(self, volume: LoopVolume, name: str = "vdb", *, tells_serial: bool = True) -> None:
        """Give the machine a volume's device, with the link that udev makes of its serial."""
        number = run("lsblk", "--nodeps", "--noheadings", "--output", "MAJ:MIN", volume.loop)
        major, minor = number.strip().split(":")
        link = f"ln -s ../../{name} /dev/disk/by-id/virtio-{volume.id[:20]}"
        self.sh(f"mknod /dev/{name} b {major} {minor}; {link if tells_serial else ''}")

    def detach(self, name: str = "vdb") -> None:
        """Take a device away."""
        self.sh(f"rm -f /dev/{name}; find /dev/disk/by-id -xtype l -delete")

    def reboot(self) -> None:
        """End all mounts of volumes, and what systemd has started."""
        self.sh("umount /srv/registry || :")
        (self.directory / "programs" / "active").unlink(missing_ok=True)

    def sh(self, script: str) -> str:
        """Return what root's shell script prints on the machine."""
        assert self._process is not None
        namespace = ["nsenter", f"--target={self._process.pid}", "--mount"]
        return run(*namespace, "sh", "-euc", script)


def run(*argv: str) -> str:
    """Return what a command prints.

    :raises AssertionError: it fails
    """
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
    return done.stdout.strip()
