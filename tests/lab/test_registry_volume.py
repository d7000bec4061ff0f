# SPDX-License-Identifier: Apache-2.0
"""The registry's data on a volume, through Tacker's API: what survives what."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tacker_cir import metadata
from tacker_cir.params.shown_registry import CA, SERVER
from tacker_cir.registry.collection import UNIT
from tests.lab import collecting
from tests.lab.registry_client import Client
from tests.lab.registry_vnf import RegistryVnf, build_csar, request
from tests.lab.vnf import completed, refused, tacker_cir
from tests.lab.volumes import given_volume
from tests.testbed.machines import images
from tests.testbed.machines.host import LabError, run, wait_for
from tests.testbed.stand import CloudStand

SAMPLE = "instantiate_private_registry_volume.json"
PUSHED, APP = "test/kept:1", "library/app:1"
ALICE = {"username": "alice", "password": "al!ce \u00e4 S3cret"}
BOB = {"username": "bob", "password": "b0b-S3cret"}
EVERYTHING = {
    "tls": {"self_signed": {"names": ["registry.example"]}},
    "users": [ALICE],
    "contents": ["Files/contents/app.tar"],
    "upkeep": {
        "delete": True,
        "garbage_collection": {"schedule": "Sun *-*-* 03:00:00", "window": 5},
        "log_size": "1m",
        "log_files": 2,
        "min_free": 50,
    },
}


@pytest.fixture(scope="module")
def volume() -> Iterator[str]:
    """The id of a volume that no VNF made."""
    with given_volume(size=1) as made:
        yield made


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    """An archive of docker save that the packages have."""
    path = tmp_path_factory.mktemp("contents") / "app.tar"
    images.write_random_image(path, "app:1", 5_000_000, seed="app")
    return path


@pytest.fixture(scope="module")
def package(image, archive, tmp_path_factory):
    """Builds packages."""

    def build() -> Path:
        directory = tmp_path_factory.mktemp("package")
        options = {"guest": "debian-12", "image": image, "contents": [archive]}
        return build_csar(directory, base_hot=True, **options)

    return build


@pytest.fixture
def vnf(stand, package):
    """Makes VNF instances; they are gone after the test."""
    made: list[RegistryVnf] = []

    def make() -> RegistryVnf:
        made.append(RegistryVnf(stand, package()))
        return made[-1]

    yield make
    for instance in made:
        instance.discard()


def instantiate(
    registry: RegistryVnf, volume: str | None, parameters: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Instantiate with a given volume, or with one of its own.

    :param parameters: further members of private_registry_installation_param
    """
    body = request(SAMPLE, registry.tacker.vim_id(), parameters)
    params = body["additionalParams"]
    params["data_volume_size"] = 1
    if volume:
        del params["data_volume_size"]
        params["data_volume_id"] = volume
    return registry.tacker.wait(registry.tacker.instantiate(registry.id, body))


def client_of(registry: RegistryVnf, user: dict[str, str] | None = None) -> Client:
    """A client with nothing but what the VNF instance shows, and a user's password."""
    shown = registry.shown()
    login = (user["username"], user["password"]) if user else None
    return Client(shown[SERVER], metadata.joined(shown, CA) if CA in shown else None, login)


def serves(client: Client) -> bool:
    try:
        return client.status() == 200
    except OSError:
        return False


def _fill(stand: CloudStand, machine: str) -> None:
    """Leave no byte of the volume free."""
    free = "$(($(df --output=avail --block-size=1 /srv/registry | tail -n 1) - 65536))"
    stand.lab.sh(
        machine,
        f"fallocate -l {free} /srv/registry/filler; "
        "dd if=/dev/zero of=/srv/registry/filler2 bs=4k 2>/dev/null || :",
    )


def is_mounted(stand: CloudStand, machine: str) -> bool:
    return stand.lab.run(machine, ["mountpoint", "/srv/registry"], check=False).returncode == 0


def refused_until_cleared(stand: CloudStand, registry: RegistryVnf, volume: str) -> None:
    """Instantiate with a volume that holds others' data, and again where it holds none."""
    file = stand.lab.cache / "volumes" / stand.lab.netns / volume
    run(["mkfs.ext4", "-q", "-F", "-L", "others", file])
    operation = instantiate(registry, volume, EVERYTHING)
    detail = refused(operation)
    assert "ext4) with the label 'others', which is not the registry's" in detail
    assert "nothing on it was changed" in detail and "wipefs --all /dev/vdb" in detail
    assert run(["e2label", file]).stdout.strip() == "others"
    machine = registry.server().machine
    stand.lab.sh(machine, "wipefs --all /dev/vdb")
    stand.lab.sh(machine, "dd if=/dev/zero of=/dev/vdb bs=1M count=1")
    registry.tacker.retry(operation["id"])
    completed(registry.tacker.wait(operation["id"]))
    assert run(["e2label", file]).stdout.strip() == "tacker-cir"


def digests_on(stand: CloudStand, volume: str) -> set[str]:
    """Read a volume that no machine has; the digests are those of what is there."""
    file = stand.lab.cache / "volumes" / stand.lab.netns / volume
    read = (
        f"mount -o loop {file} /mnt && cd /mnt/data/docker/registry/v2/blobs && "
        "find . -name data -exec sha256sum {} +"
    )
    lines = run(["unshare", "--mount", "sh", "-ec", read]).stdout.splitlines()
    return {f"sha256:{line.split()[0]}" for line in lines}


def pulled_by_docker(stand: CloudStand, machine: str, client: Client, reference: str) -> str:
    """Have Docker of a machine pull with a login and nothing else; return the image's digest."""
    image, (name, password) = f"{client.server}/{reference}", client.user
    certs = f"/etc/docker/certs.d/{client.server}"
    return stand.lab.sh(
        machine,
        f"mkdir -p {certs}; printf %s {shlex.quote(client.ca)} >{certs}/ca.crt; "
        f"printf %s {shlex.quote(password)} | docker login --username {name} --password-stdin "
        f"{client.server} >/dev/null 2>&1; docker pull --quiet {image} >/dev/null; "
        f"docker image inspect --format '{{{{index .RepoDigests 0}}}}' {image}",
    ).partition("@")[2]


class Kept:
    """A registry with every parameter, and what must stay as it is whatever happens to its VM.

    :param user: whom its clients log in as
    """

    def __init__(self, stand: CloudStand, registry: RegistryVnf, user: dict[str, str]):
        self.stand, self.registry, self.user = stand, registry, user
        self.server = registry.server()
        self.run = partial(stand.lab.sh, self.server.machine)
        self.client = client_of(registry, user)

    def content(self, *references: str) -> dict[str, frozenset[str]]:
        """Pull images; the digests are those of what is sent."""
        return {reference: self.client.pull(reference) for reference in references}

    def push(self, image: Path, reference: str) -> None:
        self.client.push(image, reference, self.stand.lab.netns)

    def healed(self) -> Kept:
        """The same one where another VM has it."""
        found = Kept(self.stand, self.registry, self.user)
        assert found.server.id != self.server.id
        assert found.client.ca == self.client.ca
        return found

    def change_users_during_a_collection(self, user: dict[str, str]) -> Kept:
        """Give it a user more while it collects; return it for that user."""
        repository, _, tag = PUSHED.partition(":")
        digest = self.client.digest(repository, tag)
        collecting.hold(self.run, "/srv/registry/data", repository, digest)
        before = self.content(PUSHED)
        completed(self.registry.modify({"users": [self.user, user]}))
        assert collecting.collects(self.run) == ""
        found = Kept(self.stand, self.registry, user)
        assert found.content(PUSHED) == self.content(PUSHED) == before
        self.run(f"systemctl start {UNIT}.service")
        ended = f"systemctl is-active {UNIT}.service || :"
        wait_for(lambda: self.run(ended) == "inactive", "the end of the collection", 60, every=0.2)
        wait_for(lambda: serves(found.client), "the registry after the collection", 30, every=0.2)
        assert found.content(PUSHED) == before
        return found


def test_every_parameter_at_once_on_a_given_volume(
    stand, vnf, volume, small_image, archive, pytestconfig
):
    """A foreign volume is refused and a blank one formatted; then come a change of users while
    data are collected, a heal of the VNFC, a reboot, a full disk, a heal of the whole VNF, a
    termination and, where there is time for one more VM, another VNF instance."""
    registry = vnf()
    refused_until_cleared(stand, registry, volume)
    first = Kept(stand, registry, ALICE)
    assert first.client.server == f"{first.server.address}:443"
    first.push(small_image, PUSHED)
    (told,) = json.loads(tacker_cir("images", str(archive), "-f", "json"))["archives"]
    content = first.content(PUSHED, APP)
    assert told["images"][0]["digest"] in content[APP]
    assert first.run("ls /srv/registry/data") == "docker"
    first = first.change_users_during_a_collection(BOB)

    completed(registry.heal(registry.vnfc_ids()))
    second = first.healed()
    assert second.content(PUSHED, APP) == content
    assert serves(client_of(registry, ALICE))

    stand.lab.reboot(second.server.machine)
    wait_for(lambda: serves(second.client), "the registry after the reboot", 60, every=0.5)
    assert second.content(PUSHED, APP) == content
    assert second.run(f"systemctl is-active {UNIT}.timer") == "active"

    _fill(stand, second.server.machine)
    with pytest.raises((LabError, OSError)):
        second.push(small_image, "test/full:1")
    assert second.content(PUSHED, APP) == content
    completed(registry.modify({"users": [ALICE, BOB]}))
    assert "less than the 50 MB of upkeep.min_free" in stand.driver_log()
    second.run("rm /srv/registry/filler*")
    second.push(small_image, "test/full:1")

    completed(registry.heal())
    third = second.healed()
    assert third.content(PUSHED, APP) == content
    machine, digest = third.server.machine, told["images"][0]["digest"]
    assert pulled_by_docker(stand, machine, third.client, APP) == digest
    assert not any(user["password"] in stand.driver_log() for user in (ALICE, BOB))

    completed(registry.terminate())
    assert set().union(*content.values()) <= digests_on(stand, volume)
    if not pytestconfig.getoption("--thorough"):
        return
    other = vnf()
    completed(instantiate(other, volume, EVERYTHING))
    last = Kept(stand, other, ALICE)
    assert last.client.ca == third.client.ca
    assert last.content(PUSHED, APP) == content


@pytest.mark.thorough
def test_a_volume_of_the_vnf_s_own_outlives_the_vm(stand, vnf, small_image):
    """It survives what happens to the VM; the registry never begins with an empty directory."""
    registry = vnf()
    completed(instantiate(registry, None))
    first, client = registry.server(), client_of(registry)
    own = f"vnflcm_{registry.id}-"
    (record,) = [made for made in stand.cloud.volumes() if made["name"].startswith(own)]
    client.push(small_image, PUSHED, stand.lab.netns)
    pushed = client.pull(PUSHED)

    stand.lab.detach(first.machine, record["id"])
    stand.lab.reboot(first.machine)
    failed = ["systemctl", "is-failed", "tacker-cir-registry-volume.service"]
    wait_for(lambda: stand.lab.run(first.machine, failed, check=False).returncode == 0,
             "the end of the wait for the volume", 120, every=0.5)  # fmt: skip
    assert not serves(client) and not is_mounted(stand, first.machine)
    assert stand.lab.sh(first.machine, "ls -A /srv/registry") == ""

    completed(registry.heal(registry.vnfc_ids()))
    assert registry.server().id != first.id and client_of(registry).pull(PUSHED) == pushed
