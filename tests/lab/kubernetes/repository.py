# SPDX-License-Identifier: Apache-2.0
"""A signed, flat apt repository with Kubernetes' packages and what they need from Debian.

Of the shape that the Kubernetes project's own has, with the public key beside the indexes as
Release.key. The lab's package server gives it to machines:
    MachineLab().serve("kubernetes", repository.ensure(...))
    deb [signed-by=KEYRING] http://198.51.100.1/kubernetes/ ./
"""

from __future__ import annotations

from pathlib import Path

from tests.lab.kubernetes import debs, programs
from tests.lab.machines import apt, repositories
from tests.lab.machines.host import build_once

KEY = "Release.key"

# What the packages depend on, the container runtimes, and for clusters with several masters
# the load balancer and its virtual address.
FROM_THE_DISTRIBUTION = [
    "conntrack",
    "ebtables",
    "ethtool",
    "socat",
    debs.CNI_PLUGINS,
    "docker.io",
    "containerd",
    "runc",
    "haproxy",
    "keepalived",
]


def ensure(cache: Path, base: Path) -> Path:
    """Return the repository's directory, for machines over the given base tree."""
    compiled = programs.ensure(cache)
    recipe = [Path(module).read_bytes() for module in (__file__, debs.__file__)]
    name = apt.fingerprint(recipe, compiled.name, base.name)

    def build(tree: Path) -> None:
        tree.mkdir()
        found = apt.download(FROM_THE_DISTRIBUTION, base / "var/lib/dpkg/status", tree)
        (plugins,) = (deb for deb in found if deb.name.startswith(f"{debs.CNI_PLUGINS}_"))
        debs.build_all(compiled, plugins, tree)
        repositories.write_packages(tree, ".", tree / "Packages")
        fields = {"Origin": "Kubernetes", "Label": "stand-in of the tacker_cir lab"}
        repositories.write_release(tree, fields)
        with repositories.signer() as signer:
            signer.sign(tree / "Release")
            signer.export(tree / KEY)

    return build_once(cache / "kubernetes/packages" / name, "repository of Kubernetes", build)
