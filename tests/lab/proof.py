# SPDX-License-Identifier: Apache-2.0
"""That the built Kubernetes makes clusters on the lab's machines, with nothing of ours driving it.

Not collected with the lab's other tests: the first run compiles Kubernetes, for ten minutes.
    tox -e lab -- test tests/lab/proof.py
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from tests.lab import kubeadm, manifests
from tests.testbed.kubernetes import archives, release
from tests.testbed.machines import MachineLab
from tests.testbed.machines.host import wait_for

MASTER, WORKER = "own-master", "own-worker"
ADDRESSES = {MASTER: "198.51.100.251", WORKER: "198.51.100.252"}

ECHO = manifests.echo(release.ECHO_IMAGE)
APP = [
    manifests.workload(
        "DaemonSet", "echo", {"tolerations": [{"operator": "Exists"}], "containers": [ECHO]}
    ),
    manifests.document(
        "v1",
        "Service",
        "echo",
        selector={"app": "echo"},
        ports=[{"port": 80, "targetPort": manifests.ECHO_PORT}],
    ),
    manifests.workload(
        "Deployment",
        "mover",
        manifests.with_scratch(
            ECHO, tolerations=[{"key": "node-role.kubernetes.io/master", "operator": "Exists"}]
        ),
    ),
]


@dataclass(frozen=True)
class Cluster:
    """A master and a worker, with the application of APP on them."""

    lab: MachineLab
    runtime: str

    def sh(self, machine: str, script: str) -> str:
        """Run a script as root and return what it printed."""
        return self.lab.sh(machine, script)

    def kubectl(self, words: str) -> str:
        """Run kubectl on the master with the administrator's credentials."""
        return self.sh(MASTER, f"{kubeadm.KUBECTL} {words}")

    def prepare(self, machine: str) -> None:
        """Make a machine that kubeadm can turn into a node."""
        self.lab.create(machine, ADDRESSES[machine], "debian-12-k8s")
        up = ["systemctl", "is-active", "-q", "ssh"]
        wait_for(lambda: self.lab.run(machine, up, check=False).returncode == 0, "boot", 30)
        kubeadm.prepare(self.lab, machine, self.runtime)

    def join(self) -> None:
        """Join the worker, and wait until it is ready with the application's pod."""
        self.sh(WORKER, self.sh(MASTER, "kubeadm token create --print-join-command"))
        self.kubectl("wait --for=condition=Ready --timeout=120s node --all")
        self.kubectl("rollout status --timeout=120s daemonset/echo")
        self.kubectl("rollout status --timeout=120s --namespace kube-system deployment/coredns")

    def echo_pods(self) -> dict[str, tuple[str, str]]:
        """Name and address of the DaemonSet's pod on each node."""
        fields = "{.spec.nodeName} {.metadata.name} {.status.podIP}"
        path = "{range .items[*]}" + fields + '{"\\n"}{end}'
        lines = self.kubectl(f"get pods -l app=echo -o jsonpath={shlex.quote(path)}").splitlines()
        return {node: (pod, address) for node, pod, address in map(str.split, lines)}

    def ask(self, pod: str, url: str) -> str:
        """Let a pod fetch from an echo server; the name of the pod that answered is returned."""
        return self.kubectl(f"exec {pod} -- /echo get {url}").split()[0]


@pytest.fixture(scope="module", params=["docker", "containerd"])
def cluster(request, lab) -> Iterator[Cluster]:
    """A cluster on each of the container runtimes."""
    kubeadm.serve(lab)
    made = Cluster(lab, request.param)
    try:
        with ThreadPoolExecutor() as pool:
            list(pool.map(made.prepare, ADDRESSES))
        kubeadm.init(lab, MASTER)
        for manifest in APP:
            kubeadm.apply(lab, MASTER, manifest)
        made.join()
        yield made
    finally:
        for machine in ADDRESSES:
            lab.delete(machine)


def test_kubeadm_wants_the_images_that_are_built(cluster):
    listed = cluster.sh(MASTER, f"kubeadm config images list --config {kubeadm.CONFIG}")
    assert set(listed.splitlines()) < set(archives.references())


def test_the_nodes_run_the_runtime_that_they_were_given(cluster):
    path = "{.items[*].status.nodeInfo.containerRuntimeVersion}"
    versions = cluster.kubectl(f"get nodes -o jsonpath={shlex.quote(path)}").split()
    assert [version.split(":")[0] for version in versions] == [cluster.runtime] * 2


def test_pods_reach_each_other_across_nodes(cluster):
    pods = cluster.echo_pods()
    assert set(pods) == set(ADDRESSES)
    for pod, _ in pods.values():
        for other, address in pods.values():
            assert cluster.ask(pod, f"http://{address}:8080/") == other


def test_a_service_is_reached_by_its_name_and_spreads_over_all_pods(cluster):
    pods = {pod for pod, _ in cluster.echo_pods().values()}
    for pod in pods:
        wait_for(
            lambda pod=pod: {cluster.ask(pod, "http://echo/") for _ in range(10)} == pods,
            f"answers of all pods to {pod}",
            60,
        )


def test_a_drained_node_leaves_and_joins_again(cluster):
    cluster.kubectl(f"drain {WORKER} --ignore-daemonsets --delete-emptydir-data --timeout=60s")
    cluster.kubectl("rollout status --timeout=60s deployment/mover")
    path = "{.items[*].spec.nodeName}"
    moved_to = cluster.kubectl(f"get pods -l app=mover -o jsonpath={shlex.quote(path)}")
    assert MASTER in moved_to.split()
    cluster.kubectl(f"delete node {WORKER}")
    # The node gets another range of pods, and kubeadm leaves the network's traces to others.
    cluster.sh(WORKER, "kubeadm reset -f; rm /etc/cni/net.d/*; ip link delete cni0")
    cluster.join()
    test_pods_reach_each_other_across_nodes(cluster)
