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


def test_the_labs_archives_are_complete(offered):
    names = {image.name for image in control_plane_images(offered.version)}
    archives = {n: str(a) for n, a in offered.images.items() if n.rpartition(":")[0] in names}
    assert len(archives) == len(names)
    asked = ("--kubernetes", offered.version)
    told = tacker_cir("images", *archives.values(), *asked)
    assert told.count("ok ") == len(names) and "FAULT" not in told
    archives.pop(next(name for name in archives if name.startswith("etcd:")))
    with pytest.raises(subprocess.CalledProcessError) as caught:
        tacker_cir("images", *archives.values(), *asked)
    assert f"Kubernetes {offered.version} needs etcd:" in caught.value.stdout
