# SPDX-License-Identifier: Apache-2.0
"""The collection of a registry's unused data, by a timer of the machine."""

from __future__ import annotations

from dataclasses import replace

from tacker_cir import log as logging
from tacker_cir.command import Command
from tacker_cir.host.files import ManagedFile
from tacker_cir.host.machine import Machine
from tacker_cir.params.registry_upkeep import Collection
from tacker_cir.registry import container
from tacker_cir.registry.container import ContainerSpec
from tacker_cir.render import registry_collection as render
from tacker_cir.ssh import Connection

LOG = logging.getLogger(__name__)

UNIT = "tacker-cir-registry-collection"
SCRIPT = f"/var/lib/tacker-cir/{UNIT}.sh"
SERVICE, TIMER = (f"/etc/systemd/system/{UNIT}.{kind}" for kind in ("service", "timer"))
#: Every path whose state :func:`ensure_collection` must know.
PATHS = (SCRIPT, SERVICE, TIMER)

READ_ONLY, COLLECTOR = f"{container.NAME}_read_only", f"{container.NAME}_collector"

#: Seconds that a collection may take to be given up.
_STOP_SECONDS = 400

# A collection is given up safely at any moment, and done again at the next date.
_PAUSE = r"""
set -eu
[ -e "$1" ] || exit 0
systemctl stop "$2.timer"
case $(systemctl is-active "$2.service" || :) in *activating) echo stopped ;; esac
systemctl stop "$2.service"
# What a power cut left; whatever else is wrong with the registry is mended next.
sh "$1" serve || :
"""
_RESUME = r"""
set -eu
systemctl daemon-reload
systemctl enable --quiet "$1.timer"
systemctl restart "$1.timer"
"""
#: What judges a timer that has another name yet: its date alone.
JUDGE = (
    "sh",
    "-c",
    'systemd-analyze calendar -- "$(sed -n s/^OnCalendar=//p "$0")" >/dev/null',
)
_REMEDY = f"look at 'journalctl -u {UNIT}' of the VM"


def pause(connection: Connection) -> None:
    """Keep a machine from collecting, and have the registry serve: an operation has precedence.

    It begins again with :func:`ensure_collection`, or at the latest with the next boot.

    :raises HostError: a collection cannot be stopped
    """
    command = Command.script("stop the collection of unused data", _PAUSE, SCRIPT, UNIT)
    result = connection.run(command, timeout=_STOP_SECONDS, remedy=_REMEDY)
    if "stopped" in result.stdout:
        LOG.info("%s: a collection of unused data was stopped", connection.node)


def ensure_collection(machine: Machine, wanted: Collection, spec: ContainerSpec) -> bool:
    """Have the machine collect at its dates; tell whether anything was changed for it.

    :param spec: the registry's container
    :raises HostError: a step failed, or systemd does not understand the schedule
    """
    changed = machine.ensure(
        ManagedFile(SCRIPT, script(spec).encode(), 0o600),
        ManagedFile(SERVICE, render.service(SCRIPT, wanted.window).encode()),
        ManagedFile(TIMER, render.timer(wanted.schedule).encode(), check=JUDGE),
        remedy="see upkeep.garbage_collection.schedule: systemd.time(7), Calendar Events",
    )
    command = Command.script("start the timer of the collection", _RESUME, UNIT)
    machine.connection.run(command, remedy=_REMEDY)
    return bool(changed)


def script(spec: ContainerSpec) -> str:
    """Return the script for a registry's container."""
    same = replace(spec, image=spec.image_id, archive=None)
    environment = {**spec.environment, **render.READ_ONLY}
    read_only = replace(same, name=READ_ONLY, restarts=False, environment=environment)
    return render.script(
        registry=container.NAME,
        read_only=READ_ONLY,
        collector=COLLECTOR,
        data=spec.data,
        serving=read_only.run_arguments(),
        collecting=same.job_arguments(COLLECTOR),
    )
