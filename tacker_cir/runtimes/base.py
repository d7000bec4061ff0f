# SPDX-License-Identifier: Apache-2.0
"""What has to be known of a container runtime before a machine is looked at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, NamedTuple


class Mirror(NamedTuple):
    """A mirror as a request wants it.

    :param of: the registry that it mirrors, in lower case
    :param fallback: whether that registry is asked for what the mirror does not have
    :param has_login: whether the nodes log in to the mirror
    """

    of: str
    fallback: bool
    has_login: bool


class Runtime:
    """A container runtime, as requests name it.

    :cvar name: as ``container_runtime`` of the request and the install script have it
    :cvar title: as people write it
    :cvar socket: path of its socket for the kubelet
    :cvar last_minor: NN of the last Kubernetes 1.NN whose kubelet speaks to it; None while all do
    """

    name: ClassVar[str]
    title: ClassVar[str]
    socket: ClassVar[str]
    last_minor: ClassVar[int | None] = None

    def serves(self, minor: int) -> bool:
        """Tell whether the kubelet of Kubernetes 1.NN speaks to it."""
        return self.last_minor is None or minor <= self.last_minor

    def mirror_faults(self, mirror: Mirror) -> Iterator[tuple[str, str]]:
        """Yield the member of the registry's description that asks too much of this runtime, and
        why, for each one."""
        yield from ()
