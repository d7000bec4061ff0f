# SPDX-License-Identifier: Apache-2.0
"""The files by which a registry proves itself and knows its users.

The registry reads the users anew whenever their file has another time, its certificate only when it
starts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tacker_cir import log as logging
from tacker_cir.command import Secret
from tacker_cir.facts import Facts, gather
from tacker_cir.host.files import ManagedFile
from tacker_cir.host.machine import Machine
from tacker_cir.params import certificates
from tacker_cir.params.private_registry import PrivateRegistryParams
from tacker_cir.params.registry_tls import SelfSigned
from tacker_cir.registry import authority
from tacker_cir.registry.authority import Pair
from tacker_cir.registry.places import Places
from tacker_cir.render import htpasswd
from tacker_cir.render.registry_settings import CERTIFICATE, HTPASSWD, KEY

LOG = logging.getLogger(__name__)

#: Directory of the machine that the container has as that of its settings.
DIRECTORY = "/etc/tacker-cir/registry"
#: What :func:`ensure` must know, to be given to :func:`tacker_cir.facts.gather`.
CONTENTS = tuple(f"{DIRECTORY}/{name}" for name in (CERTIFICATE, KEY, HTPASSWD))

_CA, _CA_KEY = "ca.crt", "ca.key"
_SECRET = 0o600


@dataclass(frozen=True)
class Identity:
    """How a registry proves itself.

    :param certificate: that it shows, in PEM, followed by those that lead to its authority
    :param ca: in PEM, what its clients are to trust
    """

    certificate: str
    ca: str


@dataclass(frozen=True)
class Ensured:
    """What the registry has to read.

    :param identity: None with HTTP
    :param changes: in words
    """

    identity: Identity | None
    changes: tuple[str, ...]


def ensure(
    machine: Machine, params: PrivateRegistryParams, places: Places, addresses: tuple[str, ...]
) -> Ensured:
    """Write the files that the parameters ask for, where they differ.

    :param machine: read with :data:`CONTENTS`
    :param addresses: of the machine
    :raises HostError: they cannot be written
    """
    identity: Identity | None = None
    wanted: list[ManagedFile] = []
    if isinstance(params.tls, SelfSigned):
        ca, server = _own_pairs(machine, places, (*params.tls.names, *addresses))
        identity = Identity(server.certificate, ca.certificate)
        wanted += [*_files(places.own, _CA, _CA_KEY, ca), *_server_files(server)]
    elif params.tls:
        server = Pair(params.tls.certificate, params.tls.key)
        identity = Identity(server.certificate, _last(server.certificate))
        wanted += _server_files(server)
    if params.users:
        wanted.append(_users_file(machine.facts, params))
    changed = machine.ensure(*wanted)
    return Ensured(identity, tuple(_told(changed)))


def remove_unused(machine: Machine, params: PrivateRegistryParams) -> None:
    """Remove what the registry, as it runs now, does not read.

    :raises HostError: it cannot be removed
    """
    unused = [] if params.tls else [CERTIFICATE, KEY]
    unused += [] if params.users else [HTPASSWD]
    machine.ensure(*(ManagedFile(f"{DIRECTORY}/{name}", None) for name in unused))


def _own_pairs(machine: Machine, places: Places, names: tuple[str, ...]) -> tuple[Pair, Pair]:
    """Return the authority's and the registry's certificates, new ones where they have to be."""
    paths = [f"{places.own}/{name}" for name in (_CA, _CA_KEY)]
    found = gather(machine.connection, contents=paths)
    for path in paths:
        machine.facts.take_file(path, found)
    present = _pair(machine.facts, places.own, _CA, _CA_KEY)
    ca = authority.authority(present)
    if present and ca != present:
        LOG.warning(
            "%s: the registry's authority in %s has another certificate: clients need it",
            machine.node,
            places.own,
        )
    server = _pair(machine.facts, DIRECTORY, CERTIFICATE, KEY)
    return ca, authority.server(ca, server, names)


def _pair(facts: Facts, directory: str, certificate: str, key: str) -> Pair | None:
    try:
        found = [facts.text(f"{directory}/{name}") for name in (certificate, key)]
    except ValueError:
        return None
    return Pair(found[0], Secret(found[1])) if found[0] and found[1] else None


def _server_files(pair: Pair) -> list[ManagedFile]:
    return _files(DIRECTORY, CERTIFICATE, KEY, pair)


def _files(directory: str, certificate: str, key: str, pair: Pair) -> list[ManagedFile]:
    return [
        ManagedFile(f"{directory}/{key}", pair.key.reveal().encode(), _SECRET),
        ManagedFile(f"{directory}/{certificate}", pair.certificate.encode()),
    ]


def _users_file(facts: Facts, params: PrivateRegistryParams) -> ManagedFile:
    path = f"{DIRECTORY}/{HTPASSWD}"
    present = facts.contents.get(path, b"").decode(errors="replace")
    passwords = {user.username: user.password.reveal() for user in params.users}
    return ManagedFile(path, htpasswd.render(passwords, present).encode(), _SECRET)


def _last(chain: str) -> str:
    return certificates.to_pem(certificates.read_certificates(chain)[-1:])


def _told(changed: frozenset[str]) -> Iterator[str]:
    if f"{DIRECTORY}/{CERTIFICATE}" in changed:
        yield "registry's certificate written"
    if f"{DIRECTORY}/{HTPASSWD}" in changed:
        yield "registry's users written"
