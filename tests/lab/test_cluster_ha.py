# SPDX-License-Identifier: Apache-2.0
"""What keeps a cluster of three masters alive, on a real one: VIP, load balancer, etcd, drains.

The tests build on each other, in this order.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tacker_cir.cluster import members
from tacker_cir.cluster.drain import drain, remaining
from tacker_cir.cluster.etcd import QuorumLoss, plan_removal
from tacker_cir.cluster.kubectl import Kubectl, KubeNode
from tacker_cir.cluster.load_balancer import HAPROXY_CONFIG, wait_for_vip
from tacker_cir.cluster.topology import MASTER, ClusterNode
from tacker_cir.command import Secret
from tacker_cir.exceptions import CommandFailed, HostError
from tacker_cir.inventory import Node
from tacker_cir.login import Credentials
from tests.lab import kubeadm, manifests
from tests.lab.ha_cluster import ADDRESSES, MASTERS, VIP, WORKER, HaCluster, serves
from tests.testbed.kubernetes import release
from tests.testbed.machines.host import wait_for

FIRST, SECOND, THIRD = MASTERS
ON_WORKER = {
    "weight": 100,
    "preference": {
        "matchExpressions": [
            {"key": "kubernetes.io/hostname", "operator": "In", "values": [WORKER]}
        ]
    },
}
#: Two pods of a node that will go: one that a disruption budget guards, with a volume of type
#: emptyDir, and one of a DaemonSet.
WORKLOAD = [
    manifests.workload(
        "Deployment",
        "mover",
        manifests.with_scratch(
            manifests.echo(release.ECHO_IMAGE),
            terminationGracePeriodSeconds=2,
            tolerations=[{"key": "node-role.kubernetes.io/master", "operator": "Exists"}],
            affinity={
                "nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [ON_WORKER]}
            },
        ),
    ),
    manifests.workload("DaemonSet", "agent", {"containers": [manifests.echo(release.ECHO_IMAGE)]}),
]
BUDGET = manifests.document(
    "policy/v1beta1",
    "PodDisruptionBudget",
    "mover",
    minAvailable=1,
    selector={"matchLabels": {"app": "mover"}},
)
# Of no controller: nothing would start it again.
BARE = manifests.document(
    "v1",
    "Pod",
    "bare",
    terminationGracePeriodSeconds=2,
    nodeName=WORKER,
    containers=[manifests.echo(release.ECHO_IMAGE)],
)
LOG = logging.getLogger(__name__)

#: Of a cluster that takes minutes to make, beside those of test_cluster_vnf.py.
of_a_cluster = pytest.mark.thorough


@pytest.fixture(scope="module")
def balanced(lab, tmp_path_factory) -> Iterator[HaCluster]:
    """Three masters with a load balancer and no Kubernetes yet."""
    kubeadm.serve(lab)
    made = HaCluster(lab, "containerd", tmp_path_factory.mktemp("pins"))
    try:
        with ThreadPoolExecutor() as pool:
            list(pool.map(made.create, ADDRESSES))
            assert list(pool.map(made.balance, MASTERS)) == [True] * 3
        yield made
    finally:
        made.down()


@pytest.fixture(scope="module")
def cluster(balanced) -> HaCluster:
    """The whole cluster."""
    with ThreadPoolExecutor() as pool:
        list(pool.map(balanced.prepare, ADDRESSES))
    balanced.init(FIRST)
    for machine in (SECOND, THIRD, WORKER):
        balanced.join(machine, FIRST)
    balanced.kubectl(FIRST).wait_ready(list(ADDRESSES), 120)
    return balanced


def test_one_master_gets_the_vip_and_a_second_run_changes_nothing(balanced):
    connections = [balanced.connect(name) for name in MASTERS]
    started = time.monotonic()
    wait_for_vip(connections, VIP, 30)
    LOG.warning("VIP after %.1f s", time.monotonic() - started)
    assert len(balanced.vip_holders()) == 1
    pids = [balanced.sh(name, "pidof haproxy keepalived") for name in MASTERS]
    with ThreadPoolExecutor() as pool:
        assert list(pool.map(balanced.balance, MASTERS)) == [False] * 3
    assert [balanced.sh(name, "pidof haproxy keepalived") for name in MASTERS] == pids


def test_the_vip_leaves_a_master_whose_haproxy_is_gone_and_stays_where_it_is(balanced):
    (holder,) = balanced.vip_holders()
    balanced.sh(holder, "systemctl stop haproxy")
    started = time.monotonic()
    (new,) = wait_for(
        lambda: (found := balanced.vip_holders()) and found != [holder] and found, "a move", 30
    )
    LOG.warning("VIP moved in %.1f s", time.monotonic() - started)
    assert balanced.balance(holder)
    wait_for(
        lambda: "Entering BACKUP" in balanced.sh(holder, "journalctl -u keepalived -n 3"),
        "its return as a backup", 30,
    )  # fmt: skip
    assert balanced.vip_holders() == [new]


def test_a_retry_completes_a_reload_that_was_cut_off(balanced):
    mark = "/run/tacker-cir-haproxy-reload"
    before = balanced.sh(SECOND, "pidof haproxy")
    balanced.sh(SECOND, f"touch {mark}")
    assert balanced.balance(SECOND)
    wait_for(lambda: balanced.sh(SECOND, "pidof haproxy") != before, "new workers", 10)
    assert balanced.sh(SECOND, f"ls {mark} || true") == ""
    assert not balanced.balance(SECOND)


def test_a_file_that_haproxy_refuses_changes_nothing(balanced):
    before = balanced.sh(THIRD, f"cat {HAPROXY_CONFIG}")
    with pytest.raises(CommandFailed, match="distinct names.*haproxy.cfg is not written"):
        balanced.balance(THIRD, [*MASTERS, FIRST])
    assert balanced.sh(THIRD, f"cat {HAPROXY_CONFIG}") == before
    assert not balanced.balance(THIRD)


@of_a_cluster
def test_the_api_is_at_every_masters_port_and_at_the_vip(cluster):
    for address in (VIP, *MASTERS.values()):
        wait_for(lambda address=address: serves(address), f"the API at {address}", 20)
    nodes = cluster.kubectl(SECOND).nodes()
    assert [(n.name, n.internal_ip, n.control_plane) for n in nodes] == sorted(
        (name, address, name in MASTERS) for name, address in ADDRESSES.items()
    )


@of_a_cluster
def test_masters_that_do_not_hear_each_other_are_found(cluster):
    connections = [cluster.connect(name) for name in MASTERS]
    drop = "iptables -w {} INPUT --protocol vrrp --jump DROP"
    for name in MASTERS:
        cluster.sh(name, drop.format("--insert"))
    wait_for(lambda: len(cluster.vip_holders()) == 3, "three holders", 30)
    with pytest.raises(HostError, match=f"it is at {FIRST} and .* IP protocol 112"):
        wait_for_vip(connections, VIP, 3)
    for name in MASTERS:
        cluster.sh(name, drop.format("--delete"))
    wait_for_vip(connections, VIP, 30)


@of_a_cluster
def test_changed_masters_break_no_connection(cluster):
    (holder,) = cluster.vip_holders()
    last = [name for name in MASTERS if name != holder]

    def change() -> None:
        assert cluster.balance(holder, [holder, *last[:1]])
        assert cluster.balance(holder)

    # A connection that is open all the time, through haproxy at the VIP.
    watch = "kubectl --kubeconfig /etc/kubernetes/admin.conf get configmaps --watch > /root/watch"
    other = last[0]
    cluster.sh(other, f"systemd-run --quiet --unit=watch sh -c '{watch}'")
    outage = cluster.outage(change, 5)
    LOG.warning("API away for %.2f s at two reloads", outage)
    assert outage < 5
    assert cluster.vip_holders() == [holder]
    assert cluster.sh(other, "systemctl is-active watch; systemctl stop watch") == "active"


@of_a_cluster
def test_the_api_server_of_the_vips_master_stops(cluster):
    (holder,) = cluster.vip_holders()
    manifest = "/etc/kubernetes/manifests/kube-apiserver.yaml"
    outage = cluster.outage(lambda: cluster.sh(holder, f"mv {manifest} /root/"), 30)
    LOG.warning("API away for %.2f s as one API server stopped", outage)
    assert outage < 10
    assert cluster.vip_holders() == [holder]
    cluster.sh(holder, f"mv /root/kube-apiserver.yaml {manifest}")
    url = f"https://{MASTERS[holder]}:6443/readyz"
    wait_for(
        lambda: cluster.lab.run(holder, ["curl", "-ksf", url], check=False).returncode == 0,
        "its return", 120, every=1,
    )  # fmt: skip


@pytest.fixture
def workload(cluster) -> Kubectl:
    """Kubectl of a cluster whose worker runs the workload, budget included."""
    kubectl = cluster.kubectl(FIRST)
    for manifest in WORKLOAD:
        kubectl.apply(manifest, "start the workload")
    kubectl.apply(BUDGET, "guard it")
    kubectl.apply(BARE, "start a pod of its own")
    # It may have moved away in an earlier test.
    for pod in on_node(kubectl, "mover", other_than_worker=True):
        kubectl.call(["delete", "pod", pod, "--wait=false"], "send it back")
    wait_for(
        lambda: on_node(kubectl, "mover") and on_node(kubectl, "agent") and on_node(kubectl, None),
        "the workload", 90, every=0.5,
    )  # fmt: skip
    return kubectl


def on_node(kubectl: Kubectl, app: str | None, other_than_worker: bool = False) -> list[str]:
    """Names of the running pods of an application, or of none, on the worker or elsewhere."""
    return [
        pod["metadata"]["name"]
        for pod in kubectl.objects("pods")
        if pod["metadata"].get("labels", {}).get("app") == app
        and not pod["metadata"].get("deletionTimestamp")
        and any(
            c["type"] == "Ready" and c["status"] == "True"
            for c in pod["status"].get("conditions", ())
        )
        and (pod["spec"].get("nodeName") != WORKER) is other_than_worker
    ]


def worker_of(kubectl: Kubectl) -> KubeNode:
    """The worker as the API server knows it."""
    return next(node for node in kubectl.nodes() if node.name == WORKER)


@of_a_cluster
def test_apply_tells_whether_it_changed_anything(workload):
    mover, agent = WORKLOAD
    assert not workload.apply(mover, "again")
    assert not workload.apply(agent, "again")
    assert workload.apply(mover.replace('Seconds": 2', 'Seconds": 3'), "change it")
    assert workload.get("deployment", "nothing") is None
    assert workload.get("deployment", "mover", "nowhere") is None
    token = workload.secret(
        workload.get("serviceaccount", "default")["secrets"][0]["name"], "default"
    )
    assert token["token"].reveal().count(".") == 2 and "***" in repr(token)
    assert workload.secret("nothing", "default") is None


@of_a_cluster
def test_a_drain_that_a_budget_forbids_names_it_and_leaves_the_node_as_it_was(workload):
    started = time.monotonic()
    with pytest.raises(HostError, match="default/mover-.* budget default/mover needs 1 .* has 1"):
        drain(workload, WORKER, timeout=10)
    LOG.warning("refused after %.1f s", time.monotonic() - started)
    assert not worker_of(workload).unschedulable
    assert on_node(workload, "mover")


@of_a_cluster
def test_a_drain_moves_the_workload(workload):
    workload.call(["delete", "poddisruptionbudget", "mover"], "unguard it")
    started = time.monotonic()
    drain(workload, WORKER, timeout=120)
    LOG.warning("drained in %.1f s", time.monotonic() - started)
    assert worker_of(workload).unschedulable
    selector = f"--field-selector=spec.nodeName={WORKER}"
    left = remaining(workload.objects("pods", "--all-namespaces", selector))
    # What is overdue is not waited for.
    assert all(pod["metadata"].get("deletionTimestamp") for pod in left)
    assert on_node(workload, "agent")
    wait_for(lambda: on_node(workload, "mover", other_than_worker=True), "a move", 60, every=0.5)
    started = time.monotonic()
    drain(workload, WORKER, timeout=120)
    LOG.warning("drained again in %.1f s", time.monotonic() - started)
    workload.call(["uncordon", WORKER], "use it again")


@of_a_cluster
def test_a_dead_node_does_not_hold_a_drain_up(cluster, workload):
    cluster.delete(WORKER)
    started = time.monotonic()
    drain(workload, WORKER, timeout=120, ready=False)
    LOG.warning("drained a dead node in %.1f s", time.monotonic() - started)
    assert time.monotonic() - started < 30
    for _ in range(2):
        workload.delete_node(WORKER)
        drain(workload, WORKER, timeout=1)
    wait_for(lambda: on_node(workload, "mover", other_than_worker=True), "a move", 60, every=0.5)


@of_a_cluster
def test_a_destroyed_master_leaves_etcd_and_a_new_one_takes_its_place(cluster):
    (lost,) = cluster.vip_holders()
    survivor, other = (name for name in MASTERS if name != lost)
    etcd, kubectl = cluster.etcd(survivor), cluster.kubectl(survivor)
    assert {m.name for m in etcd.wait_healthy(3, 30)} == set(MASTERS)

    outage = cluster.outage(lambda: cluster.delete(lost), 15)
    LOG.warning("API away for %.2f s as the master with the VIP was destroyed", outage)
    assert outage < 15
    members = etcd.members()
    healthy = etcd.healthy(members)
    assert {m.name for m in members if m.id in healthy} == {survivor, other}
    with pytest.raises(QuorumLoss, match=f"1 do .{survivor}"):
        plan_removal(members, healthy, [MASTERS[other]])
    (dead,) = plan_removal(members, healthy, [MASTERS[lost]])
    assert dead.name == lost

    def forget() -> None:
        etcd.remove(dead)
        etcd.remove(dead)
        kubectl.delete_node(lost)

    LOG.warning("API away for %.2f s as its member was removed", cluster.outage(forget, 5))
    assert {m.name for m in etcd.wait_healthy(2, 30)} == {survivor, other}

    cluster.create(lost)
    cluster.balance(lost)
    cluster.prepare(lost)
    outage = cluster.outage(lambda: cluster.join(lost, survivor), 5)
    LOG.warning("API away for %.2f s as the new master joined", outage)
    assert {m.name for m in etcd.wait_healthy(3, 60)} == set(MASTERS)
    kubectl.wait_ready(list(MASTERS), 120)
    assert [cluster.balance(name) for name in MASTERS] == [False] * 3
    wait_for_vip([cluster.connect(name) for name in MASTERS], VIP, 30)


@of_a_cluster
def test_a_running_master_leaves_etcd(cluster):
    (leaving,) = cluster.vip_holders()
    survivor = next(name for name in MASTERS if name != leaving)
    etcd = cluster.etcd(survivor)
    members = etcd.members()
    (member,) = plan_removal(members, etcd.healthy(members), [MASTERS[leaving]])
    outage = cluster.outage(lambda: etcd.remove(member), 15)
    LOG.warning("API away for %.2f s as a running member was removed", outage)
    assert outage < 20
    assert leaving not in {m.name for m in etcd.wait_healthy(2, 30)}
    cluster.delete(leaving)


@of_a_cluster
def test_without_a_majority_the_error_says_what_to_do(cluster):
    survivor, lost = (name for name in cluster.lab.machines() if name in MASTERS)
    cluster.delete(lost)
    with pytest.raises(HostError, match="bring back more than half of them, or heal the entire"):
        cluster.etcd(survivor, timeout=10).members()
    # A heal asks as patiently as ever, and yet is refused soon.
    start, kubectl = time.monotonic(), cluster.kubectl(survivor, timeout=180)
    address = MASTERS[lost]
    login = Credentials("ubuntu", Secret("ubuntu"))
    doomed = ClusterNode(MASTER, lost, Node("CP", address, address, None), login)
    with pytest.raises(HostError, match="bring back more than half of them, or heal the entire"):
        members.remove(kubectl, survivor, [doomed], drain_timeout=300)
    assert time.monotonic() - start < 60


@of_a_cluster
def test_a_single_master_may_have_a_vip(cluster):
    (survivor,) = (name for name in cluster.lab.machines() if name in MASTERS)
    assert cluster.balance(survivor, [survivor])
    wait_for_vip([cluster.connect(survivor)], VIP, 30)
