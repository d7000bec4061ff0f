# SPDX-License-Identifier: Apache-2.0
"""VnfInfoModificationRequest: the registries of a living cluster stand in its metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tacker_cir.exceptions import Fault, InvalidRequest
from tacker_cir.package import VnfPackage
from tacker_cir.params import registry_metadata
from tacker_cir.params.registry_connection import KEY
from tacker_cir.params.registry_list import find_registry_faults
from tacker_cir.vnflcm.shapes import MAX_VALUE

#: Keys of metadata that a new list leaves nothing of an older one in.
CLEARED_PARTS = 64


def find_update_faults(body: Mapping[str, Any], package: VnfPackage | None) -> list[Fault]:
    """Return what is wrong with the registries in an update's metadata."""
    metadata = body.get("metadata")
    if not isinstance(metadata, Mapping):
        return []
    # A key that is null is taken away.
    given = {str(key): value for key, value in metadata.items() if value is not None}
    try:
        registries = registry_metadata.read(given)
    except InvalidRequest as error:
        return list(error.faults)
    return find_registry_faults(registries or [], package, "metadata")


def registries_body(registries: Sequence[Any]) -> dict[str, Any]:
    """Return the body of an update that gives a cluster these registries.

    Tacker takes :data:`MAX_VALUE` characters for one value, so that a long list is divided. Keys of
    an older list that was longer are removed.
    """
    text = json.dumps(list(registries), separators=(",", ":"))
    values: list[str | None] = [
        text[start : start + MAX_VALUE] for start in range(0, len(text), MAX_VALUE)
    ]
    values += [None] * (CLEARED_PARTS - len(values))
    return {"metadata": {_key(number): value for number, value in enumerate(values, 1)}}


def _key(number: int) -> str:
    return KEY if number == 1 else f"{KEY}_{number}"
