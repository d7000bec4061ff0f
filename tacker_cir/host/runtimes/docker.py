# SPDX-License-Identifier: Apache-2.0
"""Docker of a Kubernetes node: its settings, and the registries in files that others write too.

What a registry's own VM needs of Docker as well is in :mod:`tacker_cir.host.docker`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tacker_cir.command import Command, Secret
from tacker_cir.exceptions import HostError
from tacker_cir.facts import Facts
from tacker_cir.host import certs_d, docker
from tacker_cir.host.docker import DAEMON_CONFIG, DOCKER
from tacker_cir.host.files import ManagedFile, kept, kept_secret, understood, unusable
from tacker_cir.host.machine import Machine
from tacker_cir.host.runtimes.base import Entries, NodeRuntime, Shared
from tacker_cir.params.proxy import Proxy
from tacker_cir.params.registry_connection import RegistryConnection
from tacker_cir.reading import Unreadable
from tacker_cir.render import docker_auth, docker_daemon
from tacker_cir.render.docker_daemon import CommandLine, Registries
from tacker_cir.runtimes.docker import Docker, registry_config
from tacker_cir.text import shown
from tacker_cir.waiting import Deadline, NotYet, wait_until

CERTS_D = "/etc/docker/certs.d"
#: Logins of root's docker command.
LOGINS = "/root/.docker/config.json"

_INSECURE, _MIRRORS, _LOGINS = "insecure_registries", "registry_mirrors", "docker_logins"

_PULL = 'exec docker --config /root/.docker pull --quiet "$1"'


class DockerRuntime(NodeRuntime):
    """Docker of a node."""

    kind = Docker()
    paths = DOCKER.paths
    contents = (DAEMON_CONFIG, LOGINS)
    trees = (CERTS_D,)
    effective = (Docker.program,)
    entries = (_INSECURE, _MIRRORS, _LOGINS)
    judged = (DAEMON_CONFIG,)

    def is_installed(self, facts: Facts) -> bool:
        return facts.docker_installed

    def own_cgroup_driver(self, facts: Facts) -> str | None:
        return facts.docker_cgroup_driver or None

    def ensure_serving(
        self, machine: Machine, sandbox_image: str | None, proxy: Proxy | None, no_proxy: str
    ) -> bool:
        facts = machine.facts
        daemon = _daemon_file(machine.node, facts, proxy)
        files = DOCKER.proxy_files(proxy, no_proxy)
        with machine.taken_back([DAEMON_CONFIG], DOCKER.restart):
            stale = DOCKER.is_stale(facts, files)
            changed = DOCKER.write(machine, daemon, *files, stale=stale)
            if DAEMON_CONFIG in changed and facts.is_started(DOCKER.name):
                # Before a restart, so that it leaves the containers alone.
                docker.reload(machine)
            if not DOCKER.ensure_running(machine) and facts.docker_serving:
                return bool(changed)
            docker.wait_until_serving(machine)
        return True

    def registry_files(self, registries: Sequence[RegistryConnection]) -> list[ManagedFile]:
        return certs_d.docker_files(CERTS_D, registries)

    def complete(
        self, node: str, facts: Facts, before: Entries, registries: Sequence[RegistryConnection]
    ) -> Shared:
        command_line, wanted = CommandLine.parse(facts.dockerd_words), daemon_entries(registries)
        _check_command_line(node, command_line, wanted)
        ours, in_file = _registries(before), command_line.for_file(wanted)
        daemon, own = understood(
            node,
            facts,
            DAEMON_CONFIG,
            lambda text: docker_daemon.merge(text, ours, in_file, command_line),
        )
        logins = {r.server: r.login.reveal() for r in registries if r.login}
        text, servers = understood(
            node,
            facts,
            LOGINS,
            lambda text: docker_auth.merge(text, before.get(_LOGINS, ()), logins),
        )
        return Shared(
            (
                kept(facts, DAEMON_CONFIG, daemon, check=docker.JUDGE),
                kept_secret(facts, LOGINS, text),
            ),
            {_INSECURE: own.insecure, _MIRRORS: own.mirrors, _LOGINS: servers},
        )

    def take_over(
        self, machine: Machine, before: Entries, after: Entries, changed: Sequence[str]
    ) -> list[str]:
        """Have Docker take over its registries, which it does without a restart."""
        connection, facts = machine.connection, machine.facts
        here, left = _registries(after), gone(facts, before, after)
        is_changed = DAEMON_CONFIG in changed
        if not facts.is_started(DOCKER.name) or (
            not is_changed and is_loaded(facts.docker_registries, here, left)
        ):
            return []
        docker.reload(machine)
        ask = Command(("docker", "info", "--format", "{{json .RegistryConfig}}"), "reload Docker")

        def attempt() -> None:
            try:
                facts.docker_registries = registry_config(connection.run(ask).stdout)
            except Unreadable:
                raise NotYet from None
            if not is_loaded(facts.docker_registries, here, left):
                raise NotYet

        kept_old = HostError(
            machine.node,
            ask.step,
            f"Docker did not take over the registries of {DAEMON_CONFIG}",
            "look at 'journalctl -u docker' of the VM; an option of the daemon's command line may "
            "stand against the file",
        )
        wait_until(attempt, Deadline(machine.limits.service_timeout), lambda _last: kept_old)
        return ["Docker's settings reloaded"]

    def reread(self, machine: Machine) -> None:
        docker.reload(machine)

    def pull(self, image: str, login: Secret | None) -> tuple[Command, bytes]:
        return Command.script(f"pull {image}", _PULL, image), b""


def daemon_entries(registries: Sequence[RegistryConnection]) -> Registries:
    """Return what daemon.json has to say of registries."""
    return Registries(
        tuple(r.server for r in registries if not r.https or r.skip_verify),
        tuple(r.url for r in registries if r.mirror_of),
    )


def gone(facts: Facts, before: Entries, after: Entries) -> Registries:
    """Return the registries that Docker shall know no longer.

    :param before: what was ours in files of others
    :param after: what is ours now
    """
    had, have = _registries(before), _registries(after)
    options = CommandLine.parse(facts.dockerd_words).registries
    return Registries(
        tuple(e for e in had.insecure if e not in (*have.insecure, *options.insecure)),
        tuple(e for e in had.mirrors if e not in (*have.mirrors, *options.mirrors)),
    )


def is_loaded(registries: Mapping[str, Any] | None, entries: Registries, gone: Registries) -> bool:
    """Tell whether the daemon has certain registries and has certain others no longer.

    :param registries: ``docker info``'s RegistryConfig
    """
    have = registries or {}
    indexes = have.get("IndexConfigs") or {}
    insecure = {name for name, index in indexes.items() if not index.get("Secure", True)}
    mirrors = {url.rstrip("/") for url in have.get("Mirrors") or ()}
    return (
        insecure.issuperset(entries.insecure)
        and insecure.isdisjoint(gone.insecure)
        and mirrors.issuperset(entries.mirrors)
        and mirrors.isdisjoint(gone.mirrors)
    )


def _registries(entries: Entries) -> Registries:
    return Registries(entries.get(_INSECURE, ()), entries.get(_MIRRORS, ()))


def _check_command_line(node: str, command_line: CommandLine, entries: Registries) -> None:
    """Refuse what could only be in a file beside which Docker would not start any more."""
    left_over = command_line.left_over(entries)
    if left_over:
        options = " ".join(dict.fromkeys(option for option, _ in left_over))
        needed = " ".join(f"{option}={value}" for option, value in left_over)
        raise HostError(
            node,
            f"complete {DAEMON_CONFIG}",
            f"dockerd is started with {options}, and does not start where the file has the same",
            f"add {needed} to its command line, or move what is there into the file",
        )


def _daemon_file(node: str, facts: Facts, proxy: Proxy | None) -> ManagedFile:
    """Return daemon.json as it shall be, as far as it is not about registries."""
    command_line = CommandLine.parse(facts.dockerd_words)
    if command_line.file not in ("", DAEMON_CONFIG):
        raise HostError(
            node,
            f"complete {DAEMON_CONFIG}",
            f"dockerd is told to read another file, {shown(command_line.file)}",
            "take --config-file out of the unit, or of the drop-in that brings it",
        )
    text = facts.text(DAEMON_CONFIG)
    try:
        if proxy and docker_daemon.has_proxies(text):
            raise ValueError("has proxies, which go before the proxy of the request")
        wanted = docker_daemon.with_live_restore(text, command_line.keys)
    except ValueError as error:
        raise unusable(node, DAEMON_CONFIG, error) from None
    return kept(facts, DAEMON_CONFIG, wanted, check=docker.JUDGE)
