# SPDX-License-Identifier: Apache-2.0
"""Requests of a VNF that is there: to scale and to terminate it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tacker_cir.exceptions import Fault
from tacker_cir.package import VnfPackage
from tacker_cir.params import schema

#: What Tacker itself takes from additionalParams of a scale request.
_SCALE_OPTIONS = ["is_auto", "is_reverse"]


def find_scale_faults(body: Mapping[str, Any], package: VnfPackage | None) -> list[Fault]:
    """Return what is wrong with a ScaleVnfRequest beyond its shape."""
    faults = list(_unknown_parameters(body, _SCALE_OPTIONS))
    aspect, steps = body.get("aspectId"), body.get("numberOfSteps", 1)
    if package is None or not isinstance(aspect, str):
        return faults
    levels = _levels(package)
    if not package.flavours():
        return faults
    if not levels:
        problem = "the VNF package has no scaling aspects: the VNF does not scale"
    elif aspect not in levels:
        hint = schema.did_you_mean(aspect, sorted(levels))
        problem = f"the VNF package has no scaling aspect {schema.shown(aspect)}; {hint}"
    elif levels[aspect] == 0:
        problem = f"{aspect} does not scale (max_scale_level 0)"
    elif isinstance(steps, int) and steps > levels[aspect]:
        problem = f"expected at most {levels[aspect]}, the highest level of {aspect}; got {steps}"
        return [*faults, Fault("numberOfSteps", problem)]
    else:
        return faults
    return [*faults, Fault("aspectId", problem)]


def _levels(package: VnfPackage) -> dict[str, int]:
    """Return the highest level of each aspect, in whichever flavour it is highest."""
    found: dict[str, int] = {}
    for flavour in package.flavours().values():
        for aspect, level in flavour.vnfd.aspects.items():
            found[aspect] = max(level or 0, found.get(aspect, 0))
    return found


def find_terminate_faults(body: Mapping[str, Any], _package: VnfPackage | None) -> list[Fault]:
    """Return what is wrong with a TerminateVnfRequest beyond its shape."""
    faults = list(_unknown_parameters(body, []))
    if body.get("terminationType") == "FORCEFUL" and "gracefulTerminationTimeout" in body:
        problem = "is for terminationType GRACEFUL only"
        faults.append(Fault("gracefulTerminationTimeout", problem))
    return faults


def _unknown_parameters(body: Mapping[str, Any], known: list[str]) -> Iterator[Fault]:
    given = body.get("additionalParams")
    for name in given if isinstance(given, Mapping) else ():
        if name not in known:
            expected = f"; {schema.did_you_mean(str(name), known)}" if known else ""
            path = schema.join("additionalParams", str(name))
            yield Fault(path, f"has no effect in this operation{expected}")
