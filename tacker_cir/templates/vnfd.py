# SPDX-License-Identifier: Apache-2.0
"""A deployment flavour in a VNFD (ETSI GS NFV-SOL 001): what it consists of and how it scales."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import islice
from typing import Any

from tacker_cir.templates.trees import entries, mapping, named, number

_NFV = "tosca.nodes.nfv"
_POLICY = "tosca.policies.nfv"

#: Nodes, policies, aspects and levels that are looked at; those of the samples are twenty.
MAX_PARTS = 500


class FlavourVnfd:
    """The file of a VNFD that describes one deployment flavour.

    :param path: of the file in the package
    :param document: the decoded file
    """

    def __init__(self, path: str, document: Mapping[str, Any]):
        self.path = path
        self._topology = mapping(document, "topology_template")
        given = mapping(self._topology, "substitution_mappings", "properties").get("flavour_id")
        #: Identifier of the flavour, None where the file says none.
        self.id: str | None = given if isinstance(given, str) else None

    @cached_property
    def vdus(self) -> dict[str, dict[str, Any]]:
        """The VDUs that are VMs, by name."""
        return dict(self._nodes(f"{_NFV}.Vdu.Compute"))

    @cached_property
    def cps(self) -> dict[str, str | None]:
        """The CPs of VDUs, each with the VDU that it belongs to."""
        return {
            name: _target(node, "virtual_binding") for name, node in self._nodes(f"{_NFV}.VduCp")
        }

    @cached_property
    def open_cps(self) -> frozenset[str]:
        """The CPs that no virtual link of the VNFD connects: a request has to."""
        cps = self._nodes(f"{_NFV}.VduCp")
        return frozenset(name for name, node in cps if not _target(node, "virtual_link"))

    @cached_property
    def inputs(self) -> frozenset[str]:
        """The inputs, which Tacker takes from ``additionalParams`` as well."""
        return frozenset(mapping(self._topology, "inputs"))

    @cached_property
    def virtual_links(self) -> frozenset[str]:
        """The virtual links of the VNF itself."""
        return frozenset(name for name, _ in self._nodes(f"{_NFV}.VnfVirtualLink"))

    @cached_property
    def aspects(self) -> dict[str, int | None]:
        """The scaling aspects, each with its highest level."""
        return {
            name: number(aspect.get("max_scale_level"))
            for policy in self._policies("ScalingAspects")
            for name, aspect in islice(named(policy, "properties", "aspects"), MAX_PARTS)
        }

    @cached_property
    def levels(self) -> dict[str, dict[str, int]]:
        """The instantiation levels: of each the scale level by aspect."""
        return {
            name: {
                aspect: number(info.get("scale_level")) or 0
                for aspect, info in named(level, "scale_info")
            }
            for policy in self._policies("InstantiationLevels")
            for name, level in islice(named(policy, "properties", "levels"), MAX_PARTS)
        }

    @cached_property
    def default_level(self) -> str | None:
        """The instantiation level where a request names none."""
        for policy in self._policies("InstantiationLevels"):
            given = mapping(policy, "properties").get("default_level")
            return given if isinstance(given, str) else next(iter(self.levels), None)
        return None

    def level_counts(self, level: str) -> dict[str, int]:
        """Return how many VMs of each VDU a level has as VduInstantiationLevels say."""
        found: dict[str, int] = {}
        for policy in self._policies("VduInstantiationLevels"):
            levels = mapping(policy, "properties", "levels", level)
            count = number(levels.get("number_of_instances"))
            if count is not None:
                found.update(dict.fromkeys(_targets(policy), count))
        return found

    def aspect_of(self, vdu: str) -> str | None:
        """Return the aspect that scales a VDU."""
        return self._scaling.get(vdu, (None, 0))[0]

    def initial(self, vdu: str) -> int | None:
        """Return how many VMs of a VDU there are at the lowest scale level, as VduInitialDelta
        says."""
        return self._initial.get(vdu)

    def step(self, vdu: str) -> int:
        """Return how many VMs of a VDU one scale level is; Tacker knows one delta an aspect."""
        return self._scaling.get(vdu, (None, 0))[1]

    @cached_property
    def _initial(self) -> dict[str, int | None]:
        found: dict[str, int | None] = {}
        for policy in self._policies("VduInitialDelta"):
            delta = mapping(policy, "properties", "initial_delta")
            for vdu in _targets(policy):
                found.setdefault(vdu, number(delta.get("number_of_instances")))
        return found

    @cached_property
    def _scaling(self) -> dict[str, tuple[str | None, int]]:
        """Aspect and VMs of one level by VDU."""
        found: dict[str, tuple[str | None, int]] = {}
        for policy in self._policies("VduScalingAspectDeltas"):
            aspect = mapping(policy, "properties").get("aspect")
            deltas = [delta for _, delta in named(policy, "properties", "deltas")]
            step = number(deltas[0].get("number_of_instances")) or 0 if deltas else 0
            for vdu in _targets(policy):
                found.setdefault(vdu, (aspect if isinstance(aspect, str) else None, step))
        return found

    def count(self, vdu: str, level: str | None = None) -> int | None:
        """Return how many VMs of a VDU Tacker makes at an instantiation.

        :param level: instantiation level; None for the default
        """
        initial, aspect = self.initial(vdu), self.aspect_of(vdu)
        if initial is None:
            return None
        scale = self.levels.get(level or self.default_level or "", {})
        return initial + self.step(vdu) * scale.get(aspect or "", 0)

    def profile(self, vdu: str) -> tuple[int | None, int | None]:
        """Return how few and how many VMs of a VDU its profile allows."""
        given = mapping(self.vdus.get(vdu), "properties", "vdu_profile")
        return (
            number(given.get("min_number_of_instances")),
            number(given.get("max_number_of_instances")),
        )

    @property
    def policy_faults(self) -> Iterator[str]:
        """What policies name that the flavour does not have."""
        for kind in ("VduInitialDelta", "VduScalingAspectDeltas", "VduInstantiationLevels"):
            for policy in self._policies(kind):
                for target in _targets(policy):
                    if target not in self.vdus:
                        yield f"a policy {kind} has the target {target}, which is no VDU"
        for policy in self._policies("VduScalingAspectDeltas"):
            aspect = mapping(policy, "properties").get("aspect")
            if aspect not in self.aspects:
                yield f"a policy VduScalingAspectDeltas has the aspect {aspect}, which is none"

    def _nodes(self, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
        for name, node in islice(named(self._topology, "node_templates"), MAX_PARTS):
            if node.get("type") == kind:
                yield name, node

    def _policies(self, kind: str) -> Iterator[dict[str, Any]]:
        for _, policy in islice(named(self._topology, "policies"), MAX_PARTS):
            if policy.get("type") == f"{_POLICY}.{kind}":
                yield policy


def _targets(policy: Mapping[str, Any]) -> list[str]:
    return [target for target in entries(policy, "targets") if isinstance(target, str)]


def _target(node: Mapping[str, Any], requirement: str) -> str | None:
    """Return the node that a requirement names, in TOSCA's short or long notation."""
    for item in entries(node, "requirements"):
        given = mapping(item).get(requirement)
        if isinstance(given, dict):
            given = given.get("node")
        if isinstance(given, str):
            return given
    return None
