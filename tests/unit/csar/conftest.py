# SPDX-License-Identifier: Apache-2.0
"""VNF packages of every variant, and the conductor that they are uploaded to."""

import hashlib
import io
import json
import logging
import shutil
import tarfile
from types import SimpleNamespace

import pytest
from tacker import conf as tacker_conf
from tacker.common import csar_utils

from tacker_cir import csar
from tests.unit.csar.common import OTHER_ID


@pytest.fixture
def registry_image(tmp_path):
    """A docker save archive of registry:latest, without a layer."""
    config = json.dumps({"architecture": "amd64"}).encode()
    name = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = [{"Config": name, "RepoTags": ["registry:latest"], "Layers": []}]
    path = tmp_path / "private_registry.tar"
    with tarfile.open(path, "w") as archive:
        for member, content in ((name, config), ("manifest.json", json.dumps(manifest).encode())):
            info = tarfile.TarInfo(member)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture
def disk_image(tmp_path):
    """The head of a qcow2 file with a disk of 3.5 GiB."""
    path = tmp_path / "jammy.img"
    path.write_bytes(b"QFI\xfb" + bytes(20) + (7 * 1024**3 // 2).to_bytes(8, "big") + bytes(480))
    return path


@pytest.fixture
def conductor(tmp_path, monkeypatch):
    """The conductor's directory of unpacked packages; returns a function that uploads one."""
    csar_path = tmp_path / "conductor"
    csar_path.mkdir()
    # Tacker 16 logs each missing file of its own etc/ with a broken format, pytest would raise.
    monkeypatch.setattr(logging.getLogger("tacker.tosca.utils"), "disabled", True)
    tacker_conf.CONF.set_override("vnf_package_csar_path", str(csar_path), "vnf_package")

    def upload(path, package_id="5a2f3c1e-0000-4000-8000-000000000001"):
        vnf_data, flavours, artifacts = csar_utils.load_csar_data(
            SimpleNamespace(), package_id, str(path)
        )
        return vnf_data, flavours, {a["Source"] for a in artifacts}, csar_path / package_id

    yield upload
    tacker_conf.CONF.clear_override("vnf_package_csar_path", "vnf_package")


@pytest.fixture
def variants(tmp_path, registry_image, disk_image, key_file):
    """Builds a package by the name of its variant."""
    own = tmp_path / "own"
    shutil.copytree(csar.samples_dir() / "private_registry_vnf_package_basehot", own)
    options = {
        "tosca": {"vm_image_file": disk_image},
        "tosca-all": {
            "vm_image_file": disk_image,
            "vm_image": "jammy",
            "image": registry_image,
            "vnfd_id": OTHER_ID,
            "files": {"Files/keys/docker.asc": disk_image},
        },
        "basehot": {"base_hot": True, "files": key_file},
        "basehot-all": {
            "base_hot": True,
            "vm_image": "debian-12",
            "flavor": "m2.tiny",
            "image": registry_image,
            "vnfd_id": OTHER_ID,
            "files": key_file,
        },
        "basehot-file": {"base_hot": True, "vm_image_file": disk_image, "files": key_file},
        "own": {"package": own, "files": key_file},
    }

    def build(name, **more):
        return csar.build_private_registry(tmp_path / f"{name}.zip", **options[name], **more)

    return build
