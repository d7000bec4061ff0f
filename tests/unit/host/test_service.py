# SPDX-License-Identifier: Apache-2.0
"""A service reaches its state: which commands it takes from where, and then none."""

from __future__ import annotations

import pytest

from tacker_cir.exceptions import CommandFailed
from tacker_cir.facts import Facts
from tacker_cir.host.files import ManagedFile
from tacker_cir.host.service import Service
from tests.machine import machine
from tests.unit.answering import Answering

RESTARTED, RELOADED = Service("docker"), Service("haproxy", reloads=True)
WRITE = {
    RESTARTED: "write /run/tacker-cir-docker-restart and 1 other file",
    RELOADED: "write /run/tacker-cir-haproxy-reload and 1 other file",
}


def reach(service: Service, connection: Answering, facts: Facts) -> bool:
    made, file = machine(connection, facts), ManagedFile("/etc/settings", b"new")
    changed = service.write(made, file, stale=service.is_stale(facts, [file]))
    return service.ensure_running(made) or bool(changed)


def facts_of(service: Service, state: str, content: bytes = b"old") -> Facts:
    facts = Facts()
    facts.note_file("/etc/settings", content, 0o644)
    facts.active |= {service.name} if "active" in state.split() else set()
    facts.enabled |= {service.name} if "enabled" in state.split() else set()
    if "pending" in state.split():
        facts.note_file(service.pending, b"", 0o644)
    return facts


@pytest.mark.parametrize(
    ("state", "steps"),
    [
        ("active enabled", ["restart docker.service"]),
        ("active", ["restart docker.service", "start docker.service"]),
        ("enabled", ["restart docker.service", "start docker.service"]),
        ("", ["restart docker.service", "start docker.service"]),
    ],
)
def test_one_that_reads_its_files_at_its_start(state, steps):
    connection, facts = Answering(), facts_of(RESTARTED, state)
    assert reach(RESTARTED, connection, facts)
    assert connection.taken() == [WRITE[RESTARTED], *steps]
    assert not reach(RESTARTED, connection, facts) and connection.taken() == []
    assert RESTARTED.pending not in facts.files


@pytest.mark.parametrize(
    ("state", "steps", "reloaded"),
    [
        ("active enabled", ["reload haproxy.service"], True),
        ("active", ["start haproxy.service", "reload haproxy.service"], True),
        # It reads its files as it is started: there is nothing to reload, but a note to forget.
        ("enabled", ["start haproxy.service", "reload haproxy.service"], False),
    ],
)
def test_one_that_takes_its_files_over_while_it_runs(state, steps, reloaded):
    connection, facts = Answering(), facts_of(RELOADED, state)
    assert reach(RELOADED, connection, facts)
    assert ("systemctl reload" in connection.asked[-1].line()) is reloaded
    assert connection.taken() == [WRITE[RELOADED], *steps]
    assert not reach(RELOADED, connection, facts) and connection.taken() == []


@pytest.mark.parametrize("service", [RESTARTED, RELOADED])
def test_what_an_operation_that_was_cut_off_left_to_do(service):
    connection, facts = Answering(), facts_of(service, "active enabled pending", b"new")
    assert reach(service, connection, facts)
    assert len(connection.taken()) == 1 and service.pending not in facts.files
    assert not reach(service, connection, facts) and connection.taken() == []


@pytest.mark.parametrize("service", [RESTARTED, RELOADED])
def test_one_that_was_not_started(service):
    connection, facts = Answering(), facts_of(service, "", b"new")
    assert reach(service, connection, facts)
    assert connection.taken() == [f"start {service.unit}"]
    assert not reach(service, connection, facts) and connection.taken() == []


def test_a_restart_that_fails_is_not_forgotten():
    connection, facts = Answering({"restart": 1}), facts_of(RESTARTED, "active enabled")
    with pytest.raises(CommandFailed, match="look at 'journalctl -u docker' of the VM"):
        reach(RESTARTED, connection, facts)
    assert RESTARTED.pending in facts.files
    connection.answers.clear()
    connection.taken()
    assert reach(RESTARTED, connection, facts)
    assert connection.taken() == ["restart docker.service"]
