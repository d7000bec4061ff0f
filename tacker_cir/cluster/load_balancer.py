# SPDX-License-Identifier: Apache-2.0
"""The load balancer of a cluster with several masters: haproxy on each, and keepalived for its VIP.

Services are reloaded, never restarted: connections through haproxy and the VIP's place survive a
change of the masters.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import paramiko

from tacker_cir import log as logging
from tacker_cir.command import Command
from tacker_cir.exceptions import HostError
from tacker_cir.host import packages
from tacker_cir.host.files import ManagedFile
from tacker_cir.host.machine import Machine
from tacker_cir.host.service import Service
from tacker_cir.reading import answer_of, reader
from tacker_cir.registry import from_node
from tacker_cir.render import haproxy as render_haproxy
from tacker_cir.render import keepalived as render_keepalived
from tacker_cir.render.haproxy import PORT
from tacker_cir.ssh import Connection
from tacker_cir.steps import timed
from tacker_cir.text import shown
from tacker_cir.waiting import Deadline, NotYet, wait_until

LOG = logging.getLogger(__name__)

PACKAGES = ("haproxy", "keepalived")
HAPROXY_CONFIG = "/etc/haproxy/haproxy.cfg"
KEEPALIVED_CONFIG = "/etc/keepalived/keepalived.conf"

HAPROXY, KEEPALIVED = (Service(name, reloads=True) for name in PACKAGES)

#: Every path whose state :func:`ensure_load_balancer` must know.
PATHS = (HAPROXY_CONFIG, KEEPALIVED_CONFIG, HAPROXY.pending, KEEPALIVED.pending)

#: Seconds for one attempt to reach the VIP.
_CONNECT_TIMEOUT = 3

_VIP_REMEDY = (
    "let the masters' security group pass IP protocol 112 (VRRP) and TCP port "
    f"{PORT} among them, and list the VIP in the allowed_address_pairs of their ports; see "
    "'journalctl -u keepalived -u haproxy' of the masters"
)

_STATE = r"""
for unit in haproxy keepalived; do
  printf '%s %s\n' "$(systemctl show --value --property=ActiveState "$unit")" \
    "$(systemctl show --value --property=UnitFileState "$unit")"
done
ip -json address show
"""

#: How each program judges a file that is not its own yet.
_JUDGES = {
    "haproxy": ("haproxy", "-c", "-f"),
    "keepalived": ("keepalived", "--config-test", "--use-file"),
}

#: ActiveState of a service that runs.
_RUNS = ("active", "reloading")


@dataclass(frozen=True)
class _State:
    """What a master has besides files and packages.

    :param enabled: the services that start with the machine
    :param active: the services that run
    :param interfaces: name of the network interface by address
    """

    enabled: frozenset[str]
    active: frozenset[str]
    interfaces: dict[str, str]


def ensure_load_balancer(
    machine: Machine, *, vip: str, own: str, masters: Sequence[tuple[str, str]]
) -> bool:
    """Make a master pass the API on, at its own address and at the VIP; tell whether it changed.

    Which master has the VIP is not waited for; see :func:`wait_for_vip`.

    :param machine: read with :data:`PATHS` and :data:`PACKAGES`
    :param vip: the address that the masters share
    :param own: this master's address
    :param masters: name and address of all masters, in the same order on each of them
    :raises HostError: a step failed
    """
    facts = machine.facts
    state = _look(machine)
    # A machine without the address is refused before anything is changed on it.
    interface = _interface_of(machine.node, state, own)
    missing = facts.packages_interrupted or not set(PACKAGES) <= facts.packages.keys()
    if missing:
        # Before the files: a haproxy.cfg that is there would be a conflict for dpkg. keepalived
        # does not start without one, and haproxy's own one opens no port.
        packages.manager(facts).install(machine, *PACKAGES)
        # dpkg starts services.
        _look(machine)
    files = {
        HAPROXY: ManagedFile(
            HAPROXY_CONFIG, render_haproxy.config(masters).encode(), check=_JUDGES["haproxy"]
        ),
        KEEPALIVED: ManagedFile(
            KEEPALIVED_CONFIG,
            render_keepalived.config(vip, interface, own, [a for _, a in masters]).encode(),
            check=_JUDGES["keepalived"],
        ),
    }
    changed = [_ensure_service(machine, service, file) for service, file in files.items()]
    return missing or any(changed)


def wait_for_vip(connections: Sequence[Connection], vip: str, timeout: float) -> None:
    """Wait until exactly one master has the VIP and all of them reach it.

    :param connections: to all masters
    :param timeout: seconds
    :raises HostError: it is not so in time; tells what the network must let pass
    """

    def attempt() -> None:
        holders = [c.node for c in connections if vip in _read_state(c).interfaces]
        if len(holders) != 1:
            raise NotYet(f"it is at {' and '.join(holders) or 'none of them'}")
        for connection in connections:
            _reach(connection, vip, PORT)
        LOG.info("the VIP %s is at %s", vip, holders[0])

    def otherwise(last: NotYet) -> HostError:
        return HostError(nodes, step, f"VIP {vip} after {timeout:.0f} seconds: {last}", _VIP_REMEDY)

    nodes, step = ", ".join(c.node for c in connections), "wait until one master has the VIP"
    with timed(nodes, step):
        wait_until(attempt, Deadline(timeout), otherwise)


def _reach(connection: Connection, vip: str, port: int) -> None:
    try:
        with from_node.dial(connection, vip, port, _CONNECT_TIMEOUT):
            pass
    except (paramiko.SSHException, EOFError) as error:
        raise connection.lost(f"reach the VIP {vip}", error) from None
    except OSError as error:
        raise NotYet(f"{connection.node} does not reach its port {port}: {error}") from None


def _ensure_service(machine: Machine, service: Service, file: ManagedFile) -> bool:
    if service.is_stale(machine.facts, [file]):
        remedy = f"use an image with a newer {service.name}"
        service.write(machine, file, stale=True, remedy=remedy)
    return service.ensure_running(machine)


def _look(machine: Machine) -> _State:
    """See what is there besides files and packages, and let the facts know of the services."""
    state, facts = _read_state(machine.connection), machine.facts
    facts.active = (facts.active - {*PACKAGES}) | state.active
    facts.enabled = (facts.enabled - {*PACKAGES}) | state.enabled
    return state


def _read_state(connection: Connection) -> _State:
    step = "read the load balancer's state"
    output = connection.run(Command.script(step, _STATE)).stdout
    with answer_of(connection.node, step):
        return state_in(output)


@reader("the load balancer's state")
def state_in(output: str) -> _State:
    """Return the state in the script's output.

    :raises Unreadable: it is none
    """
    *units, addresses = output.splitlines()
    return parse_state(units, addresses)


@reader("the load balancer's state")
def parse_state(units: Sequence[str], addresses: str) -> _State:
    """Return the state in the script's output.

    :param units: of each service, systemd's ActiveState and UnitFileState
    :param addresses: the JSON of ip-address(8)
    """
    states = dict(zip(PACKAGES, (line.split(" ") for line in units), strict=True))
    active = frozenset(name for name, (state, _) in states.items() if state in _RUNS)
    enabled = frozenset(name for name, (_, state) in states.items() if state == "enabled")
    interfaces = {
        info["local"] + "": link["ifname"] + ""
        for link in json.loads(addresses)
        for info in link.get("addr_info", ())
        if "local" in info
    }
    return _State(enabled, active, interfaces)


def _interface_of(node: str, state: _State, address: str) -> str:
    interface = state.interfaces.get(address)
    if interface is not None and not render_keepalived.is_interface(interface):
        raise HostError(
            node,
            "find the network interface",
            f"the interface with the address {address} is called {shown(interface)!r}, which "
            "keepalived cannot be told",
            "give the interface another name",
        )
    if interface is None:
        raise HostError(
            node,
            "find the network interface",
            f"no interface has the address {address}, which Heat tells of its port "
            f"(there are {shown(', '.join(sorted(state.interfaces)))})",
            "let the VM take its address by DHCP, or see why it did not",
        )
    return interface
