# SPDX-License-Identifier: Apache-2.0
"""The stage of preparation: what is made in it, what is refused outside it, and interrupts."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.lab.__main__ import cannot_run
from tests.testbed.machines import apt, host
from tests.testbed.machines.host import LabError, build_once, preparation, run
from tests.testbed.machines.parts import Part, Prepared, make_all
from tests.testbed.times import Times

STAGE = "tox -e lab -- prepare"


def part(directory: Path, name: str, build=Path.touch, needs=()) -> Part:
    return Part(name, directory / name / "x", build, 1, 1, needs)


def test_nothing_is_built_outside_the_stage(tmp_path):
    missing = part(tmp_path, "tree")
    with pytest.raises(LabError, match=f"tree: not there.*{STAGE}"):
        missing.make()
    assert not missing.is_there
    with preparation():
        missing.make()
    assert missing.is_there
    missing.make()  # what is there is no matter of the stage


@pytest.mark.parametrize(
    "act",
    [
        lambda d: d.refresh(),
        lambda d: d.install(["no-such-package-of-ours"]),
        lambda d: d.fetch(d.state, ["hostname"]),
        lambda d: d.unpack(d.state, ["hostname"]),
        lambda d: d.download(["hostname"], d.state / "status", d.state / "debs"),
        lambda d: d.source_package("hostname", d.state / "source"),
        lambda d: d.with_repository(d.state / "more", "deb http://mirror.example.com /"),
        lambda d: apt.fetch_file("http://mirror.example.com/x", d.state / "x"),
    ],
)
def test_nothing_is_downloaded_outside_the_stage(tmp_path, monkeypatch, act):
    asked = []
    monkeypatch.setattr(apt, "run", lambda argv, **_: asked.append(argv))
    monkeypatch.setattr(apt, "missing", list)
    with pytest.raises(LabError, match=STAGE):
        act(apt.Distribution(tmp_path, (), True))
    assert asked == []


def test_the_stage_is_refused_inside_the_labs_network(monkeypatch):
    monkeypatch.setattr(host, "_inside_the_lab", lambda: True)
    with pytest.raises(LabError, match=STAGE), preparation():
        pytest.fail("the stage began")


def test_a_source_that_fails_is_a_failure():
    assert "--error-on=any" in apt.UPDATE


def test_parts_come_after_what_they_need_and_beside_what_they_do_not(tmp_path):
    order, both = [], threading.Barrier(2)

    def build(name, meet=False):
        def made(path):
            if meet:
                both.wait(10)  # broken unless two are made at the same time
            order.append(name)
            path.touch()

        return made

    first = part(tmp_path, "first", build("first", meet=True))
    beside = part(tmp_path, "beside", build("beside", meet=True))
    last = part(tmp_path, "last", build("last"), (first, beside))
    with preparation():
        times = make_all([last, first, beside])
    assert order[-1] == "last"
    assert set(times) == {"first", "beside", "last"}


def test_one_that_fails_ends_the_others_and_leaves_nothing_half_made(tmp_path):
    begun = threading.Event()

    def long(path):
        path.mkdir()
        begun.set()
        run(["sleep", "60"])

    def failing(_path):
        assert begun.wait(10)
        raise LabError("no such package")

    slow, broken = part(tmp_path, "slow", long), part(tmp_path, "broken", failing)
    start = time.monotonic()
    with preparation(), pytest.raises(LabError, match="no such package"):
        make_all([slow, broken])
    assert time.monotonic() - start < 30
    assert not slow.is_there and list(slow.target.parent.iterdir()) == []


def test_an_interrupt_ends_what_threads_run(tmp_path):
    """In a process of its own, as a terminal's Ctrl-C reaches it."""
    script = f"""
import signal
import sys
from pathlib import Path
from tests.testbed.machines.host import preparation, run
from tests.testbed.machines.parts import Part, make_all

def long(path):
    path.mkdir()
    print("begun", flush=True)
    run(["sleep", "60"])

# As the lab's command does: a shell's background job begins with it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
with preparation():
    make_all([Part("slow", Path({str(tmp_path)!r}) / "slow" / "x", long, 1, 1)])
"""
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "begun\n"
    child.send_signal(2)
    assert child.wait(20) != 0
    assert list((tmp_path / "slow").iterdir()) == []


def test_what_was_prepared_is_handed_on_in_a_file(tmp_path):
    paths = {name: tmp_path / name for name in ("base", "repositories", "daemons")}
    prepared = Prepared(**paths, registry_image=tmp_path / "r.tar", newer={"x": tmp_path / "x"})
    prepared.write(tmp_path / "prepared.json")
    assert Prepared.read(tmp_path / "prepared.json") == prepared


def test_all_processes_of_a_run_add_to_one_table(tmp_path):
    times = Times(tmp_path / "times")
    assert times.table() == ""
    times.add("preparation", "base tree", 31.04)
    with pytest.raises(LabError), Times.of_environment(times.environment).taken("lab up"):
        raise LabError("down")
    assert times.table().splitlines() == [
        "stage                    seconds  result",
        "preparation  base tree      31.0",
        "lab up                       0.0  FAILED",
    ]


@pytest.mark.parametrize(
    ("uid", "system", "said"),
    [
        (0, {"ID": "debian", "VERSION_ID": "12"}, None),
        (1000, {"ID": "debian", "VERSION_ID": "12"}, "needs root"),
        (0, {"ID": "debian", "VERSION_ID": "13"}, "this is debian"),
        (0, {"ID": "ubuntu", "VERSION_ID": "24.04", "PRETTY_NAME": "Ubuntu 24.04.1 LTS"},
         "runs on Debian 12.*this is Ubuntu 24.04.1 LTS.*tox -e lint,docs,unit,functional"),
        (0, {"ID": "arch"}, "this is arch"),
    ],
)  # fmt: skip
def test_who_cannot_have_a_lab_is_told_why(uid, system, said):
    reason = cannot_run(uid, system)
    assert reason is None if said is None else re.search(said, reason)


def test_an_older_sibling_goes_only_when_it_is_old(tmp_path):
    with preparation():
        old = build_once(tmp_path / "old", "old", Path.touch)
        build_once(tmp_path / "new", "new", Path.touch)
    assert old.exists()
