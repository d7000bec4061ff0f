# SPDX-License-Identifier: Apache-2.0
"""Whether the CPs that a cluster's request names are there where they are looked for.

In Heat's stack the driver finds a node by ports of a group's member, and the cluster's address by a
port that is none of these. The same is asked here of the package's templates, so that a wrong name
is a fault of the request, not of VMs that were made in vain.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tacker_cir.exceptions import Fault
from tacker_cir.params import schema
from tacker_cir.params.k8s_cluster import PATH
from tacker_cir.params.k8s_cluster_schema import KEY
from tacker_cir.templates.flavours import Flavour
from tacker_cir.templates.hot import FLOATING_IP, PORT
from tacker_cir.templates.trees import mapping

MASTER, WORKER = "master_node", "worker_node"


def find_name_faults(
    additional_params: Any, flavour: Flavour, level: str | None = None
) -> list[Fault]:
    """Return the names of CPs that the flavour has, but not where they belong. What it does not
    have at all, or what cannot be told, is left out.

    :param additional_params: of the request, unchecked
    :param level: ``instantiationLevelId`` of the request
    """
    return _Names(mapping(additional_params, KEY), flavour, level).faults()


class _Names:
    def __init__(self, given: Mapping[str, Any], flavour: Flavour, level: str | None):
        self._given, self._flavour = given, flavour
        self._faults: list[Fault] = []
        self._outside = _outside(flavour)
        self._known = _members(flavour, None)
        aspect = self._text(MASTER, "aspect_id")
        self._masters = flavour.count(aspect, level) or 1
        self._members = _members(flavour, aspect)

    def faults(self) -> list[Fault]:
        for role in (MASTER, WORKER):
            self._check_node(role)
        self._check_roles()
        self._check_cluster_cp()
        self._check_floating_ip()
        return self._faults

    def _text(self, role: str, key: str) -> str | None:
        value = mapping(self._given, role).get(key)
        return value if isinstance(value, str) else None

    def _fault(self, role: str, key: str, problem: str) -> None:
        self._faults.append(Fault(schema.join(PATH, role, key), problem))

    def _check_node(self, role: str) -> None:
        aspect = self._text(role, "aspect_id")
        inside = _members(self._flavour, aspect)
        for key, types in (("ssh_cp_name", (PORT, FLOATING_IP)), ("nic_cp_name", (PORT,))):
            name = self._text(role, key)
            if not inside or name is None or name not in self._known:
                continue
            if inside.get(name) not in types:
                fitting = sorted(n for n, kind in inside.items() if kind in types)
                noun = "port or floating IP" if len(types) > 1 else "port"
                where = f"a member of the group {aspect}" if aspect else "the stack"
                hint = schema.did_you_mean(name, fitting)
                self._fault(role, key, f"{name!r} is no {noun} of {where}; {hint}")

    def _check_roles(self) -> None:
        """Without groups, the roles are told apart by their CPs alone."""
        if self._text(MASTER, "aspect_id") or self._text(WORKER, "aspect_id"):
            return
        name = self._text(WORKER, "nic_cp_name")
        if name is not None and name == self._text(MASTER, "nic_cp_name"):
            self._fault(WORKER, "nic_cp_name", f"{name!r} is that of master_node as well")

    def _check_cluster_cp(self) -> None:
        name = self._text(MASTER, "cluster_cp_name")
        kind = self._known.get(name or "")
        if kind is None:
            return
        if kind != PORT:
            self._fault(MASTER, "cluster_cp_name", f"{name!r} is no port, but a {kind}")
        elif self._masters > 1 and name not in self._outside:
            ports = [n for n, kind in self._outside.items() if kind == PORT]
            problem = (
                f"{name!r} is a port of each of {self._masters} masters; expected a port that is "
                "none of theirs, for an address before all of them"
            )
            hint = f"; {schema.did_you_mean(name or '', ports)}" if ports else ""
            self._fault(MASTER, "cluster_cp_name", problem + hint)

    def _check_floating_ip(self) -> None:
        name = self._text(MASTER, "cluster_fip_name")
        if name is not None and self._known.get(name, FLOATING_IP) != FLOATING_IP:
            self._fault(MASTER, "cluster_fip_name", f"{name!r} is no floating IP")
        ssh = self._members.get(self._text(MASTER, "ssh_cp_name") or "")
        if name is None and ssh == FLOATING_IP and self._masters > 1:
            problem = (
                "is missing; several masters that are reached at floating IPs need one before all "
                "of them, at which Tacker reaches the cluster"
            )
            known = sorted(n for n, kind in self._outside.items() if kind == FLOATING_IP)
            hint = f"; known: {', '.join(known)}" if known else ""
            self._fault(MASTER, "cluster_fip_name", problem + hint)


def _members(flavour: Flavour, aspect: str | None) -> dict[str, str]:
    """Return the resources among which a role's CPs are looked for, with their types; none where
    that cannot be told."""
    if flavour.hot is not None:
        if aspect is None:
            return {n: str(r.get("type")) for _, n, r in flavour.hot.resources()}
        return flavour.hot.members(aspect)
    cps = flavour.vnfd.cps.items()
    return {
        cp: PORT
        for cp, vdu in cps
        if aspect is None or (vdu and flavour.vnfd.aspect_of(vdu) == aspect)
    }


def _outside(flavour: Flavour) -> dict[str, str]:
    """Return the resources that are in no group, with their types."""
    if flavour.hot is not None:
        return flavour.hot.outside()
    cps = flavour.vnfd.cps.items()
    return {cp: PORT for cp, vdu in cps if not (vdu and flavour.vnfd.aspect_of(vdu))}
