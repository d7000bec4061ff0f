# SPDX-License-Identifier: Apache-2.0
"""Names and helpers that the tests of VNF packages share."""

import json
import zipfile
from types import SimpleNamespace

from tacker import objects
from tacker.common.utils import convert_camelcase_to_snakecase

from tacker_cir import csar

objects.register_all()

DRIVER = "mgmt-drivers-private-registry"
DRIVER_FILE = "Scripts/private_registry_mgmt.py"
DEFINITIONS = "Definitions/etsi_nfv_sol001_vnfd_types.yaml"
NESTED = "private_registry_hot_nested.yaml"
VDU = "PrivateRegistryVDU"
OTHER_ID = "0b1e7c52-6a3d-4a57-9d15-1f6a2c3b4d5e"
ALL = ("tosca", "tosca-all", "basehot", "basehot-all", "basehot-file", "own")


def sample_request(name):
    return json.loads((csar.samples_dir() / "requests" / f"{name}.json").read_text())


def request_object(body):
    """What Tacker's API makes of a body."""
    return objects.InstantiateVnfRequest.obj_from_primitive(
        convert_camelcase_to_snakecase(body), SimpleNamespace()
    )


def glance_image():
    """What Tacker notes of an image that it uploaded."""
    return {VDU: [SimpleNamespace(resource_type="image", resource_identifier="id-of-image")]}


def rewrite(path, name, change):
    """Write a package again with one member changed, None to leave it out."""
    with zipfile.ZipFile(path) as old:
        members = {i.filename: old.read(i) for i in old.infolist()}
    content = change(members.pop(name))
    if content is not None:
        members[name] = content
    with zipfile.ZipFile(path, "w") as new:
        for member, data in members.items():
            new.writestr(member, data)
