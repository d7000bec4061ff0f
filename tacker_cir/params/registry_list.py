# SPDX-License-Identifier: Apache-2.0
"""A list of registries by itself, as the metadata of a VNF instance have it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tacker_cir.exceptions import Fault
from tacker_cir.package import VnfPackage
from tacker_cir.params import bounds, schema
from tacker_cir.params.k8s_cluster_schema import SCHEMA
from tacker_cir.params.reader import Reader
from tacker_cir.params.registry_connection import KEY, read_registries

_SCHEMA = {"type": "object", "properties": {KEY: SCHEMA["properties"][KEY]}}


def find_registry_faults(
    registries: Sequence[Any], package: VnfPackage | None, path: str
) -> list[Fault]:
    """Return every fault of the list. What only one container runtime cannot do is not judged.

    :param registries: as a request has them in ``private_registry_connection_info``
    :param package: the VNF package that paths lead into; None leaves them unchecked
    :param path: what the list is a member of
    """
    excess = bounds.find_excess(registries, schema.join(path, KEY))
    if excess:
        return excess
    given = {KEY: list(registries)}
    reader = Reader(given, path, package, schema.find_faults(given, _SCHEMA, path))
    read_registries(reader, None)
    return reader.faults
