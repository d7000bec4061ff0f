# SPDX-License-Identifier: Apache-2.0
"""A collection of a registry's unused data that does not end by itself."""

from __future__ import annotations

from collections.abc import Callable

from tacker_cir.registry.collection import COLLECTOR, UNIT
from tests.testbed.machines.host import wait_for


def hold(run: Callable[[str], str], data: str, repository: str, digest: str) -> None:
    """Begin one: the collector waits for the link of a manifest to be written.

    :param run: runs a shell script on the registry's machine
    :param data: directory of the machine with the registry's data
    :param digest: of a manifest of the repository
    """
    directory = f"{data}/docker/registry/v2/repositories/{repository}/_manifests"
    link = f"{directory}/revisions/sha256/{digest.partition(':')[2]}/link"
    run(f"mv {link} {link}.kept && mkfifo {link} && systemctl start --no-block {UNIT}.service")
    # What the kernel calls a wait for a pipe's other end (/proc/PID/wchan, proc(5)).
    waits = (
        f"pid=$(docker inspect -f '{{{{.State.Pid}}}}' {COLLECTOR} 2>/dev/null) && "
        "cat /proc/$pid/task/*/wchan | grep -o wait_for_partner || :"
    )
    wait_for(lambda: run(waits), "the collector to open the link", 60, 0.2)
    # Whoever opened it waits on; who comes later finds the link.
    run(f"mv -f {link}.kept {link}")


def collects(run: Callable[[str], str]) -> str:
    """Return the id of the container that collects, nothing where none does."""
    return run(f"docker ps -q -f name={COLLECTOR}")
