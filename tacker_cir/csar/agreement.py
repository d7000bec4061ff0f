# SPDX-License-Identifier: Apache-2.0
"""Whether a flavour's VNFD and its base HOT say the same: names, and numbers of VMs."""

from __future__ import annotations

from collections.abc import Iterator

from tacker_cir.csar.finding import Finding, error
from tacker_cir.params.schema import did_you_mean
from tacker_cir.templates.flavours import Flavour
from tacker_cir.templates.hot import FLOATING_IP, PORT, SERVER, BaseHot


def check_flavour(flavour: Flavour) -> Iterator[Finding]:
    """Check a flavour's VNFD by itself and against its base HOT, where it has one."""
    path = flavour.vnfd.path
    yield from (error(path, fault) for fault in flavour.vnfd.policy_faults)
    for cp, vdu in flavour.vnfd.cps.items():
        if vdu is not None and vdu not in flavour.vnfd.vdus:
            yield error(path, f"{cp} is bound to {vdu}, which is no VDU of the flavour")
    yield from _check_levels(flavour)
    for vdu in flavour.vnfd.vdus:
        yield from _check_profile(flavour, vdu)
    if flavour.hot and flavour.hot.tops:
        yield from _check_names(flavour, flavour.hot)
        yield from _check_groups(flavour, flavour.hot)


def _check_names(flavour: Flavour, hot: BaseHot) -> Iterator[Finding]:
    """Tacker finds a VNFC's server and ports in Heat by the names of the VDU and its CPs."""
    wanted = (
        ("VDU", flavour.vnfd.vdus, (SERVER,), "server"),
        ("CP", flavour.vnfd.cps, (PORT, FLOATING_IP), "port"),
    )
    for kind, names, types, noun in wanted:
        known = hot.names(*types)
        for name in names:
            if name not in known:
                hint = did_you_mean(name, sorted(known))
                yield error(
                    hot.directory,
                    f"no template has a {noun} named {name}, as the {kind} in {flavour.vnfd.path} "
                    f"is; {hint}",
                )
    for server in hot.names(SERVER) - flavour.vnfd.vdus.keys():
        yield error(
            hot.directory, f"the server {server} is no VDU of {flavour.vnfd.path}, Tacker loses it"
        )


def _check_groups(flavour: Flavour, hot: BaseHot) -> Iterator[Finding]:
    groups, aspects = hot.groups(), flavour.vnfd.aspects
    for aspect in aspects:
        if aspect not in groups:
            hint = did_you_mean(aspect, sorted(groups))
            yield error(
                hot.directory,
                f"no auto-scaling group has the name of the aspect {aspect} in "
                f"{flavour.vnfd.path}; {hint}",
            )
    for group in groups:
        if group not in aspects:
            yield error(
                hot.directory,
                f"the auto-scaling group {group} is no aspect of {flavour.vnfd.path}; "
                f"{did_you_mean(group, sorted(aspects))}",
            )
        else:
            yield from _check_sizes(flavour, hot, group)


def _check_sizes(flavour: Flavour, hot: BaseHot, group: str) -> Iterator[Finding]:
    smallest, largest = hot.sizes(group)
    for name, size in (("min_size", smallest), ("max_size", largest)):
        if size is None:
            yield error(
                hot.directory,
                f"the group {group} has no plain number as {name}, which Tacker reads",
            )
    if smallest is None or largest is None:
        return
    for what, count in _counts(flavour, group):
        if not smallest <= count <= largest:
            yield error(
                hot.directory,
                f"the group {group} has {smallest} to {largest} members (min_size, max_size), but "
                f"{flavour.vnfd.path} has {count} {what}",
            )
    capacity = hot.capacity(group)
    if capacity is not None and not smallest <= capacity <= largest:
        yield error(
            hot.directory,
            f"the group {group} has the desired capacity {capacity}, but {smallest} to {largest} "
            "members (min_size, max_size)",
        )


def _counts(flavour: Flavour, aspect: str) -> Iterator[tuple[str, int]]:
    """Yield how many VMs of an aspect's VDUs there may be, and when."""
    vnfd = flavour.vnfd
    for vdu in vnfd.vdus:
        if vnfd.aspect_of(vdu) == aspect:
            yield from _counts_of(flavour, vdu)


def _counts_of(flavour: Flavour, vdu: str) -> Iterator[tuple[str, int]]:
    vnfd = flavour.vnfd
    initial = vnfd.initial(vdu)
    if initial is None:
        return
    yield f"of {vdu} initially (VduInitialDelta)", initial
    aspect = vnfd.aspect_of(vdu)
    highest = vnfd.aspects.get(aspect or "")
    if highest:
        count = initial + vnfd.step(vdu) * highest
        yield f"of {vdu} at the highest level of {aspect} (max_scale_level {highest})", count
    for level in vnfd.levels:
        at_level = vnfd.count(vdu, level)
        if at_level is not None:
            yield f"of {vdu} at the instantiation level {level}", at_level


def _check_profile(flavour: Flavour, vdu: str) -> Iterator[Finding]:
    smallest, largest = flavour.vnfd.profile(vdu)
    for what, count in _counts_of(flavour, vdu):
        if (smallest is not None and count < smallest) or (largest is not None and count > largest):
            yield error(
                flavour.vnfd.path,
                f"vdu_profile of {vdu} allows {smallest} to {largest} instances, but there are "
                f"{count} {what}",
            )


def _check_levels(flavour: Flavour) -> Iterator[Finding]:
    vnfd = flavour.vnfd
    if vnfd.default_level is not None and vnfd.default_level not in vnfd.levels:
        yield error(vnfd.path, f"default_level {vnfd.default_level} is no instantiation level")
    for level, scales in vnfd.levels.items():
        for aspect in vnfd.aspects.keys() - scales.keys():
            yield error(
                vnfd.path, f"the instantiation level {level} says no scale_level of {aspect}"
            )
        for aspect, scale in scales.items():
            highest = vnfd.aspects.get(aspect)
            if aspect not in vnfd.aspects or (highest is not None and scale > highest):
                yield error(
                    vnfd.path,
                    f"the instantiation level {level} has {aspect} at scale level {scale}, which "
                    f"is more than {highest or 0} (max_scale_level)",
                )
        for vdu, given in vnfd.level_counts(level).items():
            count = vnfd.count(vdu, level)
            if count is not None and count != given:
                yield error(
                    vnfd.path,
                    f"the instantiation level {level} has {given} of {vdu} "
                    f"(VduInstantiationLevels), but the scale level makes them {count}",
                )
