# SPDX-License-Identifier: Apache-2.0
"""From a Heat stack to the machines in it, with one list call whatever the stack's size."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from ipaddress import IPv4Network, IPv6Network
from typing import Any
from urllib.parse import unquote, urlsplit

from heatclient import client as heat_client
from heatclient import exc as heat_exc
from keystoneauth1 import exceptions as keystone_exc
from keystoneauth1 import session as keystone_session
from keystoneauth1.identity import v3

from tacker_cir import log as logging
from tacker_cir.exceptions import InventoryError
from tacker_cir.hostkeys import parse_public_key
from tacker_cir.params.schema import did_you_mean
from tacker_cir.reading import Unreadable, reader
from tacker_cir.text import shown
from tacker_cir.whole_requests import session as new_session

LOG = logging.getLogger(__name__)

#: Deeper than any VNF's stacks nest (top, group, member); Heat cuts it to its own limit.
NESTED_DEPTH = 10
#: Seconds for one HTTP request to Keystone or Heat.
REQUEST_TIMEOUT = 60
#: Stack output that may hold the VMs' public host keys, one per line or as a list.
HOST_KEYS_OUTPUT = "ssh_host_keys"

_SERVES = (
    "To do: check that Heat and Keystone serve and that the stack exists, then retry the operation"
)
#: Characters of Heat's own words that are told.
_TOLD = 500

_PORT = "OS::Neutron::Port"
_FLOATING_IP = "OS::Neutron::FloatingIP"
_SERVER = "OS::Nova::Server"
_GROUP = "OS::Heat::AutoScalingGroup"
_VOLUME = "OS::Cinder::Volume"
# Its physical id is that of the volume (Nova's API, "Servers with volume attachments").
_ATTACHMENT = "OS::Cinder::VolumeAttachment"
# Becomes a part of paths and of command lines.
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)


@dataclass(frozen=True)
class Node:
    """A machine of the stack.

    :param cp_name: the CP through which it was found
    :param ssh_address: address for SSH from here: the floating IP if the CP is one
    :param address: address of the machine's own port
    :param server_id: id of the Nova server, None where the stack does not tell
    :param member: name of the auto-scaling group's member that it is in, None outside of groups
    """

    cp_name: str
    ssh_address: str
    address: str
    server_id: str | None
    member: str | None = None

    def __str__(self) -> str:
        return f"{self.cp_name} ({self.ssh_address})"


@dataclass(frozen=True)
class Resource:
    """A resource of a stack, nested ones included.

    :param stack: id of the stack that it is in
    :param required_by: names of the resources of the same stack that depend on it
    """

    name: str
    type: str
    physical_id: str
    stack: str
    required_by: tuple[str, ...]
    attributes: Mapping[str, Any]


class Heat:
    """Heat of one VIM.

    :param access_info: ``accessInfo`` of the VIM, as Tacker keeps it for type ``openstack``
    """

    def __init__(self, access_info: Mapping[str, Any]):
        self._client = heat_client.Client(
            "1",
            session=_session(access_info),
            region_name=_region(access_info),
            interface="public",
            service_type="orchestration",
        )

    def resources(self, stack_id: str) -> list[Resource]:
        """Return all resources of a stack and its nested stacks with their attributes.

        :raises InventoryError: Heat cannot be asked or has no such stack
        """
        what = f"Heat does not list the resources of stack {stack_id}"
        with _asked(what):
            found = self._client.resources.list(
                stack_id, nested_depth=NESTED_DEPTH, with_detail=True
            )
            items = [item.to_dict() for item in found]
        with _read(what):
            return [_resource(item) for item in items]

    def host_keys(self, stack_id: str) -> list[tuple[str, str]]:
        """Return the public host keys in the stack's output ``ssh_host_keys``, if it has one.

        :raises InventoryError: the output is no list of public keys, or Heat cannot be asked
        """
        what = f"Heat does not show stack {stack_id}"
        with _asked(what):
            stack = self._client.stacks.get(stack_id, resolve_outputs=True).to_dict()
        with _read(f"output {HOST_KEYS_OUTPUT} of stack {stack_id}"):
            return read_host_keys(stack)


def read_subnets(access_info: Mapping[str, Any], network: str) -> list[IPv4Network | IPv6Network]:
    """Return the subnets of a network of Neutron ("List subnets" of its API v2.0).

    :param access_info: as for :class:`Heat`
    :param network: its id
    :return: none where the VIM has no Neutron, or it does not tell
    """
    session = _session(access_info)
    try:
        endpoint = session.get_endpoint(
            service_type="network", interface="public", region_name=_region(access_info)
        )
        if endpoint is None:
            return []
        # The catalog of some clouds has the version in it.
        base = endpoint.rstrip("/").removesuffix("/v2.0")
        answer = session.get(
            f"{base}/v2.0/subnets", params={"network_id": network, "fields": "cidr"}
        )
        return [ipaddress.ip_network(subnet["cidr"]) for subnet in answer.json()["subnets"]]
    except Exception as error:
        LOG.info("the subnets of network %s are not known: %s", network, type(error).__name__)
        return []


def find_nodes(resources: Sequence[Resource], cp_name: str) -> list[Node]:
    """Return the machines that have a CP of that name.

    :param resources: of the stack and its nested stacks
    :param cp_name: name of an OS::Neutron::Port or OS::Neutron::FloatingIP resource
    :raises InventoryError: there is none, or it has no address
    """
    nodes = [
        _node(resource, resources)
        for resource in resources
        if resource.name == cp_name and resource.type in (_PORT, _FLOATING_IP)
    ]
    if not nodes:
        known = sorted({r.name for r in resources if r.type in (_PORT, _FLOATING_IP)})
        hint = did_you_mean(cp_name, known) if known else "the stack has no port at all"
        raise InventoryError(f"the stack has no port or floating IP named {cp_name!r}; {hint}")
    return sorted(nodes, key=lambda node: node.ssh_address)


def find_group_nodes(
    resources: Sequence[Resource], group: str, ssh_cp_name: str, nic_cp_name: str
) -> list[Node]:
    """Return the machines in the members of an auto-scaling group.

    :param group: name of the OS::Heat::AutoScalingGroup resource: that of the scaling aspect, or,
        where Tacker made the template from the VNFD, that with ``_group`` behind it
    :param ssh_cp_name: the CP used for SSH, a port or a floating IP
    :param nic_cp_name: the port whose address the node has in the cluster
    :raises InventoryError: there is no such group, or a member lacks one of the CPs
    """
    groups = [r for r in resources if r.type == _GROUP and r.name in (group, f"{group}_group")]
    if not groups:
        known = sorted({r.name for r in resources if r.type == _GROUP})
        hint = did_you_mean(group, known) if known else "the stack has no such group at all"
        raise InventoryError(f"the stack has no auto-scaling group {group!r}; {hint}")
    members = [r for r in resources if r.stack == groups[0].physical_id]
    nodes = []
    for member in sorted(members, key=lambda m: m.name):
        stacks = _stacks_below(resources, member.physical_id)
        inside = [r for r in resources if r.stack in stacks]
        for node in _paired(inside, resources, ssh_cp_name, nic_cp_name, f"member {member.name}"):
            nodes.append(replace(node, member=member.name))
    return nodes


def find_pairs(resources: Sequence[Resource], ssh_cp_name: str, nic_cp_name: str) -> list[Node]:
    """Return the machines that have both CPs; parameters and errors as for
    :func:`find_group_nodes`."""
    return _paired(resources, resources, ssh_cp_name, nic_cp_name, "the stack")


def find_address(resources: Sequence[Resource], port_name: str) -> list[str]:
    """Return the different addresses that ports of a name have."""
    ports = [r for r in resources if r.name == port_name and r.type == _PORT]
    return sorted({_fixed_address(port) for port in ports})


def find_floating_address(resources: Sequence[Resource], name: str) -> str:
    """Return the address of a floating IP.

    :raises InventoryError: there is none, or it has no address yet
    """
    for resource in resources:
        if resource.name == name and resource.type == _FLOATING_IP:
            address = resource.attributes.get("floating_ip_address")
            if address:
                return str(address)
            raise InventoryError(f"floating IP {name!r} has no address yet")
    known = sorted({r.name for r in resources if r.type == _FLOATING_IP})
    hint = did_you_mean(name, known) if known else "the stack has no floating IP at all"
    raise InventoryError(f"the stack has no floating IP {name!r}; {hint}")


def find_volume(resources: Sequence[Resource], name: str) -> str:
    """Return the id of a volume.

    :param name: of the resource that makes or attaches it
    :raises InventoryError: there is none, or several, or it is not there yet
    """
    kinds = (_VOLUME, _ATTACHMENT)
    found = {r.physical_id for r in resources if r.name == name and r.type in kinds}
    if not found:
        known = sorted({r.name for r in resources if r.type in kinds})
        hint = did_you_mean(name, known) if known else "the stack has no volume at all"
        raise InventoryError(f"the stack has no volume or attachment named {name!r}; {hint}")
    if len(found) > 1:
        raise InventoryError(
            f"the stack has {len(found)} volumes named {name!r}; expected one, as a registry VNF "
            "has exactly one VM"
        )
    (volume,) = found
    if not _UUID.fullmatch(volume):
        told = f"has the id {shown(volume)!r}, not that of a volume" if volume else "is not made"
        raise InventoryError(f"volume {name!r} of the stack {told}. {_SERVES}")
    return volume


def _paired(
    inside: Sequence[Resource],
    resources: Sequence[Resource],
    ssh_cp_name: str,
    nic_cp_name: str,
    where: str,
) -> list[Node]:
    """Return the machines that have both CPs among the resources ``inside``."""
    nodes = []
    for cp in inside:
        if cp.name != ssh_cp_name or cp.type not in (_PORT, _FLOATING_IP):
            continue
        node = _node(cp, resources)
        if nic_cp_name != ssh_cp_name:
            nics = [
                _node(r, resources) for r in inside if r.name == nic_cp_name and r.type == _PORT
            ]
            same = [n for n in nics if n.server_id == node.server_id]
            if len(same) != 1:
                raise InventoryError(
                    f"{where} has {len(same)} ports {nic_cp_name!r} of the server that "
                    f"{ssh_cp_name!r} belongs to; expected one"
                )
            node = replace(node, address=same[0].address)
        nodes.append(node)
    if not nodes:
        known = sorted({r.name for r in inside if r.type in (_PORT, _FLOATING_IP)})
        hint = did_you_mean(ssh_cp_name, known) if known else "it has no port at all"
        raise InventoryError(f"{where} has no port or floating IP named {ssh_cp_name!r}; {hint}")
    return sorted(nodes, key=lambda node: ipaddress.ip_address(node.address).packed)


def _stacks_below(resources: Sequence[Resource], stack: str) -> set[str]:
    """Return the ids of a stack and of the stacks nested in it."""
    found, new = {stack}, [stack]
    while new:
        parent = new.pop()
        for resource in resources:
            if resource.stack == parent and resource.physical_id not in found:
                if any(r.stack == resource.physical_id for r in resources):
                    found.add(resource.physical_id)
                    new.append(resource.physical_id)
    return found


def _node(cp: Resource, resources: Sequence[Resource]) -> Node:
    siblings = [r for r in resources if r.stack == cp.stack]
    if cp.type == _PORT:
        address = _fixed_address(cp)
        return Node(cp.name, address, address, _server_id(cp, siblings))
    floating = cp.attributes.get("floating_ip_address")
    if not floating:
        raise InventoryError(f"floating IP {cp.name!r} has no address yet")
    port_id = cp.attributes.get("port_id")
    port = next((r for r in resources if r.type == _PORT and r.physical_id == port_id), None)
    if port is None:
        address = cp.attributes.get("fixed_ip_address") or floating
        return Node(cp.name, floating, address, _only_server(siblings))
    port_siblings = [r for r in resources if r.stack == port.stack]
    return Node(cp.name, floating, _fixed_address(port), _server_id(port, port_siblings))


def _fixed_address(port: Resource) -> str:
    addresses = [ip.get("ip_address") for ip in port.attributes.get("fixed_ips") or ()]
    found = [ipaddress.ip_address(address) for address in addresses if address]
    if not found:
        raise InventoryError(
            f"port {port.name!r} has no IP address; its network needs a subnet with addresses left"
        )
    # IPv4 first: what the spec's command and its users expect of a dual-stack port.
    return str(min(found, key=lambda address: address.version))


def _server_id(port: Resource, siblings: Iterable[Resource]) -> str | None:
    siblings = list(siblings)
    for resource in siblings:
        if resource.type == _SERVER and resource.name in port.required_by:
            return resource.physical_id
    return _only_server(siblings)


def _only_server(siblings: Iterable[Resource]) -> str | None:
    servers = [r for r in siblings if r.type == _SERVER]
    return servers[0].physical_id if len(servers) == 1 else None


def _session(access_info: Mapping[str, Any]) -> keystone_session.Session:
    verify = str(access_info.get("cert_verify", True)).lower() not in ("false", "0", "no")
    names = (
        "auth_url",
        "username",
        "password",
        "project_name",
        "project_id",
        "user_domain_name",
        "user_domain_id",
        "project_domain_name",
        "project_domain_id",
    )
    auth = v3.Password(**{n: access_info[n] for n in names if access_info.get(n)})
    return keystone_session.Session(
        auth=auth, verify=verify, timeout=REQUEST_TIMEOUT, session=new_session()
    )


def _region(access_info: Mapping[str, Any]) -> str | None:
    return access_info.get("region") or access_info.get("region_name")


@contextmanager
def _asked(what: str) -> Iterator[None]:
    """Let whatever a question to Heat ends in be the one error.

    :param what: what does not work
    """
    try:
        yield
    except (heat_exc.BaseException, keystone_exc.ClientException) as error:
        raise InventoryError(f"{what}: {str(error)[:_TOLD]}. {_SERVES}") from None
    except Exception as error:
        # Its client takes an answer for right; what it then says holds the answer.
        raise InventoryError(f"{what}: {type(error).__name__} in its client. {_SERVES}") from None


@contextmanager
def _read(what: str) -> Iterator[None]:
    try:
        yield
    except Unreadable as error:
        raise InventoryError(f"{what}: {shown(error, 1000)}. {_SERVES}") from None


@reader("a list of public keys, lines like 'ssh-ed25519 AAAA...'")
def read_host_keys(stack: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the public host keys in a stack's output, none where it has no such output.

    :raises Unreadable: it is no list of public keys
    """
    for output in stack["outputs"]:
        if output["output_key"] == HOST_KEYS_OUTPUT:
            value = output["output_value"]
            lines = value.splitlines() if isinstance(value, str) else value
            return [parse_public_key(line) for line in lines if line.strip()]
    return []


@reader("a resource of a stack")
def _resource(item: Mapping[str, Any]) -> Resource:
    attributes = item.get("attributes") or {}
    addresses = [ip.get("ip_address") for ip in attributes.get("fixed_ips") or ()]
    addresses += [attributes.get(name) for name in ("floating_ip_address", "fixed_ip_address")]
    for address in filter(None, addresses):
        # Addresses become parts of URLs, of files and of command lines.
        ipaddress.ip_address(address + "")
        if "%" in address:
            raise ValueError
    stack = next((link["href"] for link in item.get("links", ()) if link["rel"] == "stack"), "")
    return Resource(
        name=item["resource_name"] + "",
        type=item["resource_type"] + "",
        physical_id=(item["physical_resource_id"] or "") + "",
        # .../stacks/<name>/<id>
        stack=unquote(urlsplit(stack).path.rstrip("/").rpartition("/")[2]),
        required_by=tuple(name + "" for name in item.get("required_by") or ()),
        attributes=attributes,
    )
