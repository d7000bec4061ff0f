# SPDX-License-Identifier: Apache-2.0
"""Life cycle of the registry VNF: what each hook of its MgmtDriver does.

Everything goes through :func:`deploy`, which brings the VM to the state that the instantiate
request describes: for a new VM, a healed one, a retried operation or one that is already right.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from oslo_config import cfg

from tacker_cir import tacker_bridge
from tacker_cir.command import Redactor
from tacker_cir.exceptions import HostError, InventoryError, OperationNotSupported
from tacker_cir.hostkeys import (
    AcceptAny,
    HostKeyChecker,
    KnownKeys,
    PinStore,
    known_hosts_keys,
)
from tacker_cir.inventory import Heat, Node, find_nodes
from tacker_cir.params import private_registry
from tacker_cir.params.private_registry import PrivateRegistryParams
from tacker_cir.registry.server import ensure_registry
from tacker_cir.ssh import connect


def check(context: Any, vnf_instance: Any, request: Any) -> PrivateRegistryParams:
    """Refuse a faulty request before any VM is made or destroyed.

    :param request: InstantiateVnfRequest, or the InstantiatedVnfInfo that keeps its parameters
    :raises InvalidRequest: with every fault found
    """
    return private_registry.parse(
        request.additional_params,
        tacker_bridge.vnf_package(context, vnf_instance),
        flavour_id=request.flavour_id,
    )


def deploy(context: Any, vnf_instance: Any, request: Any) -> None:
    """Make the VNF's VM serve the registry; do only what is missing.

    :param request: as for :func:`check`
    :raises TackerCirError: a step failed; a retry goes on where this one stopped
    """
    params = check(context, vnf_instance, request)
    conf = tacker_bridge.conf()
    options = conf.tacker_cir
    heat = Heat(tacker_bridge.vim_access_info(context, vnf_instance))
    stack_id = tacker_bridge.stack_id(vnf_instance)
    node = _only_node(heat, stack_id, params.ssh_cp_name)
    with connect(
        str(node),
        node.ssh_address,
        params.credentials,
        _host_keys(conf, heat, stack_id, vnf_instance.id, node, params),
        redactor=Redactor(params.secrets),
        wait_timeout=options.ssh_wait_timeout,
        connect_timeout=options.ssh_connect_timeout,
        auth_timeout=options.ssh_auth_timeout,
        command_timeout=options.command_timeout,
    ) as connection:
        ensure_registry(connection, node, params, conf)


def forget(vnf_instance: Any) -> None:
    """Drop what is kept about a terminated VNF's VM."""
    _pins(tacker_bridge.conf(), vnf_instance.id).clear()


def refuse_scale_in(request: Any) -> None:
    """Refuse SCALE_IN. For SCALE_OUT Tacker calls scale_start only while it rolls one back, which
    must not be hindered.

    :raises OperationNotSupported: for SCALE_IN
    """
    if request.type == "SCALE_IN":
        refuse_scale()


def refuse_scale() -> None:
    """Refuse to scale: the spec has one VM, and its data are on it.

    :raises OperationNotSupported: always
    """
    raise OperationNotSupported(
        "scaling the Docker private registry VNF is not supported: it has exactly one VM. "
        "Instantiate another registry VNF instead"
    )


def _only_node(heat: Heat, stack_id: str, cp_name: str) -> Node:
    nodes = find_nodes(heat.resources(stack_id), cp_name)
    if len(nodes) > 1:
        raise InventoryError(
            f"the stack has {len(nodes)} VMs with CP {cp_name!r} "
            f"({', '.join(n.ssh_address for n in nodes)}), but a registry VNF has exactly one"
        )
    return nodes[0]


def _pins(conf: cfg.ConfigOpts, vnf_instance_id: str) -> PinStore:
    return PinStore(Path(conf.tacker_cir.state_path) / "host_keys" / vnf_instance_id)


def _host_keys(
    conf: cfg.ConfigOpts,
    heat: Heat,
    stack_id: str,
    vnf_instance_id: str,
    node: Node,
    params: PrivateRegistryParams,
) -> HostKeyChecker:
    options = conf.tacker_cir
    if options.host_key_policy == "off":
        return AcceptAny(str(node), "[tacker_cir] host_key_policy = off")
    if options.host_key_policy == "strict":
        keys = [*params.ssh_host_keys, *heat.host_keys(stack_id)]
        try:
            keys += known_hosts_keys(Path(options.known_hosts), node.ssh_address)
        except ValueError as error:
            raise HostError(
                str(node),
                "read the known host keys",
                str(error),
                "repair the file that [tacker_cir] known_hosts names",
            ) from None
        return KnownKeys(
            keys, f"the request, the Heat stack's outputs and {options.known_hosts} together"
        )
    if params.ssh_host_keys:
        return KnownKeys(params.ssh_host_keys, "ssh_host_keys of the request")
    if node.server_id is None:
        return AcceptAny(str(node), "the Heat stack does not tell which server the CP belongs to")
    pins = _pins(conf, vnf_instance_id)
    pins.keep_only([node.server_id])
    return pins.key_of(node.server_id)
