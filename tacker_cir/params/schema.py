# SPDX-License-Identifier: Apache-2.0
"""From JSON Schema errors to faults that a user can mend.

Each schema that is used here gives a ``description`` of what is expected, which becomes part of the
message, and marks secrets with ``writeOnly``: their values are never shown.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jsonschema

from tacker_cir.exceptions import Fault
from tacker_cir.params import bounds

_SHOWN_LENGTH = 60
# A package may have any number of names.
_SHOWN_NAMES = 20
_COMPARED_NAMES = 500
# Of names in snake_case any two are half alike.
_ALIKE = 0.6


def find_faults(instance: Any, schema: Mapping[str, Any], path: str) -> list[Fault]:
    """Return every fault of ``instance``.

    :param instance: decoded JSON
    :param schema: JSON Schema (draft 2020-12)
    :param path: where the instance is in the request
    """
    validator = jsonschema.Draft202012Validator(schema)
    return sorted({f for error in validator.iter_errors(instance) for f in _faults(error, path)})


def did_you_mean(name: str, known: list[str]) -> str:
    """Return a hint at the nearest known name, or the list of known names."""
    near = nearest(name, known)
    if near is not None:
        return f"did you mean {near}?"
    if not known:
        return "there is none"
    more = len(known) - _SHOWN_NAMES
    listing = ", ".join(sorted(known)[:_SHOWN_NAMES])
    return f"known: {listing}" + (f" and {more} more" if more > 0 else "")


def nearest(name: str, known: Sequence[str]) -> str | None:
    """Return the known name that another one is probably meant for, None where it may be none."""
    near = difflib.get_close_matches(
        name[: bounds.MAX_NAME], known[:_COMPARED_NAMES], n=1, cutoff=_ALIKE
    )
    return near[0] if near else None


def join(path: str, *keys: str | int) -> str:
    """Return the path of a member of the object or list at ``path``."""
    for key in keys:
        path += f"[{key}]" if isinstance(key, int) else f".{key}"
    return path


def _faults(error: jsonschema.ValidationError, root: str) -> Iterator[Fault]:
    path = join(root, *error.absolute_path)
    schema = error.schema if isinstance(error.schema, Mapping) else {}
    if error.validator == "required":
        for name in error.validator_value:
            if name not in error.instance:
                expected = schema.get("properties", {}).get(name, {}).get("description")
                yield Fault(join(path, name), f"is missing; expected {expected}")
    elif error.validator == "additionalProperties":
        known = list(schema.get("properties", {}))
        for name in error.instance:
            if name not in known:
                yield Fault(join(path, name), f"unknown key; {did_you_mean(str(name), known)}")
    elif error.validator == "maxLength":
        limit = f"at most {error.validator_value} characters"
        problem = f"expected {schema.get('description')}, of {limit}; got {len(error.instance)}"
        yield Fault(path, problem)
    else:
        yield Fault(path, f"expected {schema.get('description')}; got {_shown(error, schema)}")


def _shown(error: jsonschema.ValidationError, schema: Mapping[str, Any]) -> str:
    value = error.instance
    if isinstance(value, dict | list):
        return "an empty " + _type(value) if not value else _type(value)
    if value is None:
        return "null"
    if schema.get("writeOnly"):
        article = "a" if error.validator == "type" else "another"
        return "an empty string" if value == "" else f"{article} {_type(value)}"
    return shown(value)


def shown(value: Any) -> str:
    """Return a value that is no secret as a fault shows it."""
    text = repr(value)
    return text if len(text) <= _SHOWN_LENGTH else text[:_SHOWN_LENGTH] + "..."


def _type(value: Any) -> str:
    if isinstance(value, dict):
        return "object"
    if isinstance(value, list):
        return "list"
    return {bool: "boolean", str: "string"}.get(type(value), "number")
