# SPDX-License-Identifier: Apache-2.0
"""A daemon that systemd runs: its proxy variables, and restarts that no cut loses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tacker_cir.command import Command
from tacker_cir.facts import Facts
from tacker_cir.host.files import ManagedFile
from tacker_cir.host.machine import Machine
from tacker_cir.params.proxy import Proxy
from tacker_cir.render import docker as render_docker

# As one command: the restart may only be forgotten once it was done.
_RESTART = r"""
set -eu
systemctl daemon-reload
systemctl restart "$1"
rm -f -- "$2"
"""


@dataclass(frozen=True)
class Service:
    """A daemon of the machine.

    :param name: of its unit, without ``.service``
    """

    name: str

    @property
    def proxy_environment(self) -> str:
        """Path of its proxy variables."""
        return f"/etc/{self.name}/tacker-cir-proxy.env"

    @property
    def proxy_drop_in(self) -> str:
        """Path of the part of its unit that names them."""
        return f"/etc/systemd/system/{self.name}.service.d/tacker-cir-proxy.conf"

    @property
    def restart_pending(self) -> str:
        """Path of a file that is there while the daemon must re-read its files.

        An operation that is cut off between writing them and the restart is completed by its
        retry. In /run, as a reboot restarts the daemon too.
        """
        return f"/run/tacker-cir-{self.name}-restart"

    @property
    def paths(self) -> tuple[str, ...]:
        """Every path whose state the functions here must know."""
        return self.proxy_environment, self.proxy_drop_in, self.restart_pending

    @property
    def remedy(self) -> str:
        """What the user reads where the daemon does not start."""
        return f"look at 'journalctl -u {self.name}' of the VM"

    def proxy_files(self, proxy: Proxy | None, no_proxy: str) -> tuple[ManagedFile, ...]:
        """Return the files of its proxy; without one they are absent.

        :param no_proxy: in place of the proxy's own
        """
        environment = drop_in = None
        if proxy:
            http = proxy.http.reveal() if proxy.http else None
            https = proxy.https.reveal() if proxy.https else None
            environment = render_docker.proxy_environment(http, https, no_proxy).encode()
            drop_in = render_docker.environment_drop_in(self.proxy_environment).encode()
        return (
            ManagedFile(self.proxy_environment, environment, 0o600),
            ManagedFile(self.proxy_drop_in, drop_in),
        )

    def needs_restart(self, facts: Facts, files: Iterable[ManagedFile]) -> bool:
        """Tell whether it must re-read its files, now or since an operation that was cut off.

        :param files: those that it reads at its start
        """
        return self.restart_pending in facts.files or not all(f.is_current(facts) for f in files)

    @property
    def restart_note(self) -> ManagedFile:
        """What keeps in mind that it must be restarted; to be written before its files are."""
        return ManagedFile(self.restart_pending, b"")

    def restart(self, machine: Machine) -> None:
        """Restart it and forget that it was needed."""
        unit = f"{self.name}.service"
        command = Command.script(f"restart {unit}", _RESTART, unit, self.restart_pending)
        machine.connection.later(command, remedy=self.remedy)
        machine.facts.note_file(self.restart_pending, None, 0)

    def enable(self, machine: Machine) -> None:
        """Start it, now and at each boot."""
        unit = f"{self.name}.service"
        command = Command(("systemctl", "enable", "--now", unit), f"start {unit}")
        machine.connection.later(command, remedy=self.remedy)
