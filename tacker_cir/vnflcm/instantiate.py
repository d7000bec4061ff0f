# SPDX-License-Identifier: Apache-2.0
"""InstantiateVnfRequest: against the drivers' parameters and against the VNF package."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tacker_cir.exceptions import Fault, InvalidRequest
from tacker_cir.package import VnfPackage
from tacker_cir.params import bounds, k8s_cluster, private_registry, schema
from tacker_cir.params.cluster_names import find_name_faults
from tacker_cir.templates.flavours import Flavour
from tacker_cir.vnflcm import networks
from tacker_cir.vnflcm.kinds import DRIVER_KEYS
from tacker_cir.vnflcm.parameters import find_parameter_faults

_PARSERS: dict[str, Callable[..., Any]] = {
    private_registry.KEY: private_registry.parse,
    k8s_cluster.KEY: k8s_cluster.parse,
}


def find_instantiate_faults(body: Mapping[str, Any], package: VnfPackage | None) -> list[Fault]:
    """Return what is wrong with an InstantiateVnfRequest beyond its shape."""
    given = body.get("additionalParams")
    flavour_id = body.get("flavourId")
    flavours = package.flavours() if package else {}
    flavour = flavours.get(flavour_id) if isinstance(flavour_id, str) else None
    faults = _driver_faults(given, package, flavour_id if flavour else None)
    if isinstance(given, Mapping) and k8s_cluster.KEY in given:
        faults += k8s_cluster.find_unsupported_flavour(flavour_id)
    faults += _find_vim_faults(body)
    faults += networks.find_address_faults(body)
    faults += find_parameter_faults(given, package, flavour)
    if flavour is not None:
        faults += _find_level_faults(body, flavour)
        faults += networks.find_network_faults(body, flavour)
        faults += find_name_faults(given, flavour, _level(body, flavour))
    elif flavours and isinstance(flavour_id, str):
        hint = schema.did_you_mean(flavour_id, sorted(flavours))
        faults.append(
            Fault("flavourId", f"the VNF package has no flavour {schema.shown(flavour_id)}; {hint}")
        )
    return faults


def _driver_faults(given: Any, package: VnfPackage | None, flavour_id: str | None) -> list[Fault]:
    """Check the parameter of each driver that the request has one for."""
    members = given if isinstance(given, Mapping) else {}
    faults: list[Fault] = []
    for key in _PARSERS.keys() & members.keys():
        try:
            _PARSERS[key](members, package, flavour_id=flavour_id)
        except InvalidRequest as error:
            faults += error.faults
    if not _PARSERS.keys() & members.keys():
        names = [str(name)[: bounds.MAX_NAME] for name in members][: bounds.MAX_MEMBERS]
        hints = [f"{name}: did you mean {near}?" for name in names if (near := _near_key(name))]
        expected = f"expected {' or '.join(DRIVER_KEYS)}"
        faults.append(Fault("additionalParams", "; ".join([expected, *hints])))
    return faults


def _near_key(name: str) -> str | None:
    return schema.nearest(name, DRIVER_KEYS)


def _find_vim_faults(body: Mapping[str, Any]) -> Iterator[Fault]:
    """Both drivers make their VMs through Heat."""
    connections = body.get("vimConnectionInfo")
    for index, vim in enumerate(connections if isinstance(connections, list) else ()):
        kind = vim.get("vimType") if isinstance(vim, Mapping) else None
        if isinstance(kind, str) and kind != "openstack":
            path = schema.join("vimConnectionInfo", index, "vimType")
            yield Fault(path, f"expected openstack; got {schema.shown(kind)}")


def _find_level_faults(body: Mapping[str, Any], flavour: Flavour) -> Iterator[Fault]:
    given, levels = body.get("instantiationLevelId"), flavour.vnfd.levels
    if isinstance(given, str) and given not in levels:
        problem = f"the flavour {flavour.id} has no instantiation level {schema.shown(given)}"
        hint = schema.did_you_mean(given, sorted(levels)) if levels else "it has none; leave it out"
        yield Fault("instantiationLevelId", f"{problem}; {hint}")


def _level(body: Mapping[str, Any], flavour: Flavour) -> str | None:
    given = body.get("instantiationLevelId")
    return given if isinstance(given, str) and given in flavour.vnfd.levels else None
