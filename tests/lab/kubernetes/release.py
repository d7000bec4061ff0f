# SPDX-License-Identifier: Apache-2.0
"""Which Kubernetes the lab builds, and the versions that belong to it."""

from __future__ import annotations

from pathlib import Path

VERSION = "1.20.2"
"""Kubernetes, as Debian 12's source package has it."""

GO = "1.19"
"""The Go of Debian 12 that compiles it; the release itself was made with 1.15."""

DEB_VERSION = f"{VERSION}-1"
"""Version of the packages kubelet, kubeadm and kubectl."""

IMAGE_REPOSITORY = "k8s.gcr.io"
"""Where kubeadm of this release looks for images unless told otherwise."""

# As `kubeadm config images list` of this release names them.
KUBE_IMAGES = [
    f"{name}:v{VERSION}"
    for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy")
]
PAUSE_IMAGE = "pause:3.2"
ETCD_IMAGE = "etcd:3.4.13-0"
COREDNS_IMAGE = "coredns:1.7.0"

ECHO_IMAGE = "tacker-cir-lab/echo:1"
"""An HTTP server and client for pods of tests (go/echo)."""

POD_NETWORK_IMAGE = "tacker-cir-lab/hostgw:1"
"""The lab's network of pods (go/hostgw), which pod-network.yaml starts on every node."""

POD_NETWORK = Path(__file__).with_name("pod-network.yaml")
"""The manifest to apply to a new cluster."""
