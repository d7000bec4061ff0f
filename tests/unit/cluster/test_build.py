# SPDX-License-Identifier: Apache-2.0
"""In which order machines become a cluster, which ones, and what a failure leaves undone.

Machines, kubeadm and the API are played by one recorder: what they do is shown in the lab.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from tacker_cir.cluster import build
from tacker_cir.cluster.build import ClusterBuild
from tacker_cir.cluster.kubectl import KubeNode
from tacker_cir.cluster.preparing import MARKER, Host
from tacker_cir.cluster.topology import ClusterNode, Topology, node_name
from tacker_cir.command import Secret
from tacker_cir.exceptions import ConnectError, HostError, SeveralFailed
from tacker_cir.facts import Facts, FileFact
from tacker_cir.host.machine import Machine
from tacker_cir.inventory import Node
from tacker_cir.login import Credentials
from tacker_cir.params.k8s_cluster import ClusterParams, KubernetesPackages, NodeParams
from tests.machine import limits

LOGIN = Credentials("ubuntu", Secret("ubuntu"))
PARAMS = ClusterParams(
    NodeParams("CP1", "CP1", LOGIN), NodeParams("CP2", "CP2", LOGIN), "vip", None,
    packages=KubernetesPackages("1.30.1"),
)  # fmt: skip


def node(role, last):
    address = f"198.51.100.{last}"
    return ClusterNode(
        role, node_name(role, address), Node("CP", address, address, str(last)), LOGIN
    )


M1, M2, M3 = (node("master", n) for n in (1, 2, 3))
W1, W2 = (node("worker", n) for n in (11, 12))
HA = Topology((M1, M2, M3), (W1, W2), "198.51.100.200", "198.51.100.200")
SIMPLE = Topology((M1,), (W1, W2), None, M1.address)


class World:
    """Machines and what was done to them, in its order.

    :param joined: nodes on whose machines kubeadm has done its work
    :param known: nodes that the cluster's API tells
    :param silent: machines that do not answer
    :param broken: machines whose preparation fails
    :param version: of the cluster that is there
    """

    def __init__(self, joined=(), known=(), silent=(), broken=(), version="1.29.4"):
        self.version = version
        self.joined, self.known = {n.name for n in joined}, {n.name for n in known}
        self.silent, self.broken = {n.name for n in silent}, {n.name for n in broken}
        self.done: list[str] = []
        self.lock = threading.Lock()
        self.masters_at_work = 0

    def note(self, what):
        with self.lock:
            self.done.append(what)

    def open(self, machine, credentials, *, name, wait_timeout):
        short = name.partition(" ")[0]
        if short in self.silent:
            raise ConnectError(name, "connect", f"no answer in {wait_timeout} s", "see why")

        @contextmanager
        def connection():
            yield

        made = connection()
        made.node, made.commands = short, 0
        return made

    def read_facts(self, connection):
        facts = Facts()
        if connection.node in self.joined:
            facts.files[MARKER] = FileFact(0o600, "root", "root", "")
        return facts

    def prepare(self, host, site):
        if host.node.name in self.broken:
            raise HostError(str(host.node), "install", "no space", "make room")
        self.note(f"prepared {host.node.name} for {site.version}")
        return "init"

    def script_of(self, host, site):
        def join(text):
            master = host.node.role == "master"
            with self.lock:
                self.masters_at_work += master
                assert self.masters_at_work <= 1, "masters join one after another"
            self.note(f"joined {host.node.name}")
            with self.lock:
                self.masters_at_work -= master

        return SimpleNamespace(
            init=lambda text: self.note(f"init {host.node.name}"),
            reset=lambda: self.note(f"reset {host.node.name}"),
            network=lambda manifest: self.note("network"),
            join=join,
        )


class Api:
    """The cluster's API, on any master."""

    def __init__(self, world, connection):
        self.world, self.host, self.notes = world, connection.node, None

    def nodes(self):
        return [KubeNode(n, True, "", False, None, False) for n in self.world.known]

    def get(self, kind, name, namespace):
        return self.notes

    def apply(self, manifest, step):
        pass

    def wait_ready(self, names, timeout):
        self.world.note(f"ready {' '.join(sorted(names))}")


@pytest.fixture
def run(monkeypatch):
    """Runs one build in a world."""

    def go(world, topology):
        @contextmanager
        def join_token(connection):
            world.note("token made")
            try:
                yield Secret("abcdef.0123456789abcdef")
            finally:
                world.note("token removed")

        credentials = SimpleNamespace(
            NAMESPACE="kube-system",
            CA="/etc/kubernetes/pki/ca.crt",
            cluster_configuration=lambda kubectl: f"kubernetesVersion: v{world.version}\n",
            join_token=join_token,
            read_ca_hash=lambda connection: "sha256:0",
            upload_certificates=lambda *_args: Secret("0" * 64),
            admin_token=lambda kubectl, timeout: (Secret("token"), "ca"),
        )
        members = SimpleNamespace(
            remove_vanished=lambda kubectl, lead, known, wanted: None,
            remove_dead=lambda kubectl, lead, dead: world.note(f"forgotten {dead.name}"),
        )
        healthy = SimpleNamespace(wait_healthy=lambda n, t: world.note(f"etcd of {n}"))
        for name, value in {
            "look": lambda node, connection, site: Host(
                node, Machine(connection, world.read_facts(connection), site.limits)
            ),
            "prepare": world.prepare,
            "restore_logins": lambda host, site: None,
            "script_of": world.script_of,
            "Kubectl": lambda connection, timeout: Api(world, connection),
            "credentials": credentials,
            "members": members,
            "wait_for_vip": lambda connections, vip, timeout: world.note(f"vip {vip}"),
            "Etcd": lambda kubectl, lead: healthy,
        }.items():
            monkeypatch.setattr(build, name, value)
        monkeypatch.setattr(build, "_PATIENCE", 0.1)
        return ClusterBuild(topology, PARAMS, world, limits(ssh_wait_timeout=1)).run()

    return go


def test_a_new_cluster_begins_with_its_first_master(run):
    world = World()
    access = run(world, HA)
    assert access.url == "https://198.51.100.200:16443"
    begun = world.done.index(f"init {M1.name}")
    assert world.done[begun + 1] == "network"
    joins = [step for step in world.done if step.startswith("joined")]
    assert sorted(joins) == sorted(f"joined {n.name}" for n in (M2, M3, W1, W2))
    assert all(world.done.index(step) > begun for step in joins)
    assert all(f"prepared {n.name} for 1.30.1" in world.done for n in HA.nodes)
    names = " ".join(sorted(n.name for n in HA.nodes))
    assert world.done[-4:] == [f"ready {names}", "vip 198.51.100.200", "etcd of 3", "token removed"]
    assert world.done.count("token made") == 1


def test_nothing_is_left_to_do(run):
    world = World(joined=HA.nodes, known=HA.nodes)
    run(world, HA)
    # The network is noted in the cluster, which the recorder does not keep.
    done = sorted(step for step in world.done if step != "network")
    assert done == sorted(f"prepared {n.name} for 1.29.4" for n in HA.nodes)


def test_what_is_missing_joins_with_the_clusters_own_version(run):
    world = World(joined=(M1, W1), known=(M1, W1))
    run(world, SIMPLE)
    assert f"prepared {W2.name} for 1.29.4" in world.done
    assert [s for s in world.done if s.startswith(("joined", "init"))] == [f"joined {W2.name}"]
    assert f"ready {W2.name}" in world.done and "etcd of 1" not in world.done


@pytest.mark.parametrize(("minor", "told"), [(36, False), (37, True)])
def test_a_cluster_that_was_upgraded_beyond_what_is_known_is_told(run, caplog, minor, told):
    run(World(joined=SIMPLE.nodes, known=SIMPLE.nodes, version=f"1.{minor}.0"), SIMPLE)
    text = f"{M1}: the cluster was upgraded to Kubernetes 1.{minor}.0; this release knows 1.36"
    assert (text in caplog.text) is told


def test_any_living_master_leads(run):
    world = World(joined=(M2, M3, W1, W2), known=(M1, M2, M3, W1, W2))
    run(world, HA)
    assert not any(step.startswith("init") for step in world.done)
    at = world.done.index(f"forgotten {M1.name}")
    assert world.done.index(f"joined {M1.name}") > at


def test_a_machine_that_its_cluster_removed_is_reset_first(run):
    world = World(joined=(M1, W1, W2), known=(M1, W1))
    run(world, SIMPLE)
    assert world.done.index(f"reset {W2.name}") < world.done.index(f"joined {W2.name}")


def test_a_member_that_does_not_answer_is_left_alone(run, caplog):
    world = World(joined=HA.nodes, known=HA.nodes, silent=(M3, W2))
    run(world, HA)
    for silent in (M3, W2):
        assert f"{silent.name} (198.51.100.{silent.machine.server_id}): left alone" in caplog.text


def test_a_new_machine_that_does_not_answer_fails_alone(run):
    world = World(silent=(W2,))
    with pytest.raises(ConnectError, match=W2.name):
        run(world, SIMPLE)
    assert f"joined {W1.name}" in world.done and "token removed" in world.done


def test_no_second_cluster_is_made_beside_a_master_that_is_not_known(run):
    world = World(silent=(M2,))
    with pytest.raises(ConnectError, match=M2.name):
        run(world, HA)
    assert not any(step.startswith(("init", "joined")) for step in world.done)


def test_a_failed_first_master_is_the_only_error(run):
    world = World(broken=(M1,))
    with pytest.raises(HostError, match=f"{M1.name}.*no space"):
        run(world, HA)
    assert not any(step.startswith(("init", "joined")) for step in world.done)


def test_all_errors_are_told_and_the_rest_is_done(run):
    world = World(broken=(M3, W1))
    with pytest.raises(SeveralFailed) as caught:
        run(world, HA)
    assert {e.node.partition(" ")[0] for e in caught.value.errors} == {M3.name, W1.name}
    assert f"joined {M2.name}" in world.done and f"joined {W2.name}" in world.done
