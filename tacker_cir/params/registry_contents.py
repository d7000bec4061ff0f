# SPDX-License-Identifier: Apache-2.0
"""``contents`` of the registry VNF: archives of the package whose images it shall have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tacker_cir.image_contents import ImageContents, check_blobs, read_image_contents
from tacker_cir.package import PackageFileError
from tacker_cir.params.fields import PACKAGE_PATH, string
from tacker_cir.params.names import places_in_registry
from tacker_cir.params.reader import Reader
from tacker_cir.text import shown

KEY = "contents"

SCHEMA: dict[str, Any] = {
    "type": "array",
    "maxItems": 64,
    "uniqueItems": True,
    "description": "a list of archives of images in the VNF package",
    "items": string(f"an archive of 'docker save' or of an OCI image layout, {PACKAGE_PATH}"),
}


def read(reader: Reader) -> tuple[ImageContents, ...]:
    """Return what the archives hold, and note what is wrong with them."""
    paths = reader.valid(KEY) or ()
    read = [_read_archive(reader, index) for index in range(len(paths))]
    _check_tags(reader, read)
    return tuple(archive for archive in read if archive is not None)


def _read_archive(reader: Reader, index: int) -> ImageContents | None:
    path = reader.valid(KEY, index)
    if path is None or reader.package is None:
        return None
    try:
        archive = reader.package.image_contents(path)
    except PackageFileError as error:
        reader.fault(f"{path!r} {error}", KEY, index)
        return None
    for problem in _name_problems(archive):
        reader.fault(f"{path!r} {problem}", KEY, index)
    return archive


def _name_problems(archive: ImageContents) -> list[str]:
    """Return why a registry cannot have the images of an archive by their names."""
    problems = []
    for image in archive.images:
        for name in image.names:
            try:
                places_in_registry(name)
            except ValueError as error:
                problems.append(f"has an image named {shown(name, 100)!r}; {error}")
    return problems


def read_checked(path: Path) -> ImageContents:
    """Read an archive as a whole.

    :raises PackageFileError: it is none, is damaged, or has an image that no registry can have
    """
    contents = read_image_contents(path)
    for problem in _name_problems(contents):
        raise PackageFileError(problem)
    check_blobs(contents)
    return contents


def _check_tags(reader: Reader, archives: list[ImageContents | None]) -> None:
    """Refuse two images for one tag: which one it stands for would change with every operation."""
    if reader.faults:
        return
    first: dict[tuple[str, str | None], tuple[int, str]] = {}
    for index, archive in enumerate(archives):
        for image in archive.images if archive else ():
            digest = image.manifest.digest
            for place in [p for name in image.names for p in places_in_registry(name)]:
                other, known = first.setdefault(place, (index, digest))
                if place[1] is not None and known != digest:
                    reader.fault(
                        f"has another image for {place[0]}:{place[1]} than {KEY}[{other}]; "
                        "expected one image for each name and tag",
                        *(KEY, index),
                    )
