# SPDX-License-Identifier: Apache-2.0
"""apt and dpkg on a machine that may still be busy with its first boot."""

from __future__ import annotations

import re

from tacker_cir import log as logging
from tacker_cir.command import Command
from tacker_cir.exceptions import CommandFailed, HostError
from tacker_cir.facts import Facts
from tacker_cir.host.files import ManagedFile
from tacker_cir.host.machine import Machine
from tacker_cir.params.proxy import Proxy
from tacker_cir.params.reader import AptRepository
from tacker_cir.render import apt as render_apt
from tacker_cir.waiting import Deadline, NotYet, wait_until

LOG = logging.getLogger(__name__)

PROXY = "/etc/apt/apt.conf.d/90tacker-cir-proxy"

#: What apt, dpkg and debconf say in the C locale when another program holds one of their locks; the
#: install script looks for the same. dpkg "is" locked until 1.19 (Ubuntu 20.04) and "was" later, by
#: "another process" or one that it names. Not what apt adds for every reason ("Unable to lock
#: directory"): a disk that cannot be written to is none that anybody will release.
LOCKED = "could not get lock|is another process using it|(is|was) locked by [^ ]+ process"
_LOCKED = re.compile(LOCKED, re.IGNORECASE)

_APT_GET = (
    "apt-get",
    "--quiet",
    "--yes",
    "--option=Acquire::Retries=3",
    "--option=Dpkg::Options::=--force-confdef",
    "--option=Dpkg::Options::=--force-confold",
)

_APT_INSTALL = (*_APT_GET, "install", "--no-install-recommends")

# Its failure tells nothing but what apt's next step mends or reports, save for a lock.
_CONFIGURE = r"""
message=$(dpkg --force-confdef --force-confold --configure -a 2>&1) && exit 0
printf '%s\n' "$message" >&2
! printf '%s\n' "$message" | grep -Eiq "$1"
"""

# apt takes a package for installed where only its unpacking had begun.
_REINSTALL = r"""
halves=$(dpkg-query --show --showformat '${db:Status-Status} ${Package}\n' |
  awk '$1 == "half-installed" { print $2 }')
[ -z "$halves" ] || "$@" --fix-broken --reinstall --no-install-recommends install $halves
"""


class Source:
    """Where apt keeps one repository: its description and its key.

    :param name: of the files, e.g. ``docker``
    """

    def __init__(self, name: str):
        self.path = f"/etc/apt/sources.list.d/tacker-cir-{name}.sources"
        self.armored_key = f"/etc/apt/keyrings/tacker-cir-{name}.asc"
        self.binary_key = f"/etc/apt/keyrings/tacker-cir-{name}.gpg"

    @property
    def paths(self) -> tuple[str, ...]:
        """Every path whose state :meth:`files` must know."""
        return self.armored_key, self.binary_key, self.path

    def files(self, facts: Facts, repository: AptRepository | None) -> tuple[ManagedFile, ...]:
        """Return the files of a repository that has a key; all absent where there is none."""
        armored = binary = description = None
        if repository:
            is_armored = b"-----BEGIN" in repository.keyring
            # apt tells the two formats apart by the file's ending.
            if is_armored:
                armored = repository.keyring
            else:
                binary = repository.keyring
            suite = repository.suite or facts.os_release.get("VERSION_CODENAME", "stable")
            key = self.armored_key if is_armored else self.binary_key
            description = render_apt.deb822_source(
                repository.uri, suite, repository.components, key, facts.architecture
            ).encode()
        return (
            ManagedFile(self.armored_key, armored),
            ManagedFile(self.binary_key, binary),
            ManagedFile(self.path, description),
        )

    def files_without_key(self, facts: Facts, uri: str) -> tuple[ManagedFile, ...]:
        """Return the files of a flat repository whose key comes later, armored."""
        description = render_apt.deb822_source(uri, "/", (), self.armored_key, facts.architecture)
        return ManagedFile(self.binary_key, None), ManagedFile(self.path, description.encode())


class Apt:
    """Debian's and Ubuntu's package manager."""

    settings = (PROXY,)

    def source(self, name: str) -> Source:
        """Return where it keeps a repository."""
        return Source(name)

    def proxy_file(self, proxy: Proxy | None) -> ManagedFile:
        """Return apt's proxy settings, absent where there is no proxy."""
        if proxy is None:
            return ManagedFile(PROXY, None)
        http = proxy.http.reveal() if proxy.http else None
        https = proxy.https.reveal() if proxy.https else None
        content = render_apt.proxy_conf(http, https, proxy.no_proxy).encode()
        # apt reads an unreadable fragment as empty, so other users' queries go on working.
        return ManagedFile(PROXY, content, 0o600 if proxy.has_credentials else 0o644)

    def install(self, machine: Machine, *packages: str) -> None:
        """Install packages and what they need, without recommended ones.

        An installation that was cut off before is completed first.

        :param packages: names, or name=version
        :raises HostError: apt fails, or another program does not release its lock in time
        """
        names = " ".join(packages)
        remedy = (
            "check that the VM reaches its apt sources (or the proxy), and that they have the "
            "package"
        )
        complete = "complete earlier package installations"
        lock_deadline = Deadline(machine.limits.first_boot_timeout)
        for step in (
            # What depends on a package that is half there waits for the step after the next.
            Command.script(complete, _CONFIGURE, LOCKED),
            Command((*_APT_GET, "update"), "read the package lists"),
            Command.script(complete, _REINSTALL, *_APT_GET),
            Command(
                (*_APT_GET, "install", "--no-install-recommends", *packages), f"install {names}"
            ),
        ):
            _run(machine, step, lock_deadline, remedy)
        machine.facts.note_packages(packages)


def _run(machine: Machine, step: Command, lock_deadline: Deadline, remedy: str) -> None:
    connection, timeout = machine.connection, machine.limits.package_timeout

    def attempt() -> None:
        try:
            connection.run(step, timeout=timeout, remedy=remedy)
        except CommandFailed as error:
            for line in error.stderr.splitlines():
                if _LOCKED.search(line):
                    raise NotYet(line.strip()) from None
            raise

    def on_retry(error: BaseException, elapsed: float) -> None:
        LOG.info("%s: apt is busy (%s), waiting since %.0f s", connection.node, error, elapsed)

    def otherwise(last: NotYet) -> HostError:
        return HostError(
            connection.node,
            step.step,
            f"another program held apt's lock for {lock_deadline.seconds:.0f} seconds: {last}",
            "see which program it is, or raise [tacker_cir] first_boot_timeout",
        )

    LOG.info("%s: %s", connection.node, step.step)
    wait_until(attempt, lock_deadline, otherwise, first_wait=1, on_retry=on_retry)
