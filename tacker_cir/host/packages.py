# SPDX-License-Identifier: Apache-2.0
"""Packages of a machine, whichever its package manager is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from tacker_cir.facts import Facts
from tacker_cir.guests.debian import Debian
from tacker_cir.host.apt import Apt
from tacker_cir.host.files import ManagedFile
from tacker_cir.host.machine import Machine
from tacker_cir.params.proxy import Proxy
from tacker_cir.params.reader import AptRepository


class PackageSource(Protocol):
    """Where a package manager keeps one repository: its description and its key."""

    @property
    def armored_key(self) -> str:
        """Path of its key in text; the same with each manager, see :func:`key_path`."""

    @property
    def paths(self) -> tuple[str, ...]:
        """Every path whose state the methods must know."""

    def files(self, facts: Facts, repository: AptRepository | None) -> tuple[ManagedFile, ...]:
        """Return the files of a repository that has a key; all absent where there is none."""

    def files_without_key(self, facts: Facts, uri: str) -> tuple[ManagedFile, ...]:
        """Return the files of a flat repository whose key the install script fetches."""


class PackageManager(Protocol):
    """What a family of guests installs packages with."""

    @property
    def settings(self) -> tuple[str, ...]:
        """Paths of the files that tell it its proxy."""

    def source(self, name: str) -> PackageSource:
        """Return where it keeps a repository."""

    def proxy_file(self, proxy: Proxy | None) -> ManagedFile:
        """Return its proxy settings, absent where there is no proxy."""

    def install(self, machine: Machine, *packages: str) -> None:
        """Install packages and what they need, without recommended ones.

        An installation that was cut off before is completed first.

        :param packages: names, or name=version
        :raises HostError: it fails, or another program does not release its lock in time
        """


#: By name of the family.
MANAGERS: Mapping[str, PackageManager] = {Debian.name: Apt()}

#: Paths of every manager's settings: a machine is asked before its family is known.
SETTINGS = tuple(path for manager in MANAGERS.values() for path in manager.settings)


def manager(facts: Facts) -> PackageManager:
    """Return the package manager of a machine."""
    return MANAGERS[facts.guest.name]


def key_path(name: str) -> str:
    """Return where a repository's key is once the install script has fetched it.

    The script is called before a machine's family is known.
    """
    (path,) = {each.source(name).armored_key for each in MANAGERS.values()}
    return path


def source_paths(name: str) -> tuple[str, ...]:
    """Return the paths of a repository's files, of every manager."""
    return tuple(path for each in MANAGERS.values() for path in each.source(name).paths)
