# SPDX-License-Identifier: Apache-2.0
"""Tacker ends in its bridge: with plain data in its place the life cycles do all that they do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.functional.server import IS_ROOT

ROOT = Path(__file__).resolve().parents[2]
MASTER, FIRST, SECOND = "master-127-1-0-1", "worker-127-1-0-2", "worker-127-1-0-3"


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    if not IS_ROOT:
        pytest.skip("the machines of the bench need namespaces and mounts")
    command = [sys.executable, "-m", "tests.functional.without_tacker"]
    done = subprocess.run(command, cwd=ROOT, timeout=120, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_cluster_of_plain_data_lives(found):
    cluster = found["cluster"]
    assert cluster["built"] == [MASTER, FIRST, SECOND]
    assert cluster["kept"] == {"kept": "yes"}
    assert cluster["url"] == "https://127.1.0.1:6443"
    assert cluster["vims"] == ["cluster", "vim1"]
    assert cluster["commands again"] <= 3
    assert cluster["without the worker"] == [MASTER, FIRST]
    assert cluster["healed"] == [MASTER, FIRST, SECOND]
    assert cluster["scaled in"] == [MASTER, FIRST]
    assert "only the workers" in cluster["masters are not scaled"]
    assert cluster["pins"] == [True, False]
    assert cluster["vims in the end"] == ["vim1"]


def test_a_registry_of_plain_data_is_judged_as_any(found):
    registry = found["registry"]
    assert registry["cp"] == "workerNode_CP2"
    assert "has 2 VMs with CP 'workerNode_CP2' (127.1.0.2, 127.1.0.3)" in registry["deployed"]
    assert "exactly one VM" in registry["scaled in"]
