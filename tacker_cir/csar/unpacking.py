# SPDX-License-Identifier: Apache-2.0
"""What a check of a request needs of a VNF package, on disk as Tacker would have it."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from pathlib import Path

from tacker_cir.csar.archive import Reader
from tacker_cir.image_archive import MAX_UNPACKED
from tacker_cir.package import VnfPackage


def unpack(csar: Path, directory: Path, texts: Iterable[str]) -> VnfPackage:
    """Return the package with the files that a check of a request may look at.

    Disk images and other large files that the request does not name stay packed.

    :param csar: the zip file
    :param directory: where to unpack, empty
    :param texts: of the request; some of them are paths in the package
    :raises CsarError: no zip file, a damaged one, or one whose files are too large
    """
    named = {posixpath.normpath(text) for text in texts if text}
    with Reader(csar) as reader:
        reader.unpack(directory, named, MAX_UNPACKED)
    return VnfPackage(directory)
