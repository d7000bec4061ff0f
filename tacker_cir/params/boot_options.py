# SPDX-License-Identifier: Apache-2.0
"""What a request says of the VMs beside the drivers' own parameters: members of
``additionalParams`` that a package's UserData hands to Heat.

Each is one value for all VMs, or an object with one by VDU; those of the volume are one value.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from tacker_cir.exceptions import Fault, InvalidRequest
from tacker_cir.package import PackageFileError, VnfPackage
from tacker_cir.params import bounds, schema
from tacker_cir.params.fields import PACKAGE_PATH, string
from tacker_cir.params.private_registry_schema import KEY as _REGISTRY
from tacker_cir.params.registry_volume import KEY as _DATA_VOLUME

PATH = "additionalParams"
#: The member of ``additionalParams`` that names the package's UserData.
USER_DATA = "lcm-operation-user-data"
#: Bytes of user data that Nova takes: 65535 characters in base64.
MAX_USER_DATA = 65535 // 4 * 3

# Tacker hands texts on in a way that some characters do not survive.
_NAME_OR_ID = r"^[^\x00-\x1f\x7f\\'\"]+\Z"
_VALUES: dict[str, dict[str, Any]] = {
    "vm_image": string("the name or ID of an image", pattern=_NAME_OR_ID),
    "vm_flavor": string("the name or ID of a flavor", pattern=_NAME_OR_ID),
    "key_name": string("the name of a key pair in Nova", pattern=_NAME_OR_ID, maxLength=255),
    "security_groups": {
        "type": "array",
        "minItems": 1,
        "description": "a list of names or IDs of security groups",
        "items": string("the name or ID of a security group", pattern=_NAME_OR_ID),
    },
    "availability_zone": string("the name of an availability zone", pattern=_NAME_OR_ID),
    "config_drive": {"type": "boolean", "description": "true or false"},
    "user_data": string(
        f"cloud-init's user data: the text itself, or {PACKAGE_PATH}",
        writeOnly=True,
        maxLength=bounds.MAX_TEXT,
    ),
}
#: The volume for the registry's data: gigabytes of one that is made with the VNF, or the id of one
#: that is there.
DATA_VOLUME_SIZE, DATA_VOLUME_ID = "data_volume_size", "data_volume_id"
_VOLUME: dict[str, dict[str, Any]] = {
    DATA_VOLUME_SIZE: {
        "type": "integer",
        "minimum": 1,
        "maximum": 1024 * 1024,
        "description": "the size of the volume to be made, in GB",
    },
    DATA_VOLUME_ID: string(
        "the id of a volume of Cinder", pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z"
    ),
}


def _by_vdu(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of a value for all VMs, or of an object with one by VDU."""
    return {
        **value,
        "type": [value["type"], "object"],
        "description": f"{value['description']}, or an object with one by VDU",
        "additionalProperties": value,
        "minProperties": 1,
    }


SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "an object",
    "properties": {name: _by_vdu(value) for name, value in _VALUES.items()} | _VOLUME,
}
#: The members of ``additionalParams`` that are of VMs, and all that are read here.
VM_NAMES = tuple(_VALUES)
NAMES = (*VM_NAMES, *_VOLUME)


class BootOptions:
    """Checked options of a request's VMs.

    :param given: by name, as the request has them, files of the package already read
    """

    def __init__(self, given: Mapping[str, Any]):
        self._given = given

    def get(self, name: str, vdu: str) -> Any:
        """Return an option of a VDU's VMs; None where the request leaves it open."""
        value = self._given.get(name)
        return value.get(vdu) if isinstance(value, Mapping) else value


def parse(
    additional_params: Mapping[str, Any] | None,
    package: VnfPackage | None,
    vdus: Collection[str] = (),
) -> BootOptions:
    """Check the options and return them.

    :param additional_params: ``additionalParams`` of the InstantiateVnfRequest
    :param package: the VNF package that paths lead into; None leaves unchecked what only it tells
    :param vdus: names of the package's VDUs; without any their names are not checked
    :raises InvalidRequest: with every fault found
    """
    params = additional_params if isinstance(additional_params, Mapping) else {}
    given = {name: params[name] for name in NAMES if name in params}
    faults = bounds.find_excess(given, PATH) or schema.find_faults(given, SCHEMA, PATH)
    if not faults:
        faults = _unknown_vdus(given, vdus) + _volume_faults(given, params)
    if not faults and package is not None:
        given, faults = _with_files(given, package)
    if faults:
        raise InvalidRequest(faults)
    return BootOptions(given)


def find_faults(
    additional_params: Mapping[str, Any] | None,
    package: VnfPackage | None,
    vdus: Collection[str] = (),
) -> list[Fault]:
    """Return every fault of the options in a request that is not Tacker's yet; parameters as for
    :func:`parse`."""
    given = additional_params if isinstance(additional_params, Mapping) else {}
    if USER_DATA not in given:
        problem = (
            f"is read by the UserData of a package with a base HOT, which {USER_DATA} names; "
            "where Tacker translates a TOSCA-only VNFD nothing reads it"
        )
        return [Fault(schema.join(PATH, name), problem) for name in NAMES if name in given]
    try:
        parse(additional_params, package, vdus)
    except InvalidRequest as error:
        return list(error.faults)
    return []


def _unknown_vdus(given: Mapping[str, Any], vdus: Collection[str]) -> list[Fault]:
    return [
        Fault(
            schema.join(PATH, name, vdu),
            f"the VNF package has no VDU {vdu!r}; {schema.did_you_mean(vdu, sorted(vdus))}",
        )
        for name, value in given.items()
        if isinstance(value, Mapping) and vdus
        for vdu in value
        if vdu not in vdus
    ]


def _volume_faults(given: Mapping[str, Any], params: Mapping[str, Any]) -> list[Fault]:
    """Refuse two volumes, and one that the registry would not use."""
    present = [name for name in _VOLUME if name in given]
    if len(present) > 1:
        problem = f"expected this or {DATA_VOLUME_SIZE}, not both"
        return [Fault(schema.join(PATH, DATA_VOLUME_ID), problem)]
    registry = params.get(_REGISTRY)
    if not present or not isinstance(registry, Mapping) or _DATA_VOLUME in registry:
        return []
    problem = f"is missing; without it the data do not lie on the volume of {present[0]}"
    return [Fault(schema.join(PATH, _REGISTRY, _DATA_VOLUME), problem)]


def _is_text(value: str) -> bool:
    # A MIME message with several parts begins with its headers.
    return value.startswith("#") or "\n" in value


def _with_files(
    given: Mapping[str, Any], package: VnfPackage
) -> tuple[dict[str, Any], list[Fault]]:
    """Return the options with the text of each file of the package that user_data names."""
    if "user_data" not in given:
        return dict(given), []
    value = given["user_data"]
    texts = dict(value) if isinstance(value, Mapping) else {None: value}
    faults = []
    for vdu, text in texts.items():
        path = schema.join(PATH, "user_data", *filter(None, [vdu]))
        try:
            texts[vdu] = text if _is_text(text) else package.text(text)
        except PackageFileError as error:
            faults.append(
                Fault(path, f"the value is one line without a leading #; as a path it {error}")
            )
            continue
        if not re.sub(r"[\n\r\t]", "", texts[vdu]).isprintable():
            faults.append(Fault(path, "expected printable characters, tabs and ends of lines"))
        if len(texts[vdu].encode()) > MAX_USER_DATA:
            faults.append(Fault(path, f"expected at most {MAX_USER_DATA} bytes of user data"))
    read = texts if isinstance(value, Mapping) else texts[None]
    return {**given, "user_data": read}, faults
