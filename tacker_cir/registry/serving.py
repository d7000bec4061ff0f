# SPDX-License-Identifier: Apache-2.0
"""Proof that a registry serves: HTTP 200 from ``/v2/`` (OCI distribution specification, end-1)."""

from __future__ import annotations

import http.client
from contextlib import closing

import paramiko

from tacker_cir import log as logging
from tacker_cir.exceptions import HostError
from tacker_cir.inventory import Node
from tacker_cir.ssh import Connection
from tacker_cir.steps import timed
from tacker_cir.waiting import Deadline, poll

LOG = logging.getLogger(__name__)

#: Seconds for one request.
REQUEST_TIMEOUT = 5


class _NotServing(Exception):
    pass


def wait_until_serving(connection: Connection, node: Node, port: int, timeout: float) -> None:
    """Wait until the registry answers at the VM's network address.

    Asked from here first, the way a cluster's nodes will. Where a security group or the lack of a
    route forbids that, the VM itself is made to ask its own network address, and a warning says so.

    :param port: TCP port of the registry
    :param timeout: seconds
    :raises HostError: no HTTP 200 in time
    """

    def attempt() -> bool:
        direct = _ask_directly(node.ssh_address, port)
        if direct == "HTTP 200":
            return True
        tunnelled = _ask_from_vm(connection, node.address, port)
        if tunnelled == "HTTP 200" and not direct.startswith("HTTP"):
            # It may have come up between the two questions.
            return _ask_directly(node.ssh_address, port) == "HTTP 200"
        raise _NotServing(f"asked from here: {direct}; asked from the VM itself: {tunnelled}")

    step = "check that the registry serves"
    try:
        with timed(connection.node, step):
            reachable = poll(attempt, Deadline(timeout), retry_on=(_NotServing,))
    except _NotServing as error:
        raise HostError(
            connection.node,
            step,
            f"no HTTP 200 from http://{_authority(node.address, port)}/v2/ for {timeout:.0f} "
            f"seconds ({error})",
            "look at 'docker logs private_registry' of the VM",
        ) from None
    if reachable:
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


def _ask_directly(address: str, port: int) -> str:
    client = http.client.HTTPConnection(address, port, timeout=REQUEST_TIMEOUT)
    with closing(client):
        return _get(client)


def _ask_from_vm(connection: Connection, address: str, port: int) -> str:
    try:
        with connection.tunnel(address, port, REQUEST_TIMEOUT) as channel:
            client = http.client.HTTPConnection(address, port)
            client.sock = channel  # type: ignore[assignment]
            return _get(client)
    except (paramiko.SSHException, EOFError, OSError) as error:
        return str(error) or type(error).__name__


def _get(client: http.client.HTTPConnection) -> str:
    try:
        client.request("GET", "/v2/")
        return f"HTTP {client.getresponse().status}"
    except (http.client.HTTPException, OSError) as error:
        return str(error) or type(error).__name__
