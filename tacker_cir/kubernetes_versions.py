# SPDX-License-Identifier: Apache-2.0
"""What changed in which Kubernetes 1.NN, as far as it matters here.

A new minor version is taken in by reading its notes, adding what changed, and raising
:data:`NEWEST`.
"""

from __future__ import annotations

#: The oldest whose tokens and kubeadm options are the ones used here.
OLDEST = 20
#: The newest whose notes were read: what a later one takes away is not known.
NEWEST = 36

#: The first whose kubeadm reads the configuration format v1beta3, and v1beta4.
FIRST_WITH_V1BETA3 = 22
FIRST_WITH_V1BETA4 = 31
#: The first whose kubelet does not speak to Docker.
FIRST_WITHOUT_DOCKER = 24
#: The first that knows runtimes by URL only.
FIRST_WITH_SOCKET_URLS = 24
#: The first on pkgs.k8s.io.
FIRST_ON_PKGS_K8S_IO = 24
#: The first whose kubelet does not start on cgroup version 1 (its ``failCgroupV1``, KEP-5573).
FIRST_WITHOUT_CGROUP_V1 = 35
#: The first that is no longer for containerd 1.x, which does not tell the kubelet the cgroup driver
#: (KEP-4033).
FIRST_WITHOUT_CONTAINERD_1 = 36


def minor(version: str) -> int:
    """Return NN of ``1.NN.P``."""
    return int(version.split(".")[1])


def packages_uri(minor: int) -> str:
    """Return the apt repository of 1.NN on pkgs.k8s.io: suite ``/``, its key in ``Release.key``."""
    return f"https://pkgs.k8s.io/core:/stable:/v1.{minor}/deb/"
