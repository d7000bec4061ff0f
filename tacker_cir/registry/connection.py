# SPDX-License-Identifier: Apache-2.0
"""A node's access to private registries (spec cir-k8s-cluster, "connect to private registries").

What of it is ours is kept on the node, so that a registry that is no longer wanted leaves nothing
behind, whatever changed meanwhile, and nothing of others is taken away.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from oslo_log import log as logging

from tacker_cir.command import Command
from tacker_cir.exceptions import HostError
from tacker_cir.facts import Facts
from tacker_cir.host import docker
from tacker_cir.host.files import ManagedFile
from tacker_cir.host.runtime import CONTAINERD_CERTS_D, DOCKER_DAEMON, kept, unusable, write
from tacker_cir.host.service import Service
from tacker_cir.params.registry_connection import RegistryConnection
from tacker_cir.registry import certs_d
from tacker_cir.render import docker_auth, docker_daemon, hosts
from tacker_cir.render.docker_daemon import Registries
from tacker_cir.ssh import Connection
from tacker_cir.waiting import Deadline, poll

LOG = logging.getLogger(__name__)

DOCKER_CERTS_D = "/etc/docker/certs.d"
#: Logins of root's docker command, and those of the kubelet for every pod.
DOCKER_LOGINS = "/root/.docker/config.json"
KUBELET_LOGINS = "/var/lib/kubelet/config.json"
HOSTS = "/etc/hosts"
#: What cloud-init writes /etc/hosts from at each boot, where it is told to (manage_etc_hosts, as in
#: Debian's cloud images); Ubuntu uses the same file.
HOSTS_TEMPLATE = "/etc/cloud/templates/hosts.debian.tmpl"
#: What of all this is ours.
STATE = "/var/lib/tacker-cir/registries.json"

KUBELET = Service("kubelet")
# Without it, the kubelet only waits for kubeadm.
_KUBELET_CONFIG = "/var/lib/kubelet/config.yaml"

#: What :func:`ensure_access` must know: to be given to :func:`tacker_cir.facts.gather`.
FILES = (KUBELET.restart_pending, _KUBELET_CONFIG)
CONTENTS = (DOCKER_DAEMON, DOCKER_LOGINS, KUBELET_LOGINS, HOSTS, HOSTS_TEMPLATE, STATE)
TREES = (DOCKER_CERTS_D, CONTAINERD_CERTS_D)

_REMOVE_EMPTY = 'for directory; do rmdir -- "$directory" 2>/dev/null || :; done'


T = TypeVar("T")


class _NotReloaded(Exception):
    pass


@dataclass(frozen=True)
class Owned:
    """What is ours of a node's files.

    :param files: paths of whole files
    :param daemon: entries of Docker's daemon.json
    :param docker_logins: servers in root's config.json
    :param kubelet_logins: servers in the kubelet's config.json
    """

    files: tuple[str, ...] = ()
    daemon: Registries = field(default_factory=Registries)
    docker_logins: tuple[str, ...] = ()
    kubelet_logins: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str | None) -> Owned:
        """Return what :meth:`dump` wrote.

        :raises ValueError: somebody changed it
        """
        if text is None:
            return cls()
        try:
            document = json.loads(text)
            lists = {key: tuple(document[key]) for key in _LISTS}
        except (ValueError, TypeError, KeyError):
            raise ValueError("is not what an earlier operation wrote") from None
        daemon = Registries(lists["insecure_registries"], lists["registry_mirrors"])
        return cls(lists["files"], daemon, lists["docker_logins"], lists["kubelet_logins"])

    def dump(self) -> str | None:
        """Return it as text for the node, None where nothing is ours."""
        if self == Owned():
            return None
        values = (
            self.files,
            self.daemon.insecure,
            self.daemon.mirrors,
            self.docker_logins,
            self.kubelet_logins,
        )
        return json.dumps(dict(zip(_LISTS, values, strict=True)), indent=4) + "\n"

    def __or__(self, other: Owned) -> Owned:
        return Owned(
            _union(self.files, other.files),
            Registries(
                _union(self.daemon.insecure, other.daemon.insecure),
                _union(self.daemon.mirrors, other.daemon.mirrors),
            ),
            _union(self.docker_logins, other.docker_logins),
            _union(self.kubelet_logins, other.kubelet_logins),
        )


_LISTS = ("files", "insecure_registries", "registry_mirrors", "docker_logins", "kubelet_logins")


@dataclass(frozen=True)
class Plan:
    """The files of a node as they shall be, and what of them will be ours.

    :param before: what is ours now
    :param files: in the order to write them; those to be removed last
    """

    before: Owned
    after: Owned
    files: tuple[ManagedFile, ...]

    @property
    def gone(self) -> Registries:
        """Entries of Docker's daemon.json that are ours no longer."""
        before, after = self.before.daemon, self.after.daemon
        return Registries(
            tuple(e for e in before.insecure if e not in after.insecure),
            tuple(e for e in before.mirrors if e not in after.mirrors),
        )


def ensure_access(
    connection: Connection,
    facts: Facts,
    registries: Sequence[RegistryConnection],
    *,
    runtime: str,
    node_lines: Iterable[str] = (),
    service_timeout: float,
) -> list[str]:
    """Make a node able to pull from exactly these registries; do only what is missing.

    Nothing is restarted that containers depend on: Docker re-reads its settings while it runs,
    containerd reads them at each pull.

    :param facts: gathered with :data:`FILES`, :data:`CONTENTS` and :data:`TREES`; brought up to
        date
    :param runtime: ``docker`` or ``containerd``
    :param node_lines: lines of the cluster's own for /etc/hosts
    :param service_timeout: seconds for Docker to take over its settings
    :return: what was changed, one line each; empty where all was as it shall be
    :raises HostError: a step failed; a later call goes on where this one stopped
    """
    wanted = plan(connection.node, facts, registries, runtime, tuple(node_lines))
    _warn(connection.node, registries)
    changes = _write(connection, facts, wanted)
    if runtime == "docker":
        daemon_changed = DOCKER_DAEMON in changes
        changes += _reload_docker(connection, facts, wanted, daemon_changed, service_timeout)
    changes += _restart_kubelet(connection, facts)
    # Last: what is gone is forgotten once it is gone everywhere.
    write(connection, facts, [_state(wanted.after)])
    _remove_empty(connection, wanted)
    LOG.info(
        "%s: access to %d registries: %s",
        connection.node,
        len(registries),
        f"{len(changes)} changes" if changes else "no change",
    )
    return changes


def plan(
    node: str,
    facts: Facts,
    registries: Sequence[RegistryConnection],
    runtime: str,
    node_lines: tuple[str, ...] = (),
) -> Plan:
    """Return what shall be on a node; parameters as for :func:`ensure_access`.

    :param node: the machine as the user knows it
    :raises HostError: a file of others cannot be completed
    """
    on_docker = runtime == "docker"
    before = _read(node, facts, STATE, Owned.parse)
    if on_docker:
        own_files = certs_d.docker_files(DOCKER_CERTS_D, registries)
    else:
        own_files = certs_d.containerd_files(CONTAINERD_CERTS_D, registries)
    logins = _logins(registries)
    entries = _daemon_entries(registries) if on_docker else Registries()
    daemon, our_entries = _read(
        node, facts, DOCKER_DAEMON, lambda text: docker_daemon.merge(text, before.daemon, entries)
    )
    docker_logins, our_docker_logins = _read(
        node,
        facts,
        DOCKER_LOGINS,
        lambda text: docker_auth.merge(text, before.docker_logins, logins if on_docker else {}),
    )
    kubelet_logins, our_kubelet_logins = _read(
        node,
        facts,
        KUBELET_LOGINS,
        lambda text: docker_auth.merge(text, before.kubelet_logins, logins),
    )
    _check_hosts(node, facts, registries)
    lines = [*node_lines, *_hosts_lines(registries)]

    def with_lines(text: str | None) -> str:
        return hosts.with_block(text or "", lines)

    host_files = [
        kept(facts, path, _read(node, facts, path, with_lines))
        for path in (HOSTS, HOSTS_TEMPLATE)
        if path == HOSTS or path in facts.contents
    ]
    after = Owned(
        tuple(file.path for file in own_files), our_entries, our_docker_logins, our_kubelet_logins
    )
    files = (
        *own_files,
        *host_files,
        kept(facts, DOCKER_DAEMON, daemon),
        # Logins are secrets, whatever mode an earlier file had.
        _secret(DOCKER_LOGINS, docker_logins, facts),
        _secret(KUBELET_LOGINS, kubelet_logins, facts),
        *(ManagedFile(path, None) for path in before.files if path not in after.files),
    )
    return Plan(before, after, files)


def _write(connection: Connection, facts: Facts, wanted: Plan) -> list[str]:
    """Bring all files to their state and return the paths that changed."""
    due = [file for file in wanted.files if not file.is_current(facts)]
    kubelet_runs = facts.kubelet_active and _KUBELET_CONFIG in facts.files
    if kubelet_runs and any(file.path == KUBELET_LOGINS for file in due):
        KUBELET.note_restart(connection, facts)
        facts.note_file(KUBELET.restart_pending, b"", 0o644)
    if due:
        # Before and after: a cut leaves nothing that nobody knows to be ours.
        write(connection, facts, [_state(wanted.before | wanted.after)])
    changed = write(connection, facts, due)
    return sorted(changed)


def _remove_empty(connection: Connection, wanted: Plan) -> None:
    gone = [path for path in wanted.before.files if path not in wanted.after.files]
    if wanted.before != Owned() and wanted.after == Owned():
        gone.append(STATE)
    directories = tuple(dict.fromkeys(path.rpartition("/")[0] for path in gone))
    if directories:
        connection.run(Command.script("remove empty directories", _REMOVE_EMPTY, *directories))


def _reload_docker(
    connection: Connection, facts: Facts, wanted: Plan, changed: bool, timeout: float
) -> list[str]:
    """Have Docker take over its registries, which it does without a restart."""
    here, gone = wanted.after.daemon, wanted.gone
    if not facts.docker_started or (not changed and is_loaded(facts.docker_registries, here, gone)):
        return []
    docker.reload(connection)
    ask = Command(("docker", "info", "--format", "{{json .RegistryConfig}}"), "reload Docker")

    def attempt() -> None:
        if not is_loaded(json.loads(connection.run(ask).stdout), here, gone):
            raise _NotReloaded

    try:
        poll(attempt, Deadline(timeout), retry_on=(_NotReloaded, ValueError))
    except (_NotReloaded, ValueError):
        raise HostError(
            connection.node,
            ask.step,
            f"Docker did not take over the registries of {DOCKER_DAEMON}",
            "look at 'journalctl -u docker' of the VM; an option of the daemon's command line may "
            "stand against the file",
        ) from None
    return ["Docker's settings reloaded"]


def is_loaded(registries: Mapping[str, Any] | None, entries: Registries, gone: Registries) -> bool:
    """Tell whether the daemon has certain registries and has certain others no longer.

    :param registries: ``docker info``'s RegistryConfig
    """
    have = registries or {}
    indexes = have.get("IndexConfigs") or {}
    insecure = {name for name, index in indexes.items() if not index.get("Secure", True)}
    mirrors = {url.rstrip("/") for url in have.get("Mirrors") or ()}
    return (
        insecure.issuperset(entries.insecure)
        and insecure.isdisjoint(gone.insecure)
        and mirrors.issuperset(entries.mirrors)
        and mirrors.isdisjoint(gone.mirrors)
    )


def _restart_kubelet(connection: Connection, facts: Facts) -> list[str]:
    """Have the kubelet read its logins; pods go on.

    By itself it reads them every five minutes only (1.20 took 5 min 21 s until a pod ran). On
    containerd a new password counts at once all the same, as that of hosts.toml goes first; not so
    at a registry that wants tokens.
    """
    if KUBELET.restart_pending not in facts.files:
        return []
    KUBELET.restart(connection)
    facts.note_file(KUBELET.restart_pending, None, 0)
    return ["kubelet restarted"]


def _warn(node: str, registries: Sequence[RegistryConnection]) -> None:
    for registry in registries:
        if registry.skip_verify:
            LOG.warning("%s: any certificate of %s is accepted", node, registry.server)
        if registry.login and not registry.https:
            LOG.warning("%s: the login at %s goes over the network in clear", node, registry.server)


def _read(node: str, facts: Facts, path: str, understand: Callable[[str | None], T]) -> T:
    """Return what ``understand`` makes of a file's text."""
    try:
        return understand(facts.text(path))
    except ValueError as error:
        raise unusable(node, path, error) from None


def _logins(registries: Sequence[RegistryConnection]) -> dict[str, str]:
    return {r.server: r.login.reveal() for r in registries if r.login}


def _daemon_entries(registries: Sequence[RegistryConnection]) -> Registries:
    return Registries(
        tuple(r.server for r in registries if not r.https or r.skip_verify),
        tuple(r.url for r in registries if r.mirror_of),
    )


def _hosts_lines(registries: Sequence[RegistryConnection]) -> list[str]:
    return [hosts.line(r.hosts.address, r.hosts.names) for r in registries if r.hosts]


def _check_hosts(node: str, facts: Facts, registries: Sequence[RegistryConnection]) -> None:
    """Refuse a name that a line of others gives another address: the first line counts."""
    others = _read(node, facts, HOSTS, lambda text: hosts.addresses(text or ""))
    for registry in registries:
        for name in registry.hosts.names if registry.hosts else ():
            address = others.get(name.lower(), registry.hosts.address)
            if address != registry.hosts.address:
                raise HostError(
                    node,
                    f"write the address of registry {registry.server}",
                    f"{HOSTS} says already that {name} is {address}, not {registry.hosts.address}",
                    "correct hosts_string, or remove the line from the machine or its image",
                )


def _secret(path: str, text: str | None, facts: Facts) -> ManagedFile:
    """Return a file of logins: for root only where there is a login of ours in it."""
    content = None if text is None else text.encode()
    if facts.contents.get(path) == content:
        return kept(facts, path, text)
    return ManagedFile(path, content, 0o600)


def _state(owned: Owned) -> ManagedFile:
    text = owned.dump()
    return ManagedFile(STATE, None if text is None else text.encode(), 0o600)


def _union(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*first, *second]))
