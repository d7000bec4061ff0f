# SPDX-License-Identifier: Apache-2.0
"""The registry's container on its machine: started, replaced, restarted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tacker_cir import log as logging
from tacker_cir.command import Command
from tacker_cir.host.machine import Machine
from tacker_cir.reading import answer_of
from tacker_cir.registry import container
from tacker_cir.registry.container import ContainerSpec
from tacker_cir.ssh import Connection

LOG = logging.getLogger(__name__)

_LOOK = "look at the registry's container"

# The registry keeps all of its data below "docker". The old data stay where they are; a copy that
# was cut off is made anew, and what is complete appears with one rename. The lock is for a copy
# whose connection broke and that is still at work: its end is waited for.
_COPY_DATA = r"""
set -eu
[ -d "$1/docker" ] || exit 0
exec 9>/run/tacker-cir-registry-data
flock -n 9 || { echo "an earlier copy of the data is still at work" >&2; flock 9; }
[ ! -e "$2/docker" ] || exit 0
part=$2/.tacker-cir-copy
# Half a copy would keep a full disk full.
trap 'rm -rf -- "$part"' EXIT
rm -rf -- "$part"
mkdir -p -- "$part"
cp -a --reflink=auto -- "$1/docker" "$part/"
# A power cut would leave names of files whose data are not there.
sync -f -- "$part"
mv -- "$part/docker" "$2/docker"
sync -- "$2"
"""


def ensure_container(machine: Machine, wanted: ContainerSpec) -> list[str]:
    """Have the container run as it shall; one that is another is replaced, and its data are kept.

    :param machine: read with the container
    :return: what was changed, one line each
    :raises HostError: a step failed
    """
    connection = machine.connection
    present = machine.facts.containers.get(container.NAME)
    if present is not None:
        with answer_of(machine.node, _LOOK):
            differences = wanted.find_differences(present)
            running = container.is_running(present)
        if not differences:
            if running:
                return []
            _docker(connection, "start", container.NAME)
            return ["registry container started"]
        LOG.info("%s: the registry container has %s", machine.node, ", ".join(differences))
        _docker(connection, "stop", container.NAME)
        _keep_data(machine, present, wanted.data)
        _remove(connection)
    _docker(connection, "run", "--detach", *wanted.run_arguments())
    return ["registry container " + ("replaced" if present else "started")]


def remove(machine: Machine) -> None:
    """Remove the container, if there is one; the next start makes another.

    :param machine: read with the container
    :raises HostError: it cannot be removed
    """
    if machine.facts.containers.pop(container.NAME, None) is not None:
        _remove(machine.connection)


def _remove(connection: Connection) -> None:
    # Never with --volumes: the data outlive the container.
    _docker(connection, "rm", "--force", container.NAME)


def restart(machine: Machine) -> None:
    """Have the registry read anew what it reads only when it starts.

    :raises HostError: it does not start
    """
    _docker(machine.connection, "restart", container.NAME)


def _keep_data(machine: Machine, present: Mapping[str, Any], data_path: str) -> None:
    source = container.data_source(present)
    if source is None or source == data_path:
        return
    step = f"copy the registry's data from {source} to {data_path}"
    machine.connection.run(
        Command.script(step, _COPY_DATA, source, data_path),
        timeout=machine.limits.image_timeout,
        remedy="check the free disk space of the VM",
    )


def _docker(connection: Connection, *words: str) -> None:
    connection.run(
        Command(("docker", *words), f"docker {words[0]} {container.NAME}"),
        remedy="look at 'docker logs private_registry' and 'journalctl -u docker' of the VM; "
        "another program may use the port",
    )
