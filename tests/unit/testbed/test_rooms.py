# SPDX-License-Identifier: Apache-2.0
"""Which rooms of the test bed use which: none knows the tests or the drivers."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import testbed

TOP = Path(testbed.__file__).parent
#: From the bottom to the top. `times` and `progress` use nothing, and anyone may use them.
FLOORS = ["machines", "kubernetes", "cloud", "kubernetes_site", "stand", "preparation"]
OPEN = {"times", "progress"}


def imported(module: Path) -> Iterator[str]:
    """Yield what a module imports, with what it takes from there."""
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room(module: Path) -> str:
    """Return the part of the test bed that a module belongs to."""
    return module.relative_to(TOP).with_suffix("").parts[0]


MODULES = [module for module in TOP.rglob("*.py") if module != TOP / "__init__.py"]


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(TOP)))
def test_a_room_uses_only_rooms_below_it(module):
    ours = [name for name in imported(module) if name.startswith(("tests.", "tacker_cir"))]
    bed = [name.split(".")[2] for name in ours if name.startswith("tests.testbed.")]
    others = [name for name in ours if not name.startswith("tests.testbed.")]
    below = FLOORS[: FLOORS.index(room(module)) + 1] if room(module) in FLOORS else []
    assert set(bed) <= {*below, *OPEN}
    assert set(others) <= {"tacker_cir.kubernetes_versions"}
