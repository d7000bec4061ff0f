# SPDX-License-Identifier: Apache-2.0
"""Proof that a node can pull from its registries; if not, at which step it fails and what to do."""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence

from tacker_cir import facts, guests
from tacker_cir import log as logging
from tacker_cir.command import Command
from tacker_cir.exceptions import CommandFailed, CommandTimeout, HostError
from tacker_cir.host.machine import Machine
from tacker_cir.host.runtimes.base import NodeRuntime
from tacker_cir.params.registry_connection import RegistryConnection
from tacker_cir.registry.pull_faults import PullFault, tell
from tacker_cir.registry.visit import AccessFault, PassingFault, Trust, Visit
from tacker_cir.ssh import Connection
from tacker_cir.steps import timed
from tacker_cir.waiting import Deadline, poll

LOG = logging.getLogger(__name__)

# A node has that of its own system only.
_AUTHORITIES = tuple(guest.authorities for guest in guests.GUESTS.values())


def verify_access(
    machine: Machine, registries: Sequence[RegistryConnection], *, runtime: NodeRuntime
) -> None:
    """Prove that a node resolves, reaches, trusts and may use each registry, and pulls from it.

    Every registry is tried, so that one error tells all that is wrong; one that restarts is asked
    again.

    :param runtime: of the node
    :raises HostError: naming each registry that failed, why, and what to do
    """
    connection = machine.connection
    faults: list[tuple[RegistryConnection, AccessFault]] = []
    trust = functools.cache(lambda: _node_trust(connection))
    ahead = None if machine.facts.clock is None else machine.facts.clock_ahead
    for registry in registries:
        visit = Visit(connection, registry, trust, ahead)
        try:
            with timed(connection.node, f"ask registry {registry.server}"):
                deadline = Deadline(machine.limits.registry_timeout)
                poll(visit.check, deadline, retry_on=(PassingFault,))
            if registry.test_image:
                _pull(machine, registry, registry.test_image, runtime)
        except AccessFault as fault:
            faults.append((registry, fault))
        else:
            what = f"pulled {registry.test_image}" if registry.test_image else "reached it"
            LOG.info("%s: registry %s: %s", connection.node, registry.server, what)
    if faults:
        causes = [f"{registry.server}: {fault}" for registry, fault in faults]
        remedies = [fault.remedy for _, fault in faults]
        raise HostError(
            connection.node,
            "use the private registries",
            # A registry knows the login, and chooses names that are told.
            connection.redactor("; ".join(causes)),
            connection.redactor("; ".join(dict.fromkeys(remedies))),
        )


def _node_trust(connection: Connection) -> Trust:
    """Ask a node by what it judges certificates."""
    script = 'date +%s; cat -- "$@"'
    command = Command.script("read the node's certificate authorities", script, *_AUTHORITIES)
    asked = time.time()
    clock, _, authorities = connection.run(command, ok=None).stdout.partition("\n")
    return Trust(authorities, facts.clock_ahead(facts.seconds_of(clock), asked))


def _pull(machine: Machine, registry: RegistryConnection, image: str, runtime: NodeRuntime) -> None:
    """Pull an image with the node's runtime and the kubelet's login.

    :raises AccessFault: it cannot be pulled
    """
    timeout = machine.limits.image_timeout
    command, login = runtime.pull(image, registry.login)
    try:
        machine.connection.run(command, stdin=login, timeout=timeout)
    except CommandTimeout:
        raise AccessFault(
            "pull", f"{image} was not pulled in {timeout:.0f} seconds", "try a smaller test_image"
        ) from None
    except CommandFailed as error:
        # containerd's client logs each of its attempts beside its error.
        lines = [line for line in error.stderr.splitlines() if not line.startswith("time=")]
        said = " ".join(" ".join(lines).split()) or " ".join(error.stderr.split())
        fault = tell(said, image) or PullFault("pull", "see the runtime's log on the node")
        raise AccessFault(fault.kind, f"test_image {image}: {said[-500:]}", fault.remedy) from None
