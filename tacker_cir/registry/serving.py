# SPDX-License-Identifier: Apache-2.0
"""Proof that a registry serves ``/v2/`` (OCI distribution specification, end-1)."""

from __future__ import annotations

import http.client
import socket
import ssl
from dataclasses import dataclass

import paramiko

from tacker_cir import log as logging
from tacker_cir.command import Secret
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
_OTHER_CERTIFICATE = "another certificate than it shall"
_END = "-----END CERTIFICATE-----"


@dataclass(frozen=True)
class Access:
    """How a registry is asked.

    :param port: TCP port of its machine
    :param certificate: that it must show, in PEM; None for HTTP
    :param login: of one of its users, as HTTP's basic authentication has it
    """

    port: int
    certificate: str | None = None
    login: Secret | None = None

    @property
    def scheme(self) -> str:
        return "https" if self.certificate else "http"

    def url(self, address: str) -> str:
        """Return the URL of its API."""
        return f"{self.scheme}://{authority(address, self.port)}/v2/"

    @property
    def authorization(self) -> Secret | None:
        """The header that logs in, None where nobody has to."""
        return Secret(f"Basic {self.login.reveal()}") if self.login else None

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": self.authorization.reveal()} if self.authorization else {}

    def tls(self) -> ssl.SSLContext | None:
        """Return settings that accept its own certificate alone, whatever name it is asked by."""
        if self.certificate is None:
            return None
        own, end, _ = self.certificate.partition(_END)
        context = from_node.tls_context(own + end, None, True)
        context.check_hostname = False
        return context


def wait_until_serving(machine: Machine, node: Node, access: Access) -> None:
    """Wait until the registry answers at the VM's network address.

    Asked from here first, the way a cluster's nodes will. Where a security group or the lack of a
    route forbids that, the VM itself is made to ask its own network address, and a warning says so.

    :param node: the same machine, as Heat knows it
    :param access: how it is asked
    :raises HostError: no registry's HTTP 200 in time
    """
    connection, timeout = machine.connection, machine.limits.service_timeout
    deadline = Deadline(timeout)

    def attempt() -> bool:
        return _is_reached(connection, node, access, deadline)

    def otherwise(last: NotYet) -> HostError:
        return HostError(
            connection.node,
            "check that the registry serves",
            f"no HTTP 200 from {access.url(node.address)} for {timeout:.0f} seconds ({last})",
            "look at 'docker logs private_registry' of the VM",
        )

    if wait_until(attempt, deadline, otherwise):
        LOG.info("%s: %s answers", connection.node, access.url(node.ssh_address))
    else:
        LOG.warning(
            "%s: the registry serves on the VM, but port %d cannot be reached from here: the "
            "cluster's nodes need a security group and a route that allow it",
            connection.node,
            access.port,
        )


def _is_reached(connection: Connection, node: Node, access: Access, deadline: Deadline) -> bool:
    """Tell whether the registry, which serves, is reached from here.

    :raises NotYet: it does not serve
    """

    def seconds() -> float:
        return min(REQUEST_TIMEOUT, max(3.0, deadline.remaining))

    direct = _ask_directly(node.ssh_address, access, seconds())
    if direct == _SERVES:
        return True
    indirect = _ask_from_vm(connection, node.address, access, seconds())
    if indirect == _SERVES and not direct.startswith("HTTP"):
        # It may have come up between the two questions.
        return _ask_directly(node.ssh_address, access, seconds()) == _SERVES
    raise NotYet(f"asked from here: {direct}; asked from the VM itself: {indirect}")


def shows_other_certificate(machine: Machine, node: Node, access: Access) -> bool:
    """Return whether the registry serves with another certificate than it shall.

    :param node: the same machine, as Heat knows it
    """
    said = _ask_directly(node.ssh_address, access, REQUEST_TIMEOUT)
    if said not in (_SERVES, _OTHER_CERTIFICATE):
        said = _ask_from_vm(machine.connection, node.address, access, REQUEST_TIMEOUT)
    return said == _OTHER_CERTIFICATE


def authority(address: str, port: int) -> str:
    """Return ``address:port`` as a URL has it."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _ask_directly(address: str, access: Access, seconds: float) -> str:
    deadline = Deadline(seconds)
    try:
        with socket.create_connection((address, access.port), seconds) as line:
            return _get(from_node.Stream(line, deadline), address, access)
    except OSError as error:
        return _said(error)


def _ask_from_vm(connection: Connection, address: str, access: Access, seconds: float) -> str:
    try:
        with from_node.dial(connection, address, access.port, seconds) as stream:
            return _get(stream, address, access)
    except (paramiko.SSHException, EOFError) as error:
        raise connection.lost("check that the registry serves", error) from None
    except OSError as error:
        return _said(error)


def _get(stream: from_node.Stream, address: str, access: Access) -> str:
    try:
        answer = from_node.get(stream, address, access.port, "/v2/", access.headers, access.tls())
    except TimeoutError:
        return "no whole answer in time"
    except ssl.SSLCertVerificationError:
        return _OTHER_CERTIFICATE
    except (http.client.HTTPException, OSError) as error:
        return _said(error)
    if answer.status == 200 and not is_registry(answer):
        return "HTTP 200, but not of a registry"
    return f"HTTP {answer.status}"


def _said(error: Exception) -> str:
    return shown(error) or type(error).__name__
