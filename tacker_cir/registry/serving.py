# SPDX-License-Identifier: Apache-2.0
"""Proof that a registry serves ``/v2/`` (OCI distribution specification, end-1)."""

from __future__ import annotations

import http.client
import socket

import paramiko

from tacker_cir import log as logging
from tacker_cir.exceptions import HostError
from tacker_cir.host.machine import Machine
from tacker_cir.inventory import Node
from tacker_cir.registry import from_node
from tacker_cir.registry.distribution import is_registry
from tacker_cir.ssh import Connection
from tacker_cir.text import shown
from tacker_cir.waiting import Deadline, NotYet, wait_until

LOG = logging.getLogger(__name__)

#: Seconds for one request.
REQUEST_TIMEOUT = 5

_SERVES = "HTTP 200"


def wait_until_serving(machine: Machine, node: Node, port: int) -> None:
    """Wait until the registry answers at the VM's network address.

    Asked from here first, the way a cluster's nodes will. Where a security group or the lack of a
    route forbids that, the VM itself is made to ask its own network address, and a warning says so.

    :param node: the same machine, as Heat knows it
    :param port: TCP port of the registry
    :raises HostError: no registry's HTTP 200 in time
    """
    connection, timeout = machine.connection, machine.limits.service_timeout
    deadline = Deadline(timeout)

    def seconds() -> float:
        return min(REQUEST_TIMEOUT, max(3.0, deadline.remaining))

    def attempt() -> bool:
        direct = _ask_directly(node.ssh_address, port, seconds())
        if direct == _SERVES:
            return True
        indirect = _ask_from_vm(connection, node.address, port, seconds())
        if indirect == _SERVES and not direct.startswith("HTTP"):
            # It may have come up between the two questions.
            return _ask_directly(node.ssh_address, port, seconds()) == _SERVES
        raise NotYet(f"asked from here: {direct}; asked from the VM itself: {indirect}")

    def otherwise(last: NotYet) -> HostError:
        return HostError(
            connection.node,
            "check that the registry serves",
            f"no HTTP 200 from http://{_authority(node.address, port)}/v2/ for {timeout:.0f} "
            f"seconds ({last})",
            "look at 'docker logs private_registry' of the VM",
        )

    if wait_until(attempt, deadline, otherwise):
        LOG.info("%s: http://%s/v2/ answers", connection.node, _authority(node.ssh_address, port))
    else:
        LOG.warning(
            "%s: the registry serves on the VM, but port %d cannot be reached from here: the "
            "cluster's nodes need a security group and a route that allow it",
            connection.node,
            port,
        )


def _authority(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _ask_directly(address: str, port: int, seconds: float) -> str:
    deadline = Deadline(seconds)
    try:
        with socket.create_connection((address, port), seconds) as line:
            return _get(from_node.Stream(line, deadline), address, port)
    except OSError as error:
        return _said(error)


def _ask_from_vm(connection: Connection, address: str, port: int, seconds: float) -> str:
    try:
        with from_node.dial(connection, address, port, seconds) as stream:
            return _get(stream, address, port)
    except (paramiko.SSHException, EOFError, OSError) as error:
        return _said(error)


def _get(stream: from_node.Stream, address: str, port: int) -> str:
    try:
        answer = from_node.get(stream, address, port, "/v2/", {}, None)
    except TimeoutError:
        return "no whole answer in time"
    except (http.client.HTTPException, OSError) as error:
        return _said(error)
    if answer.status == 200 and not is_registry(answer):
        return "HTTP 200, but not of a registry"
    return f"HTTP {answer.status}"


def _said(error: Exception) -> str:
    return shown(error) or type(error).__name__
