# SPDX-License-Identifier: Apache-2.0
"""The images that a control plane needs."""

from __future__ import annotations

import pytest

from tacker_cir.kubernetes_images import control_plane_images
from tacker_cir.kubernetes_versions import NEWEST, OLDEST

# What `kubeadm config images list` printed, without the registry.
LISTED = {
    "1.20.2": "pause:3.2 etcd:3.4.13-0 coredns:1.7.0",
    "1.28.4": "pause:3.9 etcd:3.5.9-0 coredns:v1.10.1",
    "1.34.1": "pause:3.10.1 etcd:3.6.4-0 coredns:v1.12.1",
    "v1.36.5": "pause:3.10.2 etcd:3.6.8-0 coredns:v1.14.2",
}


@pytest.mark.parametrize(("version", "others"), LISTED.items())
def test_as_kubeadm_tells(version, others):
    number = version.removeprefix("v")
    names = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy")
    told = [str(image) for image in control_plane_images(version)]
    assert told == [f"{name}:v{number}" for name in names] + others.split()


def test_patches_bring_other_images():
    assert "etcd:3.5.12-0" in map(str, control_plane_images("1.28.13"))
    assert "etcd:3.5.15-0" in map(str, control_plane_images("1.28.14"))
    assert "etcd:3.5.21-0 (or 3.5.24-0)" in map(str, control_plane_images("1.33.7"))


def test_every_version_that_is_supported_is_known():
    for minor in range(OLDEST, NEWEST + 1):
        assert len(control_plane_images(f"1.{minor}.0")) == 7


@pytest.mark.parametrize(
    "version", ["1.19.0", f"1.{NEWEST + 1}.0", "1.34", "2.0.0", "x", "1.34.2-rc"]
)
def test_what_is_no_known_version(version):
    with pytest.raises(ValueError, match="expected a version of Kubernetes, 1.20.P to 1.36.P"):
        control_plane_images(version)
