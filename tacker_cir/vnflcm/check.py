# SPDX-License-Identifier: Apache-2.0
"""Every fault of a request, each with its path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tacker_cir.exceptions import Fault
from tacker_cir.package import VnfPackage
from tacker_cir.params import bounds, schema
from tacker_cir.vnflcm.instantiate import find_instantiate_faults
from tacker_cir.vnflcm.kinds import KINDS, find_version_2, kind_of
from tacker_cir.vnflcm.operations import find_scale_faults, find_terminate_faults
from tacker_cir.vnflcm.placeholders import find_placeholders
from tacker_cir.vnflcm.update import find_update_faults

#: Where a fault of the body as a whole is.
WHOLE = "the request"

_CHECKS = {
    "instantiate": find_instantiate_faults,
    "scale": find_scale_faults,
    "terminate": find_terminate_faults,
    "update": find_update_faults,
}


def find_request_faults(
    body: Mapping[str, Any], package: VnfPackage | None, kind: str | None = None
) -> list[Fault]:
    """Return every fault of a request, none where it is right.

    :param body: the decoded body
    :param package: the VNF package that the request is for; None leaves unchecked what only the
        package can tell
    :param kind: the operation, one of :data:`KINDS`; None to tell it by the body's members
    """
    oversize = bounds.find_oversize(body, WHOLE)
    if oversize:
        return oversize
    kind = kind or kind_of(body)
    if kind is None:
        known = ", ".join(KINDS)
        return [Fault(WHOLE, f"its members do not tell which request it is; expected {known}")]
    other_version = find_version_2(body)
    if other_version:
        return other_version
    faults = [_rooted(fault) for fault in schema.find_faults(body, KINDS[kind], WHOLE)]
    check = _CHECKS.get(kind)
    if check is not None:
        faults += check(body, package)
    return sorted({*faults, *find_placeholders(body)})


def _rooted(fault: Fault) -> Fault:
    """Return a fault whose path begins in the body, where it is not the body as a whole."""
    inside = fault.path.removeprefix(f"{WHOLE}.")
    return Fault(inside, fault.problem)
