# SPDX-License-Identifier: Apache-2.0
"""A node's access to private registries (spec cir-k8s-cluster, "connect to private registries")."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tacker_cir import expiry
from tacker_cir import log as logging
from tacker_cir.command import Command
from tacker_cir.host import runtimes
from tacker_cir.host.files import ManagedFile
from tacker_cir.host.machine import Machine
from tacker_cir.host.runtimes.base import NodeRuntime
from tacker_cir.host.service import Service
from tacker_cir.params.registry_connection import RegistryConnection
from tacker_cir.registry import node_files
from tacker_cir.registry.node_files import KUBELET_LOGINS, STATE, Owned, Plan
from tacker_cir.ssh import Connection

LOG = logging.getLogger(__name__)

KUBELET = Service("kubelet")
# Without it, the kubelet only waits for kubeadm.
_KUBELET_CONFIG = "/var/lib/kubelet/config.yaml"

#: What :func:`ensure_access` must know: to be given to :func:`tacker_cir.facts.gather`.
FILES = (KUBELET.pending, _KUBELET_CONFIG)
CONTENTS = node_files.CONTENTS

_REMOVE_EMPTY = 'for directory; do rmdir -- "$directory" 2>/dev/null || :; done'


def ensure_access(
    machine: Machine,
    registries: Sequence[RegistryConnection],
    *,
    runtime: NodeRuntime,
    node_lines: Iterable[str] = (),
) -> list[str]:
    """Make a node able to pull from exactly these registries; do only what is missing.

    Nothing is restarted that containers depend on: Docker re-reads its settings while it runs,
    containerd reads them at each pull.

    :param machine: read with :data:`FILES`, :data:`CONTENTS`, and what
        :mod:`tacker_cir.host.runtimes` names
    :param runtime: of the node
    :param node_lines: lines of the cluster's own for /etc/hosts
    :return: what was changed, one line each; empty where all was as it shall be
    :raises HostError: a step failed; a later call goes on where this one stopped
    """
    wanted = node_files.plan(machine.node, machine.facts, registries, runtime, tuple(node_lines))
    _warn(machine.node, registries)
    with runtimes.taken_back(machine):
        changes = _write(machine, wanted)
        before, after = wanted.before.entries, wanted.after.entries
        changes += runtime.take_over(machine, before, after, tuple(changes))
    changes += _restart_kubelet(machine)
    # Last: what is gone is forgotten once it is gone everywhere.
    machine.ensure(_state(wanted.after))
    _remove_empty(machine.connection, wanted)
    told = f"{len(changes)} changes" if changes else "no change"
    machine.connection.when_done(
        lambda: LOG.info("%s: access to %d registries: %s", machine.node, len(registries), told)
    )
    return changes


def _write(machine: Machine, wanted: Plan) -> list[str]:
    """Bring all files to their state and return the paths that changed."""
    facts = machine.facts
    due = [file for file in wanted.files if not file.is_current(facts)]
    if not due:
        return []
    # What was and what will be ours: a cut leaves nothing that nobody knows to be ours.
    first = [_state(wanted.before | wanted.after)]
    kubelet_runs = KUBELET.name in facts.active and _KUBELET_CONFIG in facts.files
    if kubelet_runs and any(file.path == KUBELET_LOGINS for file in due):
        first.append(KUBELET.note)
    machine.ensure(*first, *due)
    return sorted(file.path for file in due)


def _remove_empty(connection: Connection, wanted: Plan) -> None:
    gone = [path for path in wanted.before.files if path not in wanted.after.files]
    if wanted.before != Owned() and wanted.after == Owned():
        gone.append(STATE)
    directories = tuple(dict.fromkeys(path.rpartition("/")[0] for path in gone))
    if directories:
        connection.later(Command.script("remove empty directories", _REMOVE_EMPTY, *directories))


def _restart_kubelet(machine: Machine) -> list[str]:
    """Have the kubelet read its logins; pods go on.

    By itself it reads them every five minutes only (1.20 took 5 min 21 s until a pod ran). On
    containerd a new password counts at once all the same, as that of hosts.toml goes first; not so
    at a registry that wants tokens.
    """
    if KUBELET.pending not in machine.facts.files:
        return []
    KUBELET.restart(machine)
    return ["kubelet restarted"]


def _warn(node: str, registries: Sequence[RegistryConnection]) -> None:
    logins = {registry.server.lower() for registry in registries if registry.login}
    for registry in registries:
        if registry.skip_verify:
            LOG.warning("%s: any certificate of %s is accepted", node, registry.server)
        if registry.login and not registry.https:
            LOG.warning("%s: the login at %s goes over the network in clear", node, registry.server)
        if registry.mirror_of and registry.mirror_of.lower() in logins:
            LOG.warning(
                "%s: the mirror %s gets the login of %s if it asks for one",
                node,
                registry.server,
                registry.mirror_of,
            )


def tell_expiry(registries: Sequence[RegistryConnection]) -> None:
    """Warn of certificates with which registries are reached and which end soon.

    Of several authorities the last one counts, of a client's chain the first one.
    """
    for registry in registries:
        for key, pem, which in (
            ("certificate_path", registry.ca, max),
            ("client_certificate_path", registry.client_certificate, min),
        ):
            end = which(expiry.ends(pem.encode())) if pem else None
            if end and expiry.is_soon(end):
                LOG.warning(
                    "registry %s: %s ends on %s. To do: update the VNF instance's metadata with a "
                    "new one",
                    registry.server,
                    key,
                    expiry.told(end),
                )


def _state(owned: Owned) -> ManagedFile:
    text = owned.dump()
    return ManagedFile(STATE, None if text is None else text.encode(), 0o600)
