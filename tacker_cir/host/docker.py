# SPDX-License-Identifier: Apache-2.0
"""The Docker daemon of a machine: its package, its proxy, and that it serves."""

from __future__ import annotations

from collections.abc import Iterable

from tacker_cir import log as logging
from tacker_cir.command import Command
from tacker_cir.exceptions import CommandFailed
from tacker_cir.facts import Facts
from tacker_cir.host import packages
from tacker_cir.host.files import ManagedFile
from tacker_cir.host.machine import Machine
from tacker_cir.host.service import Service
from tacker_cir.params.private_registry import DockerPackage
from tacker_cir.params.proxy import Proxy
from tacker_cir.steps import timed
from tacker_cir.waiting import Deadline, poll

LOG = logging.getLogger(__name__)

SOURCE = "docker"
#: Files that tell the package manager where to get Docker from.
SOURCES = (*packages.SETTINGS, *packages.source_paths(SOURCE))

DOCKER = Service("docker")

#: Every path whose state :func:`ensure_docker` must know.
PATHS = (*SOURCES, *DOCKER.paths)

DAEMON_CONFIG = "/etc/docker/daemon.json"
# The running daemon's own words tell which options stand beside the file. Docker before 23.0 cannot
# judge one.
_JUDGE = "; ".join(
    [
        "dockerd --help 2>&1 | grep -q -e '--validate ' || exit 0",
        "pid=$(systemctl show --value --property=MainPID docker.service)",
        '[ -n "$pid" ] && [ -r "/proc/$pid/cmdline" ] || exit 0',
        'exec xargs -0 -a "/proc/$pid/cmdline" '
        """sh -c 'exec "$@" --validate --config-file "$0"' "$1\"""",
    ]
)
#: How Docker judges a daemon.json that is not its own yet.
JUDGE = ("sh", "-c", _JUDGE, "sh")


def ensure_docker(machine: Machine, package: DockerPackage, proxy: Proxy | None) -> bool:
    """Make the machine run a Docker daemon as described; return whether anything changed.

    :param machine: read with :data:`PATHS` and ``package.name``
    :raises HostError: a step failed
    """
    facts = machine.facts
    files = desired_files(facts, package, proxy)
    # One that is installed now reads them at its first start.
    stale = facts.docker_installed and needs_restart(facts, files)
    # Sources that cannot be used would hinder whoever uses it next.
    with machine.taken_back(SOURCES):
        changed = DOCKER.write(machine, *files, stale=stale)
        missing = needs_install(facts, package)
        if missing:
            wanted = f"{package.name}={package.version}" if package.version else package.name
            packages.manager(facts).install(machine, wanted, *facts.guest.runtime_companions)
            facts.docker_installed = True
            # Nobody knows what the package's own scripts did with the service.
            facts.enabled.discard(DOCKER.name)
    # Containers with --restart=always come back with the daemon.
    ran = DOCKER.ensure_running(machine)
    if ran or not facts.docker_serving:
        wait_until_serving(machine)
    return bool(changed) or ran


def needs_restart(facts: Facts, files: Iterable[ManagedFile]) -> bool:
    """Tell whether a daemon that runs must re-read its files, now or since an earlier operation.

    :param files: as :func:`desired_files` gives them
    """
    read_at_start = (DOCKER.proxy_environment, DOCKER.proxy_drop_in)
    return DOCKER.is_stale(facts, [f for f in files if f.path in read_at_start])


def needs_install(facts: Facts, package: DockerPackage) -> bool:
    """Tell whether the package must be installed.

    Any Docker is right where the request does not name a package: the VM's image may bring one. But
    where an installation was cut off, the program may be there and the rest of its package not.
    """
    if facts.packages_interrupted:
        return True
    if not package.requested:
        return not facts.docker_installed
    installed = facts.packages.get(package.name)
    return installed is None or package.version not in (None, installed)


def desired_files(
    facts: Facts, package: DockerPackage, proxy: Proxy | None
) -> tuple[ManagedFile, ...]:
    """Return the package manager's and the daemon's files.

    Those of a proxy that is no longer given are absent.
    """
    manager = packages.manager(facts)
    return (
        manager.proxy_file(proxy),
        *manager.source(SOURCE).files(facts, package.apt_repository),
        *DOCKER.proxy_files(proxy, proxy.no_proxy if proxy else ""),
    )


def reload(machine: Machine) -> None:
    """Make the daemon read daemon.json again; what it cannot change while it runs, it ignores."""
    command = Command(("systemctl", "reload", "docker.service"), "reload Docker's settings")
    machine.connection.later(command, remedy=DOCKER.remedy)


def wait_until_serving(machine: Machine) -> None:
    """Wait until the daemon answers.

    :raises CommandFailed: it does not answer in time
    """
    version = Command(
        ("docker", "version", "--format", "{{.Server.Version}}"), "wait for the Docker daemon"
    )
    with timed(machine.node, version.step):
        found = poll(
            lambda: machine.connection.run(version, remedy=DOCKER.remedy),
            Deadline(machine.limits.service_timeout),
            retry_on=(CommandFailed,),
        )
    machine.facts.docker_serving = True
    LOG.info("%s: Docker %s serves", machine.node, found.stdout.strip())
