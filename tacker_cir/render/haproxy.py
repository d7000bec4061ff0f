# SPDX-License-Identifier: Apache-2.0
"""haproxy.cfg of a master: one TCP port in front of the API servers of all masters.

Made of what haproxy 2.0 (Ubuntu 20.04) and its successors have in common.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence

_NAME = re.compile(r"[A-Za-z0-9_.:-]+", re.ASCII)

#: Port on which every master, and so the VIP, has the API server of some master that is alive.
PORT = 16443
#: Port of a master's own API server.
API_SERVER_PORT = 6443

# There is no statistics page: what it tells is in the journal, and it would be another open port.
#
# A watch may say nothing for long, so sessions may be silent for hours. What ends those to a master
# that is gone are the health checks: clients learn it at once, not after a timeout of TCP.
#
# After a reload the old process serves its sessions to their end, but checks no master any more.
#
# An API server that knows no anonymous user (--anonymous-auth=false) answers 401: it is alive.
_HEAD = f"""\
# Written by tacker_cir, which replaces any change.

global
    log /dev/log local0 notice
    chroot /var/lib/haproxy
    user haproxy
    group haproxy
    hard-stop-after 1h

defaults
    mode tcp
    log global
    option dontlognull
    option clitcpka
    option srvtcpka
    option redispatch 1
    retries 3
    timeout connect 3s
    timeout check 3s
    timeout queue 10s
    timeout client 4h
    timeout server 4h

frontend kubernetes-api
    bind *:{PORT}
    default_backend masters

backend masters
    balance leastconn
    option httpchk GET /readyz
    http-check expect rstatus ^(200|401)$
    default-server check check-ssl verify none
    default-server inter 2s fall 3 rise 1 on-marked-down shutdown-sessions
"""


def config(masters: Sequence[tuple[str, str]]) -> str:
    """Return the file.

    :param masters: name and address of each
    :raises ValueError: a name or an address is none
    """
    for name, _ in masters:
        if not _NAME.fullmatch(name):
            raise ValueError(f"no name of a server in haproxy.cfg: {name!r}")
    return _HEAD + "".join(
        f"    server {name} {_host(address)}:{API_SERVER_PORT}\n" for name, address in masters
    )


def _host(address: str) -> str:
    ip = ipaddress.ip_address(address)
    return f"[{ip}]" if ip.version == 6 else str(ip)
