# SPDX-License-Identifier: Apache-2.0
"""What apt and dpkg say where another program holds their locks, and where it is something else."""

from __future__ import annotations

import re
import subprocess

import pytest

from tacker_cir.exceptions import CommandFailed, HostError
from tacker_cir.host import apt
from tests.machine import machine
from tests.unit.cluster.test_install import TEXT

# By release, from the programs' own texts (dpkg's lib/dpkg/file.c, apt's fileutl.cc and
# debsystem.cc, debconf's Debconf/DbDriver/File.pm).
FRONTEND, LISTS = "/var/lib/dpkg/lock-frontend", "/var/lib/apt/lists/lock"
LOCKED = {
    "dpkg 1.18": "dpkg: error: dpkg status database is locked by another process",
    "dpkg 1.19.2": "dpkg: error: dpkg frontend is locked by another process",
    "dpkg 1.19.7 (Ubuntu 20.04)": "dpkg: error: dpkg frontend lock is locked by another process",
    "dpkg 1.20 (Debian 11)": "dpkg: error: dpkg frontend lock was locked by another process with "
    "pid 1234\nNote: removing the lock file is always wrong, and can end up damaging the\n"
    "locked area and the entire system.",
    "dpkg 1.21 (Debian 12)": "dpkg: error: dpkg database lock was locked by another process with "
    "pid 1234\nNote: removing the lock file is always wrong, can damage the locked area",
    "dpkg 1.21, no pid": "dpkg: error: dpkg frontend lock was locked by another process",
    "dpkg that names it": "dpkg: error: dpkg frontend lock was locked by apt process with pid 1234",
    "apt 1.6": f"E: Could not get lock {LISTS} - open (11: Resource temporarily unavailable)\n"
    "E: Unable to lock the administration directory (/var/lib/dpkg/), is another process using it?",
    "apt 2.0 (Ubuntu 20.04)": f"E: Could not get lock {FRONTEND}. It is held by process 967 (apt)\n"
    f"E: Unable to acquire the dpkg frontend lock ({FRONTEND}), is another process using it?",
    "apt 2.6, lists": f"E: Could not get lock {LISTS}. It is held by process 967 (apt)\nN: Be "
    "aware that removing the lock file is not a solution and may break your system.\n"
    "E: Unable to lock directory /var/lib/apt/lists/",
    "apt 2.9": f"Error: Could not get lock {FRONTEND}. It is held by process 1 (apt)",
    "debconf": 'debconf: DbDriver "config": /var/cache/debconf/config.dat is locked by another '
    "process: Resource temporarily unavailable",
}
OTHERS = {
    "a read-only disk": f"E: Could not open lock file {FRONTEND} - open (30: Read-only file system)"
    f"\nE: Unable to acquire the dpkg frontend lock ({FRONTEND}), are you root?",
    "lists of a read-only disk": f"E: Could not open lock file {LISTS} - open (30: Read-only file "
    "system)\nE: Unable to lock directory /var/lib/apt/lists/",
    "a package's name": "dpkg: error processing package libblockdev2 (--configure):\n installed "
    "libblockdev2 package post-installation script subprocess returned error exit status 1",
    "held packages": "E: Unable to correct problems, you have held broken packages.",
    "nothing": "",
}


def asked(text: str) -> bool:
    """What the install script makes of it."""
    return subprocess.run(["grep", "-Eiq", apt.LOCKED], input=text, text=True).returncode == 0


@pytest.mark.parametrize("text", LOCKED.values(), ids=LOCKED)
def test_a_lock_is_known_by_its_words(text):
    assert apt._LOCKED.search(text) and asked(text)


@pytest.mark.parametrize("text", OTHERS.values(), ids=OTHERS)
def test_nothing_else_is_taken_for_a_lock(text):
    assert not apt._LOCKED.search(text) and not asked(text)


def test_the_script_looks_for_the_same_words():
    assert re.search(r"readonly LOCKED='(.*)'", TEXT)[1] == apt.LOCKED


def configure(tmp_path, said: str) -> int:
    """Run the step that completes earlier installations, where dpkg says something and fails."""
    (tmp_path / "said").write_text(said + "\n")
    dpkg = tmp_path / "dpkg"
    dpkg.write_text(f"#!/bin/sh\ncat {tmp_path}/said >&2; exit 1\n")
    dpkg.chmod(0o755)
    command = ["sh", "-c", apt._CONFIGURE, "sh", apt.LOCKED]
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert said in done.stderr
    return done.returncode


def test_what_dpkg_could_not_configure_is_left_to_apt_but_for_a_lock(tmp_path):
    assert all(configure(tmp_path, text) == 1 for text in LOCKED.values())
    assert all(configure(tmp_path, text) == 0 for text in OTHERS.values())


class Failing:
    """Stands in for a connection whose commands fail at first, with these texts."""

    node = "CP1 (198.51.100.10)"

    def __init__(self, *texts: str):
        self.texts, self.steps = list(texts), []

    def run(self, command, *, timeout, remedy):
        self.steps.append(command.step)
        if self.texts:
            text = self.texts.pop(0)
            raise CommandFailed(
                self.node, command.step, text, remedy, exit_status=100, stderr=f"W: old\n{text}\n"
            )


@pytest.mark.parametrize("text", LOCKED.values(), ids=LOCKED)
def test_a_lock_is_waited_for(text):
    stand_in = Failing(text)
    apt.Apt().install(machine(stand_in, first_boot_timeout=30), "haproxy")
    assert len(stand_in.steps) == 5 and stand_in.steps[-1] == "install haproxy"


def test_a_lock_that_stays_is_told_in_its_own_words():
    with pytest.raises(HostError, match="held apt's lock for 0 seconds: dpkg: error: .* is locked"):
        stand_in = Failing(*[LOCKED["dpkg 1.19.7 (Ubuntu 20.04)"]] * 9)
        apt.Apt().install(machine(stand_in, first_boot_timeout=0), "haproxy")


@pytest.mark.parametrize("text", OTHERS.values(), ids=OTHERS)
def test_another_failure_is_told_at_once(text):
    stand_in = Failing(text)
    with pytest.raises(CommandFailed):
        apt.Apt().install(machine(stand_in, first_boot_timeout=30), "haproxy")
    assert len(stand_in.steps) == 1
