# SPDX-License-Identifier: Apache-2.0
"""The machine layer itself: what the tests above it take for granted."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid

import pytest

from tacker_cir.command import Secret
from tacker_cir.exceptions import AuthenticationFailed
from tacker_cir.login import Credentials
from tacker_cir.tacker_user_data import login_user_data
from tests.lab.login import log_in
from tests.testbed.machines import LabError, MachineLab
from tests.testbed.machines.guests import Boot
from tests.testbed.machines.host import REPOSITORY, run, wait_for

ADDRESS = "198.51.100.240"
OTHER_ADDRESS = "198.51.100.241"


@pytest.fixture
def machine(lab):
    """Makes machines: ``machine(name, **options)``; they are gone after the test."""
    made = []

    def make(name, address=ADDRESS, **options):
        made.append(name)
        lab.create(name, address, **options)
        wait_for(lambda: answers(address), f"SSH of {name}", 30)

    yield make
    for name in made:
        lab.delete(name)


def answers(address: str, port: int = 22) -> bool:
    """Whether something accepts connections there."""
    try:
        socket.create_connection((address, port), timeout=1).close()
    except OSError:
        return False
    return True


def host_key(address: str) -> str:
    """The SSH host key that a machine shows."""
    return run(["ssh-keyscan", "-t", "ed25519", address]).stdout.split(maxsplit=1)[1].strip()


def test_a_machine_reboots_and_powers_off_like_one(lab, machine):
    machine("own-power")
    before = lab.state("own-power")
    assert (before["state"], before["address"]) == ("running", ADDRESS)

    lab.reboot("own-power")
    assert lab.state("own-power")["leader"] != before["leader"]
    wait_for(lambda: answers(ADDRESS), "SSH after the reboot", 30)

    lab.run("own-power", ["systemctl", "poweroff"])
    wait_for(lambda: lab.state("own-power")["state"] == "stopped", "power-off", 30)

    lab.delete("own-power")
    assert lab.state("own-power") == {"state": "absent"}
    lab.delete("own-power")  # a second time is no error


def logs_in(address: str, *options: str) -> bool:
    """Whether ssh gets in as ubuntu, and may do everything there."""
    words = ["-F", "none", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
    words += [*options, f"ubuntu@{address}", "sudo", "-n", "true"]
    return (
        subprocess.run(["ssh", *words], stdin=subprocess.DEVNULL, capture_output=True).returncode
        == 0
    )


def test_a_machine_of_novas_has_the_login_that_its_user_data_make_and_no_other(
    lab, machine, tmp_path, record_property
):
    key = tmp_path / "id_ed25519"
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key])
    login = Credentials("ubuntu", private_key=Secret(key.read_text()))
    by_key = ("-i", str(key), "-o", "IdentitiesOnly=yes", "-o", "PasswordAuthentication=no")

    begun = time.monotonic()
    machine("own-bare", boot=Boot())
    wait_for(lambda: cloud_init_is_done(lab, "own-bare"), "cloud-init", 30)
    record_property("boot with cloud-init", time.monotonic() - begun)
    with pytest.raises(AuthenticationFailed):
        log_in("own-bare", ADDRESS)  # ubuntu, ubuntu
    assert not logs_in(ADDRESS, *by_key)

    machine("own-key", OTHER_ADDRESS, boot=Boot(login_user_data(login)))
    wait_for(lambda: logs_in(OTHER_ADDRESS, *by_key), "log-in with the key", 30)
    with pytest.raises(AuthenticationFailed):
        log_in("own-key", OTHER_ADDRESS)
    lab.delete("own-bare")

    both = Credentials("ubuntu", Secret("ubuntu"))
    machine("own-password", ADDRESS, boot=Boot(login_user_data(both)))
    log_in("own-password", ADDRESS).close()


def cloud_init_is_done(lab: MachineLab, name: str) -> bool:
    state = lab.run(name, ["systemctl", "is-active", "cloud-init.service"], check=False).stdout
    return state.strip() == "active"


def test_a_machine_has_host_keys_of_its_own_or_the_given_one(machine, tmp_path):
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"])
    machine("own-fresh")
    machine("own-given", OTHER_ADDRESS, ssh_host_key=(tmp_path / "key").read_text())
    given = " ".join((tmp_path / "key.pub").read_text().split()[:2])
    assert host_key(OTHER_ADDRESS) == given
    assert host_key(ADDRESS) not in ("", given)


def test_a_name_or_an_address_in_use_is_refused_and_its_machine_lives_on(lab, machine):
    machine("own-first")
    with pytest.raises(LabError, match="exists already"):
        lab.create("own-first", OTHER_ADDRESS)
    with pytest.raises(LabError, match="that of machine own-first"):
        lab.create("own-second", ADDRESS)
    assert lab.state("own-second") == {"state": "absent"}
    assert answers(ADDRESS)


def test_a_stand_in_says_what_it_stands_for(lab, machine):
    machine("own-focal", image="ubuntu-20.04")
    said = lab.run("own-focal", ["sh", "-c", ". /etc/os-release; echo $ID $VERSION_CODENAME"])
    assert said.stdout == "ubuntu focal\n"


def test_a_late_machine_is_busy_with_itself_after_boot(lab):
    try:
        start = time.monotonic()
        lab.create("own-late", ADDRESS, "debian-12-late")
        update = ["apt-get", "-q", "update"]
        wait_for(
            lambda: "lists/lock" in lab.run("own-late", update, check=False).stderr, "lock", 30
        )
        wait_for(lambda: answers(ADDRESS), "SSH", 60)
        assert time.monotonic() - start > 8  # the unit's own delay
        wait_for(lambda: lab.run("own-late", update, check=False).returncode == 0, "update", 60)
    finally:
        lab.delete("own-late")


def test_the_network_leads_nowhere_but_to_the_lab(lab, machine):
    machine("own-alone")
    get = ["curl", "-sS", "--max-time", "20", "-o", "/dev/null", "-w", "%{http_code}"]
    outside = lab.run("own-alone", [*get, "http://198.18.0.1/"], check=False)
    assert outside.returncode == 7  # refused at once: a router said so
    inside = lab.run("own-alone", [*get, "http://198.51.100.1/docker-ce/gpg"])
    assert inside.stdout == "200"
    assert lab.apt_log()[-1].endswith(f"{ADDRESS} GET /docker-ce/gpg HTTP/1.1 200")


def test_nothing_is_prepared_inside_the_labs_network(tmp_path):
    """These tests run inside it, as all that is started here does."""
    command = [sys.executable, "-m", "tests.lab", "prepare"]
    env = {**os.environ, "TACKER_CIR_LAB_CACHE": str(tmp_path)}
    said = subprocess.run(command, cwd=REPOSITORY, env=env, capture_output=True, text=True)
    assert said.returncode == 1
    assert "tox -e lab -- prepare" in said.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "address", "image", "word"),
    [
        ("own-x", ADDRESS, "debian-99", "debian-12"),
        ("own-x", "192.0.2.1", "debian-12", "198.51.100.0/24"),
        ("own-x", "198.51.100.1", "debian-12", "198.51.100.1"),
        ("../x", ADDRESS, "debian-12", "host name"),
    ],
)
def test_a_machine_that_cannot_be_is_refused_and_leaves_nothing(lab, name, address, image, word):
    with pytest.raises(LabError, match=word):
        lab.create(name, address, image)
    assert not [known for known in lab.machines() if known.startswith("own-x")]


def test_down_cleans_up_after_a_killed_up(lab, tmp_path):
    netns = "tcirkill"
    command = [sys.executable, "-m", "tests.testbed.machines", "--run", str(tmp_path / "run")]
    env = {**os.environ, "TACKER_CIR_LAB_NETNS": netns}
    other = MachineLab(run=tmp_path / "run", netns=netns)
    lab.prepared.write(tmp_path / "prepared.json")
    up = [*command, "up", "--prepared", str(tmp_path / "prepared.json")]
    up = subprocess.Popen(up, cwd=REPOSITORY, env=env)
    wait_for(lambda: any("process" in left for left in other.leftovers()), "a service", 60)
    up.send_signal(signal.SIGKILL)
    up.wait()
    assert other.leftovers()

    subprocess.run([*command, "down"], cwd=REPOSITORY, env=env, check=True)
    assert other.leftovers() == []


def test_the_command_answers_with_json(lab):
    command = [sys.executable, "-m", "tests.testbed.machines", "create", "own-x", "--address", "x"]
    said = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert said.returncode == 1
    assert "x" in json.loads(said.stdout)["error"]


def test_a_volume_outlives_its_machine(lab, machine):
    volume = str(uuid.uuid4())
    lab.create_volume(volume, 1)
    link = f"/dev/disk/by-id/virtio-{volume[:20]}"
    try:
        machine("own-first")
        assert lab.attach("own-first", volume) == "/dev/vdb"
        lab.sh("own-first", f"mkfs.ext4 -q {link}; mount {link} /mnt; echo kept >/mnt/file")
        lab.reboot("own-first")
        assert lab.sh("own-first", f"mount {link} /mnt; cat /mnt/file") == "kept"
        with pytest.raises(LabError, match="no machine has it"):
            lab.attach("own-first", volume)
        lab.delete("own-first")

        machine("own-second", OTHER_ADDRESS)
        lab.attach("own-second", volume)
        assert lab.sh("own-second", f"mount {link} /mnt; cat /mnt/file; umount /mnt") == "kept"
        lab.detach("own-second", volume)
        assert lab.sh("own-second", "ls /dev/disk/by-id; ls /dev/vd* 2>/dev/null || :") == ""
    finally:
        lab.delete_volume(volume)
    assert not any(volume in line for line in lab.leftovers())
