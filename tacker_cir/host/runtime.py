# SPDX-License-Identifier: Apache-2.0
"""The container runtime of a Kubernetes node: its settings, its proxy, and that it serves.

Which runtime there is and its package are the install script's; the registries are
:mod:`tacker_cir.registry.connection`'s.
"""

from __future__ import annotations

from tacker_cir import log as logging
from tacker_cir.command import Command
from tacker_cir.exceptions import HostError
from tacker_cir.facts import Facts
from tacker_cir.host import docker
from tacker_cir.host.docker import DOCKER
from tacker_cir.host.files import ensure_files, kept, unusable
from tacker_cir.host.service import Service
from tacker_cir.params.proxy import Proxy
from tacker_cir.render import containerd_config, docker_daemon
from tacker_cir.ssh import Connection
from tacker_cir.steps import timed
from tacker_cir.waiting import Deadline, poll

LOG = logging.getLogger(__name__)

CONTAINERD = Service("containerd")
CONTAINERD_CONFIG = "/etc/containerd/config.toml"
CONTAINERD_CERTS_D = "/etc/containerd/certs.d"
DOCKER_DAEMON = "/etc/docker/daemon.json"

#: Paths whose state and whose content :func:`ensure_runtime` must know.
PATHS = (*DOCKER.paths, *CONTAINERD.paths)
CONTENTS = (CONTAINERD_CONFIG, DOCKER_DAEMON)

# Plugins that the distribution put elsewhere; those of the same name that are there stay.
_LINK_PLUGINS = r"""
set -eu
from=$1 to=$2
[ -d "$from" ] || exit 0
mkdir -p -- "$to"
for plugin in "$from"/*; do
  name=$(basename -- "$plugin")
  [ -e "$to/$name" ] || ln -sfn -- "$plugin" "$to/$name"
done
"""

_CRI_STATUS = "ctr plugins ls | awk '$2 == \"cri\" || $1 ~ /\\.cri\\./ { print $2, $NF }'"
_CRI_DETAILS = "ctr plugins ls -d id==cri | sed -n 's/^ *Message: *//p'"


class _NotServing(Exception):
    pass


def cgroup_driver(facts: Facts, runtime: str) -> str:
    """Return who makes the cgroups of containers; the kubelet must be told the same.

    What the runtime is set to, else Docker's own rule for both runtimes: systemd where there is
    cgroup version 2, where two managers of one tree would be in each other's way.

    :param facts: with :data:`CONTENTS`
    :param runtime: ``docker`` or ``containerd``
    :return: ``systemd`` or ``cgroupfs``
    """
    if runtime == "docker" and facts.docker_cgroup_driver:
        return facts.docker_cgroup_driver
    if runtime == "containerd":
        try:
            if containerd_config.has_systemd_cgroup(facts.text(CONTAINERD_CONFIG)):
                return "systemd"
        except ValueError:
            pass  # ensure_runtime reports it.
    return "systemd" if facts.cgroup2 else "cgroupfs"


def ensure_runtime(
    connection: Connection,
    facts: Facts,
    *,
    runtime: str,
    sandbox_image: str | None = None,
    proxy: Proxy | None = None,
    no_proxy: str = "",
    service_timeout: float,
) -> bool:
    """Make the installed runtime serve Kubernetes' kubelet; return whether anything changed.

    A restart, where one is needed, leaves containers running.

    :param facts: gathered after the installation, with :data:`PATHS` and :data:`CONTENTS`; brought
        up to date
    :param runtime: ``docker`` or ``containerd``
    :param sandbox_image: the pause image, which containerd itself pulls; None for its default
    :param no_proxy: what is asked without the proxy
    :param service_timeout: seconds for the daemon to answer
    :raises HostError: a step failed
    """
    installed = facts.docker_installed if runtime == "docker" else bool(facts.containerd)
    if not installed:
        raise HostError(
            connection.node,
            f"set up {runtime}",
            f"there is no {runtime} on the machine",
            "see what the install script said about its package",
        )
    if runtime == "docker":
        return _ensure_docker(connection, facts, proxy, no_proxy, service_timeout)
    return _ensure_containerd(connection, facts, sandbox_image, proxy, no_proxy, service_timeout)


def _ensure_docker(
    connection: Connection, facts: Facts, proxy: Proxy | None, no_proxy: str, timeout: float
) -> bool:
    try:
        daemon = docker_daemon.with_live_restore(facts.text(DOCKER_DAEMON))
    except ValueError as error:
        raise unusable(connection.node, DOCKER_DAEMON, error) from None
    files = DOCKER.proxy_files(proxy, no_proxy)
    restart = DOCKER.needs_restart(facts, files)
    note = [DOCKER.restart_note] if restart else []
    wanted = [*note, kept(facts, DOCKER_DAEMON, daemon), *files]
    changed = ensure_files(connection, facts, wanted)
    if DOCKER_DAEMON in changed and facts.docker_started:
        # Before a restart, so that it leaves the containers alone.
        docker.reload(connection)
    if restart:
        DOCKER.restart(connection, facts)
    elif not facts.docker_started:
        DOCKER.enable(connection)
    elif facts.docker_serving:
        return bool(changed)
    docker.wait_until_serving(connection, timeout)
    return True


def _ensure_containerd(
    connection: Connection,
    facts: Facts,
    sandbox_image: str | None,
    proxy: Proxy | None,
    no_proxy: str,
    timeout: float,
) -> bool:
    try:
        merged = containerd_config.merge(
            facts.text(CONTAINERD_CONFIG),
            major=int(facts.containerd.partition(".")[0]),
            certs_d=CONTAINERD_CERTS_D,
            sandbox_image=sandbox_image,
            systemd_cgroup=cgroup_driver(facts, "containerd") == "systemd",
        )
    except ValueError as error:
        raise unusable(connection.node, CONTAINERD_CONFIG, error) from None
    files = (kept(facts, CONTAINERD_CONFIG, merged.text), *CONTAINERD.proxy_files(proxy, no_proxy))
    restart = CONTAINERD.needs_restart(facts, files)
    note = [CONTAINERD.restart_note] if restart else []
    for directory in merged.left_plugins:
        step = f"link the network plugins of {directory}"
        target = containerd_config.CNI_PLUGINS
        connection.later(Command.script(step, _LINK_PLUGINS, directory, target))
    changed = ensure_files(connection, facts, [*note, *files])
    if restart:
        CONTAINERD.restart(connection, facts)
    elif facts.containerd_started:
        return bool(changed)
    else:
        CONTAINERD.enable(connection)
    _wait_for_cri(connection, timeout)
    return True


def _wait_for_cri(connection: Connection, timeout: float) -> None:
    status = Command.script("wait for containerd's CRI", _CRI_STATUS)

    def attempt() -> None:
        found = [line.rpartition(" ")[2] for line in connection.run(status).stdout.splitlines()]
        if not found or any(state != "ok" for state in found):
            raise _NotServing

    try:
        with timed(connection.node, status.step):
            poll(attempt, Deadline(timeout), retry_on=(_NotServing,))
    except _NotServing:
        details = connection.run(Command.script(status.step, _CRI_DETAILS), ok=None).stdout
        raise HostError(
            connection.node,
            status.step,
            f"it does not serve: {' '.join(details.split()) or 'the plugin is not loaded'}",
            f"see {CONTAINERD_CONFIG} and 'journalctl -u containerd' of the VM",
        ) from None
    LOG.info("%s: containerd serves the kubelet", connection.node)
