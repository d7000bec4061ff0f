# SPDX-License-Identifier: Apache-2.0
"""Which nodes are taken out of a cluster, and in which order.

The API server and etcd are played by a recorder: what they really do is shown in the lab.
"""

from __future__ import annotations

import pytest

from tacker_cir import waiting
from tacker_cir.cluster import credentials, members
from tacker_cir.cluster.drain import drain
from tacker_cir.cluster.etcd import Etcd, Member, QuorumLoss
from tacker_cir.cluster.kubectl import Kubectl, KubeNode
from tacker_cir.cluster.topology import ClusterNode, node_name
from tacker_cir.command import Secret
from tacker_cir.exceptions import ClusterError, CommandFailed
from tacker_cir.inventory import Node
from tacker_cir.login import Credentials

LOGIN = Credentials("ubuntu", Secret("ubuntu"))


def node(role, address):
    machine = Node("CP", address, address, f"server-{address}")
    return ClusterNode(role, node_name(role, address), machine, LOGIN)


M1, M2, M3 = (node("master", f"198.51.100.{n}") for n in (1, 10, 100))
W1, W2 = (node("worker", f"198.51.100.{n}") for n in (20, 200))


class Recorder:
    """A cluster of three masters that notes what is done to it."""

    host, timeout = "master", 1

    def within(self, seconds):
        return self

    def __init__(self, monkeypatch, dead=()):
        self.done: list[str] = []
        alive = [m for m in (M1, M2, M3) if m not in dead]
        all_members = [
            Member(n, m.name, (m.address,), (f"https://{m.address}:2379",))
            for n, m in enumerate((M1, M2, M3))
        ]

        class Etcd:
            def __init__(etcd, kubectl, lead):
                pass

            def members(etcd):
                return all_members

            def healthy(etcd, found):
                return {m.id for m in found if m.name in {a.name for a in alive}}

            def remove(etcd, member):
                self.done.append(f"etcd {member.name}")

        monkeypatch.setattr(members, "Etcd", Etcd)
        monkeypatch.setattr(
            members, "drain", lambda kubectl, name, timeout: self.done.append(f"drain {name}")
        )

    def delete_node(self, name):
        self.done.append(f"delete {name}")


def test_workers_are_drained_then_deleted(monkeypatch):
    cluster = Recorder(monkeypatch)
    members.remove(cluster, M1.name, [W1, W2], drain_timeout=1)
    assert cluster.done == [
        f"drain {W1.name}", f"drain {W2.name}", f"delete {W1.name}", f"delete {W2.name}",
    ]  # fmt: skip


def test_a_master_leaves_etcd_before_the_cluster(monkeypatch):
    cluster = Recorder(monkeypatch)
    members.remove(cluster, M2.name, [M1], drain_timeout=1)
    assert cluster.done == [f"drain {M1.name}", f"etcd {M1.name}", f"delete {M1.name}"]


def test_nothing_is_touched_where_the_majority_would_be_lost(monkeypatch):
    cluster = Recorder(monkeypatch, dead=(M2, M3))
    with pytest.raises(QuorumLoss):
        members.remove(cluster, M1.name, [W1, M2], drain_timeout=1)
    assert cluster.done == []


def test_what_is_left_of_a_replaced_machine_goes_without_a_drain(monkeypatch):
    cluster = Recorder(monkeypatch, dead=(M3,))
    members.remove_dead(cluster, M1.name, M3)
    members.remove_dead(cluster, M1.name, W1)
    assert cluster.done == [f"etcd {M3.name}", f"delete {M3.name}", f"delete {W1.name}"]


def test_only_our_own_silent_nodes_vanish(monkeypatch):
    cluster = Recorder(monkeypatch)
    known = [
        KubeNode(W1.name, False, "", False, W1.address, False),
        KubeNode(W2.name, False, "", False, W2.address, False),
        KubeNode("worker-198-51-100-7", True, "", False, "198.51.100.7", False),
        KubeNode("worker-of-somebody", False, "", False, "198.51.100.8", False),
    ]
    members.remove_vanished(cluster, M1.name, known, [W1.name])
    assert cluster.done == [f"delete {W2.name}"]


def test_a_vanished_master_that_etcd_needs_stays(monkeypatch, caplog):
    cluster = Recorder(monkeypatch, dead=(M2, M3))
    known = [KubeNode(M3.name, False, "", False, M3.address, True)]
    members.remove_vanished(cluster, M1.name, known, [M1.name, M2.name])
    assert cluster.done == []
    assert f"node {M3.name} is left in the cluster" in caplog.text


def test_some_master_must_stay():
    members.require_other_master([M1, M2, M3], [M1, M2, W1])
    members.require_other_master([M1], [W1])
    with pytest.raises(ClusterError, match="the only master .*heal the entire VNF"):
        members.require_other_master([M1], [M1, W1])
    with pytest.raises(ClusterError, match="all 3 masters"):
        members.require_other_master([M1, M2, M3], [M3, M2, M1])


class Silent:
    """A connection to a master whose API has no etcd: each question fails after some time."""

    node, command_timeout = "master", 120

    def __init__(self, clock):
        self.clock, self.steps = clock, []

    def run(self, command, *, timeout, remedy, **_options):
        self.steps.append(command.step)
        # Either at once, or a request that hangs until kubectl or timeout(1) ends it.
        self.clock.now += min(timeout, 0.1 if len(self.steps) % 2 else 20)
        raise CommandFailed(
            self.node, command.step, "EOF", remedy, exit_status=1,
            stderr="Unable to connect to the server: EOF",
        )  # fmt: skip


class Clock:
    """Time that only waits and questions take."""

    now = 1000.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def test_a_heal_without_a_majority_is_refused_within_a_minute(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(waiting.time, "monotonic", clock.monotonic)
    monkeypatch.setattr("tenacity.nap.time.sleep", clock.sleep)
    connection = Silent(clock)
    kubectl = Kubectl(connection, timeout=180)
    begin = clock.now
    with pytest.raises(CommandFailed, match="list the members of etcd") as caught:
        members.remove(kubectl, M1.name, [M2], drain_timeout=300)
    assert "heal the entire VNF" in str(caught.value)
    # With the 30 s for which a master is waited for, it is less than a minute.
    assert 10 < clock.now - begin < 30
    assert set(connection.steps) == {"list the members of etcd"}


def test_waits_for_the_api_do_not_add_up(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(waiting.time, "monotonic", clock.monotonic)
    monkeypatch.setattr("tenacity.nap.time.sleep", clock.sleep)
    kubectl = Kubectl(Silent(clock), timeout=180)
    steps = {
        "etcd is healthy": lambda: Etcd(kubectl, M1.name).wait_healthy(3, 60),
        "nodes are ready": lambda: kubectl.wait_ready([M1.name], 60),
        "an account": lambda: credentials.admin_token(kubectl, 60),
        "a drain": lambda: drain(kubectl, W1.name, timeout=60),
        "a dead node": lambda: members.remove_dead(kubectl, M1.name, M3),
    }
    for name, step in steps.items():
        begin, limit = clock.now, 180 if name == "a dead node" else 60
        with pytest.raises(CommandFailed):
            step()
        assert clock.now - begin < limit + 25, name
