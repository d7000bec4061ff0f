# SPDX-License-Identifier: Apache-2.0
"""What a container runtime has to bring: whatever it is, nobody else has to know it."""

from __future__ import annotations

import json

import pytest

from tacker_cir import runtimes as known
from tacker_cir.command import Command
from tacker_cir.exceptions import HostError
from tacker_cir.facts import Facts
from tacker_cir.host import runtimes
from tacker_cir.host.files import ManagedFile, kept
from tacker_cir.host.runtimes import RUNTIMES
from tacker_cir.host.runtimes.base import NodeRuntime, Shared
from tacker_cir.params.registry_connection import RegistryConnection
from tacker_cir.registry import node_files
from tacker_cir.registry.access import ensure_access
from tacker_cir.registry.node_files import HOSTS, STATE
from tacker_cir.registry.verify import _pull
from tacker_cir.render.kubeadm import KubeadmNode
from tacker_cir.runtimes.base import Runtime
from tests.machine import machine
from tests.unit.answering import Answering

PLAIN = RegistryConnection("192.0.2.2:5000", https=False)
LIST, CONFIG = "/etc/third/registries/192.0.2.2:5000", "/etc/third/config"


def test_what_requests_can_have_is_what_nodes_can_have():
    assert list(RUNTIMES) == list(known.RUNTIMES)
    for name, runtime in RUNTIMES.items():
        assert type(runtime.kind) is type(known.RUNTIMES[name])


class Third(NodeRuntime):
    """A runtime that has registries as whole files, and names them in a file of others."""

    class Kind(Runtime):
        name, title, socket = "third", "The Third", "/run/third/third.sock"

    kind = Kind()
    trees = ("/etc/third/registries",)
    entries = ("third_names",)
    judged = (CONFIG,)

    def is_installed(self, facts):
        return "third" in facts.active

    def own_cgroup_driver(self, facts):
        return None

    def ensure_serving(self, machine, sandbox_image, proxy, no_proxy):
        return bool(machine.ensure(ManagedFile("/etc/third/pause", str(sandbox_image).encode())))

    def registry_files(self, registries):
        return [ManagedFile(f"{self.trees[0]}/{r.server}", r.url.encode()) for r in registries]

    def complete(self, node, facts, before, registries):
        names = tuple(r.server for r in registries)
        text = "\n".join(names) if names or before.get("third_names") else facts.text(CONFIG)
        return Shared((kept(facts, CONFIG, text or None),), {"third_names": names})

    def take_over(self, machine, before, after, changed):
        if not changed:
            return []
        machine.connection.run(Command(("true",), f"forget {before} have {sorted(after)}"))
        return ["the third reads its registries"]

    def reread(self, machine):
        machine.connection.later(Command(("true",), "let the third read again"))

    def pull(self, image, login):
        return Command(("third", "pull", image), f"third pulls {image}"), b""


@pytest.fixture
def third(monkeypatch) -> Third:
    """The runtime of a node that had Docker before, as far as files are concerned."""
    made = Third()
    monkeypatch.setattr(runtimes, "RUNTIMES", {**RUNTIMES, made.name: made})
    monkeypatch.setattr(runtimes, "ENTRIES", (*runtimes.ENTRIES, *made.entries))
    monkeypatch.setattr(node_files, "_LISTS", (*node_files._LISTS, *made.entries))
    return made


def node() -> Facts:
    facts = Facts()
    facts.note_file(HOSTS, b"127.0.0.1 localhost\n", 0o644)
    return facts


def test_a_third_gets_its_registries_and_docker_gives_back_what_it_had(third):
    connection = Answering()
    made = machine(connection, node())
    ensure_access(made, [PLAIN], runtime=RUNTIMES["docker"])
    assert "/etc/docker/daemon.json" in made.facts.files
    connection.taken()
    told = ensure_access(made, [PLAIN], runtime=third)
    assert told[-1] == "the third reads its registries" and LIST in told
    had = {"insecure_registries": ("192.0.2.2:5000",)}
    assert f"forget {had} have ['third_names']" in connection.taken()
    assert not any(json.loads(made.facts.text("/etc/docker/daemon.json")).values())
    record = json.loads(made.facts.text(STATE))
    assert (record["files"], record["third_names"]) == ([LIST], ["192.0.2.2:5000"])
    assert ensure_access(made, [PLAIN], runtime=third) == [] and connection.taken() == []
    ensure_access(made, [], runtime=third)
    assert made.facts.files.keys() & {LIST, CONFIG, STATE} == set()


def test_what_a_third_does_not_bear_is_taken_back(third, monkeypatch):
    def refuse(machine, before, after, changed):
        raise HostError(machine.node, "look", "it does not start", "see why")

    monkeypatch.setattr(third, "take_over", refuse)
    connection = Answering()
    made = machine(connection, node())
    with pytest.raises(HostError, match=f"it does not start .{CONFIG} is as before"):
        ensure_access(made, [PLAIN], runtime=third)
    assert connection.taken()[-2:] == [f"remove {CONFIG}", "let the third read again"]


def test_a_record_of_before_there_was_a_third_is_read(third):
    before = {"files": ["/a"], "insecure_registries": [], "kubelet_logins": []}
    assert node_files.Owned.parse(json.dumps(before)) == node_files.Owned(("/a",))


def test_a_third_is_set_up_once_it_is_installed(third):
    connection = Answering()
    made = machine(connection, node())
    with pytest.raises(HostError, match="there is no third on the machine"):
        third.ensure(made)
    made.facts.active.add("third")
    assert third.ensure(made, sandbox_image="pause:3.9")
    assert not third.ensure(made, sandbox_image="pause:3.9")
    assert [third.cgroup_driver(Facts(cgroup2=v2)) for v2 in (True, False)] == [
        "systemd",
        "cgroupfs",
    ]


def test_kubeadm_and_the_proof_ask_the_runtime(third):
    registration = KubeadmNode("1.34.8", "n", "192.0.2.9", third.kind.socket).registration()
    assert registration["criSocket"] == "unix:///run/third/third.sock"
    connection = Answering()
    _pull(machine(connection), PLAIN, "192.0.2.2:5000/a:1", third)
    assert connection.taken() == ["third pulls 192.0.2.2:5000/a:1"]


def test_requests_are_judged_by_a_third_as_by_the_others(monkeypatch):
    class Old(Third.Kind):
        last_minor = 30

    monkeypatch.setattr(known, "RUNTIMES", {**known.RUNTIMES, "third": Old()})
    assert known.serving(30) == ["containerd", "third"]
    assert known.serving(31) == ["containerd"]
