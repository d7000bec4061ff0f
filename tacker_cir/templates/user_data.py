# SPDX-License-Identifier: Apache-2.0
"""A UserData script of a VNF package, looked at without being run."""

from __future__ import annotations

import ast
import posixpath
import re
from dataclasses import dataclass

#: Members of ``additionalParams`` that name the script and its class.
PATH_KEY, CLASS_KEY = "lcm-operation-user-data", "lcm-operation-user-data-class"


@dataclass(frozen=True)
class UserData:
    """What a script has.

    :param classes: its classes that have a method ``instantiate``
    :param words: the texts in it, among them the names of the parameters that it reads
    :param patterns: texts that it puts together: their parts that are known, in order
    """

    classes: frozenset[str]
    words: frozenset[str]
    patterns: tuple[tuple[str, ...], ...]

    def may_read(self, name: str) -> bool:
        """Return whether the script may ask for a parameter of that name."""
        return name in self.words or any(_fits(name, parts) for parts in self.patterns)


def file_of(path: str) -> str:
    """Return the file of the package that Tacker imports for a request's path: it makes a module's
    name of it."""
    stem = posixpath.splitext(path.lstrip("./"))[0]
    return f"{stem}.py"


def read_user_data(text: str) -> UserData:
    """Return what a script has.

    :raises ValueError: it is no Python, or too deeply nested
    """
    try:
        nodes = list(ast.walk(ast.parse(text)))
    except SyntaxError as error:
        raise ValueError(f"is not Python: {error.msg} in line {error.lineno}") from None
    except (RecursionError, MemoryError, ValueError) as error:
        raise ValueError(f"is not Python that can be read ({type(error).__name__})") from None
    return UserData(
        frozenset(n.name for n in nodes if isinstance(n, ast.ClassDef) and _instantiates(n)),
        frozenset(
            n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)
        ),
        tuple(filter(None, (_pattern(n) for n in nodes if isinstance(n, ast.JoinedStr)))),
    )


def _instantiates(node: ast.ClassDef) -> bool:
    return any(isinstance(m, ast.FunctionDef) and m.name == "instantiate" for m in node.body)


def _pattern(node: ast.JoinedStr) -> tuple[str, ...] | None:
    """Return the known parts of a formatted text, the first and the last of which it begins and
    ends with; None where it cannot be a name."""
    parts = [str(v.value) if isinstance(v, ast.Constant) else None for v in node.values]
    known = [part for part in parts if part is not None]
    # Sentences, as of errors, are no names.
    if not known or not all(re.fullmatch(r"[A-Za-z0-9_-]+", part) for part in known):
        return None
    first = [""] if parts[0] is None else []
    last = [""] if parts[-1] is None else []
    return (*first, *known, *last)


def _fits(name: str, parts: tuple[str, ...]) -> bool:
    """Return whether a name may have been put together so."""
    first, *middle = parts
    if not name.startswith(first):
        return False
    at = len(first)
    for part in middle[:-1]:
        at = name.find(part, at)
        if at < 0:
            return False
        at += len(part)
    return not middle or (name.endswith(middle[-1]) and len(name) - len(middle[-1]) >= at)
