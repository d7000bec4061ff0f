# SPDX-License-Identifier: Apache-2.0
"""The registry VNF through Tacker's API, as a user sees it."""

from __future__ import annotations

import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest

from tacker_cir.inventory import Heat, find_nodes
from tests.lab.driving import registry_status
from tests.lab.registry_vnf import RegistryVnf, build_csar
from tests.lab.vnf import completed, refused
from tests.testbed.cloud import settings
from tests.testbed.cloud.api import TackerError
from tests.testbed.machines.host import wait_for

BASEHOT = "instantiate_private_registry_basehot.json"


@pytest.fixture
def vnf(stand, image, tmp_path):
    """Makes VNF instances from a package of their own; they are gone after the test."""
    made = []

    def make(guest="debian-12", base_hot=False, with_image=True) -> RegistryVnf:
        csar = build_csar(
            tmp_path, guest=guest, image=image if with_image else None, base_hot=base_hot
        )
        made.append(RegistryVnf(stand, csar))
        return made[-1]

    yield make
    for instance in made:
        instance.discard()


def pins(stand, vnf) -> list[str]:
    """Ids of the servers whose host keys are pinned."""
    directory = stand.cloud.dir / "tacker_cir" / "host_keys" / vnf.id
    return [file.stem for file in directory.glob("*.json")]


def test_tosca_package_with_image_lives_and_heals(stand, vnf):
    registry = vnf()
    completed(registry.instantiate())
    first = registry.server()
    assert registry_status(first.address) == 200
    assert pins(stand, registry) == [first.id]
    first_key = stand.lab.run(first.machine, ["cat", "/etc/ssh/ssh_host_ed25519_key.pub"]).stdout

    completed(registry.heal(registry.vnfc_ids()))
    second = registry.server()
    assert second.id != first.id
    assert stand.lab.state(first.machine)["state"] == "absent"
    assert second.address == first.address
    second_key = stand.lab.run(second.machine, ["cat", "/etc/ssh/ssh_host_ed25519_key.pub"]).stdout
    assert second_key != first_key
    assert pins(stand, registry) == [second.id]
    assert registry_status(second.address) == 200

    completed(registry.heal())
    third = registry.server()
    assert third.id not in (first.id, second.id)
    assert registry_status(third.address) == 200

    completed(registry.terminate())
    assert stand.lab.state(third.machine)["state"] == "absent"


def test_basehot_package_pulls_through_a_proxy_on_another_port(stand, lab, vnf, proxy_url):
    registry = vnf("debian-12-mirror", base_hot=True, with_image=False)
    overrides = {
        "image_path": None,
        "port_no": "5050",
        "proxy": {"http_proxy": proxy_url, "https_proxy": proxy_url, "no_proxy": ""},
    }
    before = len(lab.proxy_log())
    completed(registry.instantiate(overrides, sample=BASEHOT))
    assert registry_status(registry.server().address, 5050) == 200
    used = "\n".join(lab.proxy_log()[before:])
    assert "docker.io" in used and "/v2/library/registry/" in used
    assert urlsplit(proxy_url).password not in stand.driver_log()

    completed(registry.heal(registry.vnfc_ids()))
    assert registry_status(registry.server().address, 5050) == 200


FAULTY = {
    "missing image": (
        {"image_path": "Files/images/other.tar"},
        ["private_registry_installation_param.image_path", "is not in the VNF package"],
    ),
    "path out of the package": (
        {"image_path": "../../../etc/passwd"},
        ["private_registry_installation_param.image_path", "leads out of the VNF package"],
    ),
    "absolute path": (
        {"image_path": "/etc/passwd"},
        ["private_registry_installation_param.image_path", "path relative to the top"],
    ),
    "several at once": (
        {"port_no": "70000", "ssh_user": "x", "ssh_cp_name": "CP2", "ssh_username": None},
        [
            "4 faults",
            "param.port_no: expected a TCP port number, 1 to 65535; got '70000'",
            "param.ssh_user: unknown key; did you mean ssh_username?",
            "param.ssh_cp_name: the VNF package has no CP 'CP2'; did you mean CP1?",
            "param.ssh_username: is missing",
        ],
    ),
}


@pytest.fixture(scope="module")
def never(stand, image, tmp_path_factory):
    """A VNF instance that never comes to be."""
    csar = build_csar(tmp_path_factory.mktemp("never"), guest="debian-12", image=image)
    made = RegistryVnf(stand, csar)
    yield made
    made.discard()


@pytest.mark.parametrize(("overrides", "told"), FAULTY.values(), ids=FAULTY)
def test_faulty_request_is_refused_before_any_vm_is_made(stand, never, overrides, told):
    servers = stand.cloud.servers()
    operation = never.instantiate(overrides)
    detail = refused(operation)
    assert "nothing was changed" in detail
    for text in told:
        assert text in detail
    assert stand.cloud.servers() == servers
    never.roll_back(operation)


def test_wrong_password_is_told_and_not_shown(stand, vnf):
    registry = vnf()
    detail = refused(registry.instantiate({"ssh_password": "wr0ng-S3cret"}))
    server = registry.server()
    assert f"node CP1 ({server.address}), step 'log in over SSH'" in detail
    assert "refuses user ubuntu" in detail and "check ssh_username" in detail
    assert "wr0ng-S3cret" not in detail + stand.driver_log()


def test_unsupported_guest_is_told(vnf):
    registry = vnf("fedora-40")
    detail = refused(registry.instantiate())
    assert "the VM runs Fedora Linux 40" in detail and "use an image of" in detail


def test_retry_completes_what_a_broken_connection_left(stand, vnf):
    registry = vnf()
    with ThreadPoolExecutor() as pool:
        cut = pool.submit(_cut_when_installing, stand, registry)
        operation = registry.instantiate()
        cut.result()
    assert "the SSH connection broke" in refused(operation)

    registry.tacker.retry(operation["id"])
    completed(registry.tacker.wait(operation["id"]))
    assert registry_status(registry.server().address) == 200


def _cut_when_installing(stand, registry):
    """End the SSH sessions of the VNF's machine as soon as apt installs there."""
    machine = _wait_until_installing(stand, registry)
    stand.lab.run(machine, ["pkill", "-f", "sshd: ubuntu"])


def _wait_until_installing(stand, registry, old_id=None) -> str:
    """Wait until apt installs on the VNF's (new) machine; return the machine's name."""
    server = wait_for(lambda: _server_that_answers(registry, old_id), "the VM", 60)
    # The brackets keep the pattern from matching the shell that holds it.
    wait = "until pgrep -f '[a]pt-get .*install' >/dev/null; do sleep 0.05; done"
    stand.lab.run(server.machine, ["timeout", "60", "sh", "-c", wait])
    return server.machine


def _server_that_answers(registry, old_id):
    try:
        server = registry.server()
        socket.create_connection((server.address, 22), timeout=1).close()
    except (ValueError, OSError):
        return None
    return server if server.id != old_id else None


def test_conductor_killed_in_the_middle_of_an_instantiation_and_a_heal(stand, vnf):
    """As the user guide says: Tacker's v1 API cannot go on by itself, its database must be told."""
    registry = vnf()
    operation = registry.begin_instantiate()
    _wait_until_installing(stand, registry)
    stand.cloud.kill_conductor()
    stand.cloud.start_conductor()
    assert registry.tacker.operation(operation)["operationState"] == "PROCESSING"
    with pytest.raises(TackerError, match="409"):
        registry.tacker.retry(operation)

    stand.cloud.reopen_operation(operation, error_point=4)
    registry.tacker.retry(operation)
    completed(registry.tacker.wait(operation))
    assert registry_status(registry.server().address) == 200

    old = registry.server()
    operation = registry.begin_heal(registry.vnfc_ids())
    wait_for(lambda: stand.lab.state(old.machine)["state"] == "absent", "the old VM's end", 60)
    wait_for(lambda: _heal_end_runs(stand, registry), "heal_end", 90)
    stand.cloud.kill_conductor()
    stand.cloud.start_conductor()

    stand.cloud.reopen_operation(operation, error_point=6)
    registry.tacker.retry(operation)
    completed(registry.tacker.wait(operation))
    assert registry_status(registry.server().address) == 200


def _heal_end_runs(stand, registry):
    log = stand.cloud.logs["tacker-conductor"].read_text(errors="replace")
    return f"heal_end of VNF instance {registry.id}: start" in log


def test_two_instances_at_once_in_one_conductor(vnf):
    registries = [vnf(), vnf("ubuntu-22.04")]
    with ThreadPoolExecutor() as pool:
        for operation in pool.map(RegistryVnf.instantiate, registries):
            completed(operation)
    addresses = {registry.server().address for registry in registries}
    assert len(addresses) == 2
    assert all(registry_status(address) == 200 for address in addresses)


HOT = """
heat_template_version: wallaby
resources:
  net: {type: OS::Neutron::Net}
  port: {type: OS::Neutron::Port, properties: {network: net0}}
  server:
    type: OS::Nova::Server
    properties: {flavor: m1.small, image: debian-12, networks: [{port: {get_resource: port}}]}
  public:
    type: OS::Neutron::FloatingIP
    properties: {floating_network: public, port_id: {get_resource: port}}
outputs:
  ssh_host_keys:
    value: ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"]
"""


def test_inventory_of_a_stack_with_a_floating_ip(stand):
    """Heat itself: one list call gives addresses and servers, an output gives host keys."""
    access = {**settings.CREDENTIALS, "region": settings.REGION}
    heat = Heat(access)
    client = heat._client
    stack = client.stacks.create(stack_name="inventory", template=HOT)["stack"]["id"]
    try:

        def complete():
            return client.stacks.get(stack).stack_status == "CREATE_COMPLETE"

        wait_for(complete, "the stack", 60, every=0.5)
        resources = heat.resources(stack)
        (by_port,) = find_nodes(resources, "port")
        (by_floating_ip,) = find_nodes(resources, "public")
        assert by_port.ssh_address == by_port.address == by_floating_ip.address
        assert by_floating_ip.ssh_address != by_port.address
        (server,) = [r.physical_id for r in resources if r.type == "OS::Nova::Server"]
        assert by_port.server_id == by_floating_ip.server_id == server
        ((kind, key),) = heat.host_keys(stack)
        assert kind == "ssh-ed25519" and key.startswith("AAAAC3")
    finally:
        client.stacks.delete(stack)
        wait_for(lambda: client.stacks.get(stack).stack_status == "DELETE_COMPLETE",
                 "deletion of the stack", 60, every=0.5)  # fmt: skip


def test_openstack_client_with_the_rc_file(stand):
    """What a developer does by hand with a lab that is up."""
    script = f"source {stand.cloud.rc} && openstack vim list -f value -c name"
    shown = subprocess.run(["bash", "-c", script], check=True, capture_output=True, text=True)
    assert shown.stdout.split() == ["lab"]
