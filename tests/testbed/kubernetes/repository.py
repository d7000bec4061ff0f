# SPDX-License-Identifier: Apache-2.0
"""A signed, flat apt repository with Kubernetes' packages and what they need from Debian.

Of the shape that the Kubernetes project's own has, with the public key beside the indexes as
Release.key. The lab's package server gives it to machines:
    lab.serve("kubernetes", lab.prepared.kubernetes)
    deb [signed-by=KEYRING] http://198.51.100.1/kubernetes/ ./
"""

from __future__ import annotations

from pathlib import Path

from tests.testbed.kubernetes import debs
from tests.testbed.kubernetes.release import KEY
from tests.testbed.machines import apt, packages, repositories
from tests.testbed.machines.parts import Part


def part(cache: Path, machines: Part, compiled: Part) -> Part:
    """The repository's directory.

    :param machines: the machines' repositories, which have what the packages depend on.
    """
    recipe = [Path(module).read_bytes() for module in (__file__, debs.__file__)]
    name = apt.fingerprint(recipe, compiled.target.name, machines.target.name)

    def build(tree: Path) -> None:
        tree.mkdir()
        for deb in (machines.target / packages.LOCAL).glob("*.deb"):
            (tree / deb.name).hardlink_to(deb)
        (plugins,) = tree.glob(f"{debs.CNI_PLUGINS}_*.deb")
        debs.build_all(compiled.target, plugins, tree)
        index(tree)

    target = cache / "kubernetes/packages" / name
    return Part("repository of Kubernetes", target, build, 100, 0.1, (machines, compiled))


def index(tree: Path) -> None:
    """Make a directory with packages a repository, signed by a key of its own."""
    repositories.write_packages(tree, ".", tree / "Packages")
    fields = {"Origin": "Kubernetes", "Label": "stand-in of the tacker_cir lab"}
    repositories.write_release(tree, fields)
    with repositories.signer() as signer:
        signer.sign(tree / "Release")
        signer.export(tree / KEY)
