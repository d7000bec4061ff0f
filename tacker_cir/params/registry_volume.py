# SPDX-License-Identifier: Apache-2.0
"""``data_volume`` of the registry VNF: the volume of the stack that holds the registry's data."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from tacker_cir.params import schema
from tacker_cir.params.fields import string
from tacker_cir.params.reader import Reader

KEY = "data_volume"

SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "an object with name, device",
    "additionalProperties": False,
    "required": ["name"],
    "properties": {
        "name": string(
            "the name of an OS::Cinder::VolumeAttachment or OS::Cinder::Volume in the template",
            maxLength=255,
        ),
        "device": string(
            "the volume's device on the VM, e.g. /dev/vdb",
            maxLength=255,
            pattern=r"^/dev/[A-Za-z0-9][A-Za-z0-9_:.+/-]*\Z",
        ),
    },
}


@dataclass(frozen=True)
class DataVolume:
    """The volume for the registry's data.

    :param name: of its resource in the stack
    :param device: its device on the machine, where that tells no serial numbers; else None
    """

    name: str
    device: str | None = None


def read(reader: Reader, flavour_id: str | None) -> DataVolume | None:
    """Return ``data_volume``, None where the request has none, and note its faults.

    :param flavour_id: ``flavourId`` of the request
    """
    name = reader.valid(KEY, "name")
    if name is None:
        return None
    _check_name(reader, flavour_id, name)
    device = reader.valid(KEY, "device")
    if device is not None and re.search(r"/(\.|/|\Z)", device):
        reader.fault(f"expected a device, e.g. /dev/vdb; got {device!r}", KEY, "device")
    return DataVolume(name, device)


def _check_name(reader: Reader, flavour_id: str | None, name: str) -> None:
    package = reader.package
    # A package without connection points is one whose templates cannot be read.
    if package is None or not package.connection_points(flavour_id):
        return
    known = sorted(package.volumes(flavour_id))
    if name not in known:
        hint = schema.did_you_mean(name, known) if known else "it has no volume at all"
        reader.fault(f"the VNF package has no volume {name!r}; {hint}", KEY, "name")
