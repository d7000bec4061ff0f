# SPDX-License-Identifier: Apache-2.0
"""``private_registry_installation_param`` in the metadata of a VNF instance: members that take the
place of the request's while the registry lives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tacker_cir.command import Secret
from tacker_cir.exceptions import Fault, InvalidMetadata, InvalidRequest
from tacker_cir.package import VnfPackage
from tacker_cir.params import bounds, registry_contents, registry_tls, registry_users, schema
from tacker_cir.params.metadata_json import MetadataParameter
from tacker_cir.params.private_registry_schema import KEY as KEY
from tacker_cir.params.private_registry_schema import SCHEMA
from tacker_cir.params.reader import Reader, find_parameter
from tacker_cir.params.registry_users import RegistryUser

#: What may be changed while the registry lives.
MEMBERS = (registry_users.KEY, registry_tls.KEY, registry_contents.KEY)

_SCHEMA: dict[str, Any] = {
    "type": "object",
    "writeOnly": True,
    "description": f"an object with any of {', '.join(MEMBERS)}",
    "minProperties": 1,
    "additionalProperties": False,
    "properties": {key: SCHEMA["properties"][key] for key in MEMBERS},
}
_SCHEMA_OF_USERS: dict[str, Any] = {"properties": {registry_users.KEY: registry_users.SCHEMA}}
_PARAMETER = MetadataParameter(KEY, dict, _SCHEMA["description"])
PATH = _PARAMETER.path
_NOT_CHANGED = (
    f"cannot be changed while the registry lives; expected {_SCHEMA['description']}. To change "
    "another parameter, instantiate another VNF"
)


def read(metadata: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the members, unchecked but for their names; None where the metadata hold none.

    :raises InvalidMetadata: a value is not an object in JSON, or has other members
    """
    found: dict[str, Any] | None = _PARAMETER.read(metadata)
    unknown = [Fault(schema.join(PATH, key), _NOT_CHANGED)
               for key in found or () if key not in MEMBERS]  # fmt: skip
    if unknown:
        raise InvalidMetadata(unknown)
    return found


def in_place(raw: Any, replaced: Mapping[str, Any] | None) -> Any:
    """Return a request's parameter with the metadata's members in place of its own.

    :param replaced: as from :func:`read`
    """
    return {**raw, **replaced} if replaced and isinstance(raw, Mapping) else raw


def read_users(
    additional_params: Mapping[str, Any] | None, metadata: Mapping[str, Any]
) -> tuple[RegistryUser, ...]:
    """Return the users that a registry VNF has, whatever else is in its parameters.

    :param additional_params: ``additionalParams`` that it was instantiated with
    :param metadata: of the VNF instance
    :raises InvalidRequest: with every fault of the users, and of what the metadata are read by
    """
    given, replaced = find_parameter(additional_params, KEY, SCHEMA), read(metadata)
    whole = in_place(given, replaced)
    users = registry_users.KEY
    raw = {users: whole[users]} if isinstance(whole, Mapping) and users in whole else {}
    parameter = schema.join("additionalParams", KEY)
    reader = Reader(raw, parameter, None, schema.find_faults(raw, _SCHEMA_OF_USERS, parameter))
    found = registry_users.read(reader)
    if reader.faults:
        raise InvalidRequest(relocated(reader.faults, parameter, replaced or ()))
    return found


def find_override_faults(
    members: Mapping[str, Any], package: VnfPackage | None, path: str
) -> list[Fault]:
    """Return every fault of the members.

    :param members: as a request has them
    :param package: the VNF package that paths lead into; None leaves them unchecked
    :param path: where the object is
    """
    excess = bounds.find_excess(members, path)
    if excess:
        return excess
    reader = Reader(members, path, package, schema.find_faults(members, _SCHEMA, path))
    _read(reader)
    return reader.faults


def secrets_of(members: Mapping[str, Any]) -> tuple[Secret, ...]:
    """Return the secrets in members that are in use no more, whatever else is in them.

    :param members: as a request has them
    """
    if bounds.find_excess(members, PATH):
        return ()
    return _read(Reader(members, PATH, None, schema.find_faults(members, _SCHEMA, PATH)))


def _read(reader: Reader) -> tuple[Secret, ...]:
    """Note every fault and return the secrets."""
    tls, users = registry_tls.read(reader), registry_users.read(reader)
    registry_contents.read(reader)
    owners = [*([tls] if tls else []), *users]
    return tuple(secret for owner in owners for secret in owner.secrets)


def relocated(faults: Iterable[Fault], parameter: str, members: Iterable[str]) -> list[Fault]:
    """Return the faults with those of replaced members where the user finds them.

    :param parameter: path of the parameter that the members took their place in
    :param members: names of those that were replaced
    """
    return _PARAMETER.relocated(faults, parameter, members)
