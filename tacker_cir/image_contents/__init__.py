# SPDX-License-Identifier: Apache-2.0
"""The images in an archive as a registry has them: manifests, and the blobs that they name.

Taken are archives of ``docker save`` (Docker image specification v1.2) and tar archives of an OCI
image layout; newer ones are both, and are read by their layout, which has the digests that others
know. What an archive says is believed only where a digest proves it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tacker_cir.documents import DocumentError
from tacker_cir.image_archive import Member, PackageFileError, read_contents, read_members
from tacker_cir.image_contents.layout import INDEX, LAYOUT, Layout
from tacker_cir.image_contents.manifests import SAVED, Blob, Manifest, SavedImage
from tacker_cir.image_contents.saved import saved_images
from tacker_cir.text import shown

__all__ = [
    "Blob",
    "ImageContents",
    "Manifest",
    "SavedImage",
    "check_blobs",
    "read_blobs",
    "read_image_contents",
]

#: Names of the images of an archive together.
MAX_NAMES = 512

#: The portions of a blob; the last one comes only if the digest is right.
Checked = Iterator[bytes]

_NEITHER = "is neither an archive made with 'docker save' nor one of an OCI image layout"


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
    if LAYOUT in members and INDEX in members:
        return Layout(members).images()
    if SAVED in members:
        return saved_images(path, members)
    raise PackageFileError(_NEITHER)
