# SPDX-License-Identifier: Apache-2.0
"""VnfInfoModificationRequest: the registries of a living cluster stand in its metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tacker_cir import metadata
from tacker_cir.exceptions import Fault, InvalidRequest
from tacker_cir.package import VnfPackage
from tacker_cir.params import registry_metadata
from tacker_cir.params.registry_connection import KEY
from tacker_cir.params.registry_list import find_registry_faults

#: Keys of metadata that a new list leaves nothing of an older one in.
CLEARED_PARTS = 64


def find_update_faults(body: Mapping[str, Any], package: VnfPackage | None) -> list[Fault]:
    """Return what is wrong with the registries in an update's metadata."""
    new = body.get("metadata")
    if not isinstance(new, Mapping):
        return []
    # A key that is null is taken away.
    given = {str(key): value for key, value in new.items() if value is not None}
    try:
        registries = registry_metadata.read(given)
    except InvalidRequest as error:
        return list(error.faults)
    return find_registry_faults(registries or [], package, "metadata")


def registries_body(registries: Sequence[Any]) -> dict[str, Any]:
    """Return the body of an update that gives a cluster these registries.

    Tacker bounds the length of one value, so that a long list is divided. Keys of an older list
    that was longer are removed.
    """
    text = json.dumps(list(registries), separators=(",", ":"))
    cleared = (metadata.part_key(KEY, number) for number in range(1, CLEARED_PARTS + 1))
    return {"metadata": {**dict.fromkeys(cleared), **metadata.divided(KEY, text)}}
