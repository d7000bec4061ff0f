# SPDX-License-Identifier: Apache-2.0
"""Which Kubernetes the lab has: the one that it builds, with the versions that belong to it, and
what it has to know of any."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tacker_cir import kubernetes_versions

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

KEY = "Release.key"
"""The key of a repository of packages, beside its indexes."""

_RECORD = "release.json"
# What stands around the reference of an image in YAML.
_BEFORE = r"""(\bimage:\s*["']?)"""
_AFTER = r"""(?=["'\s,}]|$)"""


@dataclass(frozen=True)
class Release:
    """A Kubernetes that a site of the lab offers.

    :param packages: directory of a signed, flat repository with :data:`KEY` in it.
    :param images: archives, by the name that each image has at the top of the site's registry.
    :param pod_network: the manifest that gives a cluster its network of pods.
    :param renamed: names at the top of the registry, by how the manifest names the images.
    """

    version: str
    packages: Path
    images: Mapping[str, Path]
    pod_network: Path
    renamed: Mapping[str, str]

    @property
    def minor(self) -> int:
        """NN of 1.NN.P."""
        return kubernetes_versions.minor(self.version)

    @property
    def runtimes(self) -> tuple[str, ...]:
        """The container runtimes that its kubelet speaks to, the one of its time first."""
        docker = self.minor < kubernetes_versions.FIRST_WITHOUT_DOCKER
        return ("docker", "containerd") if docker else ("containerd",)

    def manifest(self, registry: str) -> str:
        """The pod network's manifest, with its images in a registry.

        :param registry: HOST:PORT.
        """
        text = self.pod_network.read_text()
        for reference, name in self.renamed.items():
            found = _BEFORE + re.escape(reference) + _AFTER
            text = re.sub(found, rf"\g<1>{registry}/{name}", text)
        return text

    def write(self, directory: Path) -> None:
        """Keep it beside its images and its manifest, which are in the directory."""
        record = {
            "version": self.version,
            "packages": str(self.packages),
            "images": {name: archive.name for name, archive in self.images.items()},
            "pod_network": self.pod_network.name,
            "renamed": dict(self.renamed),
        }
        (directory / _RECORD).write_text(json.dumps(record, indent=2))

    @classmethod
    def read(cls, directory: Path) -> Release:
        """Return the one that is kept in a directory."""
        record = json.loads((directory / _RECORD).read_text())
        images = {name: directory / file for name, file in record["images"].items()}
        packages, manifest = Path(record["packages"]), directory / record["pod_network"]
        return cls(record["version"], packages, images, manifest, record["renamed"])
