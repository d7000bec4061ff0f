# SPDX-License-Identifier: Apache-2.0
"""A daemon that systemd runs: its proxy variables, and that it runs with the files that it has."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tacker_cir.command import Command
from tacker_cir.facts import Facts
from tacker_cir.host.files import ManagedFile
from tacker_cir.host.machine import Machine
from tacker_cir.params.proxy import Proxy
from tacker_cir.render import docker as render_docker
from tacker_cir.ssh import RETRY

# As one command: it may only be forgotten once it was done.
_RESTART = r"""
set -eu
systemctl daemon-reload
systemctl restart "$1"
rm -f -- "$2"
"""
_FORGET = 'rm -f -- "$2"'
_RELOAD = f'systemctl reload "$1" && {_FORGET}'


@dataclass(frozen=True)
class Service:
    """A daemon of the machine.

    It reaches its state in two steps, between which other things may be done: :meth:`write`, then
    :meth:`ensure_running`.

    :param name: of its unit, without ``.service``
    :param reloads: whether it takes over its files while it runs; another one is restarted
    """

    name: str
    reloads: bool = False

    @property
    def unit(self) -> str:
        return f"{self.name}.service"

    @property
    def proxy_environment(self) -> str:
        """Path of its proxy variables."""
        return f"/etc/{self.name}/tacker-cir-proxy.env"

    @property
    def proxy_drop_in(self) -> str:
        """Path of the part of its unit that names them."""
        return f"/etc/systemd/system/{self.unit}.d/tacker-cir-proxy.conf"

    @property
    def pending(self) -> str:
        """Path of a file that is there while the daemon must re-read its files.

        An operation that is cut off between writing them and the restart, or the reload, is
        completed by its retry. In /run, as a reboot starts the daemon anew too.
        """
        return f"/run/tacker-cir-{self.name}-{'reload' if self.reloads else 'restart'}"

    @property
    def paths(self) -> tuple[str, ...]:
        """Every path whose state the functions here must know."""
        return self.proxy_environment, self.proxy_drop_in, self.pending

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

    @property
    def note(self) -> ManagedFile:
        """What keeps in mind that it must re-read its files; to be written before they are."""
        return ManagedFile(self.pending, b"")

    def is_stale(self, facts: Facts, files: Iterable[ManagedFile]) -> bool:
        """Tell whether it must re-read its files, now or since an operation that was cut off.

        :param files: those that it has to re-read, as they shall be
        """
        return self.pending in facts.files or not all(f.is_current(facts) for f in files)

    def write(
        self, machine: Machine, *files: ManagedFile, stale: bool, remedy: str = RETRY
    ) -> frozenset[str]:
        """Write files; parameters and errors as for :meth:`Machine.ensure`.

        :param stale: whether it must re-read its files then
        """
        return machine.ensure(*([self.note] if stale else []), *files, remedy=remedy)

    def ensure_running(self, machine: Machine) -> bool:
        """Have it run, now and after each boot, with the files that it has.

        :return: whether anything was to be done for it
        :raises HostError: it does not start, or does not take its files over
        """
        facts = machine.facts
        stale, runs = self.pending in facts.files, self.name in facts.active
        started = facts.is_started(self.name)
        if stale and not self.reloads:
            self.restart(machine)
        if not started:
            self._enable(machine)
        if stale and self.reloads:
            # One that was started just now has read its files.
            self._reread(machine, "reload", _RELOAD if runs else _FORGET)
        return stale or not started

    def restart(self, machine: Machine) -> None:
        """Restart it and forget that it was needed."""
        self._reread(machine, "restart", _RESTART)
        machine.facts.active.add(self.name)

    def _reread(self, machine: Machine, verb: str, script: str) -> None:
        command = Command.script(f"{verb} {self.unit}", script, self.unit, self.pending)
        machine.connection.later(command, remedy=self.remedy)
        machine.facts.note_file(self.pending, None, 0)

    def _enable(self, machine: Machine) -> None:
        command = Command(("systemctl", "enable", "--now", self.unit), f"start {self.unit}")
        machine.connection.later(command, remedy=self.remedy)
        machine.facts.note_started(self.name)
