# SPDX-License-Identifier: Apache-2.0
"""When a machine's timer for unused data is stopped and started, and which dates it may have."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from tacker_cir.exceptions import HostError
from tacker_cir.params.registry_upkeep import Collection
from tacker_cir.registry import collection
from tacker_cir.registry.collection import PATHS, SCRIPT, TIMER, ensure_collection, pause
from tacker_cir.registry.container import ContainerSpec
from tests.machine import machine
from tests.unit.answering import Answering

STOP, START = "stop the collection of unused data", "start the timer of the collection"
SPEC = ContainerSpec("registry:2", "sha256:0", 5000, "/srv/registry")
WANTED = Collection("Sun 03:00", 90)


def test_an_operation_has_precedence(caplog):
    caplog.set_level("INFO")
    connection = Answering()
    pause(connection)
    assert connection.taken() == [STOP] and caplog.text == ""
    pause(Answering({STOP: "stopped\n"}))
    assert "a collection of unused data was stopped" in caplog.text
    with pytest.raises(HostError, match="journalctl -u tacker-cir-registry-collection"):
        pause(Answering({STOP: 1}))


def test_files_are_written_once_and_the_timer_started_each_time():
    connection = Answering()
    host = machine(connection)
    assert ensure_collection(host, WANTED, SPEC)
    assert connection.taken() == [f"write {SCRIPT} and 2 other files", START]
    assert not ensure_collection(host, WANTED, SPEC)
    assert connection.taken() == [START]
    # The container's settings are those of the one that serves meanwhile.
    other = ContainerSpec("registry:2", "sha256:0", 5000, "/srv/registry", environment={"A": "b"})
    assert ensure_collection(host, WANTED, other)
    assert connection.taken() == [f"write {SCRIPT}", START]
    assert ensure_collection(host, Collection("daily", 90), other)
    assert connection.taken() == [f"write {TIMER}", START]


def test_a_schedule_that_systemd_refuses_is_told():
    refusal = Answering({f"write {PATHS[0]}": 65})
    with pytest.raises(HostError, match="garbage_collection.schedule") as caught:
        ensure_collection(machine(refusal), WANTED, SPEC)
    assert caught.value.step.startswith("write ")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd on this machine")
@pytest.mark.parametrize(
    ("schedule", "is_right"),
    [
        ("Sun *-*-* 03:00:00", True),
        ("Mon..Fri 22:30 Europe/Berlin", True),
        ("daily", True),
        ("*-*~01 04:00", True),
        ("Sonntag 03:00", False),
        ("25:00", False),
        ("03:00 Mars/Olympus", False),
    ],
)
def test_which_dates_systemd_understands(schedule, is_right, tmp_path):
    file = tmp_path / "it's a.timer"
    file.write_text(collection.render.timer(schedule))
    done = subprocess.run([*collection.JUDGE, file], capture_output=True, text=True)
    assert (done.returncode == 0) is is_right, done.stderr
