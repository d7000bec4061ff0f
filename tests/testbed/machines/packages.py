# SPDX-License-Identifier: Apache-2.0
"""The lab's two package repositories, built once into the cache.

local       a flat repository with what machines need of the host's distribution: container
            runtimes, the load balancer, and what the packages of Kubernetes depend on
docker-ce   a stand-in for Docker's own repository, which a lab without the internet does not
            reach: the same layout and package names, signed with a key of its own, but the
            contents are the distribution's packages, repacked
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from tests.testbed.machines import apt, guests, repositories
from tests.testbed.machines.host import os_release, run
from tests.testbed.machines.parts import Part

# All that machines install: the runtimes, what Kubernetes' own packages depend on, and for
# clusters with several masters the load balancer and its virtual address.
PACKAGES = [
    "docker.io",
    "containerd",
    "runc",
    "conntrack",
    "ebtables",
    "ethtool",
    "socat",
    "containernetworking-plugins",
    "haproxy",
    "keepalived",
]
NEWER = ["containerd", "docker.io", "docker-cli"]
LOCAL = "local"
"""The repository with what machines need of the distribution, below the built tree."""

KEY = "docker-ce/gpg"
"""The public key of the docker-ce repository below the built tree: armored, as Docker's is."""

# What the repacked packages contain beside each other, so they need each other by these names.
RENAMED = {"docker.io", "docker-cli", "containerd", "runc"}


def part(cache: Path, distribution: apt.Distribution, base: Part) -> Part:
    """Both repositories, for machines over the given base tree."""
    recipe = [Path(module).read_bytes() for module in (__file__, repositories.__file__)]
    name = apt.fingerprint(recipe, base.target.name, _codenames())

    def build(tree: Path) -> None:
        local = tree / LOCAL
        debs = distribution.download(PACKAGES, base.target / "var/lib/dpkg/status", local)
        _index(local)
        _repack(debs, tree / "docker-ce/pool")
        _index_signed(tree / "docker-ce")

    target = cache / "packages" / name
    return Part("package repositories of the machines", target, build, 430, 0.5, (base,))


def newer_part(cache: Path, distribution: apt.Distribution, suite: str) -> Part:
    """A flat repository with the container runtimes of a newer suite of the distribution."""
    name = apt.fingerprint(Path(__file__).read_bytes(), distribution.sources, suite)

    def build(tree: Path) -> None:
        there = distribution.newer(suite)
        there.refresh()
        tree.mkdir()
        there.fetch(tree, NEWER)
        _index(tree)

    what = f"container runtimes of {suite}"
    return Part(what, cache / "newer" / suite / name, build, 130, 0.4)


def _index(directory: Path) -> None:
    repositories.write_packages(directory, ".", directory / "Packages")
    repositories.write_release(directory, {})


def _repack(debs: list[Path], pool: Path) -> None:
    """Make docker-ce, docker-ce-cli and containerd.io of the distribution's packages."""
    by_name = {deb.name.split("_")[0]: deb for deb in debs}
    system = os_release()
    suffix = f"~{system['ID']}.{system['VERSION_ID']}~{system['VERSION_CODENAME']}"
    pool.mkdir(parents=True)
    with tempfile.TemporaryDirectory(dir=pool.parent) as work:
        engine, cli, runtime = Path(work, "engine"), Path(work, "cli"), Path(work, "runtime")
        run(["dpkg-deb", "-R", by_name["docker.io"], engine])
        if "docker-cli" in by_name:  # newer releases have the client apart
            run(["dpkg-deb", "-x", by_name["docker-cli"], engine])
        run(["dpkg-deb", "-R", by_name["containerd"], runtime])
        run(["dpkg-deb", "-x", by_name["runc"], runtime])
        (cli / "DEBIAN").mkdir(parents=True)
        (cli / "usr/bin").mkdir(parents=True)
        (engine / "usr/bin/docker").rename(cli / "usr/bin/docker")

        docker = "5:" + _upstream(by_name["docker.io"]) + "-1" + suffix
        containerd = _upstream(by_name["containerd"]) + "-1"
        needs = ["containerd.io", "docker-ce-cli", *_needs(by_name["docker.io"])]
        _control(engine, "docker-ce", docker, needs, "docker.io")
        _control(cli, "docker-ce-cli", docker, ["libc6"], "docker.io")
        needs = sorted({*_needs(by_name["containerd"]), *_needs(by_name["runc"])})
        _control(runtime, "containerd.io", containerd, needs, "containerd, runc")
        for tree in (engine, cli, runtime):
            run(["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "-b", tree, pool])


def _field(deb: Path, name: str) -> str:
    return run(["dpkg-deb", "-f", deb, name]).stdout.strip()


def _upstream(deb: Path) -> str:
    """The upstream version of a package: no epoch, no Debian revision."""
    found = re.search(r"(?:\d+:)?([0-9.]*[0-9])", _field(deb, "Version"))
    assert found, deb
    return found.group(1)


def _needs(deb: Path) -> list[str]:
    wanted = [need.strip() for need in _field(deb, "Depends").split(",")]
    return [need for need in wanted if need.split()[0] not in RENAMED]


def _control(tree: Path, name: str, version: str, needs: list[str], instead_of: str) -> None:
    architecture = run(["dpkg", "--print-architecture"]).stdout.strip()
    (tree / "DEBIAN/md5sums").unlink(missing_ok=True)
    (tree / "DEBIAN/control").write_text(
        f"Package: {name}\nVersion: {version}\nArchitecture: {architecture}\n"
        "Maintainer: tacker_cir lab <lab@localhost>\nSection: admin\nPriority: optional\n"
        f"Depends: {', '.join(needs)}\n"
        f"Conflicts: {instead_of}\nReplaces: {instead_of}\n"
        "Description: the distribution's package under the name Docker Inc. uses\n"
        " A stand-in of the tacker_cir lab.\n"
    )


def _codenames() -> list[str]:
    """Codenames that guests may have: each asks the repository for a suite of its own."""
    names = {image.system.get("VERSION_CODENAME") for image in guests.IMAGES.values()}
    return sorted(name for name in names if name)


def _index_signed(repository: Path) -> None:
    """Write indexes for every codename that a guest may have, and sign them with a new key."""
    architecture = run(["dpkg", "--print-architecture"]).stdout.strip()
    with repositories.signer() as signer:
        signer.export(repository / "gpg")
        for codename in _codenames():
            dist = repository / "dists" / codename
            index = dist / f"stable/binary-{architecture}/Packages"
            repositories.write_packages(repository, "pool", index)
            fields = {
                "Origin": "Docker",
                "Label": "stand-in of the tacker_cir lab",
                "Suite": codename,
                "Codename": codename,
                "Components": "stable",
                "Architectures": architecture,
            }
            repositories.write_release(dist, fields)
            signer.sign(dist / "Release")
