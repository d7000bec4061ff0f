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
    :param patterns: texts that it puts together, as regular expressions
    """

    classes: frozenset[str]
    words: frozenset[str]
    patterns: tuple[str, ...]

    def may_read(self, name: str) -> bool:
        """Return whether the script may ask for a parameter of that name."""
        return name in self.words or any(re.fullmatch(p, name) for p in self.patterns)


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


def _pattern(node: ast.JoinedStr) -> str | None:
    """Return what a formatted text may become; None where nearly anything."""
    parts = [
        re.escape(str(value.value)) if isinstance(value, ast.Constant) else r"\w+"
        for value in node.values
    ]
    # Sentences, as of errors, are no names.
    pattern = "".join(parts)
    return pattern if re.fullmatch(r"(?:[a-zA-Z0-9_-]|\\-|\\w\+)+", pattern) else None
