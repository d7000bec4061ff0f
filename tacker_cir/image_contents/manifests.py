# SPDX-License-Identifier: Apache-2.0
"""Manifests and the blobs that they name, and what both forms of an archive have in common."""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tacker_cir.documents import load_json
from tacker_cir.image_archive import Member, PackageFileError
from tacker_cir.text import shown

#: Manifests and indexes that an archive's index leads to.
MAX_MANIFESTS = 1024
#: Layers of an image; Docker makes at most 127.
MAX_LAYERS = 512

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"

#: The list that ``docker save`` writes.
SAVED = "manifest.json"
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
# Links that lead to a member.
_LINKS = 4


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
        return digest_of(self.content)

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


def read_json(member: Member) -> Any:
    """Return what a small member holds as JSON."""
    if member.content is None:
        raise KeyError(member.name)
    return load_json(member.content)


def typed(value: Any, kind: type) -> Any:
    """Return a value that has to be of a type.

    :raises TypeError: it is of another
    """
    if not isinstance(value, kind) or isinstance(value, bool):
        raise TypeError(f"not a {kind.__name__}")
    return value


def objects(value: Any, most: int) -> list[dict[str, Any]]:
    """Return a list of objects that may be left out."""
    found = typed(value if value is not None else [], list)
    if len(found) > most:
        raise PackageFileError(f"has a list of more than {most} manifests or layers")
    return [typed(item, dict) for item in found]


def repo_tags(image: Mapping[str, Any]) -> list[str]:
    """Return the names in an entry of the list that ``docker save`` writes."""
    return [typed(tag, str) for tag in typed(image.get("RepoTags") or [], list)]


def digest_of(content: bytes) -> str:
    """Return the digest by which a registry knows a content."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def member_of(members: Mapping[str, Member], name: str) -> Member:
    """Return a file of the archive, links in it followed."""
    member = members[posixpath.normpath(name)]
    for _ in range(_LINKS):
        if member.link is None:
            return member
        member = members[member.link]
    raise KeyError(name)


def platform_in(value: Any) -> str:
    """Return a platform as Docker writes it, empty for one that is not known."""
    if not isinstance(value, Mapping):
        return ""
    parts = [value.get(key) for key in ("os", "architecture", "variant")]
    known = [part for part in parts if isinstance(part, str) and part]
    text = "/".join(known)
    return "" if len(known) < 2 or "unknown" in known else shown(text, 60)


def encoded(document: Mapping[str, Any]) -> bytes:
    """Return the one encoding of a manifest that is ours."""
    return json.dumps(document, separators=(",", ":")).encode()
