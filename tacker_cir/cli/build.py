# SPDX-License-Identifier: Apache-2.0
"""``tacker-cir csar build``: VNF packages that Tacker onboards."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tacker_cir import csar
from tacker_cir.cli import status
from tacker_cir.cli.output import Help
from tacker_cir.exceptions import WrongUse


def add(commands: Any) -> None:
    """Add the commands to the parser."""
    package = commands.add_parser("csar", help="build VNF packages")
    build = package.add_subparsers(required=True, metavar="COMMAND").add_parser(
        "build", help="build a VNF package that Tacker onboards"
    )
    kinds = build.add_subparsers(required=True, metavar="KIND")
    _add_private_registry(kinds)
    _add_kubernetes(kinds)


def _add_private_registry(kinds: Any) -> None:
    registry = _add_kind(
        kinds,
        "private-registry",
        help="the Docker private registry VNF",
        description="Build the VNF package of a Docker private registry.",
    )
    registry.add_argument(
        "--image",
        type=Path,
        metavar="TAR",
        help="registry image made with 'docker save'; without it the VM pulls the image",
    )
    registry.add_argument(
        "--contents",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        metavar="FILE",
        help="archives of 'docker save' or of an OCI image layout whose images the registry shall "
        "have",
    )
    registry.add_argument(
        "--base-hot", action="store_true", help="the variant with a base HOT and UserData"
    )
    registry.add_argument(
        "--vm-image",
        metavar="NAME",
        help="name of the VM's image in the VIM, with --base-hot (default: the base HOT's); with "
        "--vm-image-file the name that it gets (default: the file's)",
    )
    registry.add_argument(
        "--vm-image-file",
        type=Path,
        metavar="FILE",
        help="disk image of the VM, put into the package; needed without --base-hot",
    )
    registry.add_argument(
        "--flavor",
        metavar="NAME",
        help="flavor of the VM in the VIM, with --base-hot (default: the base HOT's)",
    )
    registry.set_defaults(run=_build_private_registry)


def _add_kubernetes(kinds: Any) -> None:
    cluster = _add_kind(
        kinds,
        "kubernetes",
        help="the Kubernetes cluster VNF",
        description="Build the VNF package of a Kubernetes cluster. Certificates of registries, "
        "keyrings and manifests that a request names go into it with --file.",
    )
    for option, what in (("--vm-image", "image"), ("--flavor", "flavor")):
        cluster.add_argument(
            option, metavar="NAME", help=f"{what} in the VIM for all VMs (default: the base HOTs')"
        )
    cluster.set_defaults(run=_build_kubernetes)


def _add_kind(kinds: Any, name: str, **texts: str) -> argparse.ArgumentParser:
    kind: argparse.ArgumentParser = kinds.add_parser(name, formatter_class=Help, **texts)
    kind.add_argument(
        "--output", type=Path, required=True, metavar="FILE", help="the package to write"
    )
    kind.add_argument(
        "--package",
        type=Path,
        metavar="DIR",
        help="your own package directory (default: a sample, see tacker-cir samples)",
    )
    kind.add_argument(
        "--vnfd-id",
        metavar="UUID",
        help="another identifier for the VNFD (default: that of the directory)",
    )
    kind.add_argument(
        "--file",
        action="append",
        default=[],
        type=_file_pair,
        metavar="PATH=FILE",
        help="one more file and its path in the package; may be repeated",
    )
    kind.add_argument(
        "--sol001-definitions",
        type=Path,
        metavar="DIR",
        help="ETSI SOL001 2.6.1 type definitions (default: those of python-tackerclient)",
    )
    return kind


def _file_pair(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise argparse.ArgumentTypeError(f"expected PATH=FILE, got {text!r}")
    return name, Path(path)


def _build_private_registry(arguments: argparse.Namespace) -> int:
    built = csar.build_private_registry(
        arguments.output,
        image=arguments.image,
        contents=arguments.contents,
        base_hot=arguments.base_hot,
        vm_image_file=arguments.vm_image_file,
        **_build_options(arguments),
    )
    _print_built(built)
    if built.image_path:
        print(f"image_path: {built.image_path}")
    if built.contents:
        print(f"contents:   {json.dumps(built.contents)}")
    return status.OK


def _build_kubernetes(arguments: argparse.Namespace) -> int:
    _print_built(csar.build_kubernetes(arguments.output, **_build_options(arguments)))
    return status.OK


def _build_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what all kinds have in common."""
    return {
        "package": arguments.package,
        "vm_image": arguments.vm_image,
        "flavor": arguments.flavor,
        "vnfd_id": arguments.vnfd_id,
        "files": _named_once(arguments.file),
        "sol001_definitions": arguments.sol001_definitions,
    }


def _named_once(pairs: Sequence[tuple[str, Path]]) -> dict[str, Path]:
    files = dict(pairs)
    if len(files) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise WrongUse(f"--file {twice}=... is given more than once")
    return files


def _print_built(built: csar.Csar) -> None:
    print(f"{built.path}: {built.size / 1e6:.1f} MB, {len(built.entries)} files")
    print(f"vnfd id:    {built.vnfd_id}")
