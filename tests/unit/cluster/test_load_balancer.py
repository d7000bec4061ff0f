# SPDX-License-Identifier: Apache-2.0
"""The load balancer's files, and what a master says of itself."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from tacker_cir.cluster.load_balancer import parse_state
from tacker_cir.render import haproxy, keepalived

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
