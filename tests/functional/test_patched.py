# SPDX-License-Identifier: Apache-2.0
"""The core tests once more, in a process that eventlet patched."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

CORE = Path(__file__).with_name("test_core.py")


def test_core_in_a_process_that_eventlet_patched(tmp_path):
    command = [sys.executable, "-m", "tests.functional.patched", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "-o", "faulthandler_timeout=60", f"--basetemp={tmp_path}/t", str(CORE)],
        cwd=CORE.parents[2],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed and int(passed[1]) >= 15, done.stdout
    assert "skipped" not in done.stdout, done.stdout
