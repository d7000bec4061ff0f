# SPDX-License-Identifier: Apache-2.0
"""Registries in the metadata of a VNF instance: how they are changed while the cluster lives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tacker_cir.exceptions import Fault
from tacker_cir.params.metadata_json import MetadataParameter
from tacker_cir.params.registry_connection import KEY

_REGISTRIES = MetadataParameter(KEY, list, "a list of registries")
PATH = _REGISTRIES.path


def read(metadata: Mapping[str, Any]) -> list[Any] | None:
    """Return the list of registries, unchecked; None where the metadata hold none.

    :raises InvalidMetadata: a value is not a list in JSON, or a key is not one of those that are
        read
    """
    found: list[Any] | None = _REGISTRIES.read(metadata)
    return found


def relocated(faults: Iterable[Fault], parameter: str) -> list[Fault]:
    """Return the faults with those of registries where the user finds them.

    :param parameter: path of the parameter that the metadata's list took the place in
    """
    return _REGISTRIES.relocated(faults, f"{parameter}.{KEY}")
