# SPDX-License-Identifier: Apache-2.0
"""What requests may ask of the container runtimes."""

from __future__ import annotations

import pytest

from tacker_cir import kubernetes_versions, runtimes
from tacker_cir.runtimes import RUNTIMES
from tacker_cir.runtimes.base import Mirror


@pytest.mark.parametrize(
    ("minor", "usual", "serving"),
    [
        (kubernetes_versions.OLDEST, "docker", ["docker", "containerd"]),
        (23, "docker", ["docker", "containerd"]),
        (24, "containerd", ["containerd"]),
        (kubernetes_versions.NEWEST, "containerd", ["containerd"]),
    ],
)
def test_which_runtimes_a_kubelet_speaks_to(minor, usual, serving):
    assert (runtimes.usual(minor), runtimes.serving(minor)) == (usual, serving)


@pytest.mark.parametrize(
    ("mirror", "of_docker"),
    [
        (Mirror("docker.io", True, False), []),
        (Mirror("quay.io", True, False), ["mirror_of"]),
        (Mirror("docker.io", False, True), ["mirror_fallback", "mirror_of"]),
    ],
)
def test_which_mirrors_a_runtime_can_have(mirror, of_docker):
    faults = {name: [key for key, _ in r.mirror_faults(mirror)] for name, r in RUNTIMES.items()}
    assert faults == {"docker": of_docker, "containerd": []}
