# SPDX-License-Identifier: Apache-2.0
"""A machine is made ready for kubeadm: these steps, then only a look at it."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path

import pytest

from tacker_cir.cluster import install
from tacker_cir.cluster.load_balancer import PACKAGES
from tacker_cir.cluster.preparing import MARKER, Host, Site, look, prepare
from tacker_cir.exceptions import HostError
from tacker_cir.facts import Facts
from tacker_cir.host.apt import Source
from tacker_cir.host.docker import DAEMON_CONFIG
from tacker_cir.host.runtimes.containerd import CONTAINERD, CONTAINERD_CONFIG
from tacker_cir.registry.node_files import HOSTS
from tests.machine import LIMITS
from tests.unit.answering import Answering, told
from tests.unit.cluster.test_build import HA, M1, PARAMS, W1

pytestmark = pytest.mark.usefixtures("one_by_one")

DUMPS = Path(__file__).parents[1] / "data/containerd"
NONE, PLAIN = ((DUMPS / f"2.1_{name}.toml").read_text() for name in ("none", "plain"))
CRI = "io.containerd.cri.v1 ok\n\n"
ADDRESSES = [{"ifname": "eth0", "addr_info": [{"local": node.address}]} for node in HA.nodes]

STATE, IMAGES = "read the machine's state", "list the images of Kubernetes"
AGAIN, CLUSTER = "look whether everything is installed", "read the cluster's state"
INSTALL, PULL = "install Kubernetes 1.34.9", "pull the images of Kubernetes"
BALANCER = "read the load balancer's state"
APT = ["complete earlier package installations", "read the package lists",
       "complete earlier package installations"]  # fmt: skip
NEW_BALANCER = [
    BALANCER, *APT, "install haproxy keepalived", BALANCER,
    *(step for name in PACKAGES for step in (
        f"write /run/tacker-cir-{name}-reload and 1 other file", f"reload {name}.service",
    )),
]  # fmt: skip
SET_UP = {
    "containerd": [
        f"write {CONTAINERD.pending} and 1 other file", "restart containerd.service",
        "wait for containerd's CRI",
    ],
    "docker": [f"write {DAEMON_CONFIG}", "reload Docker's settings"],
}  # fmt: skip


class Debian:
    """A machine of a cluster whose runtime comes with the install script.

    :param runtime: ``docker`` or ``containerd``
    """

    def __init__(self, node, runtime):
        self.node, self.runtime = node, runtime
        self.facts = Facts(
            os_release={"ID": "debian", "VERSION_ID": "12"}, architecture="amd64", cgroup2=True
        )
        self.facts.note_file(HOSTS, b"127.0.0.1 localhost\n", 0o644)
        params = replace(PARAMS, container_runtime=runtime, install_script="#!/bin/sh\n")
        self.site = Site(HA, params, LIMITS, "1.34.9")
        self.connection = Answering(
            {
                STATE: lambda: told(self.facts),
                AGAIN: lambda: self.answer("install") if self.has_joined else 3,
                IMAGES: lambda: "registry.k8s.io/pause:3.9\n" if self.has_runtime else 127,
                CLUSTER: 3,
                INSTALL: self.install,
                PULL: self.answer("pull"),
                "wait for containerd": CRI + PLAIN,
                "wait for the Docker daemon": "20.10.24\n",
                BALANCER: f"active enabled\nactive enabled\n{json.dumps(ADDRESSES)}\n",
            },
            str(node),
        )

    @property
    def has_joined(self) -> bool:
        return MARKER in self.facts.files

    @property
    def has_runtime(self) -> bool:
        return bool(self.facts.containerd or self.facts.docker_installed)

    def answer(self, step) -> str:
        return json.dumps({"step": step, "changed": False, "container": False})

    def install(self) -> str:
        self.facts = copy.deepcopy(self.host.machine.facts)
        self.facts.note_started(self.runtime)
        if self.runtime == "docker":
            self.facts.docker_installed = self.facts.docker_serving = True
        else:
            self.facts.containerd, self.facts.containerd_dump = "2.1.9", NONE
        return self.answer("install")

    def look(self) -> Host:
        self.host = look(self.node, self.connection, self.site)
        return self.host

    def join(self) -> None:
        """Let kubeadm do its work, and the machine be as it was left."""
        self.facts = copy.deepcopy(self.host.machine.facts)
        self.facts.note_file(MARKER, b"", 0o600)


@pytest.mark.parametrize("runtime", ["docker", "containerd"])
@pytest.mark.parametrize("node", [M1, W1], ids=["master", "worker"])
def test_these_steps_then_only_a_look(node, runtime):
    machine = Debian(node, runtime)
    asked = [AGAIN, IMAGES, *([CLUSTER] if node is M1 else []), STATE]
    host = machine.look()
    assert machine.connection.taken() == asked and not host.has_joined
    config = prepare(host, machine.site)
    assert machine.connection.taken() == [
        f"write {HOSTS} and 2 other files", INSTALL, IMAGES, STATE, *SET_UP[runtime],
        *(NEW_BALANCER if node is M1 else []), PULL,
    ]  # fmt: skip
    assert "kubernetesVersion: v1.34.9" in config and "advertiseAddress: " in config
    machine.join()
    host = machine.look()
    assert machine.connection.taken() == asked and host.has_joined
    prepare(host, machine.site)
    assert machine.connection.taken() == ([BALANCER] if node is M1 else [])


def test_sources_that_apt_cannot_use_are_taken_back():
    machine = Debian(W1, "containerd")
    machine.connection.answers[INSTALL] = 100
    host = machine.look()
    machine.connection.taken()
    with pytest.raises(HostError, match=r"install Kubernetes.*/etc/apt/.* as before"):
        prepare(host, machine.site)
    steps = machine.connection.taken()
    assert steps[:2] == [f"write {HOSTS} and 2 other files", INSTALL]
    assert steps[2:] == [f"remove {Source(install.SOURCE).path}"]


def test_a_machine_of_another_system_is_left_alone():
    machine = Debian(W1, "containerd")
    machine.facts.os_release = {"ID": "fedora", "VERSION_ID": "40"}
    host = machine.look()
    machine.connection.taken()
    with pytest.raises(HostError, match="the VM runs fedora 40, which is not supported"):
        prepare(host, machine.site)
    assert machine.connection.taken() == []
    assert CONTAINERD_CONFIG not in host.machine.facts.files
