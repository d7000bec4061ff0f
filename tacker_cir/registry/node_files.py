# SPDX-License-Identifier: Apache-2.0
"""Which files a node shall have for its registries, and what of them is ours.

That is kept on the node, so that a registry that is no longer wanted leaves nothing behind,
whatever changed meanwhile, and nothing of others is taken away.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from tacker_cir import guests
from tacker_cir import log as logging
from tacker_cir.exceptions import HostError
from tacker_cir.facts import Facts
from tacker_cir.host import runtimes
from tacker_cir.host.files import ManagedFile, kept, kept_secret, understood, unusable
from tacker_cir.host.runtimes.base import Entries, NodeRuntime
from tacker_cir.params.registry_connection import RegistryConnection
from tacker_cir.render import docker_auth, hosts
from tacker_cir.text import shown

#: Logins of the kubelet for every pod.
KUBELET_LOGINS = "/var/lib/kubelet/config.json"
HOSTS = "/etc/hosts"
#: Whether that file counts (nsswitch.conf(5)).
NAME_SERVICES = "/etc/nsswitch.conf"
#: What cloud-init writes it from: a machine has the one of its own system, if any.
HOSTS_TEMPLATES = tuple(guest.hosts_template for guest in guests.GUESTS.values())
#: What of all this is ours.
STATE = "/var/lib/tacker-cir/registries.json"

#: What :func:`plan` must know, besides what the runtimes name.
CONTENTS = (KUBELET_LOGINS, HOSTS, *HOSTS_TEMPLATES, NAME_SERVICES, STATE)

LOG = logging.getLogger(__name__)

# What a record that was cut off still tells of whole files.
_COMPLETE_PATH = re.compile(rf'"((?:{"|".join(map(re.escape, runtimes.TREES))})/[^"\n]+)"')

_HOSTS_LINE = re.compile(r"^[ \t]*hosts:([^#\n]*)", re.MULTILINE)


@dataclass(frozen=True)
class Owned:
    """What is ours of a node's files.

    :param files: paths of whole files
    :param entries: what is ours in runtimes' files, by what it is
    :param kubelet_logins: servers in the kubelet's config.json
    """

    files: tuple[str, ...] = ()
    entries: Entries = field(default_factory=dict)
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
            files, logins = (tuple(document[key]) for key in (_FILES, _KUBELET_LOGINS))
            # One that is not there is of a runtime that nobody knew then.
            entries = {n: tuple(document[n]) for n in runtimes.ENTRIES if document.get(n)}
        except (ValueError, TypeError, KeyError):
            raise ValueError("is not what an earlier operation wrote") from None
        return cls(files, entries, logins)

    def dump(self) -> str | None:
        """Return it as text for the node, None where nothing is ours."""
        values = {_FILES: self.files, **self.entries, _KUBELET_LOGINS: self.kubelet_logins}
        if not any(values.values()):
            return None
        return json.dumps({key: values.get(key, ()) for key in _LISTS}, indent=4) + "\n"

    def __or__(self, other: Owned) -> Owned:
        names = (*self.entries, *other.entries)
        return Owned(
            _union(self.files, other.files),
            {n: _union(self.entries.get(n, ()), other.entries.get(n, ())) for n in names},
            _union(self.kubelet_logins, other.kubelet_logins),
        )


_FILES, _KUBELET_LOGINS = "files", "kubelet_logins"
_LISTS = (_FILES, *runtimes.ENTRIES, _KUBELET_LOGINS)


@dataclass(frozen=True)
class Plan:
    """The files of a node as they shall be, and what of them will be ours.

    :param before: what is ours now
    :param files: in the order to write them; those to be removed last
    """

    before: Owned
    after: Owned
    files: tuple[ManagedFile, ...]


def plan(
    node: str,
    facts: Facts,
    registries: Sequence[RegistryConnection],
    runtime: NodeRuntime,
    node_lines: tuple[str, ...] = (),
) -> Plan:
    """Return what shall be on a node; parameters as for
    :func:`tacker_cir.registry.access.ensure_access`.

    :param node: the machine as the user knows it
    :raises HostError: a file of others cannot be completed
    """
    before = _owned(node, facts)
    own_files = runtime.registry_files(registries)
    # A runtime that the node had before gives back what was ours in its files.
    shared = [
        each.complete(node, facts, before.entries, registries if each is runtime else ())
        for each in runtimes.RUNTIMES.values()
    ]
    logins = {r.server: r.login.reveal() for r in registries if r.login}
    kubelet_logins, our_kubelet_logins = understood(
        node,
        facts,
        KUBELET_LOGINS,
        lambda text: docker_auth.merge(text, before.kubelet_logins, logins),
    )
    entries = {name: ours for each in shared for name, ours in each.entries.items() if ours}
    after = Owned(tuple(file.path for file in own_files), entries, our_kubelet_logins)
    files = (
        *own_files,
        *hosts_files(node, facts, registries, node_lines),
        *(file for each in shared for file in each.files),
        kept_secret(facts, KUBELET_LOGINS, kubelet_logins),
        *(ManagedFile(path, None) for path in before.files if path not in after.files),
    )
    return Plan(before, after, files)


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
        kept(facts, path, understood(node, facts, path, partial(with_lines, path=path)))
        for path in (HOSTS, *HOSTS_TEMPLATES)
        if path == HOSTS or path in facts.contents
    ]


def _owned(node: str, facts: Facts) -> Owned:
    """Return what is ours. A record that was cut off when it was written is made anew."""
    text = understood(node, facts, STATE, lambda text: text)
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


def _hosts_lines(registries: Sequence[RegistryConnection]) -> list[str]:
    return [hosts.line(r.hosts.address, r.hosts.names) for r in registries if r.hosts]


def _check_hosts(node: str, facts: Facts, registries: Sequence[RegistryConnection]) -> None:
    """Refuse a name that a line of others gives another address: the first line counts."""
    others = understood(node, facts, HOSTS, lambda text: hosts.addresses(text or ""))
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
    text = understood(node, facts, NAME_SERVICES, lambda text: text or "")
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


def _union(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*first, *second]))
