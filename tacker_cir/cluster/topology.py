# SPDX-License-Identifier: Apache-2.0
"""Which machines a cluster shall consist of, what they are called and where its API is."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network

from tacker_cir.exceptions import InventoryError
from tacker_cir.inventory import (
    Node,
    Resource,
    find_address,
    find_floating_address,
    find_group_nodes,
    find_pairs,
)
from tacker_cir.login import Credentials
from tacker_cir.params.k8s_cluster import ClusterParams, NodeParams
from tacker_cir.render.haproxy import API_SERVER_PORT
from tacker_cir.render.haproxy import PORT as BALANCED_PORT

MASTER, WORKER = "master", "worker"


@dataclass(frozen=True)
class ClusterNode:
    """A machine as a node of the cluster.

    :param role: ``master`` or ``worker``
    :param name: of the Kubernetes node, and the machine's host name
    """

    role: str
    name: str
    machine: Node
    credentials: Credentials

    @property
    def address(self) -> str:
        """Address in the cluster."""
        return self.machine.address

    def __str__(self) -> str:
        return f"{self.name} ({self.machine.ssh_address})"


@dataclass(frozen=True)
class Topology:
    """The machines and addresses of a cluster.

    :param masters: ordered by address
    :param workers: ordered by address
    :param virtual_address: the address before the masters that is none of theirs; None where the
        only master's own address is the cluster's
    :param public_address: the address at which the conductor reaches the API
    """

    masters: tuple[ClusterNode, ...]
    workers: tuple[ClusterNode, ...]
    virtual_address: str | None
    public_address: str

    @property
    def nodes(self) -> tuple[ClusterNode, ...]:
        return (*self.masters, *self.workers)

    @property
    def api_port(self) -> int:
        return BALANCED_PORT if self.virtual_address else API_SERVER_PORT

    @property
    def endpoint(self) -> str:
        """The API's ``host:port`` inside the cluster."""
        return _joined(self.virtual_address or self.masters[0].address, self.api_port)

    @property
    def public_url(self) -> str:
        """The API's URL for Tacker."""
        return f"https://{_joined(self.public_address, self.api_port)}"

    @property
    def api_addresses(self) -> tuple[str, ...]:
        """Every address that the API server's certificate must name."""
        addresses = [self.virtual_address, self.public_address]
        for master in self.masters:
            addresses += [master.address, master.machine.ssh_address]
        return tuple(dict.fromkeys(a for a in addresses if a))


def node_name(role: str, address: str) -> str:
    """Return the name of a node: its role and its whole address, so that no two nodes of a cluster
    share a name whatever networks they are in (RFC 1123 labels)."""
    parsed = ipaddress.ip_address(address)
    return f"{role}-{parsed.exploded.replace(':', '-').replace('.', '-')}"


def read_topology(resources: Sequence[Resource], params: ClusterParams) -> Topology:
    """Return the cluster that a stack is to be.

    :param resources: of the stack and its nested stacks
    :raises InventoryError: a CP or a group is missing, or the addresses do not make a cluster
    """
    masters = _nodes(resources, MASTER, params.master)
    workers = _nodes(resources, WORKER, params.worker)
    addresses = find_address(resources, params.cluster_cp_name)
    if not addresses:
        raise InventoryError(f"the stack has no port {params.cluster_cp_name!r} (cluster_cp_name)")
    if len(addresses) > 1:
        raise InventoryError(
            f"{len(addresses)} ports are named {params.cluster_cp_name!r} (cluster_cp_name); with "
            "several masters it must be the port of a virtual address of its own"
        )
    own = {master.address for master in masters}
    virtual = None if addresses[0] in own else addresses[0]
    if len(masters) > 1 and virtual is None:
        raise InventoryError(
            f"{len(masters)} masters need a virtual address: expected cluster_cp_name to be a port "
            f"of its own, but {addresses[0]} is a master's"
        )
    first = masters[0].machine
    if params.cluster_fip_name:
        public = find_floating_address(resources, params.cluster_fip_name)
    elif virtual is None:
        # Where the conductor reaches the machine through a floating IP, Tacker does as well.
        public = first.ssh_address
    else:
        public = virtual
    topology = Topology(tuple(masters), tuple(workers), virtual, public)
    _check_addresses(topology, params)
    return topology


def _nodes(resources: Sequence[Resource], role: str, params: NodeParams) -> list[ClusterNode]:
    names = (params.ssh_cp_name, params.nic_cp_name)
    if params.aspect_id:
        machines = find_group_nodes(resources, params.aspect_id, *names)
    else:
        machines = find_pairs(resources, *names)
    machines.sort(key=lambda machine: ipaddress.ip_address(machine.address).packed)
    return [
        ClusterNode(role, node_name(role, machine.address), machine, params.credentials)
        for machine in machines
    ]


def _check_addresses(topology: Topology, params: ClusterParams) -> None:
    """Refuse addresses that cannot work, before a machine is touched."""
    addresses = [node.address for node in topology.nodes]
    if topology.virtual_address:
        addresses.append(topology.virtual_address)
    twice = sorted({a for a in addresses if addresses.count(a) > 1})
    if twice:
        raise InventoryError(f"several nodes have the address {', '.join(twice)}")
    for address in addresses:
        for name, network in _networks(params):
            if ipaddress.ip_address(address) in network:
                raise InventoryError(
                    f"the nodes' address {address} lies in {name} {network}. To do: terminate, and "
                    f"instantiate with another {name}"
                )
        if ipaddress.ip_address(address).version != 4:
            raise InventoryError(
                f"the node address {address} is IPv6; the networks of pods and services are IPv4. "
                "To do: give the nodes' port a subnet of IPv4"
            )


def _networks(params: ClusterParams) -> Iterable[tuple[str, IPv4Network]]:
    return (("pod_cidr", params.pod_cidr), ("cluster_cidr", params.cluster_cidr))


def _joined(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
