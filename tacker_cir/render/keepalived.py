# SPDX-License-Identifier: Apache-2.0
"""keepalived.conf of a master: VRRP (RFC 5798) gives the cluster's VIP to a master that can serve.

Advertisements go from master to master (``unicast_peer``): clouds often drop multicast, and two
clusters on one network never hear each other. The network must let IP protocol 112 pass.

There is no authentication. VRRPv2's password would go over the wire in clear with each packet, so
RFC 5798 has none any more; instead, packets from other addresses than the peers' are ignored.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence

#: The highest priority that is given; 255 means that the VIP is the machine's own address.
_HIGHEST_PRIORITY = 200
# A master whose haproxy runs can serve, also while its own API server is down: haproxy knows which
# API servers are alive. So the VIP has its place before there is any, as kubeadm init needs it.
_CHECK = "/bin/systemctl is-active --quiet haproxy.service"


# Linux takes any character but a slash and white space; keepalived has some of its own (! # $ ~ {).
_INTERFACE = re.compile(r"[A-Za-z0-9_.:@-]{1,15}", re.ASCII)


def is_interface(text: str) -> bool:
    """Return whether a text is the name of an interface that the file can hold."""
    return _INTERFACE.fullmatch(text) is not None


def virtual_router_id(vip: str) -> int:
    """Return the id (1 to 255) of the cluster's virtual router.

    The VIP's last octet: clusters of one /24 network have different ones.
    """
    return ipaddress.ip_address(vip).packed[-1] or 255


def config(vip: str, interface: str, own: str, masters: Sequence[str]) -> str:
    """Return the file.

    No master takes the VIP away from another that serves (``nopreempt``): a healed master does not
    break connections a second time. The priority only decides who takes a VIP that nobody has.

    :param vip: the address that all share
    :param interface: the network interface that has ``own``
    :param own: this master's address
    :param masters: addresses of all masters, ``own`` included, the same order on each of them
    :raises ValueError: an address or the interface is none
    """
    if not is_interface(interface):
        raise ValueError(f"no name of an interface in keepalived.conf: {interface!r}")
    address = ipaddress.ip_interface(vip)
    addresses = [str(ipaddress.ip_address(master)) for master in masters]
    peers = "".join(f"        {peer}\n" for peer in addresses if peer != own)
    return f"""\
# Written by tacker_cir, which replaces any change.

global_defs {{
    enable_script_security
    script_user root
    vrrp_check_unicast_src
}}

vrrp_script can_serve {{
    script "{_CHECK}"
    interval 2
    timeout 2
    fall 2
    rise 1
}}

vrrp_instance kubernetes_api {{
    state BACKUP
    nopreempt
    interface {interface}
    virtual_router_id {virtual_router_id(vip)}
    priority {max(1, _HIGHEST_PRIORITY - list(masters).index(own))}
    advert_int 1
    unicast_src_ip {own}
    unicast_peer {{
{peers}    }}
    virtual_ipaddress {{
        {address}
    }}
    track_script {{
        can_serve
    }}
}}
"""
