# SPDX-License-Identifier: Apache-2.0
"""Judges base HOTs by what Heat would refuse, when VMs shall be made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tacker_cir.csar.finding import Finding, error
from tacker_cir.params.schema import did_you_mean
from tacker_cir.templates.hot import GROUP, SUFFIXES, BaseHot, nesting
from tacker_cir.templates.trees import mapping, named, walk

#: Parameters that every template has (Heat's "HOT specification", pseudo parameters).
_PSEUDO = frozenset({"OS::stack_id", "OS::stack_name", "OS::project_id"})


def check_base_hot(hot: BaseHot) -> Iterator[Finding]:
    """Check the templates of a flavour, each by itself and with those that it nests."""
    if not hot.tops:
        yield error(hot.directory, "has no top template (*.yaml), which Tacker gives to Heat")
    if len(hot.tops) > 1:
        names = ", ".join(sorted(hot.tops))
        yield error(hot.directory, f"has several top templates, of which Tacker takes any: {names}")
    for path, template in hot.templates.items():
        yield from _check_template(path, template)
        for name, resource in named(template, "resources"):
            yield from _check_nesting(hot, path, name, resource)


def _check_template(path: str, template: Any) -> Iterator[Finding]:
    if "heat_template_version" not in mapping(template):
        yield error(path, "has no heat_template_version")
    resources = mapping(template, "resources")
    if not resources:
        yield error(path, "has no resources")
    for name, resource in resources.items():
        if not isinstance(mapping(resource).get("type"), str):
            yield error(path, f"resource {name} has no type")
    parameters = set(mapping(template, "parameters")) | _PSEUDO
    for kind, given in _references(template):
        known = parameters if kind == "get_param" else set(resources)
        if given not in known:
            noun = "parameter" if kind == "get_param" else "resource"
            hint = did_you_mean(given, sorted(known - _PSEUDO))
            yield error(path, f"{kind} names the {noun} {given!r}, which is none; {hint}")


def _references(template: Any) -> list[tuple[str, str]]:
    """Return the names that functions refer to, with the function, each once."""
    found: dict[tuple[str, str], None] = {}
    # Outputs are taken lazily by Heat, conditions like resources.
    for part in ("resources", "conditions", "outputs"):
        for value in walk(mapping(template, part)):
            for kind in ("get_param", "get_resource", "get_attr"):
                given = mapping(value).get(kind)
                given = given[0] if isinstance(given, list) and given else given
                if isinstance(given, str):
                    found[kind, given] = None
    for _, resource in named(template, "resources"):
        given = resource.get("depends_on")
        for name in given if isinstance(given, list) else [given]:
            if isinstance(name, str):
                found["depends_on", name] = None
    return list(found)


def _check_nesting(
    hot: BaseHot, path: str, name: str, resource: dict[str, Any]
) -> Iterator[Finding]:
    """Check a resource whose type is a file of the package, and the members of a group."""
    member = mapping(resource, "properties", "resource")
    if resource.get("type") == GROUP and not isinstance(member.get("type"), str):
        yield error(path, f"the group {name} has no resource with a type, which its members are of")
    for outer in nesting(resource):
        kind = outer.get("type")
        if isinstance(kind, str) and kind.endswith(SUFFIXES) and "://" not in kind:
            yield from _check_nested(hot, path, name, outer, kind)


def _check_nested(
    hot: BaseHot, path: str, label: str, resource: Mapping[str, Any], kind: str
) -> Iterator[Finding]:
    nested = hot.nested.get(hot.path_of(kind))
    if nested is None:
        yield error(
            path, f"{label} has the type {kind}, but {hot.path_of(kind)} is not in the package"
        )
        return
    parameters = mapping(nested, "parameters")
    given = mapping(resource, "properties")
    for name in given.keys() - parameters.keys():
        hint = did_you_mean(str(name), sorted(map(str, parameters)))
        yield error(path, f"{label} sets {name}, which {kind} has no parameter for; {hint}")
    for name, parameter in parameters.items():
        if name not in given and "default" not in mapping(parameter):
            yield error(path, f"{label} does not set {name}, which {kind} has no default for")
