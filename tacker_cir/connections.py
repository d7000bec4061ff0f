# SPDX-License-Identifier: Apache-2.0
"""SSH connections to the machines of one VNF instance, opened as the configuration says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from oslo_config import cfg

from tacker_cir.command import Redactor
from tacker_cir.config import TimeLimits
from tacker_cir.exceptions import HostError
from tacker_cir.hostkeys import (
    AcceptAny,
    HostKeyChecker,
    KnownKeys,
    PinStore,
    known_hosts_keys,
)
from tacker_cir.inventory import Heat, Node
from tacker_cir.login import Credentials
from tacker_cir.ssh import Connection, connect


def pins(conf: cfg.ConfigOpts, vnf_instance_id: str) -> PinStore:
    """Return the pinned host keys of a VNF instance's machines."""
    return PinStore(Path(conf.tacker_cir.state_path) / "host_keys" / vnf_instance_id)


class Connector:
    """Opens connections to the machines of one VNF instance. It may be shared by threads.

    :param conf: with the options of ``[tacker_cir]``
    :param heat: of the VIM; asked for the stack's host keys where the policy is ``strict``
    :param vnf_instance_id: whose machines they are
    :param redactor: masks the operation's secrets in outputs
    :param known_keys: host keys of the request, (type, base64 key) pairs
    """

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        heat: Heat,
        stack_id: str,
        vnf_instance_id: str,
        *,
        redactor: Redactor,
        known_keys: Iterable[tuple[str, str]] = (),
    ):
        self._conf, self._redactor = conf, redactor
        self._requested = tuple(known_keys)
        self._known = list(self._requested)
        if conf.tacker_cir.host_key_policy == "strict":
            self._known += heat.host_keys(stack_id)
        self._pins = pins(conf, vnf_instance_id)

    def forget_all_but(self, nodes: Iterable[Node]) -> None:
        """Drop the pinned keys of machines that are no more."""
        self._pins.keep_only(node.server_id for node in nodes if node.server_id is not None)

    def open(
        self,
        node: Node,
        credentials: Credentials,
        *,
        name: str | None = None,
        wait_timeout: float | None = None,
    ) -> Connection:
        """Return a connection to a machine that may still be booting.

        :param name: the machine as the user knows it; None for its CP and address
        :param wait_timeout: seconds to wait for sshd; None for what the configuration says
        :raises ConnectError: it cannot be opened
        """
        limits = TimeLimits.of(self._conf)
        if wait_timeout is not None:
            limits = replace(limits, ssh_wait_timeout=wait_timeout)
        name = name or str(node)
        return connect(
            name,
            node.ssh_address,
            credentials,
            self._host_keys(node, name),
            redactor=self._redactor,
            limits=limits,
        )

    def _host_keys(self, node: Node, name: str) -> HostKeyChecker:
        options = self._conf.tacker_cir
        if options.host_key_policy == "off":
            return AcceptAny(name, "[tacker_cir] host_key_policy = off")
        if options.host_key_policy == "strict":
            try:
                keys = known_hosts_keys(Path(options.known_hosts), node.ssh_address)
            except ValueError as error:
                raise HostError(
                    name,
                    "read the known host keys",
                    str(error),
                    "repair the file that [tacker_cir] known_hosts names",
                ) from None
            return KnownKeys(
                [*self._known, *keys],
                f"the request, the Heat stack's outputs and {options.known_hosts} together",
            )
        if self._requested:
            return KnownKeys(self._requested, "ssh_host_keys of the request")
        if node.server_id is None:
            return AcceptAny(name, "the Heat stack does not tell which server the CP belongs to")
        return self._pins.key_of(node.server_id)
