# SPDX-License-Identifier: Apache-2.0
"""Container images without a registry to pull from: archives as `docker save` writes them.

Format: the Docker image specification v1.2 (config JSON, one layer.tar per layer and a
manifest.json naming them). The same input always gives the same bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import random
import re
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tests.testbed.machines import apt
from tests.testbed.machines.host import run
from tests.testbed.machines.parts import Part

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}

REGISTRY_PROGRAM = "usr/bin/docker-registry"
"""In the tree of the unpacked package."""

REGISTRY_SETTINGS = """\
version: 0.1
log:
  fields:
    service: registry
storage:
  cache:
    blobdescriptor: inmemory
  filesystem:
    rootdirectory: /var/lib/registry
http:
  addr: :5000
  headers:
    X-Content-Type-Options: [nosniff]
health:
  storagedriver:
    enabled: true
    interval: 10s
    threshold: 3
"""


@dataclass(frozen=True)
class Entry:
    """A file of a layer: its content, or a host file that holds it; a directory has neither."""

    content: bytes | Path | None = None
    mode: int = 0o644


def write_image(
    path: Path, tag: str, files: Mapping[str, Entry], config: Mapping[str, object] | None = None
) -> str:
    """Write an archive of an image with one layer; its image ID (sha256:...) is returned.

    :param tag: NAME:TAG that `docker load` gives it.
    :param files: by absolute path; directories above them are made.
    :param config: runtime settings as the specification names them (Entrypoint, Cmd, ...).
    """
    with tempfile.TemporaryFile(dir=path.parent) as layer:
        _write_layer(layer, files)
        diff_id = _digest(layer)
        document = json.dumps(
            {
                "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
                "config": dict(config or {}),
                "created": "1970-01-01T00:00:00Z",
                "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "tacker_cir lab"}],
                "os": "linux",
                "rootfs": {"type": "layers", "diff_ids": [f"sha256:{diff_id}"]},
            },
            sort_keys=True,
        ).encode()
        image_id = hashlib.sha256(document).hexdigest()
        manifest = json.dumps(
            [{"Config": f"{image_id}.json", "RepoTags": [tag], "Layers": [f"{diff_id}/layer.tar"]}]
        ).encode()
        with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
            _add(archive, f"{image_id}.json", document)
            _add_directory(archive, diff_id)
            _add_stream(archive, f"{diff_id}/layer.tar", layer)
            _add(archive, "manifest.json", manifest)
    return f"sha256:{image_id}"


def write_random_image(path: Path, tag: str, size: int, seed: int | str = 0) -> str:
    """Write an image that cannot be run, with one file of random bytes, to push and pull.

    :param size: bytes of the file.
    :param seed: the same seed gives the same image, another seed one that shares nothing.
    """
    return write_image(path, tag, {"/data": Entry(random.Random(seed).randbytes(size))})


def write_registry_image(path: Path, daemons: Path, tag: str = "registry:latest") -> str:
    """Write an image that runs as Docker Hub's registry:2 does, from Debian's docker-registry.

    A stand-in in one thing: who built it. The program is the same; beside it there are only
    the libraries it is linked with (no shell), and its settings.

    :param daemons: tree with the unpacked package.
    """
    binary = daemons / REGISTRY_PROGRAM
    files = {
        "/bin/registry": Entry(binary, 0o755),
        "/etc/docker/registry/config.yml": Entry(REGISTRY_SETTINGS.encode()),
        "/etc/passwd": Entry(b"root:x:0:0:root:/root:/sbin/nologin\n"),
        "/etc/group": Entry(b"root:x:0:\n"),
        "/tmp": Entry(mode=0o1777),
        "/var/lib/registry": Entry(mode=0o755),
    }
    for library in re.findall(r"(/\S+) \(0x", run(["ldd", binary]).stdout):
        files[library] = Entry(Path(library).resolve(), 0o755)
    settings = {
        "Entrypoint": ["/bin/registry"],
        "Cmd": ["serve", "/etc/docker/registry/config.yml"],
        "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        "ExposedPorts": {"5000/tcp": {}},
        "Volumes": {"/var/lib/registry": {}},
    }
    return write_image(path, tag, files, settings)


def part(cache: Path, daemons: Part) -> Part:
    """The archive of registry:latest."""
    name = f"registry-{apt.fingerprint(Path(__file__).read_bytes())}.tar"
    return Part(
        "registry:latest, an image of Debian's docker-registry",
        cache / "images" / name,
        lambda path: write_registry_image(path, daemons.target),
        25,
        0.1,
        (daemons,),
    )


def _write_layer(layer: BinaryIO, files: Mapping[str, Entry]) -> None:
    relative = {path.strip("/"): entry for path, entry in files.items()}
    above = {str(parent) for path in relative for parent in Path(path).parents} - {"."}
    with tarfile.open(fileobj=layer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name in sorted(above | set(relative)):
            entry = relative.get(name, Entry(mode=0o755))
            if entry.content is None:
                _add_directory(tar, name, entry.mode)
            elif isinstance(entry.content, Path):
                with entry.content.open("rb") as source:
                    _add_stream(tar, name, source, entry.mode)
            else:
                _add(tar, name, entry.content, entry.mode)


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    _add_stream(tar, name, io.BytesIO(content), mode)


def _add_stream(tar: tarfile.TarFile, name: str, source: BinaryIO, mode: int = 0o644) -> None:
    # TarInfo's defaults are what makes it reproducible: root owns all, and time is 0.
    member = tarfile.TarInfo(name)
    member.mode = mode
    member.size = source.seek(0, io.SEEK_END)
    source.seek(0)
    tar.addfile(member, source)


def _add_directory(tar: tarfile.TarFile, name: str, mode: int = 0o755) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.mode = tarfile.DIRTYPE, mode
    tar.addfile(member)


def _digest(source: BinaryIO) -> str:
    source.seek(0)
    sha256 = hashlib.sha256()
    while block := source.read(1 << 20):
        sha256.update(block)
    return sha256.hexdigest()
