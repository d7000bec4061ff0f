# SPDX-License-Identifier: Apache-2.0
"""The container runtime of a Kubernetes node: its settings, its proxy, and that it serves.

Which runtime there is and its package are the install script's; the registries are
:mod:`tacker_cir.registry.access`'s.
"""

from __future__ import annotations

from tacker_cir.exceptions import HostError
from tacker_cir.facts import Facts
from tacker_cir.host import docker
from tacker_cir.host.containerd import (
    CONTAINERD,
    CONTAINERD_CERTS_D,
    CONTAINERD_CONFIG,
    ensure_containerd,
)
from tacker_cir.host.docker import DOCKER
from tacker_cir.host.files import ManagedFile, kept, unusable
from tacker_cir.host.machine import Machine
from tacker_cir.params.proxy import Proxy
from tacker_cir.render import containerd_config, containerd_dump, docker_daemon
from tacker_cir.text import shown

__all__ = ["CONTAINERD_CERTS_D", "DOCKER_DAEMON", "cgroup_driver", "ensure_runtime"]

DOCKER_DAEMON = docker.DAEMON_CONFIG

#: Paths whose state and whose content :func:`ensure_runtime` must know.
PATHS = (*DOCKER.paths, *CONTAINERD.paths)
CONTENTS = (CONTAINERD_CONFIG, DOCKER_DAEMON)
#: Programs whose settings in effect it must know.
EFFECTIVE = ("containerd", "dockerd")


def cgroup_driver(facts: Facts, runtime: str) -> str:
    """Return who makes the cgroups of containers; the kubelet must be told the same.

    What the runtime does in effect, else Docker's own rule for both runtimes: systemd where there
    is cgroup version 2, where two managers of one tree would be in each other's way.

    :param facts: with :data:`EFFECTIVE`
    :param runtime: ``docker`` or ``containerd``
    :return: ``systemd`` or ``cgroupfs``
    """
    if runtime == "docker" and facts.docker_cgroup_driver:
        return facts.docker_cgroup_driver
    if runtime == "containerd":
        effective = containerd_dump.parse(facts.containerd_dump)
        try:
            text = facts.text(CONTAINERD_CONFIG)
            on = (
                effective.systemd_cgroup
                if effective
                else containerd_config.has_systemd_cgroup(text)
            )
        except ValueError:
            on = False  # ensure_containerd reports it.
        if on:
            return "systemd"
    return "systemd" if facts.cgroup2 else "cgroupfs"


def ensure_runtime(
    machine: Machine,
    *,
    runtime: str,
    sandbox_image: str | None = None,
    proxy: Proxy | None = None,
    no_proxy: str = "",
) -> bool:
    """Make the installed runtime serve Kubernetes' kubelet; return whether anything changed.

    A restart, where one is needed, leaves containers running.

    :param machine: read after the installation, with :data:`PATHS`, :data:`CONTENTS` and
        :data:`EFFECTIVE`
    :param runtime: ``docker`` or ``containerd``
    :param sandbox_image: the pause image, which containerd itself pulls; None for its default
    :param no_proxy: what is asked without the proxy
    :raises HostError: a step failed
    """
    facts = machine.facts
    installed = facts.docker_installed if runtime == "docker" else bool(facts.containerd)
    if not installed:
        raise HostError(
            machine.node,
            f"set up {runtime}",
            f"there is no {runtime} on the machine",
            "see what the install script said about its package",
        )
    if runtime == "docker":
        return _ensure_docker(machine, proxy, no_proxy)
    return ensure_containerd(
        machine,
        sandbox_image=sandbox_image,
        systemd_cgroup=cgroup_driver(facts, runtime) == "systemd",
        proxy_files=CONTAINERD.proxy_files(proxy, no_proxy),
    )


def _ensure_docker(machine: Machine, proxy: Proxy | None, no_proxy: str) -> bool:
    facts = machine.facts
    daemon = _docker_daemon(machine.node, facts, proxy)
    files = DOCKER.proxy_files(proxy, no_proxy)
    with machine.taken_back([DOCKER_DAEMON], DOCKER.restart):
        stale = DOCKER.is_stale(facts, files)
        changed = DOCKER.write(machine, daemon, *files, stale=stale)
        if DOCKER_DAEMON in changed and facts.is_started(DOCKER.name):
            # Before a restart, so that it leaves the containers alone.
            docker.reload(machine)
        if not DOCKER.ensure_running(machine) and facts.docker_serving:
            return bool(changed)
        docker.wait_until_serving(machine)
    return True


def _docker_daemon(node: str, facts: Facts, proxy: Proxy | None) -> ManagedFile:
    """Return daemon.json as it shall be, as far as it is not about registries."""
    command_line = docker_daemon.CommandLine.parse(facts.dockerd_words)
    if command_line.file not in ("", DOCKER_DAEMON):
        raise HostError(
            node,
            f"complete {DOCKER_DAEMON}",
            f"dockerd is told to read another file, {shown(command_line.file)}",
            "take --config-file out of the unit, or of the drop-in that brings it",
        )
    text = facts.text(DOCKER_DAEMON)
    try:
        if proxy and docker_daemon.has_proxies(text):
            raise ValueError("has proxies, which go before the proxy of the request")
        wanted = docker_daemon.with_live_restore(text, command_line.keys)
    except ValueError as error:
        raise unusable(node, DOCKER_DAEMON, error) from None
    return kept(facts, DOCKER_DAEMON, wanted, check=docker.JUDGE)
