# SPDX-License-Identifier: Apache-2.0
"""Other VNF instances that a request names: nobody but Tacker knows whether they are there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tacker_cir.exceptions import InvalidRequest
from tacker_cir.params import bounds, k8s_cluster, registry_metadata
from tacker_cir.params.registry_connection import KEY
from tacker_cir.params.registry_vnf import MEMBER
from tacker_cir.templates.trees import entries, mapping


def named_vnf_instances(body: Mapping[str, Any]) -> list[str]:
    """Return the names and ids of the VNF instances whose registries a request wants, each once.

    :param body: the decoded body of an instantiation or of an update, which may have faults
    """
    if bounds.find_oversize(body, "the request"):
        return []
    requested = entries(body, "additionalParams", k8s_cluster.KEY, KEY)
    found = [mapping(entry).get(MEMBER) for entry in (*requested, *_changed(body))]
    names = [name for name in found if isinstance(name, str)]
    return list(dict.fromkeys(names))


def _changed(body: Mapping[str, Any]) -> list[Any]:
    """Return the registries of an update, none where they cannot be read."""
    given = mapping(body, "metadata").items()
    try:
        kept = {str(key): value for key, value in given if value is not None}
        return registry_metadata.read(kept) or []
    except InvalidRequest:
        return []
