# SPDX-License-Identifier: Apache-2.0
"""What has to be known of a container runtime before a machine is looked at, and what a machine
tells of it."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple


class Mirror(NamedTuple):
    """A mirror as a request wants it.

    :param of: the registry that it mirrors, in lower case
    :param fallback: whether that registry is asked for what the mirror does not have
    :param has_login: whether the nodes log in to the mirror
    """

    of: str
    fallback: bool
    has_login: bool


@dataclass
class Services:
    """What a machine tells of its services; the part of a runtime is made of it.

    :param active: services that run, or are about to, of those known here
    :param enabled: services that start with the machine, of those known here
    """

    active: set[str] = field(default_factory=set)
    enabled: set[str] = field(default_factory=set)

    def is_started(self, service: str) -> bool:
        """Tell whether a service runs, or is about to, and will after a reboot."""
        return service in self.active & self.enabled

    def note_started(self, service: str) -> None:
        """Note that a service was started, now and for each boot, since the machine was asked."""
        self.active.add(service)
        self.enabled.add(service)

    def note_service(self, service: str, active: str, enabled: str) -> None:
        """Note what systemctl's ``is-active`` and ``is-enabled`` say of a service."""
        if active in ("active", "activating"):
            self.active.add(service)
        if enabled == "enabled":
            self.enabled.add(service)


class Runtime:
    """A container runtime, as requests name it.

    What a machine tells of it are lines: a kind, a tab, values. The shell that prints them runs
    where the program is, as a part of :mod:`tacker_cir.facts`' script.

    :cvar name: as ``container_runtime`` of the request and the install script have it
    :cvar title: as people write it
    :cvar socket: path of its socket for the kubelet
    :cvar last_minor: NN of the last Kubernetes 1.NN whose kubelet speaks to it; None while all do
    :cvar program: name of its daemon
    :cvar state: shell that prints how it is
    :cvar settings: shell that prints its settings in effect, where they are asked for
    :cvar notes: by kind of line, what notes the values in the runtime's part of the facts
    """

    name: ClassVar[str]
    title: ClassVar[str]
    socket: ClassVar[str]
    last_minor: ClassVar[int | None] = None
    program: ClassVar[str]
    state: ClassVar[str]
    settings: ClassVar[str]
    notes: ClassVar[Mapping[str, Callable[[Any, str], None]]]

    def serves(self, minor: int) -> bool:
        """Tell whether the kubelet of Kubernetes 1.NN speaks to it."""
        return self.last_minor is None or minor <= self.last_minor

    def mirror_faults(self, mirror: Mirror) -> Iterator[tuple[str, str]]:
        """Yield the member of the registry's description that asks too much of this runtime, and
        why, for each one."""
        yield from ()


def decoded(encoded: str) -> str:
    """Return the text that a program wrote, of whatever bytes it is."""
    return base64.b64decode(encoded, validate=True).decode("utf-8", "replace")
