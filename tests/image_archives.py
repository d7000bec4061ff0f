# SPDX-License-Identifier: Apache-2.0
"""Archives of images as the programs write them that save images, for all tests."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
NAME, REF_NAME = "io.containerd.image.name", "org.opencontainers.image.ref.name"


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def layer(seed: int | str, size: int = 2000) -> bytes:
    """Return a layer with one file; the same seed gives the same one."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.GNU_FORMAT) as tar:
        info = tarfile.TarInfo("data")
        info.size = size
        tar.addfile(info, io.BytesIO(random.Random(str(seed)).randbytes(size)))
    return target.getvalue()


def configuration(layers: Iterable[bytes], architecture: str = "amd64") -> bytes:
    """Return an image's configuration; layers are as they are unpacked."""
    return json.dumps(
        {
            "architecture": architecture,
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(each) for each in layers]},
        }
    ).encode()


@dataclass(frozen=True)
class Image:
    """An image to be saved.

    :param packed: whether its layers are compressed
    """

    names: tuple[str, ...]
    layers: tuple[bytes, ...] = field(default_factory=lambda: (layer(1),))
    architecture: str = "amd64"
    packed: bool = False

    @property
    def configuration(self) -> bytes:
        return configuration(self.layers, self.architecture)

    @property
    def blobs(self) -> tuple[bytes, ...]:
        """Its layers as they are saved."""
        return tuple(gzip.compress(e, mtime=0) for e in self.layers) if self.packed else self.layers


def docker_members(*images: Image) -> dict[str, bytes | str]:
    """Return the files of an archive as ``docker save`` before 25.0 writes it: a layer that was
    there before is a link, which is a text here."""
    members: dict[str, bytes | str] = {}
    entries, where = [], dict[bytes, str]()
    for number, image in enumerate(images):
        names = []
        for index, blob in enumerate(image.blobs):
            names.append(f"{number}{index}/layer.tar")
            members[names[-1]] = f"../{where[blob]}" if blob in where else blob
            where.setdefault(blob, names[-1])
        config = f"{hashlib.sha256(image.configuration).hexdigest()}.json"
        members[config] = image.configuration
        entries.append({"Config": config, "RepoTags": list(image.names), "Layers": names})
    members["manifest.json"] = json.dumps(entries).encode()
    return members


def described(content: bytes, media_type: str, **more: Any) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content), **more}


class Layout:
    """An OCI image layout that is being made."""

    def __init__(self) -> None:
        self.members: dict[str, bytes] = {}
        self.top: list[dict[str, Any]] = []

    def add(self, content: bytes) -> bytes:
        self.members[f"blobs/sha256/{hashlib.sha256(content).hexdigest()}"] = content
        return content

    def manifest(self, image: Image, *, with_blobs: bool = True, **more: Any) -> dict[str, Any]:
        """Add an image's manifest and return its descriptor."""
        suffix = "+gzip" if image.packed else ""
        kind = f"application/vnd.oci.image.layer.v1.tar{suffix}"
        blobs = [image.configuration, *image.blobs]
        document = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": described(blobs[0], "application/vnd.oci.image.config.v1+json"),
            "layers": [described(blob, kind) for blob in blobs[1:]],
        }
        if with_blobs:
            for blob in blobs:
                self.add(blob)
        content = self.add(json.dumps(document).encode())
        return described(content, OCI_MANIFEST, **more)

    def index(self, entries: list[dict[str, Any]]) -> dict[str, Any]:
        """Add an index and return its descriptor."""
        document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
        return described(self.add(json.dumps(document).encode()), OCI_INDEX)

    def name(self, descriptor: Mapping[str, Any], *names: str, key: str = NAME) -> None:
        """Let the layout's index have it by names."""
        for name in names or ("",):
            annotations = {"annotations": {key: name}} if name else {}
            self.top.append({**descriptor, **annotations})

    def files(self) -> dict[str, bytes | str]:
        index = {"schemaVersion": 2, "manifests": self.top}
        return {
            **self.members,
            "index.json": json.dumps(index).encode(),
            "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
        }


def layout_of(*images: Image) -> dict[str, bytes | str]:
    """Return the files of a layout of images for one platform each."""
    made = Layout()
    for image in images:
        made.name(made.manifest(image), *image.names)
    return made.files()


def platform(architecture: str) -> dict[str, Any]:
    return {"platform": {"os": "linux", "architecture": architecture}}


def write(path: Path, members: Mapping[str, bytes | str], mode: str = "w") -> Path:
    """Write an archive; a text is where a link leads."""
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return path
