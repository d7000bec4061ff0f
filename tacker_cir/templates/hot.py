# SPDX-License-Identifier: Apache-2.0
"""The base HOT of a deployment flavour: a top template and those that it nests."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tacker_cir.templates.trees import mapping, named, number

DIRECTORY = "BaseHOT"
SUFFIXES = (".yaml", ".yml")

PORT = "OS::Neutron::Port"
FLOATING_IP = "OS::Neutron::FloatingIP"
SERVER = "OS::Nova::Server"
VOLUME = "OS::Cinder::Volume"
ATTACHMENT = "OS::Cinder::VolumeAttachment"
GROUP = "OS::Heat::AutoScalingGroup"


@dataclass
class BaseHot:
    """Templates as Tacker finds them: in ``BaseHOT/<flavour>``, and nested ones in ``nested``.

    :param directory: ``BaseHOT/<flavour>``
    :param tops: templates in it by path; Tacker takes one
    :param nested: templates in its directory ``nested`` by path
    """

    directory: str
    tops: dict[str, Any] = field(default_factory=dict)
    nested: dict[str, Any] = field(default_factory=dict)

    @property
    def templates(self) -> dict[str, Any]:
        """All templates by path."""
        return self.tops | self.nested

    def path_of(self, type_name: str) -> str:
        """Return the path of the nested template that is a resource's type: Tacker hands them to
        Heat by the names of their files."""
        return f"{self.directory}/nested/{type_name}"

    def resources(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Yield path, name and definition of every resource."""
        for path, template in self.templates.items():
            for name, resource in named(template, "resources"):
                yield path, name, resource

    def names(self, *types: str) -> frozenset[str]:
        """Return the names of all resources of some types."""
        return frozenset(
            name for _, name, resource in self.resources() if resource.get("type") in types
        )

    def groups(self) -> dict[str, dict[str, Any]]:
        """Return the auto-scaling groups of the top template by name."""
        return {
            name: resource
            for template in self.tops.values()
            for name, resource in named(template, "resources")
            if resource.get("type") == GROUP
        }

    def sizes(self, group: str) -> tuple[int | None, int | None]:
        """Return how small and how large a group may be."""
        properties = mapping(self.groups().get(group), "properties")
        return number(properties.get("min_size")), number(properties.get("max_size"))

    def capacity(self, group: str) -> int | None:
        """Return the default of the parameter that says a group's desired capacity, or that
        capacity."""
        given: Any = mapping(self.groups().get(group), "properties").get("desired_capacity")
        if isinstance(given, dict):
            name = given.get("get_param")
            for template in self.tops.values():
                given = mapping(template, "parameters", str(name)).get("default")
        return number(given)

    def members(self, group: str) -> dict[str, str]:
        """Return the resources that each member of a group has, with their types."""
        return self._inside([mapping(self.groups().get(group), "properties", "resource")])

    def outside(self) -> dict[str, str]:
        """Return the resources that there are once, with their types: those of no group."""
        tops = {
            name: resource
            for template in self.tops.values()
            for name, resource in named(template, "resources")
        }
        own = {name: str(resource.get("type")) for name, resource in tops.items()}
        once = [resource for resource in tops.values() if resource.get("type") != GROUP]
        return own | self._inside(once)

    def _inside(self, resources: list[dict[str, Any]]) -> dict[str, str]:
        """Return the resources of the templates that are the types of resources, and of those that
        these nest."""
        found: dict[str, str] = {}
        seen: set[str] = set()
        left = list(resources)
        while left:
            for outer in nesting(left.pop()):
                path = self.path_of(str(outer.get("type")))
                if path in seen or path not in self.nested:
                    continue
                seen.add(path)
                for name, inner in named(self.nested[path], "resources"):
                    found[name] = str(inner.get("type"))
                    left.append(inner)
        return found


def nesting(resource: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the definitions in a resource whose types may be files: its own, and that of a group's
    members (AutoScalingGroup, ResourceGroup)."""
    yield resource
    for key in ("resource", "resource_def"):
        yield mapping(resource, "properties", key)


def read_base_hots(templates: Mapping[str, Any]) -> dict[str, BaseHot]:
    """Return the base HOTs by the flavour that their directory is called after.

    :param templates: decoded files by path in the package
    """
    found: dict[str, BaseHot] = {}
    for path, template in templates.items():
        top, *rest = path.split("/")
        if top != DIRECTORY or len(rest) < 2 or not path.endswith(SUFFIXES):
            continue
        hot = found.setdefault(rest[0], BaseHot(f"{DIRECTORY}/{rest[0]}"))
        if len(rest) == 2:
            hot.tops[path] = template
        elif posixpath.dirname(path) == f"{hot.directory}/nested":
            hot.nested[path] = template
    return found
