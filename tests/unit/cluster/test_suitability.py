# SPDX-License-Identifier: Apache-2.0
"""Which machine is refused for which Kubernetes, and that it is before kubeadm has run there."""

from __future__ import annotations

import pytest

from tacker_cir.cluster import preparing
from tacker_cir.cluster.install import Installed
from tacker_cir.cluster.preparing import MARKER, Host, Site
from tacker_cir.cluster.suitability import check_suits
from tacker_cir.exceptions import HostError
from tacker_cir.facts import Facts, FileFact
from tacker_cir.host.machine import Machine
from tacker_cir.host.runtimes import RUNTIMES
from tests.machine import LIMITS, machine
from tests.unit.cluster.test_build import M1, PARAMS, SIMPLE

CGROUP = "the VM has cgroup version 1, on which no kubelet since 1.35 starts (failCgroupV1)"
ON_CONTAINERD = RUNTIMES["containerd"]
CONTAINERD = "and since 1.36 Kubernetes is for containerd 2.0 and later"
OS = {"ID": "ubuntu", "VERSION_ID": "20.04"}


def facts(cgroup2, containerd, *files):
    found = {path: FileFact(0o600, "root", "root", "") for path in files}
    return Facts(
        architecture="amd64", os_release=OS, cgroup2=cgroup2, containerd=containerd, files=found
    )


@pytest.mark.parametrize(
    ("version", "cgroup2", "containerd", "cause"),
    [
        ("1.34.9", False, "1.6.20", None),
        ("1.35.0", False, "2.1.9", CGROUP),
        ("1.35.0", False, "", CGROUP),
        ("1.35.0", True, "1.7.28", None),
        ("1.36.0", True, "", None),
        ("1.36.0", True, "2.0.0", None),
        ("1.36.0", True, "1.7.28", f"the VM has containerd 1.7.28, {CONTAINERD}"),
        ("1.40.2", True, "1.6.20", f"the VM has containerd 1.6.20, {CONTAINERD}"),
        ("1.40.2", True, "10.0.0", None),
    ],
)
def test_what_a_version_needs(version, cgroup2, containerd, cause):
    if cause is None:
        check_suits("node m (198.51.100.10)", facts(cgroup2, containerd), version, ON_CONTAINERD)
        return
    with pytest.raises(HostError) as caught:
        check_suits("node m (198.51.100.10)", facts(cgroup2, containerd), version, ON_CONTAINERD)
    text = str(caught.value)
    assert f"node m (198.51.100.10), step 'check what Kubernetes {version} needs': {cause}" in text
    assert "or a kubernetes_version before 1.3" in text


class Untouched:
    """A connection over which nothing may be asked or done."""

    node = "master"

    def __getattr__(self, name):
        raise AssertionError(f"{name} was used")


class Installing:
    """The install script, which is let do its first step only."""

    def __init__(self, host, installs, after):
        self.host, self.installs, self.after = host, installs, after

    def install(self, packages, hostname):
        self.installs.append(hostname)
        self.host.machine.facts.renew(self.after)
        return Installed(changed=True, in_container=False)


def prepare(monkeypatch, before, after=None, version="1.36.0"):
    """Prepare a machine; return the installations, until it is refused or its runtime is set up."""
    installs: list[str] = []
    host = Host(M1, machine(Untouched(), before))

    def set_up(*_args, **_options):
        raise StopIteration

    monkeypatch.setattr(preparing, "wait_first_boot", lambda *_args: None)
    monkeypatch.setattr(Machine, "ensure", lambda *_args: frozenset())
    monkeypatch.setattr(preparing, "script_of", lambda *_args: Installing(host, installs, after))
    monkeypatch.setattr(preparing, "_ensure_runtime", set_up)
    with pytest.raises((HostError, StopIteration)) as caught:
        preparing.prepare(host, Site(SIMPLE, PARAMS, LIMITS, version))
    return installs, caught.value


@pytest.mark.parametrize("before", [facts(False, ""), facts(True, "1.7.28")])
def test_nothing_is_changed_on_a_machine_that_does_not_suit(monkeypatch, before):
    installs, error = prepare(monkeypatch, before)
    assert isinstance(error, HostError) and "1.36.0 needs" in str(error)
    assert installs == []


def test_a_runtime_that_was_installed_is_looked_at_before_kubeadm_runs(monkeypatch):
    installs, error = prepare(monkeypatch, facts(True, ""), facts(True, "1.7.28"))
    assert isinstance(error, HostError) and "containerd 1.7.28" in str(error)
    assert installs == [M1.name]
    installs, error = prepare(monkeypatch, facts(True, ""), facts(True, "2.1.9"))
    assert isinstance(error, StopIteration)


def test_a_member_is_not_judged(monkeypatch):
    before = facts(False, "1.7.28", MARKER)
    installs, error = prepare(monkeypatch, before, before)
    assert isinstance(error, StopIteration) and installs == [M1.name]


@pytest.mark.parametrize(
    "path", ["/root/.docker/config.json", "/var/lib/kubelet/config.json", "/etc/docker/daemon.json"]
)
def test_a_file_that_nobody_can_complete_is_told_before_anything_is_changed(monkeypatch, path):
    before = facts(True, "2.1.9")
    before.note_file(path, b'{"a": ', 0o644)
    before.note_file("/etc/containerd/config.toml", b"version = 2\n", 0o644)
    installs, error = prepare(monkeypatch, before, before, version="1.34.8")
    assert isinstance(error, HostError) and path in str(error) and "repair the file" in str(error)
    assert installs == []
