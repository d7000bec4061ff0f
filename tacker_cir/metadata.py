# SPDX-License-Identifier: Apache-2.0
"""Texts in the metadata of a VNF instance, whose values Tacker's API bounds.

A longer text is divided among keys that end in ``_2``, ``_3``, ...
"""

from __future__ import annotations

import re
from collections.abc import Mapping

#: Characters of a value of key-value pairs, such as metadata.
MAX_VALUE = 1024

_NUMBER = re.compile(r"(?:_([1-9][0-9]{0,3}))?")


def part_key(key: str, number: int) -> str:
    """Return the key of a part of a text, counted from 1."""
    return key if number == 1 else f"{key}_{number}"


def part_number(key: str, given: str) -> int | None:
    """Return which part of the text of ``key`` a given key has, None if none of it."""
    if not given.startswith(key):
        return None
    match = _NUMBER.fullmatch(given, len(key))
    return int(match[1] or 1) if match else None


def divided(key: str, text: str) -> dict[str, str]:
    """Return a text as parts that Tacker takes, by their keys."""
    starts = range(0, len(text), MAX_VALUE)
    return {
        part_key(key, number): text[start : start + MAX_VALUE]
        for number, start in enumerate(starts, 1)
    }


def joined(metadata: Mapping[str, str], key: str) -> str | None:
    """Return a text that was divided, None where there is none."""
    if key not in metadata:
        return None
    parts: list[str] = []
    while part_key(key, len(parts) + 1) in metadata:
        parts.append(metadata[part_key(key, len(parts) + 1)])
    return "".join(parts)


def changed(metadata: Mapping[str, str], values: Mapping[str, str | None]) -> dict[str, str]:
    """Return metadata with other texts.

    :param values: texts by key, None takes one out with all of its parts
    """
    result = {
        given: text
        for given, text in metadata.items()
        if not any(part_number(key, given) for key in values)
    }
    for key, text in values.items():
        result.update(divided(key, text or ""))
    return result
