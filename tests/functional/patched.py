# SPDX-License-Identifier: Apache-2.0
"""pytest in a process that eventlet patched, as tacker-conductor is before Tacker 16.

Usage: python -m tests.functional.patched PYTEST-ARGUMENT...
"""

import sys

import eventlet

eventlet.monkey_patch()

import pytest  # noqa: E402 - patching comes first
from eventlet import patcher  # noqa: E402

if __name__ == "__main__":
    for module in ("socket", "thread", "time", "select"):
        assert patcher.is_monkey_patched(module), module
    sys.exit(pytest.main(sys.argv[1:]))
