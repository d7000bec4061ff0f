# SPDX-License-Identifier: Apache-2.0
"""Registries in the metadata of a VNF instance: how they are changed while the cluster lives.

``additionalParams`` of the instantiation stay as they are for a VNF instance's whole life, and
those of other requests belong to VMs being made or removed. ``metadata`` is what Tacker lets a user
change alone (SOL003, 5.4.3.3.4, PATCH). Its values are text of at most 1024 characters: the list is
written as JSON, and a long one is divided among keys that end in ``_2``, ``_3``, ...: into several
lists, or, as one registry with its certificates may be longer, at any character.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from tacker_cir.documents import DocumentError, load_json
from tacker_cir.exceptions import Fault, InvalidMetadata
from tacker_cir.params import bounds
from tacker_cir.params.registry_connection import KEY

PATH = f"metadata.{KEY}"

_KEY = re.compile(rf"{KEY}(?:_([1-9][0-9]{{0,3}}))?")
# What somebody writes who means such a key: another number, another case, a hyphen.
_LIKE_A_KEY = re.compile(rf"\s*{KEY.replace('_', '[_ -]?')}[\s_-]*[0-9]*\s*", re.IGNORECASE)


def read(metadata: Mapping[str, Any]) -> list[Any] | None:
    """Return the list of registries, unchecked; None where the metadata hold none.

    :raises InvalidMetadata: a value is not a list in JSON, or a key is not one of those above
    """
    parts: dict[int, str] = {}
    faults = []
    for key in metadata:
        match = _KEY.fullmatch(key)
        if match is None:
            if _LIKE_A_KEY.fullmatch(key):
                problem = f"is not read; expected {KEY}, {KEY}_2, {KEY}_3, ..."
                faults.append(Fault(f"metadata.{key}", problem))
            continue
        first = parts.setdefault(int(match[1] or 1), key)
        if first != key:
            problem = f"is the same part of the list as {first}; expected one of the two"
            faults.append(Fault(f"metadata.{key}", problem))
    registries, unreadable = _read_parts({n: (parts[n], metadata[parts[n]]) for n in sorted(parts)})
    faults += [*unreadable, *bounds.find_excess(registries, PATH)]
    if faults:
        raise InvalidMetadata(faults)
    return registries if parts else None


def _read_parts(parts: Mapping[int, tuple[str, Any]]) -> tuple[list[Any], list[Fault]]:
    """Return the registries of several lists, or of one that was divided, and what is wrong.

    :param parts: keys and values by the keys' numbers
    """
    registries: list[Any] = []
    faults = []
    for key, text in parts.values():
        found, problem = _read_list(text)
        registries += found
        if problem:
            faults.append(Fault(f"metadata.{key}", problem))
    texts = [text for _, text in parts.values() if isinstance(text, str)]
    # Without a gap, in which a piece of a text would be missing.
    if faults and list(parts) == list(range(1, len(texts) + 1)):
        whole, problem = _read_list("".join(texts))
        if problem is None:
            return whole, []
    return registries, faults


def _read_list(text: Any) -> tuple[list[Any], str | None]:
    """Return the list that a text holds, and what is wrong with it: not the text, which may hold a
    password."""
    problem = "expected a list of registries, written as JSON in one string"
    if not isinstance(text, str) or len(text) > bounds.MAX_SIZE:
        return [], problem
    try:
        found = load_json(text, unique=True)
    except DocumentError as error:
        return [], f"{problem}: {error}"
    return (found, None) if isinstance(found, list) else ([], problem)


def relocated(faults: Iterable[Fault], parameter: str) -> list[Fault]:
    """Return the faults with those of registries where the user finds them.

    :param parameter: path of the parameter that the metadata's list took the place in
    """
    prefix = f"{parameter}.{KEY}"
    return [
        Fault(PATH + fault.path.removeprefix(prefix), fault.problem)
        if fault.path.startswith(prefix)
        else fault
        for fault in faults
    ]
