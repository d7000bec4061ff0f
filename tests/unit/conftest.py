# SPDX-License-Identifier: Apache-2.0
"""Golden files, VNF packages on disk and image archives, for all unit tests."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from tacker_cir import batch
from tacker_cir.package import VnfPackage
from tests.unit.answering import run_one_by_one

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture
def golden() -> Callable[[str, str], None]:
    """Compare a text with a file of tests/golden; TACKER_CIR_UPDATE_GOLDEN=1 writes it instead."""

    def compare(name: str, text: str) -> None:
        path = GOLDEN / name
        if os.environ.get("TACKER_CIR_UPDATE_GOLDEN"):
            path.write_text(text)
        assert text == path.read_text()

    return compare


@pytest.fixture
def one_by_one(monkeypatch) -> None:
    """Let a batch run its commands one after another; a real sshd gets them in one round trip."""
    monkeypatch.setattr(batch, "_run_all", run_one_by_one)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def write_tar(path: Path, members: dict[str, bytes], mode: str = "w") -> Path:
    """Write a tar archive with the given files."""
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def docker_archive(tags: list[str] | None, architecture: str = "amd64") -> dict[str, bytes]:
    """Return the files of an archive as ``docker save`` before 25.0 writes it."""
    config = json.dumps({"architecture": architecture, "os": "linux"}).encode()
    name = f"{_digest(config)}.json"
    layer = f"{_digest(b'layer')}/layer.tar"
    manifest = [{"Config": name, "RepoTags": tags, "Layers": [layer]}]
    return {
        name: config,
        layer: bytes(10240),
        "manifest.json": json.dumps(manifest).encode(),
        "repositories": b'{"registry":{"latest":"%s"}}' % _digest(b"layer").encode(),
    }


def oci_archive(tags: list[str], architecture: str = "amd64") -> dict[str, bytes]:
    """Return the files of an archive as ``docker save`` since 25.0 writes it (OCI image layout)."""
    layer = bytes(10240)
    config = json.dumps({"architecture": architecture, "os": "linux"}).encode()
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"digest": f"sha256:{_digest(config)}", "size": len(config)},
            "layers": [{"digest": f"sha256:{_digest(layer)}", "size": len(layer)}],
        }
    ).encode()
    index = {
        "schemaVersion": 2,
        "manifests": [
            {
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": f"sha256:{_digest(manifest)}",
                "size": len(manifest),
                "annotations": {"io.containerd.image.name": f"docker.io/library/{tags[0]}"},
            }
        ],
    }
    old = [
        {
            "Config": f"blobs/sha256/{_digest(config)}",
            "RepoTags": tags,
            "Layers": [f"blobs/sha256/{_digest(layer)}"],
        }
    ]
    return {
        f"blobs/sha256/{_digest(layer)}": layer,
        f"blobs/sha256/{_digest(config)}": config,
        f"blobs/sha256/{_digest(manifest)}": manifest,
        "index.json": json.dumps(index).encode(),
        "manifest.json": json.dumps(old).encode(),
        "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
    }


VNFD = """
tosca_definitions_version: tosca_simple_yaml_1_2
topology_template:
  node_templates:
    VDU1: {type: tosca.nodes.nfv.Vdu.Compute}
    PrivateRegistryVDU_CP1: {type: tosca.nodes.nfv.VduCp}
"""
BASE_HOT = """
heat_template_version: 2013-05-23
resources:
  CP_FIP: {type: 'OS::Neutron::FloatingIP'}
  server: {type: 'OS::Nova::Server'}
"""


@pytest.fixture
def package(tmp_path) -> VnfPackage:
    """An unpacked VNF package with an image, a keyring and a private key."""
    root = tmp_path / "package"
    for directory in ("Definitions", "BaseHOT/simple", "Files/images", "Files/keys"):
        (root / directory).mkdir(parents=True)
    (root / "Definitions/df.yaml").write_text(VNFD)
    (root / "Definitions/broken.yaml").write_text("a: [")
    (root / "BaseHOT/simple/top.yaml").write_text(BASE_HOT)
    write_tar(root / "Files/images/registry.tar", docker_archive(["registry:latest"]))
    (root / "Files/keys/docker.asc").write_text("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQ==\n")
    (root / "Files/keys/docker.gpg").write_bytes(b"\x99\x02\x0d\x04")
    return VnfPackage(root)


@pytest.fixture(scope="session")
def key_file(tmp_path_factory):
    """A private key, by the path in the package that the sample requests name."""
    path = tmp_path_factory.mktemp("keys") / "id_ed25519"
    path.write_bytes(
        ed25519.Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        )
    )
    return {"Files/keys/id_ed25519": path}
