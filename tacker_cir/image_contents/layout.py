# SPDX-License-Identifier: Apache-2.0
"""Archives of an OCI image layout (OCI image specification), whose digests others know."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from tacker_cir.documents import load_json
from tacker_cir.image_archive import Member, PackageFileError
from tacker_cir.image_contents.manifests import (
    DIGEST,
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    MAX_LAYERS,
    MAX_MANIFESTS,
    OCI_INDEX,
    OCI_MANIFEST,
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

#: Files by which a layout is known.
LAYOUT, INDEX = "oci-layout", "index.json"

_INDEXES, _MANIFESTS = (OCI_INDEX, DOCKER_INDEX), (OCI_MANIFEST, DOCKER_MANIFEST)
# containerd's and Docker's own, then the specification's, which may be a tag only.
_FULL_NAME, _REF_NAME = "io.containerd.image.name", "org.opencontainers.image.ref.name"
# What BuildKit tells of how it built an image stands in the image's index as if for a platform.
_ATTESTATION = "vnd.docker.reference.type"
# Indexes in each other.
_DEPTH = 4


@dataclass
class Layout:
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
        index = typed(read_json(self.members[INDEX]), dict)
        for entry in objects(index.get("manifests"), MAX_MANIFESTS):
            digest = typed(entry["digest"], str)
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
        platform = platform_in(descriptor.get("platform"))
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
        entries = objects(document.get("manifests"), MAX_MANIFESTS)
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
        return Manifest(encoded(shorter), media_type, children=children), missing

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
            if digest_of(content) != digest:
                raise PackageFileError(f"is damaged: {digest} has another digest")
            self._documents[digest] = typed(load_json(content), dict)
        return self._documents[digest]

    def _member(self, descriptor: Mapping[str, Any]) -> Member | None:
        digest = typed(descriptor["digest"], str)
        if not DIGEST.fullmatch(digest):
            raise PackageFileError(f"names a digest that is not of SHA-256: {shown(digest, 100)}")
        try:
            member = member_of(self.members, f"blobs/sha256/{digest.removeprefix('sha256:')}")
        except KeyError:
            return None
        if member.size != typed(descriptor["size"], int):
            raise PackageFileError(f"is damaged: {shown(member.name, 100)} has another size")
        return member

    def _find_blobs(self, document: Mapping[str, Any]) -> tuple[Blob, ...] | None:
        """Return the blobs of a manifest, None where one is not there."""
        layers = objects(document.get("layers"), MAX_LAYERS)
        blobs = []
        for descriptor in [typed(document["config"], dict), *layers]:
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
        return platform_in(load_json(first.member.content))


def _saved_names(members: Mapping[str, Member]) -> dict[str, list[str]]:
    """Return the names that ``docker save`` wrote down, by the digest of the configuration."""
    names: dict[str, list[str]] = {}
    if SAVED in members:
        for image in objects(read_json(members[SAVED]), MAX_MANIFESTS):
            with suppress(KeyError):
                config = member_of(members, typed(image["Config"], str)).content or b""
                names.setdefault(digest_of(config), []).extend(repo_tags(image))
    return names


def _called(names: list[str], digest: str) -> str:
    return shown(names[0], 100) if names else shown(digest, 100)


def _annotations(descriptor: Mapping[str, Any]) -> Mapping[str, Any]:
    return typed(descriptor.get("annotations") or {}, dict)  # type: ignore[no-any-return]


def _annotated_names(descriptor: Mapping[str, Any]) -> list[str]:
    annotations = _annotations(descriptor)
    full, reference = annotations.get(_FULL_NAME), annotations.get(_REF_NAME)
    if full:
        return [typed(full, str)]
    # Without a name before it, it is a tag of nobody knows what.
    if reference and set(typed(reference, str)) & set(":/"):
        return [reference]
    return []


def _media_type(document: Mapping[str, Any], descriptor: Mapping[str, Any]) -> str:
    found = typed(document.get("mediaType") or descriptor.get("mediaType") or "", str)
    if found in (*_INDEXES, *_MANIFESTS):
        return str(found)
    raise PackageFileError(f"has a manifest of another kind: {shown(found or 'none named', 100)}")


def _redescribed(entry: Mapping[str, Any], child: Manifest) -> dict[str, Any]:
    """Return the descriptor of a part of an index, which may have become shorter itself."""
    return {
        **entry,
        "mediaType": child.media_type,
        "digest": child.digest,
        "size": len(child.content),
    }
