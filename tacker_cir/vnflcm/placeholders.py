# SPDX-License-Identifier: Apache-2.0
"""Ids that a request has from a sample, and that mean nothing at any site."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Any

from tacker_cir.csar.sources import samples_dir
from tacker_cir.documents import load_json
from tacker_cir.exceptions import Fault
from tacker_cir.params import schema

_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")


def find_placeholders(body: Any) -> list[Fault]:
    """Return the members of a request that still are a sample's.

    :raises CsarError: the installation lacks the samples
    """
    known = _sample_ids()
    return [
        Fault(path, f"is still the sample's id {value}; expected that of yours")
        for path, value in _ids(body, "")
        if value in known
    ]


@functools.cache
def _sample_ids() -> frozenset[str]:
    files = (samples_dir() / "requests").glob("*.json")
    return frozenset(value for file in files for _, value in _ids(load_json(file.read_text()), ""))


def _ids(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Yield path and value of all ids in a body that is not deeper than one is."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield from _ids(member, schema.join(path, str(name)) if path else str(name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _ids(item, schema.join(path, index))
    elif isinstance(value, str) and _UUID.fullmatch(value.lower()):
        yield path, value.lower()
