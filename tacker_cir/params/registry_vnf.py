# SPDX-License-Identifier: Apache-2.0
"""Registries that a list names by their VNF instances: what such an instance shows of itself.

The registry's driver writes it into the metadata, where any user of the project may write as well,
and the users are in what the instance was made with. So all of it is judged like a request.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tacker_cir import metadata
from tacker_cir.exceptions import InvalidRequest, InventoryError
from tacker_cir.params import bounds, certificates, registry_override, registry_tls, schema
from tacker_cir.params.certificates import CertificateFault
from tacker_cir.params.names import is_host_name, split_server
from tacker_cir.params.reader import Reader
from tacker_cir.params.shown_registry import (
    ADDRESS,
    CA,
    CA_SHA256,
    SCHEME,
    SERVER,
    fingerprint,
)
from tacker_cir.templates.trees import mapping

#: Member of an entry that names the VNF instance.
MEMBER = "vnf_instance"
#: Members that such an entry may not have: they say how a registry is reached.
_TOLD = (
    "server",
    "connection_type",
    "certificate_path",
    "client_certificate_path",
    "client_key_path",
    "skip_verify",
    "token_server",
)

_SHOWN_IDS = 5


@dataclass(frozen=True)
class RegistryVnf:
    """A VNF instance of the same project, as Tacker has it.

    :param instantiated: whether it has machines
    :param parameters: ``additionalParams`` that it was instantiated with
    """

    id: str
    name: str
    instantiated: bool
    parameters: Mapping[str, Any] | None = field(repr=False)
    metadata: Mapping[str, Any] = field(repr=False)

    def __str__(self) -> str:
        return f"VNF instance {schema.shown(self.name)} ({self.id})"


#: Returns the VNF instance of the project that has a name or an id, or raises InventoryError.
Find = Callable[[str], RegistryVnf]


class _Unusable(ValueError):
    """What a VNF instance shows cannot be used."""


def the_only(found: Sequence[RegistryVnf], name_or_id: str) -> RegistryVnf:
    """Return the VNF instance that a user means: the one with the id, or the only one with the
    name.

    :param found: those of the project that have the name or the id
    :raises InventoryError: there is none, or several have the name
    """
    fitting = [vnf for vnf in found if vnf.id == name_or_id]
    fitting = fitting or [vnf for vnf in found if vnf.name == name_or_id]
    if not fitting:
        raise InventoryError(
            f"no VNF instance of this project has the name or id {schema.shown(name_or_id)}"
        )
    if len(fitting) > 1:
        ids = sorted(vnf.id for vnf in fitting)
        more = f" and {len(ids) - _SHOWN_IDS} more" if len(ids) > _SHOWN_IDS else ""
        raise InventoryError(
            f"{len(ids)} VNF instances of this project have the name {schema.shown(name_or_id)}; "
            f"expected the id of one: {', '.join(ids[:_SHOWN_IDS])}{more}"
        )
    return fitting[0]


def fill_in(reader: Reader, key: str, find: Find | None) -> None:
    """Put what VNF instances show into the entries of a list that name them.

    :param key: of the list
    :param find: None where nobody can be asked: such entries are then judged without it
    """
    given = reader.raw.get(key)
    if not isinstance(given, list):
        return
    entries = [_filled(reader, key, index, find) for index in range(len(given))]
    reader.raw = {**reader.raw, key: entries}


def _filled(reader: Reader, key: str, index: int, find: Find | None) -> Any:
    entry = reader.raw[key][index]
    name = reader.valid(key, index, MEMBER)
    if name is None:
        return entry
    for other in _TOLD:
        if other in entry:
            problem = f"expected none beside {MEMBER}, which tells how the registry is reached"
            reader.fault(problem, key, index, other)
    if find is None:
        return entry
    try:
        vnf = find(name)
        return {**_resolved(vnf), **entry, **_reached(vnf), **_login(reader, key, index, vnf)}
    except (InventoryError, _Unusable) as error:
        reader.fault(str(error), key, index, MEMBER)
        return entry


def _reached(vnf: RegistryVnf) -> dict[str, Any]:
    """Return how the registry is reached, as an entry of a list says it."""
    if not vnf.instantiated:
        raise _Unusable(f"{vnf} is not instantiated; instantiate it first")
    if SERVER not in vnf.metadata:
        raise _Unusable(
            f"{vnf} shows no registry: its metadata have no {SERVER}. Expected one of a registry "
            "package; where an earlier release made it, any update of it has it shown"
        )
    server, scheme = _server(vnf), _text(vnf, SCHEME)
    if scheme not in ("http", "https"):
        raise _nonsense(vnf, SCHEME, "expected http or https")
    told = {"server": server, "connection_type": str(int(scheme == "https"))}
    if scheme == "https":
        return told | {"certificate_path": _authorities(vnf)}
    # Whoever took it away would have logins sent in clear, to whom they like. What it was
    # instantiated with nobody changes.
    if CA in vnf.metadata:
        raise _nonsense(vnf, SCHEME, f"expected https, as it shows {CA}")
    if registry_tls.KEY in mapping(vnf.parameters, registry_override.KEY):
        raise _nonsense(vnf, SCHEME, "expected https, as it was instantiated with tls")
    return told


def _server(vnf: RegistryVnf) -> str:
    server = _text(vnf, SERVER)
    try:
        split_server(server)
    except ValueError as error:
        raise _nonsense(vnf, SERVER, str(error)) from None
    return server


def _resolved(vnf: RegistryVnf) -> dict[str, Any]:
    """Return what /etc/hosts shall say where a registry goes by a name, because its certificate is
    not for its address; the entry may say otherwise."""
    if vnf.metadata.get(ADDRESS) is None:
        return {}
    name, _ = split_server(_server(vnf))
    if registry_tls.as_address(name) or not is_host_name(name) or name.lower() == "localhost":
        raise _nonsense(vnf, ADDRESS, f"expected none, as {SERVER} has no name that it is of")
    text = _text(vnf, ADDRESS)
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise _nonsense(vnf, ADDRESS, "expected an IP address") from None
    if address.is_unspecified or address.is_multicast or address.is_loopback or "%" in str(address):
        raise _nonsense(vnf, ADDRESS, "expected an address that a registry can have")
    return {"hosts_string": f"{address} {name}"}


def _authorities(vnf: RegistryVnf) -> str:
    """Return the certificates in PEM that the registry's is to be trusted by."""
    try:
        found = certificates.read_certificates(_whole(vnf, CA))
    except CertificateFault as error:
        raise _nonsense(vnf, CA, str(error)) from None
    pem = certificates.to_pem(found)
    if _text(vnf, CA_SHA256) != fingerprint(pem):
        raise _nonsense(vnf, CA_SHA256, f"expected that of {CA}, {fingerprint(pem)}")
    return pem


def _login(reader: Reader, key: str, index: int, vnf: RegistryVnf) -> dict[str, Any]:
    """Return the password of the entry's user, if the registry knows the user and the entry gives
    none."""
    users = _users(vnf)
    name = reader.valid(key, index, "username")
    given = reader.raw[key][index]
    if users and "username" not in given:
        hint = schema.did_you_mean("", sorted(users))
        raise _Unusable(f"the registry of {vnf} wants a login; expected username as well, {hint}")
    if name is None or "password" in given:
        return {}
    if name not in users:
        hint = schema.did_you_mean(name, sorted(users))
        problem = f"the registry of {vnf} has no user {schema.shown(name)}; {hint}"
        reader.fault(problem, key, index, "username")
        return {}
    return {"password": users[name]}


def _users(vnf: RegistryVnf) -> dict[str, str]:
    """Return the passwords of the registry's users by their names, as the registry's own driver
    reads them."""
    try:
        users = registry_override.read_users(vnf.parameters, vnf.metadata)
    except InvalidRequest as error:
        raise _refused(vnf, error) from None
    return {user.username: user.password.reveal() for user in users}


def _refused(vnf: RegistryVnf, error: InvalidRequest) -> _Unusable:
    fault = error.faults[0]
    where = "metadata" if fault.path.startswith("metadata.") else "request"
    is_users = f".{registry_override.KEY}.users" in fault.path
    expected = "users with username and password" if is_users else "an object in JSON"
    return _Unusable(
        f"{vnf} has something else in {registry_override.KEY} of its {where} than a request may "
        f"hold: expected {expected}; {fault.path}: {fault.problem}. To do: correct it there"
    )


def _whole(vnf: RegistryVnf, key: str) -> str:
    """Return a value that may be divided among several keys."""
    try:
        text = metadata.joined(vnf.metadata, key) or ""
    except TypeError:
        raise _nonsense(vnf, key, "expected text") from None
    if len(text) > bounds.MAX_SIZE:
        raise _nonsense(vnf, key, f"expected at most {bounds.MAX_SIZE} characters")
    return text


def _text(vnf: RegistryVnf, key: str) -> str:
    value = vnf.metadata.get(key)
    if not isinstance(value, str) or len(value) > bounds.MAX_TEXT:
        raise _nonsense(vnf, key, "expected text")
    return value


def _nonsense(vnf: RegistryVnf, key: str, problem: str) -> _Unusable:
    return _Unusable(
        f"{vnf} has something else in {key} of its metadata than its driver wrote: {problem}. "
        "To do: any update of it has that written anew"
    )
