# SPDX-License-Identifier: Apache-2.0
"""The machine itself: whether its distribution is supported and its first boot is over."""

from __future__ import annotations

import time

from tacker_cir import guests
from tacker_cir import log as logging
from tacker_cir.command import Command
from tacker_cir.exceptions import HostError
from tacker_cir.facts import Facts, clock_ahead, seconds_of
from tacker_cir.host.machine import Machine
from tacker_cir.steps import timed
from tacker_cir.waiting import Deadline, NotYet, wait_until

LOG = logging.getLogger(__name__)

_CLOUD_INIT_BUSY = ("running", "not run", "not started")


#: Seconds by which two clocks may differ; kubeadm dates its certificates back by as much.
CLOCK_TOLERANCE = 300
#: Seconds for a time service to set the clock of a machine that just booted.
CLOCK_TIMEOUT = 60
_SPANS = ((365 * 86400, "years"), (86400, "days"), (3600, "hours"), (60, "minutes"))


def check_supported(node: str, facts: Facts) -> None:
    """Refuse a distribution that was never tried.

    :raises HostError: naming what the machine runs
    """
    if guests.of(facts.os_release) is None:
        found = (facts.os_release.get("ID", ""), facts.os_release.get("VERSION_ID", ""))
        name = facts.os_release.get("PRETTY_NAME") or " ".join(found).strip() or "an unknown system"
        raise HostError(
            node,
            "check the operating system",
            f"the VM runs {name}, which is not supported",
            f"use an image of {', '.join(guests.SUPPORTED.values())}",
        )


def wait_first_boot(machine: Machine) -> None:
    """Wait until cloud-init is done: it may still change apt sources, users and /etc/hosts.

    :raises HostError: it is not done in time
    """
    connection, timeout = machine.connection, machine.limits.first_boot_timeout
    if machine.facts.cloud_init not in _CLOUD_INIT_BUSY:
        return
    status = Command(("cloud-init", "status"), "wait for cloud-init")

    def attempt() -> None:
        # Exit status 2 means "done, with recoverable errors" since cloud-init 23.4.
        output = connection.run(status, ok=None).stdout
        if any(f"status: {busy}" in output for busy in _CLOUD_INIT_BUSY):
            raise NotYet

    LOG.info("%s: cloud-init is still at work, waiting for it", connection.node)
    late = HostError(
        connection.node,
        status.step,
        f"cloud-init was not done after {timeout:.0f} seconds",
        "look at /var/log/cloud-init-output.log of the VM; a slow VM needs a higher "
        "[tacker_cir] first_boot_timeout",
    )
    with timed(connection.node, status.step):
        wait_until(attempt, Deadline(timeout), lambda _last: late)
    machine.facts.cloud_init = "done"


def check_clock(machine: Machine, timeout: float = CLOCK_TIMEOUT) -> None:
    """Refuse a clock with which nothing works that has a certificate: apt, registries, Kubernetes.

    Right after a boot, the time service may still be about to set it.

    :param timeout: seconds
    :raises HostError: it differs from the conductor's
    """
    connection, facts = machine.connection, machine.facts
    if abs(facts.clock_ahead) <= CLOCK_TOLERANCE:
        return
    ask = Command(("date", "+%s"), "compare the clocks")

    def attempt() -> None:
        asked = time.time()
        said = connection.run(ask).stdout.strip()
        facts.clock_ahead = clock_ahead(seconds_of(said), asked)
        if abs(facts.clock_ahead) > CLOCK_TOLERANCE:
            raise NotYet(clock_difference(facts.clock_ahead))

    def otherwise(difference: NotYet) -> HostError:
        return HostError(
            connection.node,
            ask.step,
            f"the VM's clock is {difference} the conductor's: certificates are judged by it",
            "let the VM reach a time server (see 'timedatectl' there), or correct the conductor's "
            "clock if that is the wrong one",
        )

    LOG.info(
        "%s: the clock is %s ours, waiting for its time service",
        connection.node,
        clock_difference(facts.clock_ahead),
    )
    with timed(connection.node, ask.step):
        wait_until(attempt, Deadline(timeout), otherwise)


def clock_difference(ahead: float) -> str:
    """Return a difference of clocks in words, e.g. ``3 years behind``."""
    seconds = abs(ahead)
    unit, name = next(((u, n) for u, n in _SPANS if seconds >= 1.9 * u), (1, "seconds"))
    return f"{seconds / unit:.0f} {name} {'ahead of' if ahead > 0 else 'behind'}"
