# SPDX-License-Identifier: Apache-2.0
"""Which request a body is, and of which version of the API."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from tacker_cir.exceptions import Fault
from tacker_cir.params import k8s_cluster, private_registry, schema
from tacker_cir.templates.trees import mapping
from tacker_cir.vnflcm import shapes

#: The operations whose bodies are known, with their shapes.
KINDS: dict[str, Mapping[str, Any]] = {
    "instantiate": shapes.INSTANTIATE,
    "scale": shapes.SCALE,
    "heal": shapes.HEAL,
    "terminate": shapes.TERMINATE,
    "update": shapes.UPDATE,
}

#: The parameters of our drivers, which only an instantiation has.
DRIVER_KEYS = (private_registry.KEY, k8s_cluster.KEY)

_OLD = "of version 2 of the API; a VNF of these drivers has version 1 (/vnflcm/v1)"
# As version 2 names a VNFC: its VDU and an id.
_VNFC = re.compile(r".+-[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}")
# Names alike that only nearly fit count less than those that fit.
_NEARLY = 0.5


def kind_of(body: Mapping[str, Any]) -> str | None:
    """Return the operation that a body is for, None where its members do not tell."""
    scores = {kind: _score(body, shape) for kind, shape in KINDS.items()}
    parameters = mapping(body.get("additionalParams"))
    if any(schema.nearest(str(name), DRIVER_KEYS) for name in parameters):
        scores["instantiate"] += 1
    best = max(scores.values())
    found = [kind for kind, score in scores.items() if score == best]
    return found[0] if best and len(found) == 1 else None


def _score(body: Mapping[str, Any], shape: Mapping[str, Any]) -> float:
    """Return how well the members of a body fit a shape."""
    # They are in several shapes.
    own = [name for name in shape["properties"] if name != "additionalParams"]
    return sum(
        1 if name in own else _NEARLY if schema.nearest(str(name), own) else 0 for name in body
    )


def find_version_2(body: Mapping[str, Any]) -> list[Fault]:
    """Return what shows that a body is of version 2 of the API (SOL 003 V3.3.1): there, one is
    refused or misread by version 1."""
    return sorted(set(_version_2(body)))


def _version_2(body: Mapping[str, Any]) -> Iterator[Fault]:
    if isinstance(body.get("vimConnectionInfo"), dict):
        yield Fault("vimConnectionInfo", f"as an object is {_OLD}, where it is a list")
    for index, link in enumerate(_list(body.get("extVirtualLinks"))):
        for number, cp in enumerate(_list(mapping(link).get("extCps"))):
            if isinstance(mapping(cp).get("cpConfig"), dict):
                path = schema.join("extVirtualLinks", index, "extCps", number, "cpConfig")
                yield Fault(path, f"as an object is {_OLD}, where it is a list")
    for index, vim in enumerate(_list(body.get("vimConnectionInfo"))):
        if str(mapping(vim).get("vimType", "")).startswith("ETSINFV."):
            path = schema.join("vimConnectionInfo", index, "vimType")
            yield Fault(path, f"is {_OLD}, where it is openstack")
    for name in ("vnfcInfoModifications", "vnfcInfoModificationsDeleteIds"):
        if name in body:
            yield Fault(name, f"is {_OLD}")
    for index, vnfc in enumerate(_list(body.get("vnfcInstanceId"))):
        if isinstance(vnfc, str) and _VNFC.fullmatch(vnfc):
            path = schema.join("vnfcInstanceId", index)
            yield Fault(path, f"is {_OLD}, where a VNFC has a UUID alone")
    cluster = mapping(body.get("additionalParams"), k8s_cluster.KEY)
    for role in ("master_node", "worker_node"):
        if "vdu_id" in mapping(cluster, role):
            path = schema.join(k8s_cluster.PATH, role, "vdu_id")
            yield Fault(path, f"is {_OLD}, where aspect_id names the nodes' scaling aspect")


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
