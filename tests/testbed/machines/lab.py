# SPDX-License-Identifier: Apache-2.0
"""The machine lab: its network, services and machines behind one object.

Everything it knows is on disk and in cgroups, so any process may use the same lab, and a
later `down` cleans up after one that was killed.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.testbed.machines import (
    cgroups,
    guests,
    leftovers,
    limits,
    network,
    packages,
    services,
    volumes,
)
from tests.testbed.machines.host import (
    CACHE,
    NETNS,
    RUN,
    LabError,
    locked,
    remove,
    step,
    wait_for,
)
from tests.testbed.machines.machine import START_SECONDS, Machine
from tests.testbed.machines.parts import Prepared
from tests.testbed.machines.volumes import Volume

#: Seconds that a machine may take to end and to start again.
REBOOT_SECONDS = 60


class MachineLab:
    """One lab.

    :param cache: what is worth keeping between labs, and the machines' disks.
    :param run: state of the running lab; empty after down.
    :param netns: name of its network namespace and cgroups.
    """

    def __init__(self, cache: Path = CACHE, run: Path = RUN, netns: str = NETNS) -> None:
        self.cache = Path(cache)
        self.dir = Path(run)
        self.netns = netns

    def up(self, prepared: Prepared, proxy_password: str | None = None) -> None:
        """Bring the lab up: network and services.

        A lab that stands already is completed, its machines stay.

        :param prepared: what it is made of.
        :param proxy_password: for user proxyuser of the lab's HTTP proxy; default: a random one.
        """
        with locked(self._lock), step("machine lab up"):
            stood = self._record.exists()
            try:
                self._up(prepared, proxy_password)
            except BaseException:
                if not stood:
                    self._down()
                raise

    def down(self) -> None:
        """Destroy all machines, end the services, remove the network and the run directory.

        Works from what is there, so also after an interrupted or killed up.
        """
        with locked(self._lock), step("machine lab down"):
            self._down()

    def leftovers(self) -> list[str]:
        """What of the lab is still on this host, in words; empty after down."""
        return [
            *leftovers.find(self.netns),
            *leftovers.files(self.dir, self._disks, self._volumes),
            *(f"loop device {loop}" for loop in volumes.loops(self._volumes)),
        ]

    def machines(self) -> list[str]:
        """Names of the machines that there are, running or not."""
        return sorted(path.name for path in (self.dir / "machines").glob("*"))

    def create(
        self,
        name: str,
        address: str,
        image: str = "debian-12",
        ssh_host_key: str | None = None,
        boot: guests.Boot | None = None,
    ) -> None:
        """Make and start a machine; returns when its init runs, which is before SSH answers.

        :param ssh_host_key: text of its private SSH host key; default: keys of its own.
        :param boot: what Nova tells it; None for a machine that is not Nova's, with a login.
        :raises LabError: when the lab is not up, or the machine exists or does not start.
        """
        machine = self._machine(name)
        if boot is None:
            image = image.removesuffix(guests.LOGIN) + guests.LOGIN
        with locked(self._lock, shared=True):
            machine.create(self.prepared.base, address, image, ssh_host_key, boot)

    def delete(self, name: str) -> None:
        """Destroy a machine at once, with all it has written; an absent one is no error."""
        machine = self._machine(name)
        with locked(self._lock, shared=True):
            loops = [path.read_text().strip() for path in machine.state_dir.glob("volumes/*")]
            machine.delete()
            volumes.release(loops)

    def create_volume(self, volume: str, gigabytes: int) -> None:
        """Make a blank volume.

        :param volume: its id.
        :raises LabError: there is one with that id.
        """
        with locked(self._lock, shared=True):
            self._volume(volume).create(gigabytes)

    def delete_volume(self, volume: str) -> None:
        """Remove a volume with its data; an absent one is no error."""
        with locked(self._lock, shared=True):
            self._volume(volume).delete()

    def attach(self, name: str, volume: str) -> str:
        """Give a volume to a running machine, for later boots too, and return its device there.

        :raises LabError: there is no such volume, or a machine has it.
        """
        with locked(self._lock, shared=True):
            return self._volume(volume).attach(self._machine(name))

    def detach(self, name: str, volume: str) -> None:
        """Take a volume from a machine; where either is not there, it is no error."""
        with locked(self._lock, shared=True):
            self._volume(volume).detach(self._machine(name))

    def state(self, name: str) -> dict[str, object]:
        """State of a machine: {"state": "running" | "stopped" | "absent", "address": ...,
        "image": ..., "leader": the host's pid of its init}; stopped is after its power-off."""
        return self._machine(name).state()

    def wait_until_running(self, name: str) -> None:
        """Wait for the init of a machine that somebody else makes.

        :raises LabError: it does not run in time.
        """
        wait_for(lambda: self.state(name).get("leader"), f"the start of {name}", START_SECONDS)

    def reboot(self, name: str) -> None:
        """Restart a machine as who is on it would; returns when its init runs again."""
        before = self.state(name)["leader"]
        # What asks for it may be ended by it.
        self.run(name, ["systemctl", "reboot"], check=False)
        wait_for(
            lambda: self.state(name)["leader"] not in (None, before),
            f"the reboot of {name}",
            REBOOT_SECONDS,
        )

    def run(
        self, name: str, argv: Sequence[str], check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside a machine as root, past SSH.

        :raises subprocess.CalledProcessError: when check is set and it fails.
        """
        return subprocess.run(
            self._machine(name).enter(argv),
            check=check,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )

    def sh(self, name: str, script: str) -> str:
        """Run a bash script inside a machine as root, and return what it prints without blanks
        around it.

        :raises LabError: a command of it fails; with what it printed.
        """
        argv = ["bash", "-euo", "pipefail", "-c", script]
        done = self.run(name, argv, check=False)
        if done.returncode:
            raise LabError(f"{name}: {script}\n{done.stdout}\n{done.stderr}")
        return done.stdout.strip()

    def shell(self, name: str, argv: Sequence[str] = ("bash", "-l")) -> int:
        """Run an interactive command inside a machine as root; its exit status is returned."""
        return subprocess.run(self._machine(name).enter(argv)).returncode

    def serve(self, name: str, directory: Path) -> None:
        """Let machines of the running lab fetch a directory from http://198.51.100.1/NAME."""
        with locked(self._lock, shared=True):
            _ = self.prepared
            services.serve(self.dir, name, directory)

    def apt_log(self) -> list[str]:
        """Requests to the package server: "time client request status"."""
        return (self.dir / "apt.log").read_text().splitlines()

    def proxy_log(self) -> list[str]:
        """Lines of the HTTP proxy's log."""
        return (self.dir / "proxy.log").read_text().splitlines()

    @property
    def docker_ce_key(self) -> Path:
        """File with the armored public key of the repository http://198.51.100.1/docker-ce."""
        return self.prepared.repositories / packages.KEY

    @property
    def proxy_url(self) -> str:
        """The HTTP proxy's address with user and password in it."""
        return services.proxy_url(self.dir)

    @property
    def _lock(self) -> Path:
        # In the cache, as down removes the run directory while others may wait for the lock.
        return self.cache / "locks" / self.netns

    @property
    def _disks(self) -> Path:
        return self.cache / "machines" / self.netns

    @property
    def _volumes(self) -> Path:
        return self.cache / "volumes" / self.netns

    def _volume(self, volume: str) -> Volume:
        return Volume(volume, self._volumes)

    @property
    def _record(self) -> Path:
        return self.dir / "prepared.json"

    def _up(self, prepared: Prepared, proxy_password: str | None) -> None:
        self.dir.mkdir(parents=True, exist_ok=True)
        limits.lift(self.cache, self.netns)
        network.up(self.netns)
        services.start(self.cache, self.dir, self.netns, prepared, proxy_password)
        prepared.write(self._record)

    def _down(self) -> None:
        cgroups.kill(self.netns)
        cgroups.remove(self.netns)
        network.down(self.netns)
        volumes.free(self._volumes)
        remove(self._disks)
        remove(self._volumes)
        remove(self.dir)
        limits.restore(self.cache, self.netns)

    @property
    def prepared(self) -> Prepared:
        """What the running lab is made of.

        :raises LabError: no lab is up.
        """
        try:
            return Prepared.read(self._record)
        except FileNotFoundError:
            raise LabError(f"no lab is up in {self.dir}") from None

    def _machine(self, name: str) -> Machine:
        if not re.fullmatch(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?", name):
            raise LabError(f"machine name {name!r}: not a host name")
        return Machine(name, self.netns, self.cache, self.dir)
