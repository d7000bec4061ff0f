# SPDX-License-Identifier: Apache-2.0
"""Fetching another Kubernetes: what is refused, and how images are named on their way.

That it is fetched, by apt and skopeo from servers, is shown by ``tox -e lab -- test --thorough``.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess

import pytest

from tests.testbed.kubernetes import fetch
from tests.testbed.kubernetes.fetch import Order
from tests.testbed.kubernetes.release import Release
from tests.testbed.machines.host import LabError

URI = "http://mirror.example.com/core:/stable:/v1.20/deb/"

# As Calico's: two images one of whose names begins with the other's, quoted and not.
MANIFEST = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: image, labels: {image: example.com/none:1}}
---
apiVersion: apps/v1
kind: DaemonSet
spec:
  template:
    spec:
      initContainers:
        - name: install
          image: "quay.io/calico/node:v3"
      containers:
        - {name: node, image: quay.io/calico/node:v3.1}
        - name: both
          image: 'busybox'
---
"""


def ordered(*words: str) -> Order | None:
    parser = argparse.ArgumentParser()
    fetch.add_options(parser)
    return fetch.order(parser.parse_args(words))


def test_an_order_and_where_it_is_fetched_from(tmp_path):
    assert ordered() is None
    usual = ordered("--kubernetes", "1.34.8")
    assert usual.repository == "https://pkgs.k8s.io/core:/stable:/v1.34/deb/"
    own = ordered("--kubernetes", "1.20.2", "--package-repository", URI.rstrip("/"))
    assert own.repository == URI
    (tmp_path / "containerd_2.1.9-1_amd64.deb").touch()
    new = ordered("--kubernetes", "1.36.0", "--containerd", str(tmp_path))
    for order in (usual, own, new):
        order.check(cgroup2=True)
    usual.check(cgroup2=False)


def test_options_are_repeated_for_another_command(tmp_path):
    parser = argparse.ArgumentParser()
    fetch.add_options(parser)
    given = ["--kubernetes=1.34.8", "--image-repository=a.b/c", f"--containerd={tmp_path}"]
    assert fetch.words(parser.parse_args(given)) == given
    assert fetch.words(parser.parse_args(["--stand-ins"])) == ["--stand-ins"]


def test_options_without_a_version():
    with pytest.raises(LabError, match="give --kubernetes VERSION too"):
        ordered("--image-repository", "registry.example.com")


@pytest.mark.parametrize(
    ("order", "cgroup2", "reason"),
    [
        (Order("1.34"), True, "--kubernetes 1.34: expected a full version, e.g. 1.34.8"),
        (Order("v1.34.8"), True, "expected a full version"),
        (Order("1.19.16", URI), True, "the drivers know 1.20 to 1.36"),
        (Order("1.37.0"), True, "the drivers know 1.20 to 1.36"),
        (Order("1.20.2"), True, "pkgs.k8s.io begins with 1.24: give --package-repository"),
        (Order("1.35.0"), False, "this host has cgroup version 1, .* the last that does is 1.34"),
        (Order("1.36.0"), True, "Kubernetes 1.36.0 needs containerd 2: give --containerd"),
    ],
)
def test_what_cannot_come_to_a_good_end_is_refused_first(order, cgroup2, reason):
    with pytest.raises(LabError, match=reason):
        order.check(cgroup2)


def test_a_directory_without_a_container_runtime(tmp_path):
    (tmp_path / "containerd.io_2.1.9-1_amd64.deb").touch()
    with pytest.raises(LabError, match=f"{tmp_path}: there is no package containerd"):
        Order("1.34.8", containerd=tmp_path).check(cgroup2=True)


@pytest.mark.parametrize(
    ("reference", "name", "pulled"),
    [
        ("registry.k8s.io/pause:3.10.1", "pause:3.10.1", None),
        ("quay.io/calico/node:v3.1", "calico/node:v3.1", None),
        ("127.0.0.1:5000/a/b", "a/b:latest", None),
        ("localhost/a:1", "a:1", None),
        ("busybox", "busybox:latest", None),
        ("calico/node:v3", "calico/node:v3", None),
        ("q.io/a:1@sha256:0123456789abcdef", "a:1", "q.io/a@sha256:0123456789abcdef"),
        ("q.io:1/a@sha256:0123456789abcdef", "a:0123456789ab", "q.io:1/a@sha256:0123456789abcdef"),
    ],
)
def test_names_of_images_in_the_sites_registry(reference, name, pulled):
    assert fetch.site_name(reference) == name
    assert fetch.pullable(reference) == (pulled or reference)


def test_tls_is_not_asked_of_loopback_only():
    assert fetch._is_loopback("127.0.0.1:5000/a:1") and fetch._is_loopback("localhost:5000/a:1")
    assert not fetch._is_loopback("registry.example.com:5000/a:1")
    assert not fetch._is_loopback("registry.k8s.io/a:1")


def test_images_of_a_manifest_come_from_the_sites_registry(tmp_path):
    found = fetch.manifest_images(MANIFEST)
    assert found == {"quay.io/calico/node:v3", "quay.io/calico/node:v3.1", "busybox"}
    (tmp_path / "network.yaml").write_text(MANIFEST)
    (tmp_path / "a.tar").touch()
    Release(
        "1.34.8",
        tmp_path / "packages",
        {"calico/node:v3": tmp_path / "a.tar"},
        tmp_path / "network.yaml",
        {reference: fetch.site_name(reference) for reference in found},
    ).write(tmp_path)
    made = Release.read(tmp_path)
    assert (made.version, made.minor) == ("1.34.8", 34)
    assert made.packages == tmp_path / "packages"
    assert made.images == {"calico/node:v3": tmp_path / "a.tar"}
    text = made.manifest("10.0.0.5:5000")
    assert fetch.manifest_images(text) == {
        "10.0.0.5:5000/calico/node:v3",
        "10.0.0.5:5000/calico/node:v3.1",
        "10.0.0.5:5000/busybox:latest",
    }
    assert "image: example.com/none:1" in text


# As of 1.34: its own registry has CoreDNS in a directory, any other one at the top.
KUBEADM = """\
#!/bin/sh
[ "$*" = "config images list --kubernetes-version v1.34.8${6:+ $6 $7}" ] || exit 1
dns=coredns/
[ -z "$7" ] || dns=
for name in kube-proxy:v1.34.8 ${dns}coredns:v1.12.1 pause:3.10.1; do
    echo "${7:-registry.k8s.io}/$name"
done
echo "a warning" >&2
"""


@pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="needs dpkg-deb")
@pytest.mark.parametrize(
    ("images", "coredns"),
    [
        (None, "registry.k8s.io/coredns/coredns:v1.12.1"),
        ("10.0.0.5:5000/k8s", "10.0.0.5:5000/k8s/coredns:v1.12.1"),
    ],
)
def test_the_fetched_kubeadm_says_which_images(tmp_path, images, coredns):
    tree = tmp_path / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "usr/bin").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(
        "Package: kubeadm\nVersion: 1.34.8-1.1\nArchitecture: all\nMaintainer: x\nDescription: x\n"
    )
    (tree / "usr/bin/kubeadm").write_text(KUBEADM)
    (tree / "usr/bin/kubeadm").chmod(0o755)
    subprocess.run(["dpkg-deb", "-b", tree, tmp_path], check=True, capture_output=True)
    found = fetch.kubeadm_images(tmp_path, Order("1.34.8", images=images))
    top = images or "registry.k8s.io"
    assert found == {
        "kube-proxy:v1.34.8": f"{top}/kube-proxy:v1.34.8",
        "coredns:v1.12.1": coredns,
        "pause:3.10.1": f"{top}/pause:3.10.1",
    }
