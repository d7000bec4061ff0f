# SPDX-License-Identifier: Apache-2.0
"""A VNF instance made of plain data: the shapes of Tacker's v2 API, and nothing of Tacker's.

What a bridge to that API would hand to the life cycles (:class:`tacker_cir.instance.Instance`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any

from oslo_config import cfg

from tacker_cir import metadata
from tacker_cir.exceptions import InventoryError
from tacker_cir.instance import ClusterAccess
from tacker_cir.inventory import Heat, read_subnets
from tacker_cir.package import VnfPackage
from tacker_cir.params.registry_vnf import RegistryVnf, the_only


@dataclass
class PlainInstance:
    """A VNF instance as a script of v2 gets it on its standard input.

    :param inst: the VnfInstance, camelCase, as v2 keeps it
    :param request: of the operation; v2 has ``additionalParams`` in every one
    :param root: the CSAR, unpacked
    :param others: VNF instances of the same project
    :param conf: v2 starts a process for each hook: nobody has read the configuration before
    """

    inst: dict[str, Any]
    request: Mapping[str, Any]
    root: Path
    conf: cfg.ConfigOpts
    access: list[ClusterAccess] = field(default_factory=list)
    others: list[RegistryVnf] = field(default_factory=list)

    @property
    def id(self) -> str:
        return self.inst["id"]

    @property
    def parameters(self) -> Mapping[str, Any] | None:
        return self.request.get("additionalParams")

    @property
    def flavour_id(self) -> str | None:
        return self.request.get("flavourId") or self._info.get("flavourId")

    @property
    def level_id(self) -> str | None:
        return self.request.get("instantiationLevelId")

    @property
    def metadata(self) -> Mapping[str, str]:
        return self.inst.get("metadata") or {}

    @property
    def stack_id(self) -> str:
        try:
            return self._info["metadata"]["stack_id"]
        except KeyError:
            raise InventoryError("Tacker knows no Heat stack of the VNF instance") from None

    @property
    def _info(self) -> Mapping[str, Any]:
        return self.inst.get("instantiatedVnfInfo") or {}

    def package(self) -> VnfPackage:
        return VnfPackage(self.root)

    def heat(self) -> Heat:
        return Heat(self._access_info())

    def subnets(self) -> Mapping[str, Sequence[IPv4Network | IPv6Network]]:
        links = self.request.get("extVirtualLinks") or ()
        names = dict.fromkeys(link["resourceId"] for link in links)
        return {name: read_subnets(self._access_info(), name) for name in names}

    def _access_info(self) -> Mapping[str, Any]:
        vims = self.inst["vimConnectionInfo"].values()
        vim = next(v for v in vims if v["vimType"] == "ETSINFV.OPENSTACK_KEYSTONE.V_3")
        given = vim["accessInfo"]
        return {
            "auth_url": vim["interfaceInfo"]["endpoint"],
            "username": given["username"],
            "password": given["password"],
            "project_name": given["project"],
            "user_domain_name": given["userDomain"],
            "project_domain_name": given["projectDomain"],
            "region": given["region"],
        }

    def vim(self, name: str | None) -> PlainVim:
        return PlainVim(self, name or "cluster")

    def show(self, values: Mapping[str, str | None]) -> None:
        self.inst["metadata"] = metadata.changed(self.metadata, values)

    def registry_vnf(self, name_or_id: str) -> RegistryVnf:
        return the_only(self.others, name_or_id)

    def keep(self) -> None:
        """v2 keeps no parameters by itself."""
        self.inst.setdefault("metadata", {})["kept"] = "yes"


@dataclass
class PlainVim:
    """The cluster's entry in ``vimConnectionInfo``: v2 has no other record of it."""

    instance: PlainInstance
    name: str

    @property
    def _entries(self) -> dict[str, Any]:
        return self.instance.inst["vimConnectionInfo"]

    def is_taken(self) -> bool:
        return False

    def check_unused(self) -> None:
        pass

    def register(self, access: ClusterAccess) -> None:
        self.instance.access.append(access)
        self._entries[self.name] = {
            "vimType": "ETSINFV.KUBERNETES.V_1",
            "interfaceInfo": {"endpoint": access.url, "ssl_ca_cert": access.ca},
            "accessInfo": {"bearer_token": access.token.reveal()},
        }

    def remove(self) -> None:
        self._entries.pop(self.name, None)

    def remove_from_instance(self) -> None:
        self._entries.pop(self.name, None)
