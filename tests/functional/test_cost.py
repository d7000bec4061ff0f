# SPDX-License-Identifier: Apache-2.0
"""What a node of a cluster costs, counted at a real sshd; the times are ``tox -e bench``'s."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.functional.server import IS_ROOT

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(not IS_ROOT, reason="the machines of the bench need namespaces and mounts")
def test_commands_of_a_node_and_calls_of_heat(tmp_path):
    words = ["--nodes", "1", "3", "--latency", "0", "--rounds", "1", "--json", tmp_path / "found"]
    command = [sys.executable, "-m", "tests.bench.cluster", *map(str, words)]
    # Whether the times are what they shall be is not asked here: others work on this machine.
    subprocess.run(command, cwd=ROOT, timeout=120, stdout=subprocess.DEVNULL)
    found = json.loads((tmp_path / "found").read_text())
    assert len(found) == 4
    for _, _, run, figures in found:
        assert figures["calls"] == 1
        assert 0 < figures["most"] <= (14 if run == "new" else 3)
