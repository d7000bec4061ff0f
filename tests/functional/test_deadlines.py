# SPDX-License-Identifier: Apache-2.0
"""Commands that a signal ends: by their deadline, or by the machine."""

from __future__ import annotations

import pytest

from tacker_cir import exceptions as exc
from tacker_cir import ssh
from tests.functional.server import wait_for
from tests.functional.test_core import run, running


def test_a_command_that_ignores_the_deadline_is_killed(sshd, dial, mark, monkeypatch):
    monkeypatch.setattr(ssh, "KILL_AFTER", 1)
    connection = dial(sshd)
    with pytest.raises(exc.CommandTimeout, match="not done after 1 seconds"):
        run(connection, "trap '' TERM; while :; do sleep 1; done; : $1", str(mark), timeout=1)
    wait_for(lambda: not running(str(mark)), "the remote process is gone")
    assert run(connection, "echo on").stdout == "on\n"


def test_a_command_that_the_machine_kills_is_no_broken_connection(sshd, dial):
    connection = dial(sshd)
    with pytest.raises(exc.CommandFailed) as caught:
        run(connection, "echo said before >&2; kill -KILL $$")
    assert "said before" in caught.value.stderr
    assert run(connection, "echo on").stdout == "on\n"


def test_a_command_with_timeouts_own_status_is_no_timeout(sshd, dial):
    with pytest.raises(exc.CommandFailed, match="exit status 124"):
        run(dial(sshd), "exit 124")
