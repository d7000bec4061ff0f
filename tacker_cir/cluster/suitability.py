# SPDX-License-Identifier: Apache-2.0
"""Whether a machine has what a version of Kubernetes cannot do without.

kubeadm or the kubelet would find out as well, minutes later and in other words.
"""

from __future__ import annotations

from tacker_cir import kubernetes_versions
from tacker_cir.exceptions import HostError
from tacker_cir.facts import Facts
from tacker_cir.host.runtimes.base import NodeRuntime


def check_suits(node: str, facts: Facts, version: str, runtime: NodeRuntime) -> None:
    """Refuse a machine on which this Kubernetes does not run.

    A container runtime that is not there yet is not judged: ask again once it is.

    :param version: of Kubernetes, ``1.NN.P``
    :param runtime: of the node
    :raises HostError: naming what the machine has
    """
    minor = kubernetes_versions.minor(version)
    if minor >= kubernetes_versions.FIRST_WITHOUT_CGROUP_V1 and not facts.cgroup2:
        first = kubernetes_versions.FIRST_WITHOUT_CGROUP_V1
        raise _unsuitable(
            node,
            version,
            f"the VM has cgroup version 1, on which no kubelet since 1.{first} starts "
            "(failCgroupV1)",
            f"use an image that boots with cgroup version 2 (kernel option "
            f"systemd.unified_cgroup_hierarchy=1), or a kubernetes_version before 1.{first}",
        )
    if shortfall := runtime.shortfall(facts, minor):
        raise _unsuitable(node, version, *shortfall)


def _unsuitable(node: str, version: str, cause: str, remedy: str) -> HostError:
    return HostError(node, f"check what Kubernetes {version} needs", cause, remedy)
