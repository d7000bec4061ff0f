# SPDX-License-Identifier: Apache-2.0
"""What a cluster's users would look at: pods that run, on which nodes, from which registries."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from tests.lab import manifests
from tests.lab.cluster_vnf import ClusterVnf
from tests.testbed.machines.host import wait_for

POD_SECONDS = 120
#: Seconds between two looks: each is a process of kubectl.
EVERY = 2
_FIRST_PORT = 8081


def pods(cluster: ClusterVnf, selector: str) -> list[dict[str, Any]]:
    """Return the pods that live."""
    found = cluster.get("pods", "--selector", selector)["items"]
    return [pod for pod in found if not pod["metadata"].get("deletionTimestamp")]


def is_ready(pod: dict[str, Any]) -> bool:
    conditions = pod["status"].get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def run_everywhere(cluster: ClusterVnf, images: Sequence[str]) -> None:
    """Run a pod of all images on every node, pulled anew, without imagePullSecrets.

    Pods of different nodes reach each other. All is deleted in the end, which is not waited for:
    the kubelet may take a minute for it.

    :raises AssertionError: a pod does not run; with what the kubelet says
    """
    name = f"everywhere-{uuid.uuid4().hex[:8]}"
    # Whatever the node has, it must ask the registry, with its login.
    containers = [
        manifests.echo(
            image, _FIRST_PORT + number, name=f"image-{number}", imagePullPolicy="Always"
        )
        for number, image in enumerate(images)
    ]
    pod = {
        "containers": containers,
        "tolerations": [{"operator": "Exists"}],
        "terminationGracePeriodSeconds": 1,
    }
    cluster.apply(manifests.workload("DaemonSet", name, pod))
    nodes = set(cluster.nodes())

    def running() -> list[dict[str, Any]]:
        found = [pod for pod in pods(cluster, f"app={name}") if is_ready(pod)]
        return found if {pod["spec"]["nodeName"] for pod in found} == nodes else []

    try:
        found = wait_for(running, "pods on every node", POD_SECONDS, EVERY)
    except Exception:
        events = cluster.kubectl("get", "events", "--field-selector=type=Warning")
        raise AssertionError(f"pods of {list(images)} do not run everywhere:\n{events}") from None
    first = found[0]["metadata"]["name"]
    for pod in found[1:]:
        url = f"http://{pod['status']['podIP']}:{_FIRST_PORT}/x"
        answer = cluster.kubectl("exec", first, "-c", "image-0", "--", "/echo", "get", url)
        assert answer.startswith(pod["metadata"]["name"]), answer
    cluster.kubectl("delete", "daemonset", name, "--wait=false")


def deploy(cluster: ClusterVnf, name: str, image: str, replicas: int) -> None:
    """Run replicas that something starts again elsewhere, with a volume of type emptyDir, and wait
    for them."""
    spread = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {"app": name}},
    }
    pod = manifests.with_scratch(
        manifests.echo(image), topologySpreadConstraints=[spread], terminationGracePeriodSeconds=1
    )
    cluster.apply(manifests.workload("Deployment", name, pod, replicas=replicas))
    wait_running(cluster, name, replicas)


def wait_running(cluster: ClusterVnf, name: str, replicas: int) -> set[str]:
    """Wait until all replicas run, and return the names of their nodes."""

    def running() -> list[dict[str, Any]]:
        found = pods(cluster, f"app={name}")
        return found if len(found) == replicas and all(map(is_ready, found)) else []

    found = wait_for(running, f"pods of {name}", POD_SECONDS, EVERY)
    return {pod["spec"]["nodeName"] for pod in found}
