# SPDX-License-Identifier: Apache-2.0
"""JSON and YAML that others wrote, read within bounds, with one way to fail.

A document of a few hundred bytes can stand for gigabytes (aliases, merge keys), exhaust the stack
(nesting) or hold the interpreter for minutes (a number of a million digits), and the libraries
raise nearly anything for a damaged value. Whoever reads such a document here gets plain data of a
bounded size, or :class:`DocumentError`.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import yaml
from yaml.composer import Composer, ComposerError
from yaml.constructor import ConstructorError
from yaml.nodes import MappingNode, Node

#: Deeper than any template, manifest or request nests.
MAX_DEPTH = 64
#: Nodes of a YAML document with what its aliases stand for. Manifests of pod networks with all
#: their resource definitions have some ten thousands.
MAX_NODES = 200_000
#: Characters of a number; the largest 64-bit one has twenty.
MAX_NUMBER = 64

P = ParamSpec("P")
T = TypeVar("T")


class DocumentError(ValueError):
    """Text is not a document of its format, or exceeds the bounds. Shows nothing of the text but
    where it is broken."""


def value_errors(problem: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Decorate what walks through a document of others: a table where a list is expected, or the
    other way round, is a ValueError, and nothing else.

    :param problem: what is said of the document
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
            try:
                return function(*args, **kwargs)
            except (AttributeError, LookupError, RecursionError, TypeError) as error:
                raise ValueError(f"{problem} ({type(error).__name__})") from None

        return wrapper

    return decorate


def load_json(text: str | bytes, *, unique: bool = False) -> Any:
    """Return a JSON document.

    :param unique: refuse an object that has a name twice; readers differ in which one they take
    :raises DocumentError: it is none
    """
    pairs = _unique_names if unique else None
    return _read(
        lambda: json.loads(
            text,
            parse_int=_integer,
            parse_constant=_no_constant,
            object_pairs_hook=pairs,
        )
    )


def load_yaml(text: str) -> Any:
    """Return the only document of a YAML text, None where there is none.

    :raises DocumentError: it is none
    """
    return _read(lambda: yaml.load(text, Loader=_Loader))


def load_yaml_all(text: str) -> list[Any]:
    """Return the documents of a YAML text.

    :raises DocumentError: one is none
    """
    return _read(lambda: list(yaml.load_all(text, Loader=_Loader)))


def _read(load: Callable[[], T]) -> T:
    try:
        return load()
    except DocumentError:
        raise
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" in line {mark.line + 1}" if mark else ""
        raise DocumentError(f"{error.problem or error.context}{where}") from None
    except json.JSONDecodeError as error:
        raise DocumentError(f"{error.msg} in line {error.lineno}") from None
    # PyYAML's constructors alone raise IndexError, KeyError, AttributeError and more for a value
    # that does not fit its tag; what they say holds the value.
    except Exception as error:
        raise DocumentError(f"a value cannot be read ({type(error).__name__})") from None


def _integer(text: str) -> int:
    if len(text) > MAX_NUMBER:
        raise DocumentError(f"a number has more than {MAX_NUMBER} digits")
    return int(text)


def _no_constant(name: str) -> Any:
    raise DocumentError(f"{name} is no number of JSON")


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise DocumentError(f"an object has {name[:60]!r} twice")
            seen.add(name)
    return found


_FastLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(Composer, _FastLoader):  # type: ignore[misc]  # known when it runs
    """Scans and parses in C, some five times faster, and composes here, where it can be bounded.

    Each node weighs what it stands for: an alias as much as the node that it names.
    """

    def __init__(self, stream: str):
        _FastLoader.__init__(self, stream)
        Composer.__init__(self)
        self._depth = 0
        self._weight = 0
        self._weights: dict[int, int] = {}

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        is_alias = self.check_event(yaml.AliasEvent)
        before = self._weight
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise DocumentError(f"the document nests deeper than {MAX_DEPTH} levels")
        node = super().compose_node(parent, index)
        self._depth -= 1
        if is_alias:
            if id(node) not in self._weights:
                raise ComposerError(None, None, "an alias is inside of what it stands for", None)
            self._add(self._weights[id(node)])
        else:
            self._add(1)
            self._weights[id(node)] = self._weight - before
        return node

    def _add(self, weight: int) -> None:
        self._weight += weight
        if self._weight > MAX_NODES:
            raise DocumentError(f"the document has more than {MAX_NODES} nodes")

    def flatten_mapping(self, node: MappingNode) -> None:
        super().flatten_mapping(node)
        # A merge key copies what its aliases stand for, those of other merge keys included.
        self._add(len(node.value))

    def _number(self, node: Node) -> Any:
        if len(str(node.value)) > MAX_NUMBER:
            raise ConstructorError(None, None, "a number is too long", node.start_mark)
        value = yaml.SafeLoader.yaml_constructors[node.tag](self, node)
        # Larger ones can be chosen so that all have one hash: a mapping of them takes minutes.
        if isinstance(value, int) and abs(value) >= 2**64:
            raise ConstructorError(None, None, "a number is too large", node.start_mark)
        return value


for _tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float"):
    _Loader.add_constructor(_tag, _Loader._number)
