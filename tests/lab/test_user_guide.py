# SPDX-License-Identifier: Apache-2.0
"""The commands of the user guide, run as they are printed there (ids filled in)."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import uuid

import pytest

from tests.lab.driving import registry_status
from tests.lab.machines import images
from tests.lab.machines.host import wait_for
from tests.lab.registry_vnf import request, tacker_cir
from tests.lab.stand import CloudStand

BODY = "instantiate_private_registry_basehot.json"
#: Seconds between two questions: the client's start takes a processor for longer than one.
EVERY = 2


class OpenStack:
    """The openstack client with the lab's rc file.

    :param stand: the lab
    :param directory: where the client runs
    """

    def __init__(self, stand, directory):
        self._rc, self._directory = stand.cloud.rc, directory
        self._seen = set()

    def __call__(self, *words: str) -> str:
        script = f"source {shlex.quote(str(self._rc))} && openstack {shlex.join(words)}"
        done = subprocess.run(
            ["bash", "-c", script], cwd=self._directory, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def field(self, name: str, *words: str) -> str:
        """One column of a command's answer."""
        return self(*words, "-f", "value", "-c", name).strip()

    def state(self, operation: str) -> str:
        """State of an LCM operation occurrence."""
        return self.field("Operation State", "vnflcm", "op", "show", operation)

    def newest(self, instance: str, wanted: str = "COMPLETED") -> str:
        """Wait for the end of the operation that was begun last; return its id."""
        words = ("vnflcm", "op", "list", "--filter", f"(eq,vnfInstanceId,{instance})")
        listed = {row["ID"] for row in json.loads(self(*words, "-f", "json"))}
        (operation,) = listed - self._seen
        self._seen |= listed
        ended = ("COMPLETED", "FAILED_TEMP")
        wait_for(lambda: self.state(operation) in ended, "the operation's end", 120, EVERY)
        assert self.state(operation) == wanted, self("vnflcm", "op", "show", operation)
        return operation


@pytest.fixture(scope="module")
def stand():
    return CloudStand()


@pytest.fixture
def openstack(stand, tmp_path):
    return OpenStack(stand, tmp_path)


@pytest.fixture
def csar(tmp_path):
    """The VNF package, built as the README says."""
    image = shutil.copy(images.registry_image(), tmp_path / "registry.tar")
    output = str(tmp_path / "private-registry.zip")
    tacker_cir(
        *("csar", "build", "private-registry", "--base-hot", "--vm-image", "debian-12"),
        *("--flavor", "m1.small", "--image", str(image), "--output", output),
        # Tacker takes each VNFD once, and other tests may have onboarded the sample's.
        *("--vnfd-id", str(uuid.uuid4())),
    )
    return output


def test_life_of_a_registry_by_the_openstack_client(stand, openstack, csar, tmp_path):
    others = {server["id"] for server in stand.cloud.servers()}
    for file, password in (("request.json", "ubuntu"), ("wrong.json", "wrong")):
        overrides = {"image_path": "Files/images/registry.tar", "ssh_password": password}
        body = request(BODY, openstack.field("ID", "vim", "list"), overrides)
        (tmp_path / file).write_text(json.dumps(body))
    assert "ok" in tacker_cir("validate", str(tmp_path / "request.json"), "--csar", csar)

    package = openstack.field("ID", "vnf", "package", "create")
    openstack("vnf", "package", "upload", "--path", "private-registry.zip", package)
    show = ("vnf", "package", "show", package)
    wait_for(
        lambda: openstack.field("Onboarding State", *show) == "ONBOARDED", "onboarding", 60, EVERY
    )
    vnfd = openstack.field("VNFD ID", *show)
    instance = openstack.field("ID", "vnflcm", "create", vnfd, "--name", f"guide-{vnfd[:8]}")

    # A request that is wrong: rolled back.
    openstack("vnflcm", "instantiate", instance, "wrong.json")
    failed = openstack.newest(instance, "FAILED_TEMP")
    assert "ssh_username" in openstack("vnflcm", "op", "show", failed)
    openstack("vnflcm", "op", "rollback", failed)
    wait_for(lambda: openstack.state(failed) == "ROLLED_BACK", "the rollback", 60, EVERY)

    # Again, but this time the cause is mended and the operation retried.
    openstack("vnflcm", "instantiate", instance, "wrong.json")
    failed = openstack.newest(instance, "FAILED_TEMP")
    (server,) = [s for s in stand.cloud.servers() if s["id"] not in others]
    stand.lab.run(server["machine"], ["sh", "-c", "echo ubuntu:wrong | chpasswd"])
    openstack("vnflcm", "op", "retry", failed)
    wait_for(lambda: openstack.state(failed) == "COMPLETED", "the retry", 120, EVERY)
    openstack("vnflcm", "terminate", instance)
    openstack.newest(instance)

    openstack("vnflcm", "instantiate", instance, "request.json")
    openstack.newest(instance)
    shown = json.loads(openstack("vnflcm", "show", instance, "-f", "json"))
    (vnfc,) = shown["Instantiated Vnf Info"]["vnfcResourceInfo"]
    openstack("vnflcm", "heal", instance, "--vnfc-instance", vnfc["id"])
    openstack.newest(instance)
    openstack("vnflcm", "heal", instance)
    openstack.newest(instance)
    (server,) = [s for s in stand.cloud.servers() if s["id"] not in others]
    assert registry_status(str(stand.lab.state(server["machine"])["address"])) == 200

    openstack("vnflcm", "terminate", instance)
    openstack.newest(instance)
    openstack("vnflcm", "delete", instance)
    openstack("vnf", "package", "update", package, "--operational-state", "DISABLED")
    openstack("vnf", "package", "delete", package)
