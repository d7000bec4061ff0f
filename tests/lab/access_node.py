# SPDX-License-Identifier: Apache-2.0
"""A lab machine with a container runtime, driven as the cluster's driver drives a node."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tacker_cir.command import Command
from tacker_cir.facts import Facts
from tacker_cir.host import runtimes
from tacker_cir.host.machine import Machine
from tacker_cir.params.registry_connection import RegistryConnection
from tacker_cir.registry import access
from tacker_cir.registry.verify import verify_access
from tacker_cir.ssh import Connection
from tests import machine
from tests.lab.login import log_in
from tests.testbed.machines import MachineLab
from tests.testbed.machines.base import GATEWAY

#: Time limits that suit a lab: a fault shows soon.
LIMITS = replace(machine.LIMITS, service_timeout=60, registry_timeout=2, image_timeout=60)


@dataclass(frozen=True)
class Runtime:
    """A container runtime of a certain age.

    :param name: as tests are named
    :param kind: ``docker`` or ``containerd``
    :param suite: Debian's suite whose packages it is of; "" for the machine's own
    """

    name: str
    kind: str
    suite: str = ""

    @property
    def packages(self) -> tuple[str, ...]:
        """What to install; Docker's client is a package of its own since Debian 13."""
        names = ["containerd"]
        if self.kind == "docker":
            names += ["docker.io", *(["docker-cli"] if self.suite else [])]
        return tuple(names)


#: They need nothing newer of the system than Debian 12 has.
RUNTIMES = (
    Runtime("docker-20.10", "docker"),
    Runtime("docker-26.1", "docker", "trixie"),
    Runtime("containerd-1.6", "containerd"),
    Runtime("containerd-1.7", "containerd", "trixie"),
    Runtime("containerd-2.1", "containerd", "forky"),
)

# It has nothing but the runtime's packages, which are newer than the machine's own.
_ADD_REPOSITORY = r"""
printf 'deb [trusted=yes] %s ./\n' "$1" > /etc/apt/sources.list.d/newer.list
"""
_INSTALL = """
apt-get -q update && apt-get -qy install --no-install-recommends "$@"
"""
_IMAGES = {
    "docker": "docker image prune --all --force; docker images --quiet",
    "containerd": "ctr -n k8s.io images rm --sync $(ctr -n k8s.io images ls -q); "
    "ctr -n k8s.io images ls -q",
}


class AccessNode:
    """A node.

    :param lab: where its machine is made
    """

    def __init__(self, lab: MachineLab, name: str, address: str, runtime: Runtime):
        self._lab, self.name, self._address, self.runtime = lab, name, address, runtime
        self.connection: Connection | None = None

    def connect(self) -> Connection:
        """Open a connection of its own to the machine."""
        return log_in(f"{self.name} ({self._address})", self._address)

    def install(self) -> None:
        """Install the runtime's packages."""
        if suite := self.runtime.suite:
            name = f"newer-{suite}"
            self._lab.serve(name, self._lab.prepared.newer[suite])
            self.run(_ADD_REPOSITORY, f"http://{GATEWAY}/{name}")
        self.run(_INSTALL, *self.runtime.packages)

    def run(self, script: str, *arguments: str) -> str:
        """Run a shell script as root over SSH and return what it prints."""
        assert self.connection is not None
        command = Command.script("run a test's script", script, *arguments)
        return self.connection.run(command, timeout=300).stdout

    def read(self, connection: Connection | None = None) -> Machine:
        """Ask for all that a node's steps must know, in one command.

        :param connection: to use in the steps in place of its own
        """
        assert self.connection is not None
        found = Machine.read(
            self.connection,
            LIMITS,
            files=(*runtimes.PATHS, *access.FILES),
            contents=(*runtimes.CONTENTS, *access.CONTENTS),
            trees=runtimes.TREES,
            effective=runtimes.EFFECTIVE,
        )
        return found.over(connection or self.connection)

    def ensure_runtime(self, **options: Any) -> bool:
        """Set the runtime up."""
        return runtimes.RUNTIMES[self.runtime.kind].ensure(self.read(), **options)

    def ensure(
        self,
        *registries: RegistryConnection,
        node_lines: Sequence[str] = (),
        connection: Connection | None = None,
    ) -> list[str]:
        """Give it access to exactly these registries.

        :param connection: to use in place of its own
        """
        return access.ensure_access(
            self.read(connection),
            registries,
            runtime=runtimes.RUNTIMES[self.runtime.kind],
            node_lines=node_lines,
        )

    def verify(self, *registries: RegistryConnection, keep_images: bool = False) -> None:
        """Prove that it can use them.

        :param keep_images: leave those that it has; without, every pull is one
        """
        assert self.connection is not None
        if not keep_images:
            self.forget_images()
        asked = Machine(self.connection, Facts(), LIMITS)
        verify_access(asked, registries, runtime=runtimes.RUNTIMES[self.runtime.kind])

    def forget_images(self) -> None:
        """Remove all images, so that a pull is one."""
        self.run(_IMAGES[self.runtime.kind] + " || :")

    def started(self) -> str:
        """Return when its daemon was started."""
        return self.run("systemctl show --property ActiveEnterTimestamp $1", self.runtime.kind)

    def files(self) -> str:
        """Return every file of ours and of registries, with mode, owner and checksum."""
        return self.run(
            "find /etc/docker /etc/containerd /root/.docker /var/lib/kubelet /var/lib/tacker-cir "
            "/etc/hosts -type f -exec stat -c '%n %a %U' {} + -exec sha256sum {} + 2>/dev/null"
            " | sort || :"
        )


@contextlib.contextmanager
def node(lab: MachineLab, name: str, address: str, runtime: Runtime) -> Iterator[AccessNode]:
    """Make a node with an installed runtime; it is gone after the block."""
    made = AccessNode(lab, name, address, runtime)
    try:
        lab.create(name, address)
        with made.connect() as connection:
            made.connection = connection
            made.install()
            yield made
    finally:
        lab.delete(name)
