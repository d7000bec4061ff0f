# SPDX-License-Identifier: Apache-2.0
"""VnfInfoModificationRequest: what changes of a living cluster's registries, or of a living
registry, stands in the metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tacker_cir import metadata
from tacker_cir.exceptions import Fault, InvalidRequest
from tacker_cir.package import VnfPackage
from tacker_cir.params import registry_metadata, registry_override
from tacker_cir.params.registry_connection import KEY
from tacker_cir.params.registry_list import find_registry_faults

#: Keys of metadata that a new list leaves nothing of an older one in.
CLEARED_PARTS = 64


def find_update_faults(body: Mapping[str, Any], package: VnfPackage | None) -> list[Fault]:
    """Return what is wrong with the registries, and with a registry's own parameter, in an update's
    metadata."""
    new = body.get("metadata")
    if not isinstance(new, Mapping):
        return []
    # A key that is null is taken away.
    given = {str(key): value for key, value in new.items() if value is not None}
    return _find_registries_faults(given, package) + _find_registry_faults(given, package)


def _find_registries_faults(given: Mapping[str, Any], package: VnfPackage | None) -> list[Fault]:
    try:
        registries = registry_metadata.read(given)
    except InvalidRequest as error:
        return list(error.faults)
    return find_registry_faults(registries or [], package, "metadata")


def _find_registry_faults(given: Mapping[str, Any], package: VnfPackage | None) -> list[Fault]:
    try:
        members = registry_override.read(given)
    except InvalidRequest as error:
        return list(error.faults)
    if members is None:
        return []
    return registry_override.find_override_faults(members, package, registry_override.PATH)


def update_body(key: str, value: Any) -> dict[str, Any]:
    """Return the body of an update with a parameter in the metadata: a cluster's registries, or
    what changes of a registry.

    Tacker bounds the length of one value, so that a long text is divided. Keys of an older
    one that was longer are removed.
    """
    text = json.dumps(value, separators=(",", ":"))
    cleared = (metadata.part_key(key, number) for number in range(1, CLEARED_PARTS + 1))
    return {"metadata": {**dict.fromkeys(cleared), **metadata.divided(key, text)}}


def registries_body(registries: Sequence[Any]) -> dict[str, Any]:
    """Return the body of an update that gives a cluster these registries."""
    return update_body(KEY, list(registries))
