# SPDX-License-Identifier: Apache-2.0
"""The container runtimes of nodes, one file each: beside those of :mod:`tacker_cir.runtimes`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

from tacker_cir.host.machine import Machine
from tacker_cir.host.runtimes.base import NodeRuntime
from tacker_cir.host.runtimes.containerd import ContainerdRuntime
from tacker_cir.host.runtimes.docker import DockerRuntime

#: By name, as in :data:`tacker_cir.runtimes.RUNTIMES`.
RUNTIMES: Mapping[str, NodeRuntime] = {r.name: r for r in (DockerRuntime(), ContainerdRuntime())}

_ALL = tuple(RUNTIMES.values())
#: What has to be known of a node, whichever it has: an earlier one may have left something.
PATHS = tuple(path for runtime in _ALL for path in runtime.paths)
CONTENTS = tuple(path for runtime in _ALL for path in runtime.contents)
TREES = tuple(path for runtime in _ALL for path in runtime.trees)
EFFECTIVE = tuple(program for runtime in _ALL for program in runtime.effective)
#: Names of what is ours in files of others.
ENTRIES = tuple(name for runtime in _ALL for name in runtime.entries)


@contextmanager
def taken_back(machine: Machine) -> Iterator[None]:
    """Put files of others back as they were where a daemon does not bear what was added."""
    with ExitStack() as stack:
        for runtime in RUNTIMES.values():
            stack.enter_context(machine.taken_back(runtime.judged, runtime.reread))
        yield
