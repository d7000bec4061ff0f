# SPDX-License-Identifier: Apache-2.0
"""Another Kubernetes than the lab's own, fetched from where its makers, or a site, keep it.

Its packages come from an apt repository of the shape of https://pkgs.k8s.io/core:/stable:/v1.34/deb/
(flat, its key in Release.key), the images that its kubeadm names from a registry, and a network of
pods from a manifest. What comes of it is a Release as the compiled one is.
"""

from __future__ import annotations

import argparse
import ipaddress
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tacker_cir import kubernetes_versions
from tests.testbed.kubernetes import archives, release, repository
from tests.testbed.kubernetes.release import KEY, Release
from tests.testbed.machines import apt
from tests.testbed.machines.host import LabError, run
from tests.testbed.machines.parts import Part, make_all

HOST_PACKAGES = ["skopeo"]

#: Of one version; the others' newest belong to it.
PROGRAMS = ["kubelet", "kubeadm", "kubectl"]
COMPANIONS = ["kubernetes-cni", "cri-tools"]

MANIFEST = "pod-network.yaml"
# What kubeadm shows of a registry that it is given: the names there.
_ANY_REGISTRY = "registry.invalid"


@dataclass(frozen=True)
class Order:
    """Which Kubernetes, and where from.

    :param version: ``1.NN.P``.
    :param packages: address of the repository; None for pkgs.k8s.io.
    :param images: HOST[:PORT][/PATH] with the images at its top; None for kubeadm's default.
    :param cni_manifest: file or URL; None for the lab's own network of pods.
    :param containerd: directory with packages of the container runtime; None for the
        distribution's.
    """

    version: str
    packages: str | None = None
    images: str | None = None
    cni_manifest: str | None = None
    containerd: Path | None = None

    @property
    def minor(self) -> int:
        """NN of 1.NN.P."""
        return kubernetes_versions.minor(self.version)

    @property
    def repository(self) -> str:
        """Address of the repository of packages."""
        return (self.packages or kubernetes_versions.packages_uri(self.minor)).rstrip("/") + "/"

    def check(self, cgroup2: bool) -> None:
        """Refuse what cannot come to a good end, before anything is fetched.

        :param cgroup2: whether this host has cgroup version 2, which its machines share.
        :raises LabError: with the reason.
        """
        versions = kubernetes_versions
        if not re.fullmatch(r"1\.[1-9][0-9]\.(0|[1-9][0-9]*)", self.version):
            raise LabError(f"--kubernetes {self.version}: expected a full version, e.g. 1.34.8")
        if not versions.OLDEST <= self.minor <= versions.NEWEST:
            known = f"1.{versions.OLDEST} to 1.{versions.NEWEST}"
            raise LabError(f"--kubernetes {self.version}: the drivers know {known}")
        if self.minor < versions.FIRST_ON_PKGS_K8S_IO and not self.packages:
            first = f"1.{versions.FIRST_ON_PKGS_K8S_IO}"
            raise LabError(f"pkgs.k8s.io begins with {first}: give --package-repository")
        if self.minor >= versions.FIRST_WITHOUT_CGROUP_V1 and not cgroup2:
            raise LabError(
                f"this host has cgroup version 1, on which the kubelet of {self.version} does not "
                f"start; the last that does is 1.{versions.FIRST_WITHOUT_CGROUP_V1 - 1}"
            )
        if self.minor >= versions.FIRST_WITHOUT_CONTAINERD_1 and not self.containerd:
            raise LabError(f"Kubernetes {self.version} needs containerd 2: give --containerd")
        if self.containerd and not any(self.containerd.glob("containerd_*.deb")):
            raise LabError(f"--containerd {self.containerd}: there is no package containerd")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that make an order."""
    group = parser.add_argument_group("another Kubernetes than the lab's own, which is 1.20.2")
    group.add_argument("--kubernetes", metavar="VERSION", help="e.g. 1.34.8")
    group.add_argument(
        "--package-repository", metavar="URI", help="flat, with Release.key in it; pkgs.k8s.io"
    )
    group.add_argument(
        "--image-repository", metavar="HOST[/PATH]", help="that has kubeadm's images at its top"
    )
    group.add_argument("--cni-manifest", metavar="FILE|URL", help="a network of pods")
    group.add_argument(
        "--containerd", metavar="DIR", type=Path, help="packages of the container runtime"
    )
    group.add_argument(
        "--stand-ins", action="store_true", help="the lab's own, fetched from servers on loopback"
    )


def order(arguments: argparse.Namespace) -> Order | None:
    """The order that options make; None where none is given.

    :raises LabError: there are options of an order without its version.
    """
    given = {
        "packages": arguments.package_repository,
        "images": arguments.image_repository,
        "cni_manifest": arguments.cni_manifest,
        "containerd": arguments.containerd and arguments.containerd.resolve(),
    }
    if arguments.kubernetes:
        return Order(arguments.kubernetes, **given)
    if any(given.values()):
        raise LabError("for which Kubernetes? give --kubernetes VERSION too")
    return None


def words(arguments: argparse.Namespace) -> list[str]:
    """The options again, for another command."""
    names = ("kubernetes", "package_repository", "image_repository", "cni_manifest", "containerd")
    given = {name: getattr(arguments, name) for name in names}
    repeated = [f"--{name.replace('_', '-')}={value}" for name, value in given.items() if value]
    return [*repeated, "--stand-ins"] if arguments.stand_ins else repeated


def parts(
    cache: Path, distribution: apt.Distribution, base: Part, compiled_images: Part, wanted: Order
) -> tuple[Part, Part]:
    """The repository of packages, and the directory with images that :meth:`Release.read` reads.

    :param base: the tree under the machines, whose packages are not fetched.
    :param compiled_images: the lab's own, which have its network of pods.
    """
    recipe = Path(__file__).read_bytes()
    debs = sorted(wanted.containerd.glob("*.deb")) if wanted.containerd else []
    known = (wanted.version, wanted.repository, [(deb.name, deb.stat().st_size) for deb in debs])
    name = apt.fingerprint(recipe, known, base.target.name, distribution.sources)
    packages = Part(
        f"packages of Kubernetes {wanted.version}",
        cache / "kubernetes/fetched-packages" / name,
        lambda tree: _fetch_packages(tree, distribution, base.target, wanted, debs),
        250,
        1,
        (base,),
    )
    network = _text(wanted.cni_manifest)
    name = apt.fingerprint(name, wanted.images, network, compiled_images.target.name)
    images = Part(
        f"images of Kubernetes {wanted.version}",
        cache / "kubernetes/fetched-images" / name,
        lambda tree: _fetch_images(tree, cache, packages.target, wanted, network, compiled_images),
        700,
        2,
        (packages, compiled_images),
    )
    return packages, images


def _fetch_packages(
    tree: Path, distribution: apt.Distribution, base: Path, wanted: Order, debs: Sequence[Path]
) -> None:
    tree.mkdir()
    with tempfile.TemporaryDirectory(dir=tree.parent) as directory:
        key = Path(directory, "key.asc")
        apt.fetch_file(wanted.repository + KEY, key)
        line = f"deb [signed-by={key}] {wanted.repository} /"
        both = distribution.with_repository(Path(directory, "apt"), line)
        exact = [f"{name}={wanted.version}-*" for name in PROGRAMS]
        words = [*exact, *COMPANIONS, *map(str, debs)]
        both.download(words, base / "var/lib/dpkg/status", tree)
    for deb in debs:
        shutil.copy(deb, tree)
    repository.index(tree)


def _fetch_images(
    tree: Path,
    cache: Path,
    packages: Path,
    wanted: Order,
    network: str | None,
    compiled_images: Part,
) -> None:
    tree.mkdir()
    sources = kubeadm_images(packages, wanted)
    renamed = {reference: site_name(reference) for reference in manifest_images(network or "")}
    sources |= {name: pullable(reference) for reference, name in renamed.items()}
    # Each is kept on its own until all are there: an interrupted stage goes on with them.
    kept = cache / "kubernetes/fetched"
    copied = {name: _archive(kept, name, source) for name, source in sources.items()}
    make_all(list(copied.values()))
    images = {name: tree / archives.file_name(name) for name in copied}
    for name, part in copied.items():
        part.target.rename(images[name])
    if network is None:
        own = release.POD_NETWORK_IMAGE
        network, renamed = release.POD_NETWORK.read_text(), {own: own}
        images[own] = tree / archives.file_name(own)
        images[own].hardlink_to(compiled_images.target / archives.file_name(own))
    (tree / MANIFEST).write_text(network)
    Release(wanted.version, packages, images, tree / MANIFEST, renamed).write(tree)


def kubeadm_images(packages: Path, wanted: Order) -> dict[str, str]:
    """What the fetched kubeadm names: where to pull each image, by its name at the top of any
    registry but the default one."""
    (deb,) = packages.glob("kubeadm_*.deb")
    with tempfile.TemporaryDirectory(dir=packages.parent) as directory:
        run(["dpkg-deb", "-x", deb, directory])
        kubeadm = Path(directory, "usr/bin/kubeadm")
        version = ["--kubernetes-version", f"v{wanted.version}"]

        def listed(*options: str) -> list[str]:
            words: list[str | Path] = [kubeadm, "config", "images", "list", *version, *options]
            return run(words).stdout.split()

        names = listed("--image-repository", _ANY_REGISTRY)
        sources = listed(*(["--image-repository", wanted.images] if wanted.images else []))
    return {
        name.removeprefix(f"{_ANY_REGISTRY}/"): source
        for name, source in zip(names, sources, strict=True)
    }


def manifest_images(text: str) -> set[str]:
    """References of all images that a manifest's containers have."""

    def found(value: Any) -> Iterator[str]:
        if isinstance(value, Mapping):
            for kind in ("containers", "initContainers"):
                for container in value.get(kind) or ():
                    yield container["image"]
            value = list(value.values())
        if isinstance(value, list):
            for item in value:
                yield from found(item)

    return {image for document in yaml.safe_load_all(text) for image in found(document)}


def site_name(reference: str) -> str:
    """The name, with a tag, that an image gets at the top of a registry.

    One that is named by its digest alone gets a tag made of it: there it has another digest.
    """
    first, _, rest = reference.partition("/")
    own_host = rest and ("." in first or ":" in first or first == "localhost")
    name, _, digest = (rest if own_host else reference).partition("@")
    if ":" in name:
        return name
    return f"{name}:{digest.rpartition(':')[2][:12] or 'latest'}"


def pullable(reference: str) -> str:
    """The reference without its tag where it has a digest too: skopeo takes one of them."""
    name, at, digest = reference.partition("@")
    return f"{re.sub(r':[^/:]+$', '', name)}@{digest}" if at else reference


def _archive(kept: Path, name: str, source: str) -> Part:
    """One image as an archive."""

    def build(target: Path) -> None:
        # On loopback there is no TLS, as Docker has it too.
        plain = ["--src-tls-verify=false"] if _is_loopback(source) else []
        words = ["skopeo", "--insecure-policy", "copy", "--quiet", "--retry-times=3", *plain]
        # Without a registry's name it would be one of Docker Hub, which has the top for its own.
        named = f"{_ANY_REGISTRY}/{name}"
        run([*words, f"docker://{source}", f"docker-archive:{target}:{named}"])

    # In directories of their own, as what is in one is made one after another.
    target = kept / apt.fingerprint(f"{_ANY_REGISTRY}/{name}", source) / "image.tar"
    return Part(f"image {source}", target, build, 100, 0.3)


def _is_loopback(source: str) -> bool:
    host = source.partition("/")[0].rpartition(":")[0]
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _text(place: str | None) -> str | None:
    """Read a manifest from a file or a URL."""
    if place is None:
        return None
    if "://" not in place:
        return Path(place).read_text()
    with tempfile.TemporaryDirectory() as directory:
        apt.fetch_file(place, Path(directory, "manifest"))
        return Path(directory, "manifest").read_text()
