# SPDX-License-Identifier: Apache-2.0
"""``tacker-cir images``: what archives of images hold, and what a Kubernetes version needs."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from tacker_cir.cli import output, status
from tacker_cir.exceptions import WrongUse
from tacker_cir.image_contents import ImageContents, SavedImage
from tacker_cir.kubernetes_images import NeededImage, control_plane_images
from tacker_cir.package import PackageFileError
from tacker_cir.params.names import places_in_registry
from tacker_cir.params.registry_contents import read_checked

#: Name and tag of an image in the registry.
_Place = tuple[str, str | None]


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "images",
        formatter_class=output.Help,
        help="say what archives of images hold",
        description="Read archives of 'docker save' and of OCI image layouts as a whole, compare "
        "all digests and say what images are in them: their names in the registry, platforms, "
        "digest and size.",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="an archive")
    parser.add_argument(
        "--kubernetes",
        metavar="VERSION",
        help="also say which images that a control plane of this version needs are not there, "
        "e.g. 1.34.2",
    )
    output.add_format(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Say what is there; return the exit status."""
    needed = _needed(arguments.kubernetes)
    archives: list[ImageContents] = []
    faults: list[str] = []
    for path in arguments.files:
        try:
            archives.append(read_checked(path))
        except PackageFileError as error:
            faults.append(f"{path}: {error}")
    there = {place for archive in archives for image in archive.images for place in _places(image)}
    missing = _missing(needed, there)
    needs = f"Kubernetes {arguments.kubernetes} needs"
    faults += [f"{needs} {image}, which is not there{_instead(image, there)}" for image in missing]
    show = _print_json if arguments.format == "json" else _print_text
    show(archives, needed, missing, faults)
    return status.FAULTS if faults else status.OK


def _needed(version: str | None) -> list[NeededImage]:
    try:
        return control_plane_images(version) if version is not None else []
    except ValueError as error:
        raise WrongUse(f"--kubernetes {version}: {error}") from None


def _missing(needed: Sequence[NeededImage], there: Collection[_Place]) -> list[NeededImage]:
    return [image for image in needed if not any((image.name, tag) in there for tag in image.tags)]


def _instead(image: NeededImage, there: Collection[_Place]) -> str:
    """Return what is there under an image's name: kubeadm may be newer than what is known here."""
    tags = sorted(tag for name, tag in there if name == image.name and tag)
    if not tags:
        return ""
    return f"; right all the same if 'kubeadm config images list' names {image.name}:{tags[0]}"


def _places(image: SavedImage) -> list[_Place]:
    return [place for name in image.names for place in places_in_registry(name)]


def _shown_places(image: SavedImage) -> list[str]:
    digest = image.manifest.digest
    places = [f"{name}:{tag}" if tag else f"{name}@{digest}" for name, tag in _places(image)]
    return list(dict.fromkeys(places))


def _print_text(
    archives: Sequence[ImageContents],
    _needed: Sequence[NeededImage],
    _missing: Sequence[NeededImage],
    faults: Sequence[str],
) -> None:
    for archive in archives:
        for image in archive.images:
            output.print_ok(f"{archive.path}: {_described(image)}")
    for fault in faults:
        output.print_fault(fault)


def _described(image: SavedImage) -> str:
    platforms = ", ".join(image.manifest.platforms) or "no platform named"
    if image.missing:
        platforms += f" (without {', '.join(image.missing)})"
    names = ", ".join(_shown_places(image))
    return f"{names} for {platforms}, {image.size / 1e6:.1f} MB, {image.manifest.digest}"


def _print_json(
    archives: Sequence[ImageContents],
    needed: Sequence[NeededImage],
    missing: Sequence[NeededImage],
    faults: Sequence[str],
) -> None:
    output.print_json(
        {
            "archives": [
                {"file": str(archive.path), "images": [_as_data(i) for i in archive.images]}
                for archive in archives
            ],
            "needed": [
                {"name": image.name, "tags": list(image.tags), "present": image not in missing}
                for image in needed
            ],
            "faults": list(faults),
        }
    )


def _as_data(image: SavedImage) -> dict[str, Any]:
    return {
        "names": list(image.names),
        "in_registry": _shown_places(image),
        "digest": image.manifest.digest,
        "platforms": list(image.manifest.platforms),
        "missing_platforms": list(image.missing),
        "size": image.size,
    }
