# SPDX-License-Identifier: Apache-2.0
"""The sample packages, unpacked, and the sample requests with ids of a site."""

import json
import re
import uuid
import zipfile

import pytest

from tacker_cir import csar
from tacker_cir.package import VnfPackage

_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")


def sample(name):
    """A sample request as a user fills it in."""
    text = (csar.samples_dir() / "requests" / f"{name}.json").read_text()
    return json.loads(_UUID.sub(lambda _found: str(uuid.uuid4()), text))


def unpacked(built, directory):
    with zipfile.ZipFile(built.path) as package:
        package.extractall(directory)
    return VnfPackage(directory)


@pytest.fixture(scope="session")
def cluster_package(tmp_path_factory, key_file):
    directory = tmp_path_factory.mktemp("cluster")
    built = csar.build_kubernetes(directory / "a.zip", files=key_file)
    return unpacked(built, directory / "unpacked")


@pytest.fixture(scope="session")
def registry_package(tmp_path_factory, key_file):
    """With a base HOT, and a file in place of the registry's image."""
    directory = tmp_path_factory.mktemp("registry")
    built = csar.build_private_registry(directory / "a.zip", base_hot=True, files=key_file)
    return unpacked(built, directory / "unpacked")


@pytest.fixture(scope="session")
def tosca_package(tmp_path_factory):
    """Of TOSCA only."""
    directory = tmp_path_factory.mktemp("tosca")
    image = directory / "vm.img"
    image.write_bytes(b"QFI\xfb" + bytes(20) + (1024**3).to_bytes(8, "big"))
    built = csar.build_private_registry(directory / "a.zip", vm_image_file=image)
    return unpacked(built, directory / "unpacked")
