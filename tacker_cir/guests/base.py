# SPDX-License-Identifier: Apache-2.0
"""What differs between the systems of machines, and has to be known before one is asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar


class Guest:
    """A family of distributions.

    A machine is asked before it is known which family it is of: what is asked for all of them must
    say nothing on a machine of another one.

    :cvar name: of the family
    :cvar releases: in words, by ID and VERSION_ID of os-release(5): those that were tried
    :cvar environment: variables of every command, so that no program asks a person anything
    :cvar state: shell that prints lines ``arch``, as Debian names it, and ``interrupted``, with
        something where an installation of packages was cut off, or is at work
    :cvar packages: shell that prints a line ``package``, name, version and status for each of
        ``$packages``; the status is ``installed`` or another word
    :cvar defaults: directory with a file of variables for each service
    :cvar authorities: file with the certificates that the machine trusts
    :cvar hosts_template: what cloud-init writes /etc/hosts from at each boot, where it is told to
        (manage_etc_hosts)
    :cvar runtime_companions: packages that the distributions' container runtimes only recommend,
        and which they cannot do without
    """

    name: ClassVar[str]
    releases: ClassVar[Mapping[tuple[str, str], str]]
    environment: ClassVar[Mapping[str, str]]
    state: ClassVar[str]
    packages: ClassVar[str]
    defaults: ClassVar[str]
    authorities: ClassVar[str]
    hosts_template: ClassVar[str]
    runtime_companions: ClassVar[tuple[str, ...]]
