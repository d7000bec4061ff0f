# SPDX-License-Identifier: Apache-2.0
"""The lab's network: a namespace with a bridge, and no way out of it.

Machines get theirs from launcher.sh: each a namespace of its own, tied to the bridge by a
veth pair named after the last number of its address.
"""

from __future__ import annotations

import contextlib
import ctypes
import ipaddress
import os
from collections.abc import Iterator
from pathlib import Path

from tests.testbed.machines.base import GATEWAY
from tests.testbed.machines.host import LabError, run

NETWORK = ipaddress.ip_network("198.51.100.0/24")
NETNS_DIR = Path("/run/netns")
CLONE_NEWNET = 0x40000000

# Kernel modules that bridges and Docker need; a host has them loaded, built in, or as files.
MODULES = [
    "bridge",
    "veth",
    "overlay",
    "br_netfilter",
    "ip_tables",
    "iptable_nat",
    "iptable_filter",
    "nf_nat",
    "nf_conntrack_netlink",
    "xt_conntrack",
    "xt_MASQUERADE",
    "xt_addrtype",
]


def up(netns: str) -> None:
    """Make the namespace with its loopback and bridge; one that stands already is kept."""
    if Path("/lib/modules", os.uname().release).is_dir():
        run(["modprobe", "--all", "--quiet", *MODULES], check=False)
    if not exists(netns):
        run(["ip", "netns", "add", netns])
    if run(["ip", "-n", netns, "link", "show", "br0"], check=False).returncode != 0:
        run(["ip", "-n", netns, "link", "set", "lo", "up"])
        run(["ip", "-n", netns, "link", "add", "br0", "type", "bridge", "forward_delay", "0"])
        run(["ip", "-n", netns, "address", "add", f"{GATEWAY}/{NETWORK.prefixlen}", "dev", "br0"])
        run(["ip", "-n", netns, "link", "set", "br0", "up"])
        # As a router without a route would: machines hear "unreachable" instead of silence.
        run([*inside(netns), "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])


def down(netns: str) -> None:
    """Remove the namespace, and the mount that `ip netns` makes for all of them, if unused."""
    if exists(netns):
        run(["ip", "netns", "delete", netns])
    if NETNS_DIR.is_dir() and not any(NETNS_DIR.iterdir()):
        run(["umount", NETNS_DIR], check=False)


def exists(netns: str) -> bool:
    """Whether the namespace is there."""
    return (NETNS_DIR / netns).exists()


def inside(netns: str) -> list[str]:
    """The words that run a command in the namespace.

    Not `ip netns exec`: that also gives a mount namespace of its own, in which mounts get lost.
    """
    return ["nsenter", f"--net={NETNS_DIR / netns}", "--"]


@contextlib.contextmanager
def entered(netns: str) -> Iterator[None]:
    """Have this thread in the namespace: sockets made meanwhile belong to it for good."""
    libc = ctypes.CDLL(None, use_errno=True)  # os.setns came with Python 3.12 only

    def enter(namespace: int) -> None:
        if libc.setns(namespace, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns to {netns}")

    with open("/proc/thread-self/ns/net") as before, open(NETNS_DIR / netns) as inside:
        enter(inside.fileno())
        try:
            yield
        finally:
            enter(before.fileno())


def host_number(address: str) -> int:
    """The last number of a machine's address: it names the machine's interface on the bridge.

    :raises LabError: for an address that no machine of the lab can have.
    """
    try:
        known = ipaddress.ip_address(address)
    except ValueError as error:
        raise LabError(f"address {address!r}: {error}") from None
    if known not in NETWORK or address == GATEWAY or known.packed[-1] in (0, 255):
        raise LabError(f"address {address!r}: not one for a machine in {NETWORK}")
    return known.packed[-1]


def unplug(netns: str, address: str) -> None:
    """Remove a machine's veth pair now; the kernel would do so some time after its end."""
    run(["ip", "-n", netns, "link", "delete", f"vm{host_number(address)}"], check=False)
