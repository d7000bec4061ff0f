# SPDX-License-Identifier: Apache-2.0
"""Docker on a registry's VM: these steps, then none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tacker_cir.command import Secret
from tacker_cir.exceptions import CommandFailed
from tacker_cir.facts import Facts
from tacker_cir.host import apt
from tacker_cir.host.docker import DOCKER, ensure_docker
from tacker_cir.params.private_registry import DockerPackage
from tacker_cir.params.proxy import Proxy
from tests.machine import DEBIAN_12, machine
from tests.unit.answering import Answering

SERVES = {"wait for the Docker daemon": "20.10.24\n"}
PROXY = Proxy(Secret("http://192.0.2.1:3128"), None, "localhost")
INSTALL = [
    "complete earlier package installations",
    "read the package lists",
    "complete earlier package installations",
]
WAIT = "wait for the Docker daemon"


def running() -> Facts:
    facts = Facts(os_release=DEBIAN_12, docker_installed=True, docker_serving=True)
    facts.note_started("docker")
    return facts


@pytest.mark.parametrize(
    ("facts", "package", "proxy", "steps"),
    [
        (
            Facts(os_release=DEBIAN_12), DockerPackage(), None,
            [*INSTALL, "install docker.io apparmor ca-certificates", "start docker.service", WAIT],
        ),
        (
            Facts(os_release=DEBIAN_12),
            DockerPackage("docker-ce", "5:27.1", requested=True), PROXY,
            [f"write {apt.PROXY} and 2 other files", *INSTALL,
             "install docker-ce=5:27.1 apparmor ca-certificates", "start docker.service", WAIT],
        ),
        (
            replace(running(), packages_interrupted=True), DockerPackage(), None,
            [*INSTALL, "install docker.io apparmor ca-certificates", "start docker.service", WAIT],
        ),
        (
            running(), DockerPackage(), PROXY,
            [f"write {DOCKER.pending} and 3 other files", "restart docker.service", WAIT],
        ),
        (replace(running(), docker_serving=False), DockerPackage(), None, [WAIT]),
        (running(), DockerPackage(), None, []),
    ],
    ids=["nothing is there", "of a version", "dpkg was cut off", "a proxy", "it starts", "all"],
)  # fmt: skip
def test_these_steps_then_none(facts, package, proxy, steps):
    connection = Answering(SERVES)
    made = machine(connection, facts)
    ensure_docker(made, package, proxy)
    assert connection.taken() == steps
    assert not ensure_docker(made, package, proxy)
    assert connection.taken() == []


@pytest.mark.parametrize(
    ("facts", "changed"),
    [
        (Facts(os_release=DEBIAN_12), True),
        (Facts(os_release=DEBIAN_12, docker_installed=True), True),
        (replace(running(), docker_serving=False), False),
        (running(), False),
    ],
)
def test_it_tells_whether_anything_changed(facts, changed):
    assert ensure_docker(machine(Answering(SERVES), facts), DockerPackage(), None) is changed


def test_a_daemon_that_does_not_answer_is_told():
    made = machine(Answering({WAIT: 1}), running(), service_timeout=0)
    made.facts.docker_serving = False
    with pytest.raises(CommandFailed, match="look at 'journalctl -u docker' of the VM"):
        ensure_docker(made, DockerPackage(), None)
