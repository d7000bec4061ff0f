# SPDX-License-Identifier: Apache-2.0
"""Configuration files of apt."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence

# A tag of apt.conf(5) that stands without quotation marks; two colons lead to the next level.
_TAG = re.compile(r"[A-Za-z0-9_.:*-]+", re.ASCII)


def proxy_conf(http: str | None, https: str | None, no_proxy: str = "") -> str:
    """Return an apt.conf fragment (apt.conf(5), apt-transport-http(1)).

    :param http: proxy URL for http:// sources
    :param https: proxy URL for https:// sources
    :param no_proxy: comma-separated; host names and addresses are asked directly. Networks are left
        out: apt compares names only
    :raises ValueError: a value cannot be written so that apt reads it as it is
    """
    lines = []
    for scheme, url in (("http", http), ("https", https)):
        if not url:
            continue
        lines.append(f'Acquire::{scheme}::Proxy "{_quotable(url)}";')
        lines += [f'Acquire::{scheme}::Proxy::{host} "DIRECT";' for host in _hosts(no_proxy)]
    return "".join(line + "\n" for line in lines)


def deb822_source(
    uri: str, suite: str, components: Sequence[str], keyring: str, architecture: str
) -> str:
    """Return a one-repository sources file (sources.list(5), "DEB822-STYLE FORMAT").

    :param suite: a suite, or a path that ends in a slash
    :param components: none where the suite is a path
    :param keyring: path of the key that alone may sign this repository
    :raises ValueError: a value is not one word
    """
    fields = {
        "Types": ["deb"],
        "URIs": [uri],
        "Suites": [suite],
        "Components": components,
        # apt's own where a machine did not tell it.
        "Architectures": [architecture] if architecture else (),
        "Signed-By": [keyring],
    }
    return "".join(f"{name}: {_words(values)}\n" for name, values in fields.items() if values)


def _words(values: Sequence[str]) -> str:
    for value in values:
        # A second word is a second value, a second line another field.
        if not value or not value.isprintable() or " " in value:
            raise ValueError("a value of a sources file is not one word")
    return " ".join(values)


def _quotable(value: str) -> str:
    # apt.conf(5) has no way to write a quotation mark inside of a string.
    if '"' in value or "\\" in value or not value.isprintable():
        raise ValueError("a value of apt.conf has a character that ends it")
    return value


def _hosts(no_proxy: str) -> list[str]:
    hosts = []
    for entry in filter(None, no_proxy.split(",")):
        try:
            ipaddress.ip_address(entry)
        except ValueError:
            # Ports as well: apt looks for a host's name alone.
            if "/" in entry or ":" in entry or entry.startswith((".", "*")):
                continue
            if not _TAG.fullmatch(entry):
                raise ValueError("an entry of no_proxy is not a host") from None
        hosts.append(entry)
    return hosts
