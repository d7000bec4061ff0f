# SPDX-License-Identifier: Apache-2.0
"""Walking through decoded YAML of any shape."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def mapping(value: Any, *keys: str) -> dict[str, Any]:
    """Return the mapping under the keys; empty where something else or nothing is there."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def entries(value: Any, *keys: str) -> Iterator[Any]:
    """Yield the entries of the list under the keys; none where something else is there."""
    *path, last = keys
    found = mapping(value, *path).get(last)
    yield from found if isinstance(found, list) else ()


def named(value: Any, *keys: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the named objects under the keys: of a mapping, or, as TOSCA has policies and
    requirements, of a list of mappings."""
    *path, last = keys
    found = mapping(value, *path).get(last)
    for members in found if isinstance(found, list) else [found]:
        for name, member in mapping(members).items():
            if isinstance(member, dict):
                yield str(name), member


def number(value: Any) -> int | None:
    """Return a whole number, None for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def walk(value: Any) -> Iterator[Any]:
    """Yield a value and all that is in it."""
    left = [value]
    while left:
        found = left.pop()
        yield found
        if isinstance(found, dict):
            left += found.values()
        elif isinstance(found, list):
            left += found
