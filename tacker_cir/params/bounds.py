# SPDX-License-Identifier: Apache-2.0
"""How large a request may be. Tacker takes a body of any size, and a tenant writes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tacker_cir.exceptions import Fault

#: Characters of ``additionalParams`` as JSON, about.
MAX_SIZE = 256 * 1024
#: Values in it, members and entries; 256 registries with all that they may have are 3600.
MAX_VALUES = 8000
#: Objects and lists in each other; the deepest parameter has five.
MAX_DEPTH = 16
#: Entries of a list: registries, host keys, components.
MAX_ITEMS = 256
#: Members of an object.
MAX_MEMBERS = 64
#: Characters of a text; a private key of RSA with 8192 bits has some 6500.
MAX_TEXT = 16 * 1024
#: Characters of a member's name.
MAX_NAME = 128
#: What a program in C takes for a number.
_MAX_NUMBER = 2**63


def find_oversize(given: Any, path: str) -> list[Fault]:
    """Return why something is too large to be looked at: larger than any request, or nesting
    deeper.

    :param given: decoded JSON
    :param path: where it is in the request
    """
    size = count = 0
    left = [(given, 1)]
    while left:
        value, depth = left.pop()
        count += 1
        if depth > MAX_DEPTH:
            return [Fault(path, f"expected objects and lists at most {MAX_DEPTH} levels deep")]
        # Quotation marks and a comma.
        size += 3 + (len(value) if isinstance(value, str) else 0)
        if isinstance(value, Mapping):
            size += sum(len(str(name)) + 3 for name in value)
            left += [(member, depth + 1) for member in value.values()]
        elif isinstance(value, list | tuple):
            left += [(item, depth + 1) for item in value]
        if size > MAX_SIZE:
            return [Fault(path, f"expected at most {MAX_SIZE} characters as JSON")]
        if count + len(left) > MAX_VALUES:
            return [Fault(path, f"expected at most {MAX_VALUES} values")]
    return []


def find_excess(value: Any, path: str) -> list[Fault]:
    """Return what no parameter may hold: too much of it, or what JSON does not have.

    :param value: decoded JSON
    :param path: where it is in the request
    """
    return find_oversize(value, path) or list(_excess(value, path))


def _excess(value: Any, path: str) -> Iterator[Fault]:
    if isinstance(value, str):
        yield from _text(value, path)
    elif isinstance(value, Mapping):
        if len(value) > MAX_MEMBERS:
            yield Fault(path, f"expected at most {MAX_MEMBERS} members; got {len(value)}")
        for name, member in value.items():
            if not isinstance(name, str) or len(name) > MAX_NAME:
                problem = f"expected names of at most {MAX_NAME} characters; got {str(name)[:60]!r}"
                yield Fault(path, problem)
            else:
                yield from _excess(member, f"{path}.{name}")
    elif isinstance(value, list):
        if len(value) > MAX_ITEMS:
            yield Fault(path, f"expected at most {MAX_ITEMS} entries; got {len(value)}")
        for index, item in enumerate(value):
            yield from _excess(item, f"{path}[{index}]")
    elif not isinstance(value, bool | int | float | None):
        yield Fault(path, f"expected JSON; got a value of type {type(value).__name__}")
    # Written so that it refuses what is not a number as well.
    elif value is not None and not abs(value) < _MAX_NUMBER:
        yield Fault(path, "expected a number of at most 64 bits")


def _text(value: str, path: str) -> Iterator[Fault]:
    if len(value) > MAX_TEXT:
        yield Fault(path, f"expected at most {MAX_TEXT} characters; got {len(value)}")
    try:
        value.encode()
    except UnicodeEncodeError:
        # JSON can write one half of a surrogate pair; no file, header or command line can.
        yield Fault(path, "expected text; got half a character (a lone surrogate)")
