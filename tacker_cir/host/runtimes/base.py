# SPDX-License-Identifier: Apache-2.0
"""What a node does with its container runtime, whichever that is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from tacker_cir.command import Command, Secret
from tacker_cir.exceptions import HostError
from tacker_cir.facts import Facts
from tacker_cir.host.files import ManagedFile
from tacker_cir.host.machine import Machine
from tacker_cir.params.proxy import Proxy
from tacker_cir.params.registry_connection import RegistryConnection
from tacker_cir.runtimes.base import Runtime

#: What is ours in files of others, by what it is.
Entries = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Shared:
    """Files of others, completed.

    :param entries: what is ours in them
    """

    files: tuple[ManagedFile, ...] = ()
    entries: Entries = field(default_factory=dict)


class NodeRuntime(ABC):
    """A container runtime on a node of a cluster.

    Which one a node has, and its package, are the install script's. It has to serve the kubelet and
    to pull from registries; what of the latter is ours is kept on the node.

    :cvar kind: what is known of it without a machine
    :cvar paths: files whose state has to be known, without their content
    :cvar contents: files whose content has to be known
    :cvar trees: directories of which each file has to be known: they hold whole files of ours
    :cvar effective: programs whose settings in effect have to be known
    :cvar entries: the names of what it has of ours in files of others
    :cvar judged: of those files, the ones that its daemon refuses as a whole
    :cvar pulls_sandboxes: whether it has to be told the image of pods' sandboxes
    :cvar reads_registries_late: whether it reads its registries at each pull, so that it needs
        nothing else after they were written
    """

    kind: ClassVar[Runtime]
    paths: ClassVar[tuple[str, ...]] = ()
    contents: ClassVar[tuple[str, ...]] = ()
    trees: ClassVar[tuple[str, ...]] = ()
    effective: ClassVar[tuple[str, ...]] = ()
    entries: ClassVar[tuple[str, ...]] = ()
    judged: ClassVar[tuple[str, ...]] = ()
    pulls_sandboxes: ClassVar[bool] = False
    reads_registries_late: ClassVar[bool] = False

    @property
    def name(self) -> str:
        return self.kind.name

    def ensure(
        self,
        machine: Machine,
        *,
        sandbox_image: str | None = None,
        proxy: Proxy | None = None,
        no_proxy: str = "",
    ) -> bool:
        """Make the installed runtime serve the kubelet; return whether anything changed.

        A restart, where one is needed, leaves containers running.

        :param machine: read after the installation, with what the attributes here name
        :param sandbox_image: the image of pods' sandboxes; None for the runtime's default
        :param no_proxy: what is asked without the proxy
        :raises HostError: a step failed
        """
        if not self.is_installed(machine.facts):
            raise HostError(
                machine.node,
                f"set up {self.name}",
                f"there is no {self.name} on the machine",
                "see what the install script said about its package",
            )
        return self.ensure_serving(machine, sandbox_image, proxy, no_proxy)

    def cgroup_driver(self, facts: Facts) -> str:
        """Return who makes the cgroups of containers; the kubelet must be told the same.

        What the runtime does in effect, else Docker's own rule for all runtimes: systemd where
        there is cgroup version 2, where two managers of one tree would be in each other's way.

        :return: ``systemd`` or ``cgroupfs``
        """
        return self.own_cgroup_driver(facts) or ("systemd" if facts.cgroup2 else "cgroupfs")

    def shortfall(self, facts: Facts, minor: int) -> tuple[str, str] | None:
        """Return why it does not do for Kubernetes 1.NN and what to do; None where it does, or is
        not there yet."""
        return None

    @abstractmethod
    def is_installed(self, facts: Facts) -> bool:
        """Tell whether its program is there."""

    @abstractmethod
    def ensure_serving(
        self, machine: Machine, sandbox_image: str | None, proxy: Proxy | None, no_proxy: str
    ) -> bool:
        """Do what :meth:`ensure` says, once it is installed."""

    @abstractmethod
    def own_cgroup_driver(self, facts: Facts) -> str | None:
        """Return who makes the cgroups of containers where the machine decided that already."""

    @abstractmethod
    def registry_files(self, registries: Sequence[RegistryConnection]) -> list[ManagedFile]:
        """Return the files for its registries that are ours as a whole."""

    def complete(
        self, node: str, facts: Facts, before: Entries, registries: Sequence[RegistryConnection]
    ) -> Shared:
        """Return the files of others for its registries, completed.

        :param node: the machine as the user knows it
        :param before: what was ours in them
        :param registries: none where the node has another runtime: what was ours is taken out
        :raises HostError: a file cannot be completed
        """
        return Shared()

    def take_over(
        self, machine: Machine, before: Entries, after: Entries, changed: Sequence[str]
    ) -> list[str]:
        """Have the runtime use its registries, whose files are there.

        :param before: what was ours in files of others
        :param after: what is ours now
        :param changed: paths of the files that changed
        :return: what was done, one line each
        :raises HostError: it does not use them
        """
        return []

    def reread(self, machine: Machine) -> None:
        """Make its daemon read the files again that :attr:`judged` names."""
        raise NotImplementedError(f"{self.name} names files, but not how it reads them again")

    @abstractmethod
    def pull(self, image: str, login: Secret | None) -> tuple[Command, bytes]:
        """Return the command that pulls an image as the kubelet would, and its standard input.

        :param login: the kubelet's, as of :attr:`RegistryConnection.login`
        """
