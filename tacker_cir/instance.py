# SPDX-License-Identifier: Apache-2.0
"""A VNF instance as the life cycles know it, whichever of Tacker's APIs it comes through.

Each API has a bridge that makes an :class:`Instance` of what Tacker hands to a driver:
:mod:`tacker_cir.tacker_bridge` is that of v1. Nothing here, and nothing that uses it, knows an
object of Tacker's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Any, Protocol

from oslo_config import cfg

from tacker_cir.command import Secret
from tacker_cir.inventory import Heat, Node
from tacker_cir.package import VnfPackage
from tacker_cir.params.registry_vnf import RegistryVnf


@dataclass(frozen=True)
class ClusterAccess:
    """How Tacker gets at a cluster.

    :param url: of the API
    :param token: bearer token of a cluster administrator
    :param ca: the CA certificate of the API in PEM
    """

    url: str
    token: Secret
    ca: str

    @property
    def fingerprint(self) -> str:
        """What tells the cluster from one that was there before; not secret."""
        return hashlib.sha256(f"{self.url}\n{self.ca}".encode()).hexdigest()[:32]


class Vim(Protocol):
    """The cluster of a VNF instance as a VIM of Tacker."""

    @property
    def name(self) -> str: ...

    def is_taken(self) -> bool:
        """Tell whether another VIM of the tenant has the name."""

    def check_unused(self) -> None:
        """Refuse to take the VIM away while a VNF is on it.

        :raises VimError: one is
        """

    def register(self, access: ClusterAccess) -> None:
        """Make the VIM be there with these credentials, and the VNF instance know it.

        :raises VimError: Tacker does not register it
        """

    def remove(self) -> None:
        """Take the VIM away, if it is there and that of this VNF instance.

        :raises VimError: a VNF is on it
        """

    def remove_from_instance(self) -> None:
        """Take the cluster's entries out of the VNF instance and save it."""


class Instance(Protocol):
    """A VNF instance during one operation. What is not needed is not asked for."""

    @property
    def id(self) -> str: ...

    @property
    def conf(self) -> cfg.ConfigOpts:
        """The configuration, with the options of ``[tacker_cir]``."""

    @property
    def parameters(self) -> Mapping[str, Any] | None:
        """``additionalParams`` with which it was instantiated, or shall be."""

    @property
    def flavour_id(self) -> str | None:
        """``flavourId`` that goes with the parameters."""

    @property
    def level_id(self) -> str | None:
        """``instantiationLevelId`` of the request; None for the default, or without a request."""

    @property
    def metadata(self) -> Mapping[str, str]:
        """What the user changes while it lives."""

    @property
    def stack_id(self) -> str:
        """The id of its Heat stack.

        :raises InventoryError: Tacker knows of none
        """

    def package(self) -> VnfPackage:
        """Return the unpacked VNF package that it was made from."""

    def heat(self) -> Heat:
        """Return Heat of the VIM that its machines run on."""

    def subnets(self) -> Mapping[str, Sequence[IPv4Network | IPv6Network]]:
        """Return the subnets of the networks that its machines shall be connected to, by the
        networks' ids."""

    def vim(self, name: str | None) -> Vim:
        """Return the VIM that its cluster is.

        :param name: None for the API's default
        """

    def show(self, values: Mapping[str, str | None]) -> None:
        """Have the metadata show texts to who looks at the VNF instance, and save it.

        What a text has more than Tacker takes for a value goes on in KEY_2, KEY_3, ...

        :param values: by key; None takes one out
        """

    def registry_vnf(self, name_or_id: str) -> RegistryVnf:
        """Return another VNF instance of the same project, whatever the user may see besides.

        :raises InventoryError: the project has none of that id or name, or several of that name
        """

    def keep(self) -> None:
        """Have Tacker know, whatever comes of this operation, what a later one needs of it."""


@dataclass(frozen=True)
class Leaving:
    """The machines that an operation takes away, by what Tacker tells them apart with.

    :param servers: ids of Nova servers
    :param members: names of members of an auto-scaling group
    """

    servers: frozenset[str] = frozenset()
    members: frozenset[str] = frozenset()

    def __contains__(self, machine: Node) -> bool:
        return machine.server_id in self.servers or machine.member in self.members
