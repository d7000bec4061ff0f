# SPDX-License-Identifier: Apache-2.0
"""Docker: what requests may ask of it."""

from __future__ import annotations

from collections.abc import Iterator

from tacker_cir import kubernetes_versions
from tacker_cir.runtimes.base import Mirror, Runtime

HUB = "docker.io"


class Docker(Runtime):
    """Docker, to which the kubelet itself speaks (dockershim)."""

    name, title = "docker", "Docker"
    socket = "/var/run/dockershim.sock"
    last_minor = kubernetes_versions.FIRST_WITHOUT_DOCKER - 1

    def mirror_faults(self, mirror: Mirror) -> Iterator[tuple[str, str]]:
        """Yield what Docker has nothing for (its guide "mirror")."""
        if mirror.of != HUB:
            yield (
                "mirror_of",
                f"Docker has mirrors of {HUB} only; got {mirror.of!r}. Expected "
                "container_runtime containerd for other mirrors",
            )
        if not mirror.fallback:
            yield (
                "mirror_fallback",
                f"Docker always falls back to {HUB}; expected container_runtime containerd",
            )
        if mirror.has_login:
            yield (
                "mirror_of",
                "Docker does not log in to mirrors; expected a mirror without username, or "
                "container_runtime containerd",
            )
