# SPDX-License-Identifier: Apache-2.0
"""Which files a node shall have for its registries, and what of them is ours.

That is kept on the node, so that a registry that is no longer wanted leaves nothing behind,
whatever changed meanwhile, and nothing of others is taken away.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from tacker_cir import log as logging
from tacker_cir.exceptions import HostError
from tacker_cir.facts import Facts
from tacker_cir.host import docker
from tacker_cir.host.files import ManagedFile, kept, unusable
from tacker_cir.host.runtime import CONTAINERD_CERTS_D, DOCKER_DAEMON
from tacker_cir.params.registry_connection import RegistryConnection
from tacker_cir.registry import certs_d
from tacker_cir.render import docker_auth, docker_daemon, hosts
from tacker_cir.render.docker_daemon import CommandLine, Registries
from tacker_cir.text import shown

DOCKER_CERTS_D = "/etc/docker/certs.d"
#: Logins of root's docker command, and those of the kubelet for every pod.
DOCKER_LOGINS = "/root/.docker/config.json"
KUBELET_LOGINS = "/var/lib/kubelet/config.json"
HOSTS = "/etc/hosts"
#: Whether that file counts (nsswitch.conf(5)).
NAME_SERVICES = "/etc/nsswitch.conf"
#: What cloud-init writes /etc/hosts from at each boot, where it is told to (manage_etc_hosts, as in
#: Debian's cloud images); Ubuntu uses the same file.
HOSTS_TEMPLATE = "/etc/cloud/templates/hosts.debian.tmpl"
#: What of all this is ours.
STATE = "/var/lib/tacker-cir/registries.json"

#: What :func:`plan` must know.
CONTENTS = (
    DOCKER_DAEMON,
    DOCKER_LOGINS,
    KUBELET_LOGINS,
    HOSTS,
    HOSTS_TEMPLATE,
    NAME_SERVICES,
    STATE,
)
TREES = (DOCKER_CERTS_D, CONTAINERD_CERTS_D)

LOG = logging.getLogger(__name__)

# What a record that was cut off still tells of whole files.
_COMPLETE_PATH = re.compile(
    rf'"((?:{re.escape(DOCKER_CERTS_D)}|{re.escape(CONTAINERD_CERTS_D)})/[^"\n]+)"'
)

_HOSTS_LINE = re.compile(r"^[ \t]*hosts:([^#\n]*)", re.MULTILINE)

T = TypeVar("T")


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
    :param options: registries that are options of Docker's command line
    """

    before: Owned
    after: Owned
    files: tuple[ManagedFile, ...]
    options: Registries = field(default_factory=Registries)

    @property
    def gone(self) -> Registries:
        """Registries that Docker shall know no longer."""
        before, after, options = self.before.daemon, self.after.daemon, self.options
        return Registries(
            tuple(e for e in before.insecure if e not in (*after.insecure, *options.insecure)),
            tuple(e for e in before.mirrors if e not in (*after.mirrors, *options.mirrors)),
        )


def plan(
    node: str,
    facts: Facts,
    registries: Sequence[RegistryConnection],
    runtime: str,
    node_lines: tuple[str, ...] = (),
) -> Plan:
    """Return what shall be on a node; parameters as for
    :func:`tacker_cir.registry.access.ensure_access`.

    :param node: the machine as the user knows it
    :raises HostError: a file of others cannot be completed
    """
    on_docker = runtime == "docker"
    before = _owned(node, facts)
    if on_docker:
        own_files = certs_d.docker_files(DOCKER_CERTS_D, registries)
    else:
        own_files = certs_d.containerd_files(CONTAINERD_CERTS_D, registries)
    logins = _logins(registries)
    entries = _daemon_entries(registries) if on_docker else Registries()
    command_line = CommandLine.parse(facts.dockerd_words)
    _check_command_line(node, command_line, entries)
    in_file = command_line.for_file(entries)
    daemon, our_entries = _read(
        node,
        facts,
        DOCKER_DAEMON,
        lambda text: docker_daemon.merge(text, before.daemon, in_file, command_line),
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
    after = Owned(
        tuple(file.path for file in own_files), our_entries, our_docker_logins, our_kubelet_logins
    )
    files = (
        *own_files,
        *hosts_files(node, facts, registries, node_lines),
        kept(facts, DOCKER_DAEMON, daemon, check=docker.JUDGE),
        # Logins are secrets, whatever mode an earlier file had.
        _secret(DOCKER_LOGINS, docker_logins, facts),
        _secret(KUBELET_LOGINS, kubelet_logins, facts),
        *(ManagedFile(path, None) for path in before.files if path not in after.files),
    )
    return Plan(before, after, files, command_line.registries)


def hosts_files(
    node: str,
    facts: Facts,
    registries: Sequence[RegistryConnection],
    node_lines: Sequence[str],
) -> list[ManagedFile]:
    """Return /etc/hosts with our lines, and what cloud-init makes it from; parameters and errors
    as for :func:`plan`, of whose files they are a part."""
    _check_hosts(node, facts, registries)
    _check_name_services(node, facts)
    lines = [*node_lines, *_hosts_lines(registries)]

    def with_lines(text: str | None, path: str) -> str:
        # Emptied, or never filled, as by a writer that was cut off.
        is_empty = path == HOSTS and not (text or "").strip("\0 \n")
        return hosts.with_block(hosts.LOCALHOST if is_empty else text or "", lines)

    return [
        kept(facts, path, _read(node, facts, path, partial(with_lines, path=path)))
        for path in (HOSTS, HOSTS_TEMPLATE)
        if path == HOSTS or path in facts.contents
    ]


def _read(node: str, facts: Facts, path: str, understand: Callable[[str | None], T]) -> T:
    """Return what ``understand`` makes of a file's text."""
    try:
        return understand(facts.text(path))
    except ValueError as error:
        raise unusable(node, path, error) from None


def _check_command_line(node: str, command_line: CommandLine, entries: Registries) -> None:
    """Refuse what could only be in a file beside which Docker would not start any more."""
    left_over = command_line.left_over(entries)
    if left_over:
        options = " ".join(dict.fromkeys(option for option, _ in left_over))
        needed = " ".join(f"{option}={value}" for option, value in left_over)
        raise HostError(
            node,
            f"complete {DOCKER_DAEMON}",
            f"dockerd is started with {options}, and does not start where the file has the same",
            f"add {needed} to its command line, or move what is there into the file",
        )


def _owned(node: str, facts: Facts) -> Owned:
    """Return what is ours. A record that was cut off when it was written is made anew."""
    text = _read(node, facts, STATE, lambda text: text)
    try:
        return Owned.parse(text)
    except ValueError as error:
        if not _is_cut_off(text or ""):
            raise unusable(node, STATE, error) from None
    LOG.warning(
        "%s: %s was cut off when it was written and is made anew. Settings and logins of "
        "registries that were wanted before and are not any more may stay in the machine's files",
        node,
        STATE,
    )
    return Owned(tuple(_COMPLETE_PATH.findall(text or "")))


def _is_cut_off(text: str) -> bool:
    """Tell whether a text is the beginning of a JSON object, or room that was never filled."""
    left = text.strip("\0 \n")
    if left:
        try:
            json.loads(left)
        except ValueError:
            return left.startswith("{")
    return not left


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
    for registry, entry in ((r, r.hosts) for r in registries if r.hosts):
        for name in entry.names:
            address = others.get(name.lower(), entry.address)
            if address != entry.address:
                raise HostError(
                    node,
                    f"write the address of registry {registry.server}",
                    f"{HOSTS} says already that {name} is {address}, not {entry.address}",
                    "correct hosts_string, or remove the line from the machine or its image",
                )


def _check_name_services(node: str, facts: Facts) -> None:
    """Refuse a machine that asks others before it looks into its hosts file, or never does."""
    text = _read(node, facts, NAME_SERVICES, lambda text: text or "")
    told = _HOSTS_LINE.search(text)
    services = [word for word in told[1].split() if word.isalpha()] if told else ["files"]
    # systemd-resolved reads the file as well.
    first = next((name for name in services if name in ("files", "resolve", "dns")), "")
    if first not in ("files", "resolve"):
        raise HostError(
            node,
            f"write names into {HOSTS}",
            f"the machine looks names up elsewhere first: {NAME_SERVICES} has hosts: "
            f"{shown(' '.join(services))}",
            f"let 'files' be the first in the line 'hosts' of {NAME_SERVICES}",
        )


def _secret(path: str, text: str | None, facts: Facts) -> ManagedFile:
    """Return a file of logins: for root only where there is a login of ours in it."""
    content = None if text is None else text.encode()
    unchanged = facts.contents.get(path) == content
    return kept(facts, path, text, None if unchanged else 0o600)


def _union(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*first, *second]))
