# SPDX-License-Identifier: Apache-2.0
"""The container runtime of a node: these steps, then none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tacker_cir.command import Secret
from tacker_cir.exceptions import HostError
from tacker_cir.facts import Facts
from tacker_cir.host.docker import DAEMON_CONFIG as DOCKER_DAEMON
from tacker_cir.host.docker import DOCKER
from tacker_cir.host.files import kept
from tacker_cir.host.runtimes import RUNTIMES
from tacker_cir.host.runtimes.containerd import CONTAINERD, CONTAINERD_CONFIG
from tacker_cir.params.proxy import Proxy
from tests.machine import machine
from tests.unit.answering import Answering

DUMPS = Path(__file__).parents[1] / "data/containerd"
NONE, PLAIN = ((DUMPS / f"2.1_{name}.toml").read_text() for name in ("none", "plain"))
PAUSE = "registry.k8s.io/pause:3.9"
PROXY = Proxy(Secret("http://192.0.2.1:3128"), None, "localhost")
CRI = "io.containerd.cri.v1 ok\n\n"
TRY, SERVES = "try the new settings of containerd", "wait for containerd's CRI"
DOCKER_SERVES = "wait for the Docker daemon"


def docker_node(*, started: bool = True, live_restore: bool = True) -> Facts:
    facts = Facts(docker_installed=True, docker_serving=started, cgroup2=True)
    if started:
        facts.note_started("docker")
    if live_restore:
        facts.note_file(DOCKER_DAEMON, b'{\n    "live-restore": true\n}\n', 0o644)
    return facts


def containerd_node(*, started: bool = True) -> Facts:
    facts = Facts(containerd="2.1.9", containerd_dump=NONE, cgroup2=True)
    if started:
        facts.note_started("containerd")
    return facts


def ready_node() -> Facts:
    """Return what a node has on which containerd was set up."""
    made = machine(Answering({SERVES: CRI + PLAIN}), containerd_node())
    RUNTIMES["containerd"].ensure(made, sandbox_image=PAUSE)
    return made.facts


def with_note(facts: Facts, path: str) -> Facts:
    facts.note_file(path, b"", 0o644)
    return facts


@pytest.mark.parametrize(
    ("facts", "proxy", "steps"),
    [
        (docker_node(live_restore=False), None,
         [f"write {DOCKER_DAEMON}", "reload Docker's settings"]),
        (docker_node(live_restore=False), PROXY,
         [f"write {DOCKER.pending} and 3 other files", "reload Docker's settings",
          "restart docker.service", DOCKER_SERVES]),
        (docker_node(), PROXY,
         [f"write {DOCKER.pending} and 2 other files", "restart docker.service", DOCKER_SERVES]),
        (docker_node(started=False), None, ["start docker.service", DOCKER_SERVES]),
        (with_note(docker_node(), DOCKER.pending), None,
         ["restart docker.service", DOCKER_SERVES]),
        (docker_node(), None, []),
    ],
    ids=["its file", "file and proxy", "a proxy", "not started", "a restart is pending", "all"],
)  # fmt: skip
def test_docker_these_steps_then_none(facts, proxy, steps):
    connection = Answering({DOCKER_SERVES: "20.10.24\n"})
    made = machine(connection, facts)
    assert RUNTIMES["docker"].ensure(made, proxy=proxy) is bool(steps)
    assert connection.taken() == steps
    assert not RUNTIMES["docker"].ensure(made, proxy=proxy)
    assert connection.taken() == []


@pytest.mark.parametrize(
    ("facts", "proxy", "steps"),
    [
        (containerd_node(), None,
         [f"write {CONTAINERD.pending} and 1 other file", "restart containerd.service", SERVES]),
        (containerd_node(started=False), PROXY,
         [f"write {CONTAINERD.pending} and 3 other files", "restart containerd.service",
          "start containerd.service", SERVES]),
        (ready_node(), PROXY,
         [f"write {CONTAINERD.pending} and 2 other files", "restart containerd.service", SERVES]),
        (with_note(ready_node(), CONTAINERD.pending), None,
         ["restart containerd.service", SERVES]),
        (ready_node(), None, []),
    ],
    ids=["its file", "not started, a proxy", "a proxy", "a restart is pending", "all"],
)  # fmt: skip
def test_containerd_these_steps_then_none(facts, proxy, steps):
    connection = Answering({SERVES: CRI + PLAIN})
    made = machine(connection, facts)
    runtime, options = RUNTIMES["containerd"], {"sandbox_image": PAUSE, "proxy": proxy}
    assert runtime.ensure(made, **options) is bool(steps)
    assert connection.taken() == steps
    assert not runtime.ensure(made, **options)
    assert connection.taken() == []


def test_what_containerd_has_in_effect_is_known_afterwards():
    facts = ready_node()
    assert facts.containerd_dump.startswith(PLAIN[:100])
    assert kept(facts, CONTAINERD_CONFIG, facts.text(CONTAINERD_CONFIG)).is_current(facts)


@pytest.mark.parametrize("runtime", ["docker", "containerd"])
def test_a_runtime_that_is_not_there_is_told_before_anything_is_done(runtime):
    connection = Answering()
    with pytest.raises(HostError, match=f"there is no {runtime} on the machine"):
        RUNTIMES[runtime].ensure(machine(connection))
    assert connection.taken() == []
