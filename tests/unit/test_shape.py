# SPDX-License-Identifier: Apache-2.0
"""How the code is put together: what travels as one thing, and what is done in one place only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[2]
TREES = {
    path.relative_to(ROOT).with_suffix("").as_posix().replace("/", "."): ast.parse(path.read_text())
    for path in sorted((ROOT / "tacker_cir").rglob("*.py"))
}


def functions() -> Iterator[tuple[str, set[str]]]:
    """Yield each function's full name and its parameters' names."""
    for module, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                yield f"{module}.{node.name}", {argument.arg for argument in arguments}


def imported(module: str) -> Iterator[str]:
    """Yield the modules of the package that a module needs as it is imported."""
    for node in TREES[module].body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_no_module_needs_itself():
    graph = {name: {other for other in imported(name) if other in TREES} for name in TREES}
    assert len(list(TopologicalSorter(graph).static_order())) == len(TREES) > 90


def test_a_connection_and_what_is_known_of_its_machine_travel_as_one():
    both = {name for name, words in functions() if {"connection", "facts"} <= words}
    assert both == set()


def test_time_limits_travel_as_one():
    several = {
        name
        for name, words in functions()
        if len([word for word in words if word.endswith("timeout")]) > 1
    }
    assert several == set()


def test_only_a_machine_writes_files():
    writers = {
        module
        for module, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("files.write", "write")
    }
    assert writers == {"tacker_cir.host.machine"}


def test_no_wait_has_an_exception_of_its_own():
    own = {
        f"{module}.{name.id}"
        for module, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.keyword) and node.arg == "retry_on"
        for name in ast.walk(node.value)
        if isinstance(name, ast.Name) and name.id.startswith("_")
    }
    # A function, which tells of kubectl's own error whether it will pass.
    assert own == {"tacker_cir.cluster.kubectl._is_no_answer"}
