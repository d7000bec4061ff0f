# SPDX-License-Identifier: Apache-2.0
"""Installing packages on a host: policy-rc.d is there meanwhile, and as before afterwards."""

from __future__ import annotations

import subprocess

import pytest

from tests.testbed.machines import apt


@pytest.fixture
def policy(tmp_path, monkeypatch):
    """A path that stands for /usr/sbin/policy-rc.d; nothing is there yet."""
    path = tmp_path / "policy-rc.d"
    monkeypatch.setattr(apt, "POLICY", path)
    return path


def test_services_are_forbidden_while_packages_install(policy):
    with apt.no_services():
        assert subprocess.run([policy, "ssh", "start"]).returncode == 101
    assert not policy.exists()


def test_the_policy_goes_when_installing_fails(policy):
    with pytest.raises(KeyboardInterrupt), apt.no_services():
        raise KeyboardInterrupt
    assert not policy.exists()


def test_a_policy_of_the_host_stays_as_it_is(policy):
    policy.write_text("#!/bin/sh\nexit 104\n")
    with apt.no_services():
        assert "104" in policy.read_text()
    assert policy.read_text() == "#!/bin/sh\nexit 104\n"


def test_a_policy_that_a_killed_run_left_is_not_taken_for_the_hosts(policy):
    policy.write_text(apt.POLICY_TEXT)
    with apt.no_services():
        assert policy.exists()
    assert not policy.exists()
