# SPDX-License-Identifier: Apache-2.0
"""Registries in the metadata of a VNF instance: how they are changed while the cluster lives.

``additionalParams`` of the instantiation stay as they are for a VNF instance's whole life, and
those of other requests belong to VMs being made or removed. ``metadata`` is what Tacker lets a user
change alone (SOL003, 5.4.3.3.4, PATCH). Its values are text of at most 1024 characters: the list is
written as JSON, and a long one is divided into several lists whose keys end in ``_2``, ``_3``, ...
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from tacker_cir.exceptions import Fault, InvalidMetadata
from tacker_cir.params.registry_connection import KEY

PATH = f"metadata.{KEY}"

_KEY = re.compile(rf"{KEY}(?:_([1-9][0-9]*))?")


def read(metadata: Mapping[str, Any]) -> list[Any] | None:
    """Return the list of registries, unchecked; None where the metadata hold none.

    :raises InvalidMetadata: a value is not a list in JSON
    """
    parts: dict[int, str] = {}
    for key in metadata:
        match = _KEY.fullmatch(key)
        if match:
            parts[int(match[1] or 1)] = key
    if not parts:
        return None
    registries: list[Any] = []
    faults = []
    for _, key in sorted(parts.items()):
        try:
            found = json.loads(metadata[key])
        except (TypeError, ValueError):
            found = None
        if isinstance(found, list):
            registries += found
        else:
            # Not shown: it may hold a password.
            problem = "expected a list of registries, written as JSON in one string"
            faults.append(Fault(f"metadata.{key}", problem))
    if faults:
        raise InvalidMetadata(faults)
    return registries


def relocated(faults: Iterable[Fault], parameter: str) -> list[Fault]:
    """Return the faults with those of registries where the user finds them.

    :param parameter: path of the parameter that the metadata's list took the place in
    """
    prefix = f"{parameter}.{KEY}"
    return [
        Fault(PATH + fault.path.removeprefix(prefix), fault.problem)
        if fault.path.startswith(prefix)
        else fault
        for fault in faults
    ]
