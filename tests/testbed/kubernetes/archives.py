# SPDX-License-Identifier: Apache-2.0
"""The images of a control plane, as archives that `docker load` and `ctr images import` read.

Their names are those that kubeadm asks for. Stand-ins among them:
  etcd:3.4.13-0    the distribution's etcd, of a newer 3.4
  coredns:1.7.0    the lab's small DNS server (go/dns), for names of Services only
  pause:3.2        the lab's own (go/pause)
Each holds its programs, the libraries these are linked with, and no shell.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.testbed.kubernetes import release
from tests.testbed.machines import apt, images
from tests.testbed.machines.host import remove, run
from tests.testbed.machines.images import Entry
from tests.testbed.machines.parts import Part

BIN = "/usr/local/bin"

# Programs in images that the distribution has.
FROM_THE_DISTRIBUTION = ["etcd-server", "etcd-client", "iptables", "conntrack"]

# One program of Debian's iptables, which looks at the name that it is called by.
XTABLES = "/usr/sbin/xtables-nft-multi"
XTABLES_NAMES = [
    f"{family}{suffix}"
    for family in ("iptables", "ip6tables")
    for suffix in ("", "-save", "-restore")
]
XTABLES_PLUGINS = "usr/lib/*/xtables/*.so"


@dataclass(frozen=True)
class Recipe:
    """What an image holds and how it is started."""

    files: Mapping[str, Entry]
    entrypoint: Sequence[str] = ()


def part(cache: Path, distribution: apt.Distribution, compiled: Part) -> Part:
    """The directory with all archives."""
    recipe = [Path(module).read_bytes() for module in (__file__, images.__file__)]
    name = apt.fingerprint(recipe, compiled.target.name)

    def build(target: Path) -> None:
        target.mkdir()
        tree = target / "distribution"
        _unpack_distribution(tree, distribution)
        for reference, image in _recipes(compiled.target, tree).items():
            settings = {"Env": [f"PATH={BIN}:/usr/sbin:/usr/bin:/sbin:/bin"]}
            if image.entrypoint:
                settings["Entrypoint"] = list(image.entrypoint)
            images.write_image(target / file_name(reference), reference, image.files, settings)
        remove(tree)

    target = cache / "kubernetes/images" / name
    return Part("images of Kubernetes", target, build, 480, 0.3, (compiled,))


def by_reference(directory: Path) -> dict[str, Path]:
    """All archives by the name of the image in them."""
    return {reference: directory / file_name(reference) for reference in references()}


def compiled(packages: Path, directory: Path) -> release.Release:
    """The release that the lab has compiled.

    :param packages: repository with its packages.
    :param directory: with its archives.
    """
    own = release.POD_NETWORK_IMAGE
    return release.Release(
        release.VERSION,
        packages,
        {
            reference.removeprefix(f"{release.IMAGE_REPOSITORY}/"): archive
            for reference, archive in by_reference(directory).items()
        },
        release.POD_NETWORK,
        {own: own},
    )


def references() -> list[str]:
    """Names of all images: those that kubeadm lists, and the lab's own for tests."""
    names = [
        *release.KUBE_IMAGES,
        release.PAUSE_IMAGE,
        release.ETCD_IMAGE,
        release.COREDNS_IMAGE,
    ]
    own = [release.ECHO_IMAGE, release.POD_NETWORK_IMAGE]
    return [f"{release.IMAGE_REPOSITORY}/{name}" for name in names] + own


def file_name(reference: str) -> str:
    """Name of an image's archive."""
    return re.sub(r"[/:]", "_", reference) + ".tar"


def _recipes(compiled: Path, tree: Path) -> dict[str, Recipe]:
    iptables = _iptables(tree)
    conntrack = _linked(tree, "/usr/sbin/conntrack")
    made = [
        Recipe(_kube(compiled, "kube-apiserver")),
        Recipe(_kube(compiled, "kube-controller-manager")),
        Recipe(_kube(compiled, "kube-scheduler")),
        Recipe({**_kube(compiled, "kube-proxy"), **conntrack, **iptables}),
        Recipe({"/pause": Entry(compiled / "pause", 0o755)}, ["/pause"]),
        Recipe({**_linked(tree, "/usr/bin/etcd"), **_linked(tree, "/usr/bin/etcdctl")}),
        Recipe({"/coredns": Entry(compiled / "dns", 0o755)}, ["/coredns"]),
        Recipe({"/echo": Entry(compiled / "echo", 0o755)}, ["/echo"]),
        Recipe({"/hostgw": Entry(compiled / "hostgw", 0o755), **iptables}, ["/hostgw"]),
    ]
    return dict(zip(references(), made, strict=True))


def _kube(compiled: Path, name: str) -> dict[str, Entry]:
    return {f"{BIN}/{name}": Entry(compiled / name, 0o755)}


def _unpack_distribution(tree: Path, distribution: apt.Distribution) -> None:
    """Unpack programs with all packages that they need, down to the C library."""
    debs = tree.with_name("debs")
    debs.mkdir()
    nothing = debs / "status"
    nothing.touch()
    tree.mkdir()
    for deb in distribution.download(FROM_THE_DISTRIBUTION, nothing, debs):
        run(["dpkg-deb", "-x", deb, tree])
    remove(debs)


def _linked(tree: Path, program: str) -> dict[str, Entry]:
    """A program of the unpacked packages, with the libraries that it loads at its start."""
    files = {program: Entry(tree / program.lstrip("/"), 0o755)}
    (loader,) = tree.glob("lib64/ld-linux*")
    listed = run(
        ["chroot", tree, f"/{loader.relative_to(tree)}", "--list", program], check=False
    ).stdout  # fails for a program that needs no library
    for library in re.findall(r"(/\S+) \(0x", listed):
        files[library] = Entry(_inside(tree, library), 0o755)
    return files


def _inside(tree: Path, path: str) -> Path:
    """Follow the links of a path as a process would that has the tree as its root."""
    found = tree / path.lstrip("/")
    while found.is_symlink():
        target = str(found.readlink())
        found = tree / target.lstrip("/") if target.startswith("/") else found.parent / target
    return found


def _iptables(tree: Path) -> dict[str, Entry]:
    files = _linked(tree, XTABLES)
    program = files.pop(XTABLES)
    files.update({f"/usr/sbin/{name}": program for name in XTABLES_NAMES})
    for plugin in tree.glob(XTABLES_PLUGINS):
        files.update(_linked(tree, f"/{plugin.relative_to(tree)}"))
    return files
