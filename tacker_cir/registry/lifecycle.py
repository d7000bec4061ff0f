# SPDX-License-Identifier: Apache-2.0
"""Life cycle of the registry VNF: what each hook of its MgmtDriver does.

Everything goes through :func:`deploy`, which brings the VM to the state that the instantiate
request describes: for a new VM, a healed one, a retried operation or one that is already right.
"""

from __future__ import annotations

from collections.abc import Sequence

from tacker_cir import expiry
from tacker_cir import log as logging
from tacker_cir.command import Redactor
from tacker_cir.config import TimeLimits
from tacker_cir.connections import Connector, pins
from tacker_cir.exceptions import InventoryError, OperationNotSupported
from tacker_cir.instance import Instance
from tacker_cir.inventory import Node, Resource, find_nodes, find_volume
from tacker_cir.params import private_registry
from tacker_cir.params.private_registry import PrivateRegistryParams
from tacker_cir.params.registry_tls import ServerTls, as_address
from tacker_cir.params.shown_registry import NOTHING, ShownRegistry
from tacker_cir.registry.server import Report, ensure_registry
from tacker_cir.registry.serving import authority

LOG = logging.getLogger(__name__)


def check(instance: Instance) -> PrivateRegistryParams:
    """Refuse a faulty request before any VM is made or destroyed.

    Users and certificates in the VNF instance's metadata stand in for those of the request: this is
    how they are changed while the registry lives.

    :raises InvalidRequest: with every fault found
    """
    return private_registry.parse(
        instance.parameters,
        instance.package(),
        flavour_id=instance.flavour_id,
        metadata=instance.metadata,
    )


def deploy(instance: Instance) -> None:
    """Make the VNF's VM serve the registry; do only what is missing.

    :raises InvalidRequest: the request has faults
    :raises TackerCirError: a step failed; a retry goes on where this one stopped
    """
    params = check(instance)
    _warn(params)
    heat, stack_id = instance.heat(), instance.stack_id
    resources = heat.resources(stack_id)
    node = _only_node(resources, params.ssh_cp_name)
    wanted = params.data_volume
    volume_id = find_volume(resources, wanted.name) if wanted else None
    connector = Connector(
        instance.conf,
        heat,
        stack_id,
        instance.id,
        redactor=Redactor(params.secrets),
        known_keys=params.ssh_host_keys,
    )
    connector.forget_all_but([node])
    with connector.open(node, params.credentials) as connection:
        limits = TimeLimits.of(instance.conf)
        report = ensure_registry(connection, node, params, limits, volume_id)
    instance.show(_shown(node, params, report).values())


def _warn(params: PrivateRegistryParams) -> None:
    """Tell what is allowed, and yet had better be otherwise."""
    if params.users and not params.tls:
        LOG.warning("the registry has users but no tls: logins go over the network in clear")
    if isinstance(params.tls, ServerTls):
        end = min(expiry.ends(params.tls.certificate.encode()))
        if expiry.is_soon(end):
            LOG.warning(
                "the registry's certificate, or one that leads to its CA, ends on %s. To do: "
                "update the VNF instance's metadata with a new one",
                expiry.told(end),
            )


def _shown(node: Node, params: PrivateRegistryParams, report: Report) -> ShownRegistry:
    """Return how clients get to the registry: by its address, or where its certificate is not for
    that, by the first name that it is for."""
    host = node.ssh_address
    if isinstance(params.tls, ServerTls):
        host = params.tls.host_for(host)
    if host != node.ssh_address:
        LOG.warning(
            "%s: the registry's certificate is not for its address: clients reach it as %s",
            node,
            host,
        )
    named = as_address(host) is None
    address = node.ssh_address if named else None
    return ShownRegistry(authority(host, params.port_no), report.ca, address)


def forget(instance: Instance) -> None:
    """Drop what is kept about a terminated VNF's VM, and what was shown of its registry."""
    pins(instance.conf, instance.id).clear()
    instance.show(NOTHING)


def refuse_scale_in(kind: str) -> None:
    """Refuse SCALE_IN. For SCALE_OUT Tacker calls scale_start only while it rolls one back, which
    must not be hindered.

    :param kind: ``type`` of the ScaleVnfRequest
    :raises OperationNotSupported: for SCALE_IN
    """
    if kind == "SCALE_IN":
        refuse_scale()


def refuse_scale() -> None:
    """Refuse to scale: the spec has one VM, and its data are on it.

    :raises OperationNotSupported: always
    """
    raise OperationNotSupported(
        "scaling the Docker private registry VNF is not supported: it has exactly one VM. "
        "Instantiate another registry VNF instead"
    )


def _only_node(resources: Sequence[Resource], cp_name: str) -> Node:
    nodes = find_nodes(resources, cp_name)
    if len(nodes) > 1:
        raise InventoryError(
            f"the stack has {len(nodes)} VMs with CP {cp_name!r} "
            f"({', '.join(n.ssh_address for n in nodes)}), but a registry VNF has exactly one"
        )
    return nodes[0]
