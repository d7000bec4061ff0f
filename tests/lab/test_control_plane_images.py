# SPDX-License-Identifier: Apache-2.0
"""What tacker-cir knows of the images of a control plane, against the lab's own kubeadm and its
archives."""

from __future__ import annotations

import subprocess

import pytest

from tacker_cir.kubernetes_images import control_plane_images
from tests.lab.vnf import tacker_cir
from tests.testbed.kubernetes_site import KubernetesSite

# Of a repository of one's own: CoreDNS is at its top there.
_OWN = "here.example"


@pytest.fixture(scope="module")
def offered(lab):
    """The Kubernetes that the lab has."""
    return KubernetesSite(lab).release


@pytest.fixture(scope="module")
def listed(offered, tmp_path_factory):
    """Names and tags that its kubeadm lists."""
    (package,) = offered.packages.glob(f"kubeadm_{offered.version}-*.deb")
    unpacked = tmp_path_factory.mktemp("kubeadm")
    subprocess.run(["dpkg-deb", "--extract", package, unpacked], check=True)
    words = ["config", "images", "list", "--kubernetes-version", f"v{offered.version}"]
    command = [unpacked / "usr/bin/kubeadm", *words, "--image-repository", _OWN]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return [line.removeprefix(f"{_OWN}/") for line in done.stdout.splitlines()]


def test_kubeadm_lists_the_same(offered, listed):
    known = control_plane_images(offered.version)
    told = dict(name.rsplit(":", 1) for name in listed)
    assert told.keys() == {image.name for image in known}
    assert [image for image in known if told[image.name] not in image.tags] == []


@pytest.fixture(scope="module")
def archives(offered):
    """The archives of the lab's control plane, by the names of their images."""
    names = {image.name for image in control_plane_images(offered.version)}
    found = {n: a for n, a in offered.images.items() if n.rpartition(":")[0] in names}
    assert len(found) == len(names)
    return found


def test_the_labs_archives_are_complete(offered, archives):
    asked = ("--kubernetes", offered.version)
    told = tacker_cir("images", *map(str, archives.values()), *asked)
    assert told.count("ok ") == len(archives) and "FAULT" not in told
    others = [str(archive) for name, archive in archives.items() if not name.startswith("etcd:")]
    with pytest.raises(subprocess.CalledProcessError) as caught:
        tacker_cir("images", *others, *asked)
    assert f"Kubernetes {offered.version} needs etcd:" in caught.value.stdout


def test_an_archive_that_skopeo_makes_of_all(offered, archives, tmp_path):
    """As the user guide has it made on a machine without Docker."""
    for name, archive in archives.items():
        target = f"oci:{tmp_path}/layout:registry.example/{name}"
        subprocess.run(["skopeo", "copy", "-q", f"docker-archive:{archive}", target], check=True)
    kube = tmp_path / "kube.tar"
    subprocess.run(["tar", "-C", tmp_path / "layout", "-cf", kube, "."], check=True)
    told = tacker_cir("images", str(kube), "--kubernetes", offered.version)
    assert told.count("ok ") == len(archives) and "FAULT" not in told
