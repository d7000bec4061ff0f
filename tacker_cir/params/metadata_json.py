# SPDX-License-Identifier: Apache-2.0
"""A parameter in the metadata of a VNF instance: how it is changed while the VNF lives.

``additionalParams`` of the instantiation stay as they are for a VNF instance's whole life, and
those of other requests belong to VMs being made or removed. ``metadata`` is what Tacker lets a user
change alone (SOL003, 5.4.3.3.4, PATCH). Its values are text of at most 1024 characters: the
parameter is written as JSON, and a long one is divided among keys that end in ``_2``, ``_3``, ...:
into several lists or objects, or, as one entry with its certificates may be longer, at any
character.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tacker_cir.documents import DocumentError, load_json
from tacker_cir.exceptions import Fault, InvalidMetadata
from tacker_cir.metadata import part_number
from tacker_cir.params import bounds, schema


@dataclass(frozen=True)
class MetadataParameter:
    """A parameter as metadata have it.

    :param key: of its first part
    :param kind: ``list`` or ``dict``
    :param expected: what it is, in words
    """

    key: str
    kind: type[list[Any]] | type[dict[str, Any]]
    expected: str

    @property
    def path(self) -> str:
        return f"metadata.{self.key}"

    def read(self, metadata: Mapping[str, Any]) -> Any:
        """Return the value, unchecked; None where the metadata hold none.

        :raises InvalidMetadata: a value is not of its kind in JSON, or a key is not one of those
            above
        """
        parts: dict[int, str] = {}
        faults = []
        for key in metadata:
            number = part_number(self.key, key)
            if number is None:
                if self._is_like_a_key(key):
                    problem = f"is not read; expected {self.key}, {self.key}_2, {self.key}_3, ..."
                    faults.append(Fault(f"metadata.{key}", problem))
                continue
            first = parts.setdefault(number, key)
            if first != key:
                problem = (
                    f"is the same part of the {self._noun} as {first}; expected one of the two"
                )
                faults.append(Fault(f"metadata.{key}", problem))
        value, unreadable = self._read_parts(
            {n: (parts[n], metadata[parts[n]]) for n in sorted(parts)}
        )
        faults += [*unreadable, *bounds.find_excess(value, self.path)]
        if faults:
            raise InvalidMetadata(faults)
        return value if parts else None

    def relocated(
        self, faults: Iterable[Fault], place: str, replaced: Iterable[str] | None = None
    ) -> list[Fault]:
        """Return the faults with those of the value where the user finds them.

        :param place: path of the parameter of the request that the value took the place in
        :param replaced: names of those of its members that the value has; None for all of it
        """
        prefixes: tuple[str, ...] = (place,)
        if replaced is not None:
            prefixes = tuple(schema.join(place, key) for key in replaced)
        return [
            Fault(self.path + fault.path.removeprefix(place), fault.problem)
            if fault.path.startswith(prefixes)
            else fault
            for fault in faults
        ]

    @property
    def _noun(self) -> str:
        return "list" if self.kind is list else "object"

    def _is_like_a_key(self, key: str) -> bool:
        """Return whether somebody meant such a key who wrote another number, another case, or a
        hyphen."""
        pattern = self.key.replace("_", "[_ -]?")
        return bool(re.fullmatch(rf"\s*{pattern}[\s_-]*[0-9]*\s*", key, re.IGNORECASE))

    def _read_parts(self, parts: Mapping[int, tuple[str, Any]]) -> tuple[Any, list[Fault]]:
        """Return the value of several parts, or of one that was divided, and what is wrong.

        :param parts: keys and values by the keys' numbers
        """
        value: Any = self.kind()
        faults = []
        for key, text in parts.values():
            found, problem = self._read_one(text)
            if isinstance(value, list):
                value += found
            elif value.keys() & found.keys():
                problem = f"has members of another part: {', '.join(value.keys() & found.keys())}"
            else:
                value |= found
            if problem:
                faults.append(Fault(f"metadata.{key}", problem))
        texts = [text for _, text in parts.values() if isinstance(text, str)]
        # Without a gap, in which a piece of a text would be missing.
        if faults and list(parts) == list(range(1, len(texts) + 1)):
            whole, problem = self._read_one("".join(texts))
            if problem is None:
                return whole, []
        return value, faults

    def _read_one(self, text: Any) -> tuple[Any, str | None]:
        """Return what a text holds, and what is wrong with it: not the text, which may hold a
        password."""
        problem = f"expected {self.expected}, written as JSON in one string"
        if not isinstance(text, str) or len(text) > bounds.MAX_SIZE:
            return self.kind(), problem
        try:
            found = load_json(text, unique=True)
        except DocumentError as error:
            return self.kind(), f"{problem}: {error}"
        return (found, None) if isinstance(found, self.kind) else (self.kind(), problem)
