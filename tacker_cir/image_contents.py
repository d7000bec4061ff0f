# SPDX-License-Identifier: Apache-2.0
"""The images in an archive as a registry has them: manifests, and the blobs that they name.

Taken are archives of ``docker save`` (Docker image specification v1.2) and tar archives of an OCI
image layout; newer ones are both, and are read by their layout, which has the digests that others
know. What an archive says is believed only where a digest proves it.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import posixpath
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from tacker_cir.documents import DocumentError, load_json
from tacker_cir.image_archive import (
    MAX_UNPACKED,
    SMALL_FILE,
    Member,
    PackageFileError,
    read_contents,
    read_members,
)
from tacker_cir.text import shown

#: Names of the images of an archive together.
MAX_NAMES = 512
#: Manifests and indexes that an archive's index leads to.
MAX_MANIFESTS = 1024
#: Layers of an image; Docker makes at most 127.
MAX_LAYERS = 512

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
_DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
_INDEXES, _MANIFESTS = (OCI_INDEX, DOCKER_INDEX), (OCI_MANIFEST, DOCKER_MANIFEST)

_LAYOUT, _INDEX, _SAVED = "oci-layout", "index.json", "manifest.json"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
# containerd's and Docker's own, then the specification's, which may be a tag only.
_FULL_NAME, _REF_NAME = "io.containerd.image.name", "org.opencontainers.image.ref.name"
# What BuildKit tells of how it built an image stands in the image's index as if for a platform.
_ATTESTATION = "vnd.docker.reference.type"
_GZIP = b"\x1f\x8b"
# Indexes in each other.
_DEPTH = 4
# Links that lead to a member.
_LINKS = 4

#: The portions of a blob; the last one comes only if the digest is right.
Checked = Iterator[bytes]

_NEITHER = "is neither an archive made with 'docker save' nor one of an OCI image layout"


@dataclass(frozen=True)
class Blob:
    """A configuration or layer.

    :param member: where it is in the archive
    """

    digest: str
    size: int
    member: Member


@dataclass(frozen=True)
class Manifest:
    """A manifest or index as it goes into a registry.

    :param blobs: that a manifest names and a registry must have
    :param children: that an index names
    :param platform: of a manifest, e.g. ``linux/arm64/v8``; empty where it names none
    """

    content: bytes
    media_type: str
    blobs: tuple[Blob, ...] = ()
    children: tuple[Manifest, ...] = ()
    platform: str = ""

    @cached_property
    def digest(self) -> str:
        return _digest_of(self.content)

    @property
    def platforms(self) -> tuple[str, ...]:
        """The platforms of it and of what it names, without attestations."""
        found = [self.platform, *(p for child in self.children for p in child.platforms)]
        return tuple(dict.fromkeys(filter(None, found)))

    def all_blobs(self) -> dict[str, Blob]:
        """Return what a registry must have for it, by digest."""
        found = {blob.digest: blob for blob in self.blobs}
        for child in self.children:
            found.update(child.all_blobs())
        return found


@dataclass(frozen=True)
class SavedImage:
    """An image of an archive.

    :param names: as the archive has them, e.g. ``docker.io/library/busybox:1.36``
    :param missing: platforms that its index names and that are not in the archive
    """

    names: tuple[str, ...]
    manifest: Manifest
    missing: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of its blobs."""
        return sum(blob.size for blob in self.manifest.all_blobs().values())


@dataclass(frozen=True)
class ImageContents:
    """The named images of an archive.

    :param size: bytes of the archive
    """

    path: Path
    size: int
    images: tuple[SavedImage, ...]

    def blobs(self) -> dict[str, Blob]:
        """Return all that the images are made of, by digest."""
        found: dict[str, Blob] = {}
        for image in self.images:
            found.update(image.manifest.all_blobs())
        return found


def read_image_contents(path: Path) -> ImageContents:
    """Read what images an archive holds, without the contents of most layers.

    :raises PackageFileError: it is no such archive, is beyond the bounds or lacks something
    """
    members = {member.name: member for member in read_members(path)}
    try:
        images = tuple(_read(path, members))
    except (DocumentError, KeyError, TypeError, RecursionError):
        raise PackageFileError(_NEITHER) from None
    if not images:
        raise PackageFileError("holds no image with a name; save it by name, not by id")
    if sum(len(image.names) for image in images) > MAX_NAMES:
        raise PackageFileError(f"holds more than {MAX_NAMES} names of images")
    return ImageContents(path, path.stat().st_size, images)


def read_blobs(contents: ImageContents, digests: Iterable[str]) -> Iterator[tuple[Blob, Checked]]:
    """Yield blobs with their contents, in the archive's order.

    :param digests: of those that are wanted
    :raises PackageFileError: as for :func:`tacker_cir.image_archive.read_contents`; so does who
        reads a content, where it has another digest than it shall
    """
    known = contents.blobs()
    by_member: dict[Member, Blob] = {}
    for digest in digests:
        by_member.setdefault(known[digest].member, known[digest])
    for member, portions in read_contents(contents.path, by_member):
        yield by_member[member], _checked(by_member[member], portions)


def check_blobs(contents: ImageContents) -> None:
    """Read the archive as a whole and compare all digests.

    :raises PackageFileError: one is another
    """
    for _, portions in read_blobs(contents, contents.blobs()):
        for _ in portions:
            pass


def _checked(blob: Blob, portions: Iterator[bytes]) -> Checked:
    hashed, held = hashlib.sha256(), b""
    for portion in portions:
        if held:
            yield held
        hashed.update(portion)
        held = portion
    if f"sha256:{hashed.hexdigest()}" != blob.digest:
        raise PackageFileError(
            f"is damaged: {shown(blob.member.name, 100)} has another digest than {blob.digest}"
        )
    if held:
        yield held


def _read(path: Path, members: Mapping[str, Member]) -> Iterator[SavedImage]:
    if _LAYOUT in members and _INDEX in members:
        return _Layout(members).images()
    if _SAVED in members:
        return _saved_images(path, members)
    raise PackageFileError(_NEITHER)


def _document(member: Member) -> Any:
    """Return what a small member holds as JSON."""
    if member.content is None:
        raise KeyError(member.name)
    return load_json(member.content)


def _typed(value: Any, kind: type) -> Any:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise TypeError(f"not a {kind.__name__}")
    return value


def _list(value: Any, most: int) -> list[dict[str, Any]]:
    """Return a list of objects that may be left out."""
    found = _typed(value if value is not None else [], list)
    if len(found) > most:
        raise PackageFileError(f"has a list of more than {most} manifests or layers")
    return [_typed(item, dict) for item in found]


def _saved_names(members: Mapping[str, Member]) -> dict[str, list[str]]:
    """Return the names that ``docker save`` wrote down, by the digest of the configuration."""
    names: dict[str, list[str]] = {}
    if _SAVED in members:
        for image in _list(_document(members[_SAVED]), MAX_MANIFESTS):
            with suppress(KeyError):
                config = _found(members, _typed(image["Config"], str)).content or b""
                names.setdefault(_digest_of(config), []).extend(_repo_tags(image))
    return names


def _repo_tags(image: Mapping[str, Any]) -> list[str]:
    return [_typed(tag, str) for tag in _typed(image.get("RepoTags") or [], list)]


def _digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _found(members: Mapping[str, Member], name: str) -> Member:
    """Return a file of the archive, links in it followed."""
    member = members[posixpath.normpath(name)]
    for _ in range(_LINKS):
        if member.link is None:
            return member
        member = members[member.link]
    raise KeyError(name)


@dataclass
class _Layout:
    """An OCI image layout.

    :param visited: manifests and indexes that were looked at
    """

    members: Mapping[str, Member]
    visited: int = 0
    # By digest: an index may name the same again and again.
    _documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    _blobs: dict[str, tuple[Blob, ...] | None] = field(default_factory=dict)

    @cached_property
    def _names(self) -> dict[str, list[str]]:
        return _saved_names(self.members)

    def images(self) -> Iterator[SavedImage]:
        named: dict[str, list[str]] = {}
        descriptors: dict[str, dict[str, Any]] = {}
        index = _typed(_document(self.members[_INDEX]), dict)
        for entry in _list(index.get("manifests"), MAX_MANIFESTS):
            digest = _typed(entry["digest"], str)
            descriptors.setdefault(digest, entry)
            named.setdefault(digest, []).extend(_annotated_names(entry))
        for digest, entry in descriptors.items():
            manifest, missing = self._manifest(entry, 0)
            if manifest is None:
                raise PackageFileError(f"lacks blobs of the image {_called(named[digest], digest)}")
            names = dict.fromkeys(named[digest] or self._names_of(manifest))
            if names:
                yield SavedImage(tuple(names), manifest, tuple(dict.fromkeys(missing)))

    def _names_of(self, manifest: Manifest) -> list[str]:
        """Return the names that belong to a manifest's blobs, among them the configuration."""
        return [name for digest in manifest.all_blobs() for name in self._names.get(digest, ())]

    def _manifest(
        self, descriptor: Mapping[str, Any], depth: int
    ) -> tuple[Manifest | None, list[str]]:
        """Return what a descriptor names, None where it is not there as a whole, and the platforms
        that are not there."""
        self.visited += 1
        if depth > _DEPTH or self.visited > MAX_MANIFESTS:
            raise PackageFileError(f"has more than {MAX_MANIFESTS} manifests, or too deep ones")
        platform = _platform(descriptor.get("platform"))
        content = self._named(descriptor)
        if content is None:
            return None, [platform] if platform else []
        document = self._document(descriptor["digest"], content)
        media_type = _media_type(document, descriptor)
        if media_type in _INDEXES:
            return self._index(content, media_type, document, depth)
        if descriptor["digest"] not in self._blobs:
            self._blobs[descriptor["digest"]] = self._find_blobs(document)
        blobs = self._blobs[descriptor["digest"]]
        if blobs is None:
            return None, [platform] if platform else []
        platform = platform or self._configured(blobs)
        if _ATTESTATION in _annotations(descriptor):
            platform = ""
        return Manifest(content, media_type, blobs, platform=platform), []

    def _index(
        self, content: bytes, media_type: str, document: Mapping[str, Any], depth: int
    ) -> tuple[Manifest | None, list[str]]:
        entries = _list(document.get("manifests"), MAX_MANIFESTS)
        missing: list[str] = []
        present = []
        for entry in entries:
            child, absent = self._manifest(entry, depth + 1)
            missing += absent
            if child is not None:
                present.append((entry, child))
        children = tuple(child for _, child in present)
        if len(present) == len(entries) and not missing:
            return Manifest(content, media_type, children=children), []
        # A registry takes no index that names what it does not have.
        kept = [(entry, child) for entry, child in present if child.platforms]
        if len(kept) < 2:
            return (kept[0][1] if kept else None), missing
        shorter = {**document, "manifests": [_redescribed(*pair) for pair in kept]}
        children = tuple(child for _, child in kept)
        return Manifest(_encoded(shorter), media_type, children=children), missing

    def _named(self, descriptor: Mapping[str, Any]) -> bytes | None:
        """Return a manifest that a descriptor names, None where it is not there."""
        member = self._member(descriptor)
        if member is None:
            return None
        if member.content is None:
            raise PackageFileError(f"has a manifest that is none: {shown(member.name, 100)}")
        return member.content

    def _document(self, digest: str, content: bytes) -> dict[str, Any]:
        if digest not in self._documents:
            if _digest_of(content) != digest:
                raise PackageFileError(f"is damaged: {digest} has another digest")
            self._documents[digest] = _typed(load_json(content), dict)
        return self._documents[digest]

    def _member(self, descriptor: Mapping[str, Any]) -> Member | None:
        digest = _typed(descriptor["digest"], str)
        if not _DIGEST.fullmatch(digest):
            raise PackageFileError(f"names a digest that is not of SHA-256: {shown(digest, 100)}")
        try:
            member = _found(self.members, f"blobs/sha256/{digest.removeprefix('sha256:')}")
        except KeyError:
            return None
        if member.size != _typed(descriptor["size"], int):
            raise PackageFileError(f"is damaged: {shown(member.name, 100)} has another size")
        return member

    def _find_blobs(self, document: Mapping[str, Any]) -> tuple[Blob, ...] | None:
        """Return the blobs of a manifest, None where one is not there."""
        layers = _list(document.get("layers"), MAX_LAYERS)
        blobs = []
        for descriptor in [_typed(document["config"], dict), *layers]:
            # What may not be handed on is fetched from where the manifest says.
            if descriptor.get("urls") and self._member(descriptor) is None:
                continue
            member = self._member(descriptor)
            if member is None:
                return None
            blobs.append(Blob(descriptor["digest"], member.size, member))
        return tuple(blobs)

    def _configured(self, blobs: Iterable[Blob]) -> str:
        """Return the platform that a configuration, which is the first blob, names."""
        first = next(iter(blobs), None)
        if first is None or first.member.content is None:
            return ""
        return _platform(load_json(first.member.content))


def _called(names: list[str], digest: str) -> str:
    return shown(names[0], 100) if names else shown(digest, 100)


def _annotations(descriptor: Mapping[str, Any]) -> Mapping[str, Any]:
    return _typed(descriptor.get("annotations") or {}, dict)  # type: ignore[no-any-return]


def _annotated_names(descriptor: Mapping[str, Any]) -> list[str]:
    annotations = _annotations(descriptor)
    full, reference = annotations.get(_FULL_NAME), annotations.get(_REF_NAME)
    if full:
        return [_typed(full, str)]
    # Without a name before it, it is a tag of nobody knows what.
    if reference and set(_typed(reference, str)) & set(":/"):
        return [reference]
    return []


def _media_type(document: Mapping[str, Any], descriptor: Mapping[str, Any]) -> str:
    found = _typed(document.get("mediaType") or descriptor.get("mediaType") or "", str)
    if found in (*_INDEXES, *_MANIFESTS):
        return str(found)
    raise PackageFileError(f"has a manifest of another kind: {shown(found or 'none named', 100)}")


def _platform(value: Any) -> str:
    """Return a platform as Docker writes it, empty for one that is not known."""
    if not isinstance(value, Mapping):
        return ""
    parts = [value.get(key) for key in ("os", "architecture", "variant")]
    known = [part for part in parts if isinstance(part, str) and part]
    text = "/".join(known)
    return "" if len(known) < 2 or "unknown" in known else shown(text, 60)


def _redescribed(entry: Mapping[str, Any], child: Manifest) -> dict[str, Any]:
    """Return the descriptor of a part of an index, which may have become shorter itself."""
    return {
        **entry,
        "mediaType": child.media_type,
        "digest": child.digest,
        "size": len(child.content),
    }


def _encoded(document: Mapping[str, Any]) -> bytes:
    """Return the one encoding of a manifest that is ours."""
    return json.dumps(document, separators=(",", ":")).encode()


def _saved_images(path: Path, members: Mapping[str, Member]) -> Iterator[SavedImage]:
    """Yield the images of an archive that only ``docker save``'s list describes."""
    images = _list(_document(members[_SAVED]), MAX_MANIFESTS)
    tagged = [(image, tags) for image in images if (tags := _repo_tags(image))]
    described = [_layer_members(members, image) for image, _ in tagged]
    packed = {layer for layers in described for layer, _ in layers if layer.head[:2] == _GZIP}
    digests = _packed_digests(path, packed)
    for (image, tags), layers in zip(tagged, described, strict=True):
        config = _found(members, _typed(image["Config"], str))
        yield SavedImage(tuple(dict.fromkeys(tags)), _composed(config, layers, digests))


def _layer_members(
    members: Mapping[str, Member], image: Mapping[str, Any]
) -> list[tuple[Member, str]]:
    """Return the layers of an image with the digests of what they hold, unpacked."""
    config = _typed(_document(_found(members, _typed(image["Config"], str))), dict)
    diff_ids = _typed(_typed(config["rootfs"], dict).get("diff_ids") or [], list)
    names = _typed(image.get("Layers") or [], list)
    if len(names) != len(diff_ids) or len(names) > MAX_LAYERS:
        raise PackageFileError("has an image whose configuration names other layers than it has")
    for diff_id in diff_ids:
        if not _DIGEST.fullmatch(_typed(diff_id, str)):
            raise PackageFileError("has an image whose layers have no digests of SHA-256")
    found = [_found(members, _typed(name, str)) for name in names]
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
    blobs = [Blob(_digest_of(content), config.size, config)]
    descriptors = []
    for member, diff_id in layers:
        digest, unpacked = packed.get(member, (diff_id, diff_id))
        if unpacked != diff_id:
            raise PackageFileError(
                f"is damaged: {shown(member.name, 100)} holds another layer than {diff_id}"
            )
        media_type = _DOCKER_LAYER + (".gzip" if member in packed else "")
        blobs.append(Blob(digest, member.size, member))
        descriptors.append({"mediaType": media_type, "size": member.size, "digest": digest})
    document = {
        "schemaVersion": 2,
        "mediaType": DOCKER_MANIFEST,
        "config": {
            "mediaType": _DOCKER_CONFIG,
            "size": config.size,
            "digest": blobs[0].digest,
        },
        "layers": descriptors,
    }
    platform = _platform(load_json(content))
    return Manifest(_encoded(document), DOCKER_MANIFEST, tuple(blobs), platform=platform)
