# SPDX-License-Identifier: Apache-2.0
"""What a site without a way to the Internet offers to a cluster, here in the lab's network.

A repository with the packages of the lab's Kubernetes, and a registry with the images of the
control plane, of the network of pods and of an application for tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.testbed.kubernetes import archives, release
from tests.testbed.kubernetes.release import Release
from tests.testbed.machines import MachineLab, mirror
from tests.testbed.machines.base import GATEWAY
from tests.testbed.machines.guests import MIRROR
from tests.testbed.machines.host import locked

REPOSITORY_NAME = "kubernetes"
#: Where the VNF package has what comes with the site.
KEYRING = "Files/keys/kubernetes.asc"
CNI_MANIFEST = "Files/cni/pod-network.yaml"
#: A network of pods that no other of the lab overlaps.
POD_CIDR = "10.244.0.0/16"


@dataclass(frozen=True)
class KubernetesSite:
    """A site.

    :param lab: the lab, which is up
    :param registry: ``host:port`` of the registry with the images; the lab's own keeps them between
        labs
    """

    lab: MachineLab
    registry: str = MIRROR

    def open(self) -> None:
        """Serve the packages, and push what the registry, of plain HTTP and open to anyone, has not
        yet."""
        self.serve_packages()
        # Labs that run at the same time share the storage of their own registries.
        with locked(self.lab.cache / "locks/kubernetes-site"):
            for name, archive in self.images.items():
                mirror.push(archive, name, self.lab.netns, self.registry)

    def serve_packages(self) -> None:
        """Serve the packages alone, where the registry has the images another way."""
        self.lab.serve(REPOSITORY_NAME, self.release.packages)

    @property
    def images(self) -> Mapping[str, Path]:
        """Archives of all images, by the names that they have in the registry."""
        echo = archives.by_reference(self._archives)[release.ECHO_IMAGE]
        return {**self.release.images, release.ECHO_IMAGE: echo}

    @property
    def release(self) -> Release:
        """The Kubernetes that it has: the one that was asked for, else the lab's own."""
        made = self.lab.prepared
        if made.fetched:
            return Release.read(made.fetched)
        assert made.kubernetes is not None
        return archives.compiled(made.kubernetes, self._archives)

    @property
    def _archives(self) -> Path:
        """Where the images are that the lab has compiled."""
        made = self.lab.prepared.images
        assert made is not None
        return made

    @property
    def echo_image(self) -> str:
        """An image for pods: ``/echo serve :8080`` and ``/echo get URL``."""
        return f"{self.registry}/{release.ECHO_IMAGE}"

    def files(self, directory: Path) -> dict[str, Path]:
        """Return the site's files for the VNF package, by path in it.

        :param directory: where those are written that the cache does not have
        """
        manifest, offered = directory / "pod-network.yaml", self.release
        manifest.write_text(offered.manifest(self.registry))
        return {KEYRING: offered.packages / release.KEY, CNI_MANIFEST: manifest}

    def parameters(self, runtime: str = "docker") -> dict[str, Any]:
        """Return the members of k8s_cluster_installation_param that make a cluster of this site.

        :param runtime: ``docker`` or ``containerd``
        """
        return {
            "kubernetes_version": self.release.version,
            "container_runtime": runtime,
            "package_repository": {
                "uri": f"http://{GATEWAY}/{REPOSITORY_NAME}",
                "keyring_path": KEYRING,
            },
            "image_repository": self.registry,
            "cni_manifest_path": CNI_MANIFEST,
            "master_node": {"pod_cidr": POD_CIDR},
            "private_registry_connection_info": [
                {"connection_type": "0", "server": self.registry},
            ],
        }
