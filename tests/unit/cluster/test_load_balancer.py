# SPDX-License-Identifier: Apache-2.0
"""The load balancer's files, and what a master says of itself."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from tacker_cir.cluster.load_balancer import PACKAGES, ensure_load_balancer, parse_state
from tacker_cir.exceptions import CommandFailed, HostError
from tacker_cir.facts import Facts
from tacker_cir.render import haproxy, keepalived
from tests.machine import DEBIAN_12, machine
from tests.unit.answering import Answering

MASTERS = [(f"master-198-51-100-2{n}", f"198.51.100.2{n}") for n in range(1, 4)]
VIP = "198.51.100.200"

# ip -json address show, shortened; host0 has the VIP too.
ADDRESSES = (
    '[{"ifindex":1,"ifname":"lo","addr_info":[{"family":"inet","local":"127.0.0.1"}]},'
    '{"ifindex":2,"ifname":"host0","addr_info":[{"family":"inet","local":"198.51.100.21",'
    '"prefixlen":24},{"family":"inet","local":"198.51.100.200","prefixlen":32}]},'
    '{"ifindex":3,"ifname":"empty","addr_info":[{}]}]'
)


def test_haproxy(golden):
    golden("haproxy.cfg", haproxy.config(MASTERS))


def test_haproxy_on_ipv6():
    assert "server m [2001:db8::1]:6443\n" in haproxy.config([("m", "2001:db8::1")])


@pytest.mark.skipif(shutil.which("haproxy") is None, reason="no haproxy on this machine")
@pytest.mark.parametrize("masters", [MASTERS, [("m", "2001:db8::1")]])
def test_haproxy_takes_its_file(masters):
    command = ["haproxy", "-c", "-f", "/dev/stdin"]
    done = subprocess.run(command, input=haproxy.config(masters), text=True, capture_output=True)
    assert done.returncode == 0, done.stderr


def test_keepalived(golden):
    addresses = [address for _, address in MASTERS]
    golden("keepalived.conf", keepalived.config(VIP, "host0", "198.51.100.22", addresses))


@pytest.mark.parametrize(
    ("vip", "number"),
    [("10.0.0.1", 1), ("10.0.0.254", 254), ("10.0.1.255", 255), ("10.0.1.0", 255),
     ("2001:db8::10", 16)],
)  # fmt: skip
def test_virtual_router_id(vip, number):
    assert keepalived.virtual_router_id(vip) == number


def test_state():
    state = parse_state(["reloading enabled", "inactive disabled"], ADDRESSES)
    assert (state.active, state.enabled) == ({"haproxy"}, {"haproxy"})
    assert state.interfaces == {"127.0.0.1": "lo", "198.51.100.21": "host0", VIP: "host0"}
    state = parse_state(["failed enabled", "active "], ADDRESSES)
    assert (state.active, state.enabled) == ({"keepalived"}, {"haproxy"})


def state(haproxy="active enabled", keepalived="active enabled"):
    return f"{haproxy}\n{keepalived}\n{ADDRESSES}\n"


def balanced(connection, facts) -> bool:
    own = "198.51.100.21"
    return ensure_load_balancer(machine(connection, facts), vip=VIP, own=own, masters=MASTERS)


def with_packages() -> Facts:
    return Facts(packages={"haproxy": "2.6.12-1", "keepalived": "1:2.2.7-1"})


def set_up() -> Facts:
    """Return what a master has whose load balancer was set up."""
    facts = with_packages()
    balanced(Answering({LOOK: state()}), facts)
    return facts


LOOK = "read the load balancer's state"
INSTALL = [
    "complete earlier package installations",
    "read the package lists",
    "complete earlier package installations",
    "install haproxy keepalived",
    LOOK,
]
WRITTEN = [f"write /run/tacker-cir-{name}-reload and 1 other file" for name in PACKAGES]


@pytest.mark.parametrize(
    ("facts", "found", "steps"),
    [
        (
            Facts(os_release=DEBIAN_12),
            [state("inactive ", "inactive "), state(keepalived="inactive enabled")],
            [*INSTALL, WRITTEN[0], "reload haproxy.service", WRITTEN[1],
             "start keepalived.service", "reload keepalived.service"],
        ),
        (
            with_packages(), [state()],
            [WRITTEN[0], "reload haproxy.service", WRITTEN[1], "reload keepalived.service"],
        ),
        (set_up(), [state("active disabled")], ["start haproxy.service"]),
        (set_up(), [state()], []),
    ],
    ids=["nothing is there", "new masters", "not enabled", "all"],
)  # fmt: skip
def test_these_steps_then_none(facts, found, steps):
    connection = Answering({LOOK: found})
    assert balanced(connection, facts) is bool(steps)
    assert connection.taken() == [LOOK, *steps]
    connection.answers[LOOK] = state()
    assert not balanced(connection, facts)
    assert connection.taken() == [LOOK]


def test_a_reload_that_fails_is_made_up_for_by_the_retry():
    facts = with_packages()
    with pytest.raises(CommandFailed, match="look at 'journalctl -u haproxy' of the VM"):
        balanced(Answering({LOOK: state(), "reload haproxy": 1}), facts)
    connection = Answering({LOOK: state()})
    assert balanced(connection, facts)
    assert connection.taken() == [
        LOOK, "reload haproxy.service", WRITTEN[1], "reload keepalived.service"
    ]  # fmt: skip


def test_a_file_that_its_program_would_refuse_is_told_with_what_to_do():
    connection = Answering({LOOK: state(), "write": 65})
    with pytest.raises(CommandFailed, match="To do: use an image with a newer haproxy"):
        balanced(connection, with_packages())


@pytest.mark.parametrize(
    ("addresses", "told"),
    [
        ("[]", "no interface has the address 198.51.100.21"),
        (ADDRESSES.replace("host0", "a!b"), "is called 'a!b', which keepalived cannot be told"),
    ],
)
def test_a_machine_without_the_address_is_left_alone(addresses, told):
    connection = Answering({LOOK: f"active enabled\nactive enabled\n{addresses}\n"})
    with pytest.raises(HostError, match=told):
        balanced(connection, with_packages())
    assert connection.taken() == [LOOK]
