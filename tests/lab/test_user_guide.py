# SPDX-License-Identifier: Apache-2.0
"""The commands of the user guide, run as they are printed there (ids filled in).

Those of the cluster's pages are taken from the pages, and each has to be run. What the lab needs
besides is added to them: its guests, its site without the Internet, a VNFD's id of their own.
"""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.lab import cluster_vnf
from tests.lab.driving import registry_status
from tests.lab.guide import Guide
from tests.lab.registry_vnf import request, tacker_cir
from tests.lab.vnf import key_option
from tests.testbed.kubernetes_site import KubernetesSite
from tests.testbed.machines.host import wait_for
from tests.testbed.stand import CloudStand

BODY = "instantiate_private_registry_basehot.json"
PAGES = ("kubernetes.rst", "kubernetes-operations.rst")
#: Seconds between two questions: the client's start takes a processor for longer than one.
EVERY = 2


class OpenStack:
    """The openstack client with the lab's rc file.

    :param stand: the lab
    :param directory: where the client runs
    """

    def __init__(self, stand, directory):
        self._rc, self._directory = stand.cloud.rc, directory
        #: The VNF instances of the operations that were seen.
        self._instances: dict[str, str] = {}

    def __call__(self, *words: str, check: bool = True) -> str:
        script = f"source {shlex.quote(str(self._rc))} && openstack {shlex.join(words)}"
        done = subprocess.run(
            ["bash", "-c", script], cwd=self._directory, capture_output=True, text=True
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def settings(self) -> dict[str, str]:
        """What the rc file sets."""
        script = f"source {shlex.quote(str(self._rc))} && env"
        said = subprocess.run(["bash", "-c", script], check=True, capture_output=True, text=True)
        return dict(line.split("=", 1) for line in said.stdout.splitlines() if "=" in line)

    def field(self, name: str, *words: str) -> str:
        """One column of a command's answer."""
        return self(*words, "-f", "value", "-c", name).strip()

    def states(self, instance: str) -> dict[str, str]:
        """States of an instance's LCM operation occurrences by id; the list has updates as well."""
        words = ("vnflcm", "op", "list", "--filter", f"(eq,vnfInstanceId,{instance})")
        return {row["ID"]: row["Operation State"] for row in json.loads(self(*words, "-f", "json"))}

    def state(self, operation: str) -> str:
        """State of an operation that was seen."""
        return self.states(self._instances[operation])[operation]

    def newest(self, instance: str, wanted: str = "COMPLETED", seconds: float = 120) -> str:
        """Wait for the end of the operation that was begun last; return its id."""
        # That of an update is there only some time after its answer.
        (operation,) = wait_for(
            lambda: self.states(instance).keys() - self._instances.keys(), "an operation", 60, EVERY
        )
        self._instances[operation] = instance
        self.wait(operation, ("COMPLETED", "FAILED_TEMP"), seconds)
        state = self.state(operation)
        assert state == wanted, self("vnflcm", "op", "show", operation, check=False) or state
        return operation

    def wait(self, operation: str, states: tuple[str, ...], seconds: float) -> None:
        """Wait until an operation is in one of the states."""
        wait_for(lambda: self.state(operation) in states, f"{operation} {states}", seconds, EVERY)


@pytest.fixture
def openstack(stand, tmp_path):
    return OpenStack(stand, tmp_path)


@pytest.fixture
def csar(registry_image, tmp_path):
    """The VNF package, built as the README says."""
    image = shutil.copy(registry_image, tmp_path / "private_registry.tar")
    output = str(tmp_path / "private-registry.zip")
    tacker_cir(
        *("csar", "build", "private-registry", "--base-hot", "--vm-image", "debian-12"),
        *("--flavor", "m1.small", "--image", str(image), "--output", output),
        # Tacker takes each VNFD once, and other tests may have onboarded the sample's.
        *("--vnfd-id", str(uuid.uuid4()), key_option(tmp_path)),
    )
    return output


def test_life_of_a_registry_by_the_openstack_client(stand, openstack, csar, tmp_path):
    others = {server["id"] for server in stand.cloud.servers()}
    body = request(BODY, openstack.field("ID", "vim", "list"))
    (tmp_path / "request.json").write_text(json.dumps(body))
    # User data that make no login.
    body["additionalParams"]["user_data"] = "#cloud-config\n"
    (tmp_path / "wrong.json").write_text(json.dumps(body))
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
    key = (tmp_path / "id_ed25519.pub").read_text()
    script = f"install -d -o ubuntu ~ubuntu/.ssh && echo '{key}' > ~ubuntu/.ssh/authorized_keys"
    stand.lab.sh(server["machine"], script)
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


@pytest.mark.thorough
def test_a_vim_is_registered_and_barbican_asked_by_the_openstack_client(openstack, tmp_path):
    guide = Guide("cloud.rst")
    lab = openstack.settings()
    values = {
        "http://KEYSTONE:5000/v3": lab["OS_AUTH_URL"],
        "username: nfv": f"username: {lab['OS_USERNAME']}",
        "project_name: nfv": f"project_name: {lab['OS_PROJECT_NAME']}",
        "PASSWORD": lab["OS_PASSWORD"],
    }
    (tmp_path / "vim.yaml").write_text(guide.file("vim.yaml", values))
    register = "openstack vim register --config-file vim.yaml --is-default openstack"
    # The lab has a default one already.
    words = [
        w for w in guide.words(f"{register} -f value -c id -c status", {}) if w != "--is-default"
    ]
    vim, status = openstack(*words[1:]).split()
    try:
        assert status == "ACTIVE"
        assert f"| {vim} | openstack" in openstack(*guide.words("openstack vim list", {})[1:])
    finally:
        openstack("vim", "delete", vim)
    openstack(*guide.words("openstack secret list", {})[1:])


class Reader:
    """Somebody who works through the cluster's pages.

    :param stand: the lab
    :param openstack: the client
    :param directory: where the commands run
    """

    def __init__(self, stand: CloudStand, openstack: OpenStack, directory: Path):
        self._stand, self._openstack, self._directory = stand, openstack, directory
        self.guide = Guide(*PAGES)
        #: What stands for the pages' capital words and examples.
        self.values: dict[str, str] = {}

    def __call__(self, command: str, *more: str, **options: Any) -> str:
        """Run a command of the pages.

        :param more: further words
        :param options: of :class:`OpenStack`
        """
        program, *words = [*self.guide.words(command, self.values), *more]
        if program == "openstack":
            return self._openstack(*words, **options)
        return tacker_cir(*words)

    def field(self, name: str, command: str) -> str:
        """One column of a command's answer."""
        return self(command, "-f", "value", "-c", name).strip()

    def kubectl(self, words: str, *more: str) -> str:
        """Run a command that the pages have run on a master; the lab needs no ssh for that."""
        master = self.server("masterNode")
        command = f"ssh ubuntu@MASTER sudo kubectl --kubeconfig /etc/kubernetes/admin.conf {words}"
        _ssh, _login, _sudo, *found = self.guide.words(command, self.values)
        return self._stand.lab.run(master["machine"], [*found, *more]).stdout

    def server(self, vdu: str) -> dict[str, Any]:
        """A server of the VNF instance at hand."""
        stack = f"vnflcm_{self.values['VNF_INSTANCE_ID']}"
        found = [s for s in self._stand.cloud.servers() if s["root_stack"] == stack]
        return next(server for server in found if server["resource"] == vdu)

    def address(self, vdu: str) -> str:
        """A server's address."""
        return str(self._stand.lab.state(self.server(vdu)["machine"])["address"])

    def write(self, name: str, body: Any = None) -> None:
        """Write a file that a command names.

        :param body: None for what the pages say
        """
        text = self.guide.file(name, self.values) if body is None else json.dumps(body)
        (self._directory / name).write_text(text)

    def onboard(self, package: str) -> None:
        """Onboard a package and learn its VNFD's id."""
        self.values["VNF_PACKAGE_ID"] = self.field("ID", "openstack vnf package create")
        self(f"openstack vnf package upload --path {package} VNF_PACKAGE_ID")
        show = "openstack vnf package show VNF_PACKAGE_ID"
        wait_for(
            lambda: self.field("Onboarding State", show) == "ONBOARDED", "onboarding", 60, EVERY
        )
        self.values["VNFD_ID"] = self.field("VNFD ID", show)

    def wait(self, wanted: str = "COMPLETED", seconds: float = 900) -> None:
        """Wait for the end of the operation that was begun last."""
        operation = self._openstack.newest(self.values["VNF_INSTANCE_ID"], wanted, seconds)
        self.values["LCM_OP_OCC_ID"] = operation
        listed = 'openstack vnflcm op list --filter "(eq,vnfInstanceId,VNF_INSTANCE_ID)"'
        assert operation in self(listed)

    def ended(self, wanted: str = "COMPLETED") -> str:
        """Wait likewise, and return what is shown of it; Tacker does not show an update."""
        self.wait(wanted)
        return self("openstack vnflcm op show LCM_OP_OCC_ID", "-f", "json")

    def update(self, name: str, wanted: str = "COMPLETED") -> str:
        """Update the VNF instance with a file; return what the conductor logged meanwhile."""
        log = self._stand.cloud.logs["tacker-conductor"]
        begin = log.stat().st_size
        self(f"openstack vnflcm update VNF_INSTANCE_ID --I {name}")
        self.wait(wanted)
        return log.read_bytes()[begin:].decode(errors="replace")

    def discard(self) -> None:
        """Terminate the VNF instance at hand and remove it and its package."""
        self("openstack vnflcm terminate VNF_INSTANCE_ID")
        self.ended()
        self("openstack vnflcm delete VNF_INSTANCE_ID")
        self("openstack vnf package update VNF_PACKAGE_ID --operational-state DISABLED")
        self("openstack vnf package delete VNF_PACKAGE_ID")


@pytest.fixture
def reader(stand, openstack, tmp_path, monkeypatch) -> Reader:
    monkeypatch.chdir(tmp_path)
    return Reader(stand, openstack, tmp_path)


@pytest.mark.thorough
def test_life_of_a_cluster_by_the_openstack_client(stand, openstack, reader, tmp_path):
    registry_ids, site = _begin_registry(stand, openstack, reader, tmp_path)
    registry_machine = reader.server("PrivateRegistryVDU")["machine"]
    reader.values["10.10.0.10:5000/app:1"] = site.echo_image
    reader.values["10.10.0.10:5000"] = site.registry
    reader.values["ubuntu-22.04"] = cluster_vnf.GUEST
    files = [f"--file={name}={path}" for name, path in site.files(tmp_path).items()]
    reader(
        "tacker-cir csar build kubernetes --vm-image ubuntu-22.04 --flavor m1.medium "
        "--file Files/keys/id_ed25519=id_ed25519 --output kubernetes.zip",
        f"--vnfd-id={uuid.uuid4()}",
        *files,
    )
    reader.onboard("kubernetes.zip")
    create = "openstack vnflcm create VNFD_ID --name cluster"
    reader.values["VNF_INSTANCE_ID"] = reader.field("ID", create)
    instantiate = "openstack vnflcm instantiate VNF_INSTANCE_ID cluster.json"
    vim = openstack.field("ID", "vim", "list")
    parameters = site.parameters("containerd")
    body = cluster_vnf.request("simple", vim, parameters, "one_worker")

    # A fault that only the driver can find; rolled back.
    inside = {**parameters, "master_node": {"pod_cidr": "198.51.0.0/16"}}
    reader.write("cluster.json", cluster_vnf.request("simple", vim, inside, "one_worker"))
    assert "ok" in reader("tacker-cir validate cluster.json --csar kubernetes.zip")
    reader(instantiate)
    assert "overlaps subnet" in reader.ended("FAILED_TEMP")
    reader("openstack vnflcm op rollback LCM_OP_OCC_ID")
    openstack.wait(reader.values["LCM_OP_OCC_ID"], ("ROLLED_BACK",), 60)

    # A cause that can be mended: the registry does not answer.
    reader.write("cluster.json", body)
    stand.lab.run(registry_machine, ["docker", "stop", "private_registry"])
    reader(instantiate)
    assert f"{site.registry}: TCP" in reader.ended("FAILED_TEMP")
    stand.lab.run(registry_machine, ["docker", "start", "private_registry"])
    reader("openstack vnflcm op retry LCM_OP_OCC_ID")
    openstack.wait(reader.values["LCM_OP_OCC_ID"], ("COMPLETED",), 600)

    url = f"https://{reader.address('masterNode')}:6443"
    assert url in reader("openstack vim show kubernetes_vim")
    assert _ready_nodes(reader) == 2
    reader.kubectl("run app --image=10.10.0.10:5000/app:1", "--", "serve", ":8080")
    wait_for(lambda: "Running" in reader.kubectl("get pod app"), "the pod", 60, EVERY)

    scale = "openstack vnflcm scale --type {} --aspect-id worker_instance --number-of-steps 1 {}"
    for kind, nodes in (("SCALE_OUT", 3), ("SCALE_IN", 2)):
        reader(scale.format(kind, "VNF_INSTANCE_ID"))
        reader.ended()
        assert _ready_nodes(reader) == nodes

    _change_registries(reader)
    reader.write("touch.json")
    reader.update("touch.json")

    shown = json.loads(reader("openstack vnflcm show VNF_INSTANCE_ID", "-f", "json"))
    vnfcs = shown["Instantiated Vnf Info"]["vnfcResourceInfo"]
    (reader.values["VNFC_ID"],) = (v["id"] for v in vnfcs if v["vduId"] == "workerNode")
    for heal in (" --vnfc-instance VNFC_ID", ""):
        reader(f"openstack vnflcm heal VNF_INSTANCE_ID{heal}")
        reader.ended()
        assert _ready_nodes(reader) == 2

    reader.discard()
    assert "kubernetes_vim" not in openstack("vim", "list")
    reader.values |= registry_ids
    reader.discard()
    assert reader.guide.left == set()


def _begin_registry(
    stand: CloudStand, openstack: OpenStack, reader: Reader, directory: Path
) -> tuple[dict[str, str], KubernetesSite]:
    """Make the registry as the page says; return its ids, and the site that it is filled for."""
    shutil.copy(stand.lab.prepared.registry_image, directory / "private_registry.tar")
    reader.values["ubuntu-22.04"] = "debian-12"
    reader("tacker-cir samples samples")
    key_option(directory)
    reader(
        "tacker-cir csar build private-registry --base-hot --vm-image ubuntu-22.04 "
        "--flavor m1.small --file Files/keys/id_ed25519=id_ed25519 --image private_registry.tar "
        "--output private-registry.zip",
        f"--vnfd-id={uuid.uuid4()}",
    )
    reader.onboard("private-registry.zip")
    image = {"image_path": "Files/images/private_registry.tar"}
    reader.write("registry.json", request(BODY, openstack.field("ID", "vim", "list"), image))
    create = "openstack vnflcm create VNFD_ID --name registry"
    reader.values["VNF_INSTANCE_ID"] = reader.field("ID", create)
    reader("openstack vnflcm instantiate VNF_INSTANCE_ID registry.json")
    reader.ended()
    site = KubernetesSite(stand.lab, f"{reader.address('PrivateRegistryVDU')}:5000")
    site.open()
    return {name: reader.values[name] for name in ("VNF_PACKAGE_ID", "VNF_INSTANCE_ID")}, site


def _ready_nodes(reader: Reader) -> int:
    """Return how many nodes there are, after all of them are ready."""
    lines = reader.kubectl("get nodes").splitlines()[1:]
    assert all(line.split()[1] == "Ready" for line in lines), lines
    return len(lines)


def _change_registries(reader: Reader) -> None:
    """Update the metadata: wrongly; rightly; and back to what was requested."""
    wrong = {"private_registry_connection_info": reader.values["10.10.0.10:5000"]}
    reader.write("update.json", {"metadata": wrong})
    said = reader.update("update.json", "FAILED_TEMP")
    assert "written as JSON in one string" in said
    reader.write("registries.json")
    reader("tacker-cir registries registries.json --csar kubernetes.zip --output update.json")
    reader.update("update.json")
    reader.write("as-requested.json")
    reader.update("as-requested.json")
