# SPDX-License-Identifier: Apache-2.0
"""An SSH connection to a lab machine, as the drivers open theirs."""

from __future__ import annotations

from tacker_cir.command import Redactor, Secret
from tacker_cir.hostkeys import AcceptAny, HostKeyChecker
from tacker_cir.login import Credentials
from tacker_cir.ssh import Connection, connect
from tests.machine import limits


def log_in(
    name: str,
    address: str,
    host_keys: HostKeyChecker | None = None,
    *,
    command_timeout: float = 120,
) -> Connection:
    """Open a connection with the login that every machine of the lab has.

    :param name: the machine as it is named in errors
    :param host_keys: None to accept any key
    :param command_timeout: default seconds for one command
    """
    return connect(
        name,
        address,
        Credentials("ubuntu", Secret("ubuntu")),
        host_keys or AcceptAny(name, "a machine of the lab's own"),
        redactor=Redactor(),
        limits=limits(
            ssh_wait_timeout=60,
            ssh_connect_timeout=5,
            ssh_auth_timeout=5,
            command_timeout=command_timeout,
        ),
    )
