# SPDX-License-Identifier: Apache-2.0
"""Archives that ``docker save`` before Docker 25 wrote (Docker image specification v1.2): they have
no manifests, so one is made of each image, the same every time."""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tacker_cir.documents import load_json
from tacker_cir.image_archive import (
    MAX_UNPACKED,
    SMALL_FILE,
    Member,
    PackageFileError,
    read_contents,
)
from tacker_cir.image_contents.manifests import (
    DIGEST,
    DOCKER_MANIFEST,
    MAX_LAYERS,
    MAX_MANIFESTS,
    SAVED,
    Blob,
    Manifest,
    SavedImage,
    digest_of,
    encoded,
    member_of,
    objects,
    platform_in,
    read_json,
    repo_tags,
    typed,
)
from tacker_cir.text import shown

_CONFIG = "application/vnd.docker.container.image.v1+json"
_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
_GZIP = b"\x1f\x8b"


def saved_images(path: Path, members: Mapping[str, Member]) -> Iterator[SavedImage]:
    """Yield the images of an archive that only ``docker save``'s list describes."""
    images = objects(read_json(members[SAVED]), MAX_MANIFESTS)
    tagged = [(image, tags) for image in images if (tags := repo_tags(image))]
    described = [_layer_members(members, image) for image, _ in tagged]
    packed = {layer for layers in described for layer, _ in layers if layer.head[:2] == _GZIP}
    digests = _packed_digests(path, packed)
    for (image, tags), layers in zip(tagged, described, strict=True):
        config = member_of(members, typed(image["Config"], str))
        yield SavedImage(tuple(dict.fromkeys(tags)), _composed(config, layers, digests))


def _layer_members(
    members: Mapping[str, Member], image: Mapping[str, Any]
) -> list[tuple[Member, str]]:
    """Return the layers of an image with the digests of what they hold, unpacked."""
    config = typed(read_json(member_of(members, typed(image["Config"], str))), dict)
    diff_ids = typed(typed(config["rootfs"], dict).get("diff_ids") or [], list)
    names = typed(image.get("Layers") or [], list)
    if len(names) != len(diff_ids) or len(names) > MAX_LAYERS:
        raise PackageFileError("has an image whose configuration names other layers than it has")
    for diff_id in diff_ids:
        if not DIGEST.fullmatch(typed(diff_id, str)):
            raise PackageFileError("has an image whose layers have no digests of SHA-256")
    found = [member_of(members, typed(name, str)) for name in names]
    return list(zip(found, diff_ids, strict=True))


class _Portions(io.RawIOBase):
    """What is read from portions; it hashes them as they come."""

    def __init__(self, portions: Iterator[bytes]):
        self._portions, self._rest = portions, b""
        self.hashed = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            self._rest = next(self._portions, b"")
            self.hashed.update(self._rest)
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


def _packed_digests(path: Path, layers: Iterable[Member]) -> dict[Member, tuple[str, str]]:
    """Return the digests of compressed layers, packed and unpacked."""
    found, allowed = {}, MAX_UNPACKED
    for member, portions in read_contents(path, layers):
        source, unpacked = _Portions(portions), hashlib.sha256()
        try:
            with gzip.GzipFile(fileobj=io.BufferedReader(source)) as file:
                while portion := file.read(SMALL_FILE):
                    unpacked.update(portion)
                    allowed -= len(portion)
                    if allowed < 0:
                        raise PackageFileError(f"stands for more than {MAX_UNPACKED} bytes")
        except (OSError, EOFError, ValueError, zlib.error) as error:
            if isinstance(error, PackageFileError):
                raise
            raise PackageFileError(f"is damaged: {shown(member.name, 100)} ({error})") from None
        while source.readinto(bytearray(SMALL_FILE)):
            pass
        digests = (source.hashed.hexdigest(), unpacked.hexdigest())
        found[member] = (f"sha256:{digests[0]}", f"sha256:{digests[1]}")
    return found


def _composed(
    config: Member,
    layers: Iterable[tuple[Member, str]],
    packed: Mapping[Member, tuple[str, str]],
) -> Manifest:
    """Return the manifest of an image that was saved without one, the same every time."""
    content = config.content or b""
    image = Blob(digest_of(content), config.size, config)
    blobs, descriptors = [image], []
    for member, diff_id in layers:
        digest, unpacked = packed.get(member, (diff_id, diff_id))
        if unpacked != diff_id:
            raise PackageFileError(
                f"is damaged: {shown(member.name, 100)} holds another layer than {diff_id}"
            )
        blobs.append(Blob(digest, member.size, member))
        media_type = _LAYER + (".gzip" if member in packed else "")
        descriptors.append({"mediaType": media_type, "size": member.size, "digest": digest})
    described = {"mediaType": _CONFIG, "size": image.size, "digest": image.digest}
    manifest = _encoded(described, descriptors)
    platform = platform_in(load_json(content))
    return Manifest(manifest, DOCKER_MANIFEST, tuple(blobs), platform=platform)


def _encoded(config: Mapping[str, Any], layers: list[dict[str, Any]]) -> bytes:
    return encoded(
        {
            "schemaVersion": 2,
            "mediaType": DOCKER_MANIFEST,
            "config": config,
            "layers": layers,
        }
    )
