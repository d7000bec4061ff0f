# SPDX-License-Identifier: Apache-2.0
"""What speaks over SSH and TLS, tested once more in a process that eventlet patched."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.parametrize(("name", "least"), [("test_core.py", 15), ("test_verify.py", 20)])
def test_in_a_process_that_eventlet_patched(tmp_path, name, least):
    command = [sys.executable, "-m", "tests.functional.patched", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "-o", "faulthandler_timeout=60", f"--basetemp={tmp_path}/t", str(HERE / name)],
        cwd=HERE.parents[1],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed and int(passed[1]) >= least, done.stdout
    assert "skipped" not in done.stdout, done.stdout
