# SPDX-License-Identifier: Apache-2.0
"""Heat with the lab's stand-ins, without Tacker: what a template makes is there, and only that."""

from __future__ import annotations

import shutil
import socket
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml
from heatclient import client as heat_client
from heatclient.exc import HTTPBadRequest
from keystoneauth1 import session as keystone_session
from keystoneauth1.identity import v3

from tests.testbed.cloud import settings
from tests.testbed.machines.host import REPOSITORY, run, wait_for
from tests.testbed.stand import CloudStand

STACK_SECONDS = 240

_SERVER = """
heat_template_version: wallaby
resources:
  CP:
    type: OS::Neutron::Port
    properties: { network: net0 }
  VDU:
    type: OS::Nova::Server
    properties:
      image: debian-12
      flavor: m1.small
      networks: [ { port: { get_resource: CP } } ]
"""

UNIT = f"""{_SERVER}\
      scheduler_hints: {{ group: {{ get_param: group }} }}
parameters:
  group: {{ type: string }}
"""

ONE_SERVER = f"""{_SERVER}\
outputs:
  address: {{ value: {{ get_attr: [ VDU, first_address ] }} }}
"""

EVERYTHING = """
heat_template_version: wallaby
resources:
  group:
    type: OS::Nova::ServerGroup
    properties: { policies: [ anti-affinity ] }
  key:
    type: OS::Nova::KeyPair
    properties: { name: mine, public_key: ssh-ed25519 AAAA }
  flavor:
    type: OS::Nova::Flavor
    properties: { ram: 512, vcpus: 1, disk: 3 }
  image:
    type: OS::Glance::WebImage
    properties: { name: debian-12, disk_format: qcow2, container_format: bare,
                  location: "http://198.51.100.1/debian-12.qcow2" }
  volume:
    type: OS::Cinder::Volume
    properties: { size: 3, image: { get_resource: image } }
  network:
    type: OS::Neutron::Net
  subnet:
    type: OS::Neutron::Subnet
    properties: { network: { get_resource: network }, cidr: 198.51.100.0/24 }
  CP:
    type: OS::Neutron::Port
    properties:
      network: { get_resource: network }
      fixed_ips: [ { subnet: { get_resource: subnet }, ip_address: 198.51.100.77 } ]
  CP2:
    type: OS::Neutron::Port
    properties: { network: { get_resource: network } }
  floating:
    type: OS::Neutron::FloatingIP
    properties: { floating_network: public, port_id: { get_resource: CP } }
  VDU:
    type: OS::Nova::Server
    properties:
      name: From_a Volume
      flavor: { get_resource: flavor }
      key_name: { get_resource: key }
      metadata: { a: b }
      block_device_mapping_v2:
        - { volume_id: { get_resource: volume }, boot_index: 0 }
      networks: [ { port: { get_resource: CP } }, { port: { get_resource: CP2 } } ]
  workers:
    type: OS::Heat::AutoScalingGroup
    properties:
      min_size: 1
      max_size: 3
      desired_capacity: 2
      resource:
        type: unit.yaml
        properties: { group: { get_resource: group } }
  one_more:
    type: OS::Heat::ScalingPolicy
    properties:
      auto_scaling_group_id: { get_resource: workers }
      adjustment_type: change_in_capacity
      scaling_adjustment: 1
outputs:
  fixed: { value: { get_attr: [ CP, fixed_ips, 0, ip_address ] } }
  first: { value: { get_attr: [ VDU, first_address ] } }
  second: { value: { get_attr: [ CP2, fixed_ips, 0, ip_address ] } }
  floating: { value: { get_attr: [ floating, floating_ip_address ] } }
"""


@pytest.fixture(scope="module")
def stand():
    """The running lab."""
    return CloudStand()


@pytest.fixture(scope="module")
def heat():
    """A client of the lab's Heat."""
    session = keystone_session.Session(v3.Password(**settings.CREDENTIALS))
    return heat_client.Client("1", session=session, service_type="orchestration")


@pytest.fixture
def create(heat, stand):
    """Creates stacks: ``create(template, files, **parameters) -> id``; nothing is left of them."""
    before = {server["id"] for server in stand.cloud.servers()}
    made = []

    def make(template: str, files: dict[str, str] | None = None, **parameters) -> str:
        name = f"test-{uuid.uuid4().hex[:8]}"
        answer = heat.stacks.create(
            stack_name=name,
            template=template,
            files=files or {},
            parameters=parameters,
            disable_rollback=True,
        )
        made.append(answer["stack"]["id"])
        return made[-1]

    yield make
    for stack in made:
        heat.stacks.delete(stack)
        found = rested(heat, stack, "DELETE")
        assert found.stack_status == "DELETE_COMPLETE", found.stack_status_reason
    assert {server["id"] for server in stand.cloud.servers()} == before


def rested(heat, stack: str, action: str = "CREATE"):
    """Wait until a stack rests after an action, and return it.

    Heat accepts an action before it begins: until then the stack rests after the one before.
    """

    def ended():
        found = heat.stacks.get(stack)
        return found if found.action == action and found.status != "IN_PROGRESS" else None

    return wait_for(
        ended,
        f"{action} of stack {stack}",
        STACK_SECONDS,
        every=0.5,
    )


def outputs(stack) -> dict[str, str]:
    return {output["output_key"]: output["output_value"] for output in stack.outputs}


def servers(heat, stack: str) -> list:
    found = heat.resources.list(stack, nested_depth=5)
    return [resource for resource in found if resource.resource_type == "OS::Nova::Server"]


def signalled(heat, stack: str, resource: str) -> bool:
    """Whether Heat has done what a signal asked for. What the signal makes is there before: Heat
    then still waits for it, and trips over a stack that is deleted under its feet."""
    events = heat.events.list(stack, resource)
    return "SIGNAL_COMPLETE" in (event.resource_status for event in events)


def machine_of(stand, server) -> str:
    """Name of the machine of a Heat resource."""
    known = {found["id"]: found["machine"] for found in stand.cloud.servers()}
    return known[server.physical_resource_id]


def host_key(stand, machine: str) -> str:
    key = stand.lab.run(machine, ["cat", "/etc/ssh/ssh_host_ed25519_key.pub"], check=False)
    return key.stdout.split()[1] if key.returncode == 0 else ""


def answers(address: str) -> bool:
    """Whether a machine's sshd greets."""
    try:
        with socket.create_connection((address, 22), timeout=2) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def test_keystone_takes_each_request_by_its_own_token(stand):
    user = keystone_session.Session(v3.Password(**settings.CREDENTIALS))
    of_domain = keystone_session.Session(
        v3.Password(
            auth_url=settings.AUTH_URL,
            username="heat_domain_admin",
            password=settings.STACK_ADMIN_PASSWORD,
            user_domain_name="heat",
            domain_name="heat",
        )
    )
    roles = [{"name": role} for role in user.auth.get_access(user).role_names]
    trust = {
        "impersonation": True,
        "trustor_user_id": user.get_user_id(),
        "trustee_user_id": user.get_user_id(),
        "project_id": user.get_project_id(),
        "roles": roles,
    }

    def trusts() -> int:  # is for tokens of a project only
        return user.post(f"{settings.AUTH_URL}/OS-TRUST/trusts", json={"trust": trust}).status_code

    def projects() -> int:
        mine = f"{settings.AUTH_URL}/users/{of_domain.get_user_id()}/projects"
        return of_domain.get(mine).status_code

    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(call) for call in (trusts, projects) * 40]
        assert {answer.result() for answer in asked} == {201, 200}


def test_everything_that_a_vnf_template_uses(heat, stand, create):
    stack = create(EVERYTHING, {"unit.yaml": UNIT})
    found = rested(heat, stack)
    assert found.stack_status == "CREATE_COMPLETE", found.stack_status_reason
    values = outputs(found)
    assert values["fixed"] == values["first"] == "198.51.100.77"
    assert len(set(values.values())) == 3
    for address in values.values():
        wait_for(lambda a=address: answers(a), f"ssh at {address}", 30)
    made = servers(heat, stack)
    assert len(made) == 3
    for server in made:
        state = stand.lab.state(machine_of(stand, server))
        assert (state["state"], state["image"]) == ("running", "debian-12")

    heat.resources.signal(stack, "one_more")
    wait_for(lambda: signalled(heat, stack, "one_more"), "scaling out", 60, every=0.5)
    assert len(servers(heat, stack)) == 4


def test_only_a_clusters_masters_may_use_its_address(heat, create):
    top = REPOSITORY / "samples/kubernetes_vnf_package/BaseHOT/complex"
    files = {path.name: path.read_text() for path in (top / "nested").iterdir()}
    vm = {"image": "debian-12", "flavor": "m1.small"}
    cp = {"network": "net0", "fixed_ips": []}
    nfv = {
        "VDU": {"masterNode": vm, "workerNode": vm},
        "CP": {"masterNode_CP1": cp, "workerNode_CP2": cp, "vip_CP": cp},
    }
    (template,) = top.glob("*.yaml")
    stack = create(template.read_text(), files, nfv=nfv, worker_instance_desired_capacity=1)
    found = rested(heat, stack)
    assert found.stack_status == "CREATE_COMPLETE", found.stack_status_reason

    assert sorted(s.resource_name for s in servers(heat, stack)) == ["masterNode"] * 3 + [
        "workerNode"
    ]
    resources = heat.resources.list(stack, nested_depth=5, with_detail=True)
    ports = [r for r in resources if r.resource_type == "OS::Neutron::Port"]
    addresses = {r.attributes["fixed_ips"][0]["ip_address"] for r in ports}
    assert len(addresses) == len(ports) == 5
    (vip,) = (r for r in ports if r.resource_name == "vip_CP")
    assert not vip.attributes["device_id"]
    allowed = {
        (r.resource_name, pair["ip_address"])
        for r in ports
        for pair in r.attributes["allowed_address_pairs"]
    }
    assert allowed == {("masterNode_CP1", vip.attributes["fixed_ips"][0]["ip_address"])}


@pytest.mark.parametrize(
    "patch", sorted((REPOSITORY / "samples/examples").glob("*.patch")), ids=lambda path: path.stem
)
def test_heat_takes_the_templates_of_the_worked_examples(heat, tmp_path, patch):
    package = tmp_path / "package"
    shutil.copytree(REPOSITORY / "samples/kubernetes_vnf_package", package)
    run(["patch", "-d", package, "-p1", "-i", patch])
    cp = {"network": "net0", "fixed_ips": []}
    names = (
        "masterNode_CP1",
        "workerNode_CP2",
        "masterNode_CP3",
        "workerNode_CP4",
        "vip_CP",
    )
    for top in package.glob("BaseHOT/*/*.yaml"):
        nfv = yaml.safe_load(top.read_text())["parameters"]["nfv"]["default"]
        nfv["CP"] = dict.fromkeys(names, cp)
        files = {path.name: path.read_text() for path in top.parent.glob("nested/*.yaml")}
        heat.stacks.validate(
            template=top.read_text(), files=files, parameters={"nfv": nfv}, show_nested=True
        )


def test_a_server_marked_unhealthy_becomes_another_machine(heat, stand, create):
    stack = create(ONE_SERVER)
    address = outputs(rested(heat, stack))["address"]
    old = machine_of(stand, servers(heat, stack)[0])
    old_key = wait_for(lambda: host_key(stand, old), "host key", 30)
    heat.resources.mark_unhealthy(stack, "VDU", True, "test")
    heat.stacks.update(stack, existing=True)
    found = rested(heat, stack, "UPDATE")
    assert found.stack_status == "UPDATE_COMPLETE", found.stack_status_reason
    new = machine_of(stand, servers(heat, stack)[0])
    assert outputs(found)["address"] == address
    assert new != old
    assert stand.lab.state(old)["state"] == "absent"
    wait_for(lambda: answers(address), f"ssh at {address}", 30)
    assert host_key(stand, new) != old_key


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("image: debian-12", "image: beos-5"), "beos-5"),
        (("{ network: net0 }", "{ network: net0, fixed_ips: [ { ip_address: 192.0.2.9 } ] }"),
         "192.0.2.9"),
    ],
)  # fmt: skip
def test_a_failure_says_why_and_leaves_nothing(heat, create, change, reason):
    found = rested(heat, create(ONE_SERVER.replace(*change)))
    assert found.stack_status == "CREATE_FAILED"
    assert reason in found.stack_status_reason


KEY_AND_GROUP = """
heat_template_version: wallaby
resources:
  key:
    type: OS::Nova::KeyPair
    properties: { name: operators, public_key: PUBLIC }
  group:
    type: OS::Neutron::SecurityGroup
    properties: { name: ssh, rules: [ { protocol: tcp, port_range_min: 22, port_range_max: 22 } ] }
"""


def test_key_pairs_and_security_groups_are_asked_for(heat, stand, create, tmp_path):
    """By Heat's own validation and as Neutron's client plugin does it."""
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"])
    public = (tmp_path / "key.pub").read_text().strip()
    wanted = ONE_SERVER.replace("flavor: m1.small", "flavor: m1.small\n      key_name: operators")
    with pytest.raises(HTTPBadRequest, match="operators"):
        create(wanted)
    grouped = ONE_SERVER.replace("{ network: net0 }", "{ network: net0, security_groups: [ ssh ] }")
    found = rested(heat, create(grouped))
    assert (found.stack_status, "ssh" in found.stack_status_reason) == ("CREATE_FAILED", True)

    assert rested(heat, create(KEY_AND_GROUP.replace("PUBLIC", public))).status == "COMPLETE"
    assert rested(heat, create(grouped)).stack_status == "CREATE_COMPLETE"
    stack = create(wanted)
    assert rested(heat, stack).stack_status == "CREATE_COMPLETE"
    machine = machine_of(stand, servers(heat, stack)[0])
    keys = ["cat", "/home/ubuntu/.ssh/authorized_keys"]
    wait_for(lambda: public in stand.lab.run(machine, keys, check=False).stdout, "the key", 30)


def test_an_address_is_given_only_once(heat, create):
    change = (
        "{ network: net0 }",
        "{ network: net0, fixed_ips: [ { ip_address: 198.51.100.78 } ] }",
    )
    assert rested(heat, create(ONE_SERVER.replace(*change))).stack_status == "CREATE_COMPLETE"
    found = rested(heat, create(ONE_SERVER.replace(*change)))
    assert found.stack_status == "CREATE_FAILED"
    assert "198.51.100.78 is in use" in found.stack_status_reason
