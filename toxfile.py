# SPDX-License-Identifier: Apache-2.0
"""tox plugin: says in one closing line what was not run for want of root."""

import atexit
import os

from tox.plugin import impl

_NEED_ROOT = ("lab", "demo")
_not_run = []


@impl
def tox_before_run_commands(tox_env):
    """Remember an environment whose commands cannot do their work as this user."""
    if tox_env.conf.name in _NEED_ROOT and os.geteuid() != 0:
        _not_run.append(tox_env.conf.name)


@atexit.register
def _closing_line():
    # After tox's own report, so that it is the last line.
    if _not_run:
        print(f"NOT RUN: {', '.join(_not_run)}: making machines and network namespaces needs root")
