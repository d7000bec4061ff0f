# SPDX-License-Identifier: Apache-2.0
"""One machine: a systemd-nspawn container with a system of its own, started and destroyed.

What is on disk for a machine NAME of the lab:
  RUN/machines/NAME    settings, the launcher's log, mount point of the root (seen inside only)
  CACHE/machines/NETNS/NAME    what the machine writes (overlay), Docker's and containerd's data
Whether it runs is read from its cgroup, never from a stored process id.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tests.testbed.machines import cgroups, guests, network
from tests.testbed.machines.base import GATEWAY
from tests.testbed.machines.guests import Boot, File
from tests.testbed.machines.host import LabError, locked, remove, run, wait_for

LAUNCHER = Path(__file__).with_name("launcher.sh")
START_SECONDS = 30


@dataclass(frozen=True)
class Machine:
    """A machine by its name, whether it exists or not."""

    name: str
    netns: str
    cache: Path
    run: Path

    @property
    def state_dir(self) -> Path:
        """Settings and log of the machine."""
        return self.run / "machines" / self.name

    @property
    def disk(self) -> Path:
        """All that the machine has written."""
        return self.cache / "machines" / self.netns / self.name

    @property
    def group(self) -> str:
        """The machine's cgroup in every hierarchy."""
        return f"{self.netns}/machines/{self.name}"

    def create(
        self,
        base: Path,
        address: str,
        image: str,
        ssh_host_key: str | None = None,
        boot: Boot | None = None,
    ) -> None:
        """Make the machine and start it; returns when its init process runs.

        :param boot: what cloud-init shall learn

        :raises LabError: when the machine exists already, or does not start.
        """
        number = network.host_number(address)
        with locked(self.run / "locks" / self.name):
            if self.state()["state"] != "absent":
                raise LabError(f"machine {self.name} exists already")
            self._refuse_taken(address)
            self._destroy()  # what a killed create may have left
            try:
                self._prepare(base, address, image, ssh_host_key, boot)
                self._start(base, address, number)
            except BaseException:
                self._destroy()
                raise

    def delete(self) -> None:
        """Destroy the machine as pulling its plug and disk would; an absent one is no error."""
        if not (self.state_dir.exists() or self.disk.exists() or cgroups.exists(self.group)):
            return
        with locked(self.run / "locks" / self.name):
            self._destroy()

    def state(self) -> dict[str, object]:
        """What is known: state (running, stopped after a power-off inside, or absent),
        address, image, leader (the host's pid of its init process, or None)."""
        settings = self._settings()
        if settings is None:
            return {"state": "absent"}
        # While it reboots, a running machine has its launcher, but no leader.
        known = {"state": "running" if cgroups.pids(self.group) else "stopped"}
        return {**known, **settings, "leader": self.leader()}

    def leader(self) -> int | None:
        """The host's process id of the machine's init, while there is one."""
        for pid in cgroups.pids(f"{self.group}/guest"):
            try:
                status = Path(f"/proc/{pid}/status").read_text()
            except OSError:
                continue
            numbers = next(line for line in status.splitlines() if line.startswith("NSpid:"))
            if numbers.split()[2:] == ["1"]:  # first its number here, then the one inside
                return pid
        return None

    def enter(self, argv: Sequence[str]) -> list[str]:
        """The words that run a command inside the machine as root.

        :raises LabError: when the machine does not run.
        """
        leader = self.leader()
        if leader is None:
            raise LabError(f"machine {self.name} does not run")
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        return [
            "nsenter",
            f"--target={leader}",
            "--mount",
            # nspawn may have changed the root, not the root of its mount namespace.
            "--root",
            "--wd",
            "--uts",
            "--ipc",
            "--net",
            "--pid",
            "--cgroup",
            "--",
            "env",
            "-i",
            f"PATH={path}",
            "HOME=/root",
            "LANG=C.UTF-8",
            *argv,
        ]

    def _settings(self) -> dict[str, str] | None:
        try:
            return json.loads((self.state_dir / "machine.json").read_text())
        except FileNotFoundError:
            return None

    def _refuse_taken(self, address: str) -> None:
        for other in self.state_dir.parent.glob("*"):
            settings = replace(self, name=other.name)._settings()
            if settings and settings["address"] == address:
                raise LabError(f"address {address} is that of machine {other.name}")

    def _ended(self) -> bool:
        return (self.state_dir / "ended").exists()

    def _prepare(
        self, base: Path, address: str, image: str, ssh_host_key: str | None, boot: Boot | None
    ) -> None:
        (self.state_dir / "root").mkdir(parents=True)
        (self.state_dir / "by-id").mkdir()
        identity = _identity(self.name, ssh_host_key, self.state_dir)
        told = guests.seed(self.name, boot) if boot else {}
        files = {**guests.files(image, base), **told, **identity}
        for part in ("upper", "work", "docker", "containerd"):
            (self.disk / part).mkdir(parents=True)
        (self.disk / "upper").chmod(0o755)
        (self.disk / "docker").chmod(0o710)
        (self.disk / "containerd").chmod(0o711)
        for path, file in files.items():
            _put(base, self.disk / "upper", path.lstrip("/"), file)
        written = self.state_dir / "machine.json.part"
        written.write_text(json.dumps({"address": address, "image": image}))
        written.rename(self.state_dir / "machine.json")  # others never read half of it

    def _start(self, base: Path, address: str, number: int) -> None:
        guest = cgroups.create(f"{self.group}/guest")
        launcher = cgroups.create(f"{self.group}/launcher")[0]
        environment = {
            "PATH": os.environ["PATH"],
            "NAME": self.name,
            "NETNS": self.netns,
            "BASE": str(base),
            "STATE": str(self.state_dir),
            "DISK": str(self.disk),
            "LAUNCHER_CGROUP": str(launcher),
            "GUEST_CGROUPS": " ".join(map(str, guest)),
            "ADDRESS": f"{address}/{network.NETWORK.prefixlen}",
            "GATEWAY": GATEWAY,
            # The port keeps its hardware address when another machine takes over its address.
            "PORT": f"vm{number}",
            "MAC": f"02:00:c6:33:64:{number:02x}",
        }
        with open(self.state_dir / "launcher.log", "w") as log:
            # --fork: the launcher is init's child, not ours, and outlives us.
            subprocess.run(
                [
                    "setsid",
                    "--fork",
                    "unshare",
                    "--mount",
                    "--net",
                    "--propagation=slave",
                    "sh",
                    LAUNCHER,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                check=True,
            )
        wait_for(lambda: self.leader() or self._ended(), f"start of {self.name}", START_SECONDS)
        if self._ended():
            tail = (self.state_dir / "launcher.log").read_text()[-2000:].strip()
            raise LabError(f"machine {self.name} did not start: {tail}")

    def _destroy(self) -> None:
        cgroups.kill(self.group)
        if settings := self._settings():
            network.unplug(self.netns, settings["address"])
        cgroups.remove(self.group)
        remove(self.disk)
        remove(self.state_dir)


def _identity(name: str, ssh_host_key: str | None, scratch: Path) -> dict[str, File]:
    """Name and SSH host keys of a machine."""
    made = {
        "etc/hostname": File(f"{name}\n"),
        # Without its own name there, sudo waits for a name server.
        "etc/hosts": File(f"127.0.0.1 localhost\n127.0.1.1 {name}\n"),
    }
    with tempfile.TemporaryDirectory(dir=scratch) as work:
        for kind in ("ed25519",) if ssh_host_key else ("ed25519", "ecdsa"):
            key = Path(work, f"ssh_host_{kind}_key")
            if ssh_host_key:
                key.touch(0o600)
                key.write_text(ssh_host_key.strip() + "\n")
            else:
                run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", f"root@{name}", "-f", key])
            made[f"etc/ssh/{key.name}"] = File(key.read_text(), 0o600)
            made[f"etc/ssh/{key.name}.pub"] = File(run(["ssh-keygen", "-y", "-f", key]).stdout)
    return made


def _put(base: Path, upper: Path, path: str, file: File) -> None:
    """Write a file to the upper layer; its directories keep the modes they have below."""
    target = upper / path
    for parent in reversed(target.relative_to(upper).parents):
        if not (upper / parent).exists():
            (upper / parent).mkdir(0o755)
            if (base / parent).is_dir():
                shutil.copymode(base / parent, upper / parent)
    target.touch(0o600)
    target.write_text(file.text)
    target.chmod(file.mode)
