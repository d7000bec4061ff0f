# SPDX-License-Identifier: Apache-2.0
"""The container runtimes that a node of a cluster can have, as they are known to whoever asks.

Nothing here touches a machine: requests are judged by it. What is done with a runtime on a machine
is in :mod:`tacker_cir.host.runtimes`, one file each as here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tacker_cir.runtimes.base import Runtime
from tacker_cir.runtimes.containerd import Containerd, ContainerdState
from tacker_cir.runtimes.docker import Docker, DockerState

__all__ = ["RUNTIMES", "RuntimeStates", "named", "serving", "usual"]

#: By name; of those that suit a version of Kubernetes, the first is the usual one.
RUNTIMES: Mapping[str, Runtime] = {r.name: r for r in (Docker(), Containerd())}


@dataclass
class RuntimeStates(DockerState, ContainerdState):
    """What a machine tells of its container runtimes."""


def usual(minor: int) -> str:
    """Return the name of the runtime that a cluster has where none is asked for.

    :param minor: of Kubernetes 1.NN
    """
    return serving(minor)[0]


def serving(minor: int) -> list[str]:
    """Return the names of the runtimes that the kubelet of a version speaks to."""
    return [runtime.name for runtime in RUNTIMES.values() if runtime.serves(minor)]


def named(names: list[str], quote: str = "") -> str:
    """Return names in words, e.g. ``docker or containerd``."""
    return " or ".join(f"{quote}{name}{quote}" for name in names)
