# SPDX-License-Identifier: Apache-2.0
"""The machine itself: whether its distribution is supported and its first boot is over."""

from __future__ import annotations

from tacker_cir import log as logging
from tacker_cir.command import Command
from tacker_cir.exceptions import HostError
from tacker_cir.facts import Facts
from tacker_cir.ssh import Connection
from tacker_cir.steps import timed
from tacker_cir.waiting import Deadline, poll

LOG = logging.getLogger(__name__)

#: (ID, VERSION_ID) of os-release(5).
SUPPORTED = {
    ("debian", "12"): "Debian 12",
    ("ubuntu", "20.04"): "Ubuntu 20.04",
    ("ubuntu", "22.04"): "Ubuntu 22.04",
    ("ubuntu", "24.04"): "Ubuntu 24.04",
}

_CLOUD_INIT_BUSY = ("running", "not run", "not started")


class _StillBooting(Exception):
    pass


def check_supported(node: str, facts: Facts) -> None:
    """Refuse a distribution that was never tried.

    :raises HostError: naming what the machine runs
    """
    found = (facts.os_release.get("ID", ""), facts.os_release.get("VERSION_ID", ""))
    if found not in SUPPORTED:
        name = facts.os_release.get("PRETTY_NAME") or " ".join(found).strip() or "an unknown system"
        raise HostError(
            node,
            "check the operating system",
            f"the VM runs {name}, which is not supported",
            f"use an image of {', '.join(SUPPORTED.values())}",
        )


def wait_first_boot(connection: Connection, facts: Facts, timeout: float) -> None:
    """Wait until cloud-init is done: it may still change apt sources, users and /etc/hosts.

    :param timeout: seconds
    :raises HostError: it is not done in time
    """
    if facts.cloud_init not in _CLOUD_INIT_BUSY:
        return
    status = Command(("cloud-init", "status"), "wait for cloud-init")

    def attempt() -> None:
        # Exit status 2 means "done, with recoverable errors" since cloud-init 23.4.
        output = connection.run(status, ok=None).stdout
        if any(f"status: {busy}" in output for busy in _CLOUD_INIT_BUSY):
            raise _StillBooting

    LOG.info("%s: cloud-init is still at work, waiting for it", connection.node)
    try:
        with timed(connection.node, status.step):
            poll(attempt, Deadline(timeout), retry_on=(_StillBooting,))
    except _StillBooting:
        raise HostError(
            connection.node,
            status.step,
            f"cloud-init was not done after {timeout:.0f} seconds",
            "look at /var/log/cloud-init-output.log of the VM; a slow VM needs a higher "
            "[tacker_cir] first_boot_timeout",
        ) from None
