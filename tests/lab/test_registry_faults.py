# SPDX-License-Identifier: Apache-2.0
"""A registry with TLS, users and a volume on a real machine, with a fault at each step: what is
there is neither lost nor changed, and a retry finishes."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from functools import partial

import pytest

from tacker_cir.exceptions import HostError
from tests.certificates import Authority
from tests.lab.driving import RegistryMachine
from tests.lab.faults import Fault, Faults
from tests.lab.registry_client import Client
from tests.testbed.machines import images

IMAGE = {"image_path": "Files/images/registry.tar"}
OLD, APP = "test/old:1", "library/app:1"
ALICE, BOB = ({"username": name, "password": f"{name} S3cret"} for name in ("alice", "bob"))
WHOLE = {
    **IMAGE,
    "tls": {"self_signed": {}},
    "users": [ALICE],
    "data_volume": {"name": "kept"},
    "contents": ["Files/contents/app.tar"],
    "upkeep": {"garbage_collection": {"schedule": "Sun *-*-* 03:00:00"}, "min_free": 1},
}
STEPS_THAT_LOSE = ["copy the registry's data"]
CA = "/srv/registry/tacker-cir/ca.crt"


@pytest.fixture
def volume(lab):
    """The id of a blank volume."""
    made = str(uuid.uuid4())
    lab.create_volume(made, 1)
    yield made
    lab.delete_volume(made)


@dataclass
class Registry:
    """A machine that shall get a registry with everything, and has a plain one with an image.

    :param old: digests of what that image is made of
    """

    machine: RegistryMachine
    volume: str
    old: frozenset[str]

    def deploy(self, parameters=WHOLE):
        return self.machine.deploy(parameters, volume=self.volume, service_timeout=15)

    def sh(self, script: str) -> str:
        return self.machine.lab.sh(self.machine.name, script)

    def client(self, ca: str | None = None, user: dict[str, str] = ALICE) -> Client:
        login = (user["username"], user["password"])
        return Client(f"{self.machine.address}:443", ca or self.sh(f"cat {CA}"), login)


@pytest.fixture
def registry(machine, lab, volume, small_image):
    target = machine("debian-12")
    target.deploy(IMAGE)
    (target.package / "Files" / "contents").mkdir()
    images.write_random_image(target.package / "Files/contents/app.tar", "app:1", 300_000)
    client = Client(f"{target.address}:5000")
    client.push(small_image, OLD, lab.netns)
    lab.attach(target.name, volume)
    made = Registry(target, volume, client.pull(OLD))
    yield made
    # So that its device is free when the machine is gone.
    lab.run(target.name, ["systemctl", "stop", "docker.socket", "docker"], check=False)


def finish(
    registry: Registry, fault: Fault, faults: Faults, parameters: dict, mend=lambda: None
) -> list[str]:
    """Repeat an operation until each of its steps went wrong once; return these.

    :param mend: makes a retry possible
    """
    faults.seen.clear()
    while True:
        with faults.at_the_next_step(fault):
            try:
                registry.deploy(parameters)
            except HostError as error:
                assert faults.happened, error
        if not faults.happened:
            print(f"{len(faults.seen)} steps: {faults.seen}")
            return list(faults.seen)
        mend()


@pytest.mark.parametrize(
    "kind",
    [
        "cut_after",
        pytest.param("cut_before", marks=pytest.mark.thorough),
        pytest.param("cut_meanwhile", marks=pytest.mark.thorough),
        pytest.param("kill", marks=pytest.mark.thorough),
    ],
)
def test_each_step_goes_wrong_once(registry, lab, kind):
    """First where the plain registry gets everything, then where its certificate and users are
    changed."""
    faults = Faults(lab, registry.machine.name)
    fault = getattr(faults, kind)
    assert len(finish(registry, fault, faults, WHOLE)) > 15
    client = registry.client()
    assert client.pull(OLD) == registry.old
    app = client.pull(APP)

    given = Authority("given")
    certificate, key = given.issue(registry.machine.address)
    tls = {"certificate_path": certificate + given.pem, "key_path": key}
    changed = {**WHOLE, "tls": tls, "users": [BOB]}
    assert len(finish(registry, fault, faults, changed)) > 8
    client = registry.client(given.pem, BOB)
    assert client.pull(OLD) == registry.old and client.pull(APP) == app
    assert registry.deploy(changed).changes == []


def test_a_full_volume(registry, lab):
    """Nothing is free for what is ours; then a little is, and too little for the data."""
    filler = "/srv/registry/filler"

    def fill(go):
        result = go()
        registry.sh(
            f"dd if=/dev/zero of={filler} bs=64k 2>/dev/null || :; "
            f"dd if=/dev/zero of={filler}-2 bs=1k 2>/dev/null || :; sync"
        )
        return result

    faults = Faults(lab, registry.machine.name)
    with faults.at("mount the volume", fill), pytest.raises(HostError, match="No space left"):
        registry.deploy()
    assert Client(f"{registry.machine.address}:5000").pull(OLD) == registry.old
    registry.sh(f"truncate --size=-400K {filler}; sync")
    with pytest.raises(HostError, match="copy the registry's data.*No space left") as caught:
        registry.deploy()
    assert "free disk space" in caught.value.remedy
    registry.sh(f"rm {filler}*")
    registry.deploy()
    assert registry.client().pull(OLD) == registry.old
    assert registry.deploy().changes == []


#: What the kernel does when a device with an ext4 is gone: EXT4_IOC_SHUTDOWN, without its journal.
SHUT_DOWN = """perl -e '
open F, "<", "/srv/registry" or die $!;
my $flags = pack "L", 2;
ioctl F, 0x8004587d, $flags or die $!;
'"""


def lose(registry: Registry, go):
    """The volume's device goes away: nothing can be read from it or written any more."""
    registry.sh(
        f"sync; ! mountpoint -q /srv/registry || {SHUT_DOWN}; "
        # The lab mounts the device's node where it was there at the boot.
        "! findmnt --mountpoint /dev/vdb >/dev/null || umount /dev/vdb; rm /dev/vdb"
    )
    return go()


@pytest.mark.parametrize("step", STEPS_THAT_LOSE)
def test_the_volume_goes_away_at_a_step(registry, lab, step):
    faults = Faults(lab, registry.machine.name)
    with faults.at(step, partial(lose, registry)), pytest.raises(HostError):
        registry.deploy()
    assert faults.happened
    lab.reboot(registry.machine.name)
    registry.deploy()
    assert registry.client().pull(OLD) == registry.old
    assert registry.deploy().changes == []


@pytest.mark.thorough
def test_the_volume_goes_away_at_each_step(registry, lab):
    faults, reboot = Faults(lab, registry.machine.name), partial(lab.reboot, registry.machine.name)
    assert len(finish(registry, partial(lose, registry), faults, WHOLE, mend=reboot)) > 12
    assert registry.client().pull(OLD) == registry.old
    assert registry.deploy().changes == []
