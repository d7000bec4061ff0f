# SPDX-License-Identifier: Apache-2.0
"""A node's access to registries: these steps, then none."""

from __future__ import annotations

import json

import pytest

from tacker_cir.command import Secret
from tacker_cir.exceptions import HostError
from tacker_cir.facts import Facts
from tacker_cir.host.docker import DAEMON_CONFIG as DOCKER_DAEMON
from tacker_cir.host.runtimes import RUNTIMES
from tacker_cir.params.registry_connection import RegistryConnection
from tacker_cir.registry.access import KUBELET, ensure_access
from tacker_cir.registry.node_files import HOSTS, STATE
from tests.machine import machine
from tests.unit.answering import Answering

CONTAINERD, DOCKER = RUNTIMES["containerd"], RUNTIMES["docker"]
PLAIN = RegistryConnection("192.0.2.2:5000", https=False)
LOGIN = RegistryConnection("192.0.2.3:5000", https=False, username="u", password=Secret("p"))
LOADED = json.dumps(
    {
        "IndexConfigs": {
            "192.0.2.2:5000": {"Secure": False},
            "192.0.2.3:5000": {"Secure": False},
        }
    }
)
RELOAD = ["reload Docker's settings", "reload Docker"]


def node(*, docker: bool = False, kubelet: bool = False) -> Facts:
    facts = Facts(docker_installed=docker, docker_serving=docker)
    facts.note_file(HOSTS, b"127.0.0.1 localhost\n", 0o644)
    if docker:
        facts.note_started("docker")
    if kubelet:
        facts.active.add("kubelet")
        facts.note_file("/var/lib/kubelet/config.yaml", b"", 0o644)
    return facts


@pytest.mark.parametrize(
    ("facts", "runtime", "registries", "steps"),
    [
        (node(), "containerd", [PLAIN],
         [f"write {STATE} and 1 other file"]),
        (node(kubelet=True), "containerd", [LOGIN],
         [f"write {STATE} and 3 other files", "restart kubelet.service"]),
        (node(docker=True), "docker", [PLAIN],
         [f"write {STATE} and 1 other file", *RELOAD]),
        (node(docker=True, kubelet=True), "docker", [PLAIN, LOGIN],
         [f"write {STATE} and 4 other files", *RELOAD, "restart kubelet.service"]),
        (node(docker=True, kubelet=True), "docker", [], []),
    ],
    ids=["containerd", "containerd with a login", "docker", "docker with a login", "none"],
)  # fmt: skip
def test_these_steps_then_none(facts, runtime, registries, steps):
    connection = Answering({"reload Docker": LOADED})
    made = machine(connection, facts)
    ensure_access(made, registries, runtime=RUNTIMES[runtime])
    assert connection.taken() == steps
    assert ensure_access(made, registries, runtime=RUNTIMES[runtime]) == []
    assert connection.taken() == []


def test_what_is_no_longer_wanted_goes_then_nothing():
    connection = Answering()
    made = machine(connection, node())
    ensure_access(made, [PLAIN, LOGIN], runtime=CONTAINERD)
    connection.taken()
    ensure_access(made, [], runtime=CONTAINERD)
    assert connection.taken()[-1] == "remove empty directories"
    assert STATE not in made.facts.files
    assert ensure_access(made, [], runtime=CONTAINERD) == [] and connection.taken() == []


def test_a_kubelet_that_was_not_restarted_is_restarted_by_the_retry():
    connection = Answering({"restart": [1, 0]})
    made = machine(connection, node(kubelet=True))
    with pytest.raises(HostError, match="restart kubelet"):
        ensure_access(made, [LOGIN], runtime=CONTAINERD)
    assert KUBELET.pending in made.facts.files
    connection.taken()
    assert ensure_access(made, [LOGIN], runtime=CONTAINERD) == ["kubelet restarted"]
    assert connection.taken()[0] == "restart kubelet.service"
    assert ensure_access(made, [LOGIN], runtime=CONTAINERD) == [] and connection.taken() == []


def test_what_docker_does_not_take_over_is_told_and_taken_back():
    connection = Answering({"reload Docker": "{}"})
    made = machine(connection, node(docker=True), service_timeout=0)
    with pytest.raises(HostError, match="did not take over the registries .* is as before"):
        ensure_access(made, [PLAIN], runtime=DOCKER)
    assert DOCKER_DAEMON not in made.facts.files
    assert connection.taken()[-2:] == [f"remove {DOCKER_DAEMON}", "reload Docker's settings"]
