# SPDX-License-Identifier: Apache-2.0
"""The registry's data on a volume, through Tacker's API: what survives what."""

from __future__ import annotations

import hashlib
import json
import shutil
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from heatclient import client as heat_client
from keystoneauth1 import session as keystone_session
from keystoneauth1.identity import v3

from tests.lab.driving import registry_status
from tests.lab.registry_vnf import RegistryVnf, build_csar, request
from tests.lab.vnf import completed, refused
from tests.testbed.cloud import settings
from tests.testbed.machines import mirror
from tests.testbed.machines.host import LabError, run, wait_for
from tests.testbed.stand import CloudStand

SAMPLE = "instantiate_private_registry_volume.json"
REPOSITORY, TAG = "test/kept", "1"
VOLUME = """
heat_template_version: wallaby
resources:
  kept: {type: OS::Cinder::Volume, properties: {size: 1}}
"""


@pytest.fixture(scope="module")
def stand():
    return CloudStand()


@pytest.fixture(scope="module")
def volume() -> Iterator[str]:
    """The id of a volume that no VNF made."""
    session = keystone_session.Session(v3.Password(**settings.CREDENTIALS))
    heat = heat_client.Client("1", session=session, service_type="orchestration")
    stack = heat.stacks.create(stack_name="volume", template=VOLUME)["stack"]["id"]

    def rests(action: str):
        found = heat.stacks.get(stack)
        return found.stack_status == f"{action}_COMPLETE"

    wait_for(lambda: rests("CREATE"), "the volume", 60, every=0.5)
    yield heat.resources.get(stack, "kept").physical_resource_id
    heat.stacks.delete(stack)
    wait_for(lambda: rests("DELETE"), "the volume's end", 60, every=0.5)


@pytest.fixture(scope="module")
def package(registry_image, tmp_path_factory):
    """Builds packages."""

    def build() -> Path:
        directory = tmp_path_factory.mktemp("package")
        image = shutil.copy(registry_image, directory / "private_registry.tar")
        return build_csar(directory, guest="debian-12", image=Path(image), base_hot=True)

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


def instantiate(registry: RegistryVnf, volume: str | None) -> dict:
    """Instantiate with a given volume, or with one of its own."""
    body = request(SAMPLE, registry.tacker.vim_id())
    params = body["additionalParams"]
    params["data_volume_size"] = 1
    if volume:
        del params["data_volume_size"]
        params["data_volume_id"] = volume
    return registry.tacker.wait(registry.tacker.instantiate(registry.id, body))


def get(address: str, path: str) -> bytes:
    accept = {"Accept": "application/vnd.docker.distribution.manifest.v2+json"}
    url = urllib.request.Request(f"http://{address}:5000/v2/{REPOSITORY}/{path}", headers=accept)
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read()


def digests(address: str) -> dict[str, int]:
    """Ask a registry for all that an image is made of; the digests are those of what it sends."""
    manifest = get(address, f"manifests/{TAG}")
    whole = json.loads(manifest)
    found = {hashlib.sha256(manifest).hexdigest(): len(manifest)}
    for blob in [whole["config"], *whole["layers"]]:
        content = get(address, f"blobs/{blob['digest']}")
        assert blob["digest"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
        found[blob["digest"]] = len(content)
    return found


def push(registry: RegistryVnf, stand: CloudStand, image: Path) -> dict[str, int]:
    address = registry.server().address
    mirror.push(image, f"{REPOSITORY}:{TAG}", stand.lab.netns, f"{address}:5000")
    return digests(address)


def reboot(stand: CloudStand, machine: str) -> None:
    before = stand.lab.state(machine)["leader"]
    stand.lab.run(machine, ["systemctl", "reboot"])
    wait_for(lambda: stand.lab.state(machine)["leader"] not in (None, before), "the reboot", 60)


def serves(address: str) -> bool:
    try:
        return registry_status(address) == 200
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


def test_a_foreign_volume_is_refused_until_it_is_cleared(stand, vnf, volume):
    file = stand.lab.cache / "volumes" / stand.lab.netns / volume
    run(["mkfs.ext4", "-q", "-F", "-L", "others", file])
    registry = vnf()
    operation = instantiate(registry, volume)
    detail = refused(operation)
    assert "ext4) with the label 'others', which is not the registry's" in detail
    assert "nothing on it was changed" in detail and "wipefs --all /dev/vdb" in detail
    assert run(["e2label", file]).stdout.strip() == "others"
    server = registry.server()
    stand.lab.sh(server.machine, "wipefs --all /dev/vdb")
    stand.lab.sh(server.machine, "dd if=/dev/zero of=/dev/vdb bs=1M count=1")
    registry.tacker.retry(operation["id"])
    completed(registry.tacker.wait(operation["id"]))
    assert run(["e2label", file]).stdout.strip() == "tacker-cir"
    completed(registry.terminate())
    run(["wipefs", "--all", file])


def test_a_given_volume_keeps_the_data_over_everything(stand, vnf, volume, small_image):
    """A blank volume is formatted; then come a heal of the VNFC, a reboot, a heal of the whole VNF,
    a termination and another VNF instance."""
    registry = vnf()
    completed(instantiate(registry, volume))
    first = registry.server()
    pushed = push(registry, stand, small_image)
    assert stand.lab.sh(first.machine, "ls /srv/registry/data") == "docker"

    completed(registry.heal(registry.vnfc_ids()))
    second = registry.server()
    assert second.id != first.id and digests(second.address) == pushed

    reboot(stand, second.machine)
    wait_for(lambda: serves(second.address), "the registry after the reboot", 60, every=0.5)
    assert digests(second.address) == pushed

    _fill(stand, second.machine)
    with pytest.raises((LabError, OSError)):
        mirror.push(small_image, "test/full:1", stand.lab.netns, f"{second.address}:5000")
    assert digests(second.address) == pushed
    stand.lab.sh(second.machine, "rm /srv/registry/filler*")
    mirror.push(small_image, "test/full:1", stand.lab.netns, f"{second.address}:5000")

    completed(registry.heal())
    third = registry.server()
    assert third.id != second.id and digests(third.address) == pushed

    completed(registry.terminate())
    other = vnf()
    completed(instantiate(other, volume))
    assert digests(other.server().address) == pushed


@pytest.mark.thorough
def test_a_volume_of_the_vnf_s_own_outlives_the_vm(stand, vnf, small_image):
    """It survives what happens to the VM; the registry never begins with an empty directory."""
    registry = vnf()
    completed(instantiate(registry, None))
    first = registry.server()
    own = f"vnflcm_{registry.id}-"
    (record,) = [made for made in stand.cloud.volumes() if made["name"].startswith(own)]
    pushed = push(registry, stand, small_image)

    stand.lab.detach(first.machine, record["id"])
    reboot(stand, first.machine)
    failed = ["systemctl", "is-failed", "tacker-cir-registry-volume.service"]
    wait_for(lambda: stand.lab.run(first.machine, failed, check=False).returncode == 0,
             "the end of the wait for the volume", 120, every=0.5)  # fmt: skip
    assert not serves(first.address) and not is_mounted(stand, first.machine)
    assert stand.lab.sh(first.machine, "ls -A /srv/registry") == ""

    completed(registry.heal(registry.vnfc_ids()))
    second = registry.server()
    assert second.id != first.id and digests(second.address) == pushed
