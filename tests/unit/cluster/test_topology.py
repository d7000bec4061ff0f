# SPDX-License-Identifier: Apache-2.0
"""From a stack's resources to the nodes of a cluster."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network

import pytest

from tacker_cir.cluster.topology import node_name, read_topology
from tacker_cir.command import Secret
from tacker_cir.exceptions import InventoryError
from tacker_cir.inventory import Resource
from tacker_cir.login import Credentials
from tacker_cir.params.k8s_cluster import ClusterParams, NodeParams

TOP = "top"
LOGIN = Credentials("ubuntu", Secret("ubuntu"))
MASTERS = NodeParams("masterNode_CP1", "masterNode_CP1", LOGIN, "master_instance")
WORKERS = NodeParams("workerNode_CP2", "workerNode_CP2", LOGIN, "worker_instance")
PARAMS = ClusterParams(
    MASTERS, WORKERS, "masterNode_CP1", None, pod_cidr=IPv4Network("10.244.0.0/16")
)


def resource(name, kind, physical_id, stack=TOP, required_by=(), **attributes):
    return Resource(name, kind, physical_id, stack, tuple(required_by), attributes)


def port(name, address, stack, *, port_id=None, server=None):
    addresses = address if isinstance(address, list) else [address]
    return resource(
        name, "OS::Neutron::Port", port_id or f"port-{name}-{stack}", stack,
        [server] if server else [], fixed_ips=[{"ip_address": a} for a in addresses],
    )  # fmt: skip


def group(aspect, cp, server, addresses, *, extra=lambda stack, address: []):
    """Return an auto-scaling group whose members have one server each."""
    found = [resource(aspect, "OS::Heat::AutoScalingGroup", f"{aspect}-stack")]
    for number, address in enumerate(addresses):
        stack = f"{aspect}-{number}-stack"
        found += [
            resource(f"m{number}", "nested.yaml", stack, f"{aspect}-stack"),
            resource(server, "OS::Nova::Server", f"{server}-{number}", stack),
            port(cp, address, stack, server=server),
            *extra(stack, address),
        ]
    return found


def stack(masters=("198.51.100.10",), workers=("198.51.100.20", "198.51.100.3")):
    return [
        *group("master_instance", "masterNode_CP1", "masterNode", masters),
        *group("worker_instance", "workerNode_CP2", "workerNode", workers),
        resource("policy", "OS::Heat::ScalingPolicy", "p"),
    ]


def test_one_master():
    found = read_topology(stack(), PARAMS)
    assert [n.name for n in found.nodes] == [
        "master-198-51-100-10", "worker-198-51-100-3", "worker-198-51-100-20",
    ]  # fmt: skip
    assert found.virtual_address is None
    assert found.endpoint == "198.51.100.10:6443"
    assert found.public_url == "https://198.51.100.10:6443"
    last = found.workers[-1].machine
    assert (last.member, last.server_id) == ("m0", "workerNode-0")
    assert str(found.workers[0]) == "worker-198-51-100-3 (198.51.100.3)"


def test_three_masters_behind_a_virtual_address():
    resources = [
        *stack(masters=("198.51.100.10", "198.51.100.11", "198.51.100.9")),
        port("vip_CP", "198.51.100.200", TOP),
    ]
    found = read_topology(resources, replace(PARAMS, cluster_cp_name="vip_CP"))
    assert [m.address for m in found.masters] == ["198.51.100.9", "198.51.100.10", "198.51.100.11"]
    assert found.endpoint == "198.51.100.200:16443"
    assert found.public_url == "https://198.51.100.200:16443"
    assert found.api_addresses == (
        "198.51.100.200", "198.51.100.9", "198.51.100.10", "198.51.100.11",
    )  # fmt: skip


def test_floating_ips_are_for_ssh_and_for_tacker_only():
    def floating(stack, address):
        return [resource("FIP", "OS::Neutron::FloatingIP", f"fip-{stack}", stack,
                         floating_ip_address=address.replace("198.51.100", "203.0.113"),
                         port_id=f"port-masterNode_CP1-{stack}")]  # fmt: skip

    resources = [
        *group("master_instance", "masterNode_CP1", "masterNode", ["198.51.100.10"],
               extra=floating),
        *group("worker_instance", "workerNode_CP2", "workerNode", ["198.51.100.20"]),
    ]  # fmt: skip
    params = replace(PARAMS, master=replace(MASTERS, ssh_cp_name="FIP"))
    found = read_topology(resources, params)
    (master,) = found.masters
    assert (master.machine.ssh_address, master.address) == ("203.0.113.10", "198.51.100.10")
    assert found.endpoint == "198.51.100.10:6443"
    assert found.public_url == "https://203.0.113.10:6443"
    assert found.api_addresses == ("203.0.113.10", "198.51.100.10")


def test_ssh_through_another_port_than_the_cluster_uses():
    def second(stack, address):
        return [port("oam", address.replace("198.51.100", "192.0.2"), stack, server="workerNode")]

    resources = [
        *group("master_instance", "masterNode_CP1", "masterNode", ["198.51.100.10"]),
        *group("worker_instance", "workerNode_CP2", "workerNode", ["198.51.100.20"], extra=second),
    ]
    found = read_topology(resources, replace(PARAMS, worker=replace(WORKERS, ssh_cp_name="oam")))
    (worker,) = found.workers
    assert (worker.machine.ssh_address, worker.address) == ("192.0.2.20", "198.51.100.20")


def test_a_floating_ip_of_the_virtual_address():
    resources = [
        *stack(masters=("198.51.100.10", "198.51.100.11", "198.51.100.12")),
        port("vip_CP", "198.51.100.200", TOP),
        resource("vip_FIP", "OS::Neutron::FloatingIP", "f", floating_ip_address="203.0.113.9"),
    ]
    params = replace(PARAMS, cluster_cp_name="vip_CP", cluster_fip_name="vip_FIP")
    found = read_topology(resources, params)
    assert (found.endpoint, found.public_url) == (
        "198.51.100.200:16443", "https://203.0.113.9:16443",
    )  # fmt: skip
    with pytest.raises(InventoryError, match="no floating IP 'vip_FIB'; did you mean vip_FIP"):
        read_topology(resources, replace(params, cluster_fip_name="vip_FIB"))


def test_machines_of_the_top_stack_without_aspects():
    resources = [
        resource("masterNode", "OS::Nova::Server", "s1"),
        resource("workerNode", "OS::Nova::Server", "s2"),
        port("masterNode_CP1", "198.51.100.10", TOP, server="masterNode"),
        port("workerNode_CP2", "198.51.100.20", TOP, server="workerNode"),
    ]
    params = replace(
        PARAMS, master=replace(MASTERS, aspect_id=None), worker=replace(WORKERS, aspect_id=None)
    )
    found = read_topology(resources, params)
    assert [(n.name, n.machine.server_id) for n in found.nodes] == [
        ("master-198-51-100-10", "s1"), ("worker-198-51-100-20", "s2"),
    ]  # fmt: skip


def test_groups_that_tacker_made_from_the_vnfd():
    resources = [
        r if r.type != "OS::Heat::AutoScalingGroup" else replace(r, name=f"{r.name}_group")
        for r in stack()
    ]
    assert len(read_topology(resources, PARAMS).nodes) == 3


def test_no_worker_is_a_cluster_too():
    assert read_topology(stack(workers=()), PARAMS).workers == ()


@pytest.mark.parametrize(
    ("resources", "changes", "message"),
    [
        (stack(), {"worker": replace(WORKERS, aspect_id="worker_instanc")},
         "no auto-scaling group 'worker_instanc'; did you mean worker_instance"),
        (stack(), {"cluster_cp_name": "vip_CP"}, r"no port 'vip_CP' \(cluster_cp_name\)"),
        (stack(masters=("198.51.100.10", "198.51.100.11")), {},
         "2 ports are named 'masterNode_CP1' .* virtual address of its own"),
        (stack(), {"pod_cidr": IPv4Network("198.51.0.0/16")},
         "198.51.100.10 lies in pod_cidr 198.51.0.0/16"),
        (stack(), {"cluster_cidr": IPv4Network("198.51.100.0/24")}, "lies in cluster_cidr"),
        (stack(workers=("198.51.100.10",)), {}, "several nodes have the address 198.51.100.10"),
        (stack(workers=("2001:db8::7",)), {}, "2001:db8::7 is IPv6"),
        (stack(), {"master": replace(MASTERS, ssh_cp_name="masterNode_CP2")},
         "member m0 has no port or floating IP named 'masterNode_CP2'"),
    ],
)  # fmt: skip
def test_what_is_no_cluster(resources, changes, message):
    with pytest.raises(InventoryError, match=message):
        read_topology(resources, replace(PARAMS, **changes))


def test_a_masters_own_address_is_no_virtual_one():
    resources = [
        *stack(masters=("198.51.100.10", "198.51.100.11")),
        port("vip_CP", "198.51.100.11", TOP),
    ]
    with pytest.raises(InventoryError, match="2 masters need a virtual address.*is a master's"):
        read_topology(resources, replace(PARAMS, cluster_cp_name="vip_CP"))


def test_names_do_not_collide_and_are_labels():
    assert node_name("worker", "10.1.0.5") != node_name("worker", "10.2.0.5")
    assert node_name("worker", "2001:db8::") == "worker-2001-0db8-0000-0000-0000-0000-0000-0000"
    assert len(node_name("worker", "2001:db8::")) <= 63
