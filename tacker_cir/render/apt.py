# SPDX-License-Identifier: Apache-2.0
"""Configuration files of apt."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence


def proxy_conf(http: str | None, https: str | None, no_proxy: str = "") -> str:
    """Return an apt.conf fragment (apt.conf(5), apt-transport-http(1)).

    :param http: proxy URL for http:// sources
    :param https: proxy URL for https:// sources
    :param no_proxy: comma-separated; host names and addresses are asked directly. Networks are left
        out: apt compares names only
    """
    lines = []
    for scheme, url in (("http", http), ("https", https)):
        if not url:
            continue
        lines.append(f'Acquire::{scheme}::Proxy "{url}";')
        lines += [f'Acquire::{scheme}::Proxy::{host} "DIRECT";' for host in _hosts(no_proxy)]
    return "".join(line + "\n" for line in lines)


def deb822_source(
    uri: str, suite: str, components: Sequence[str], keyring: str, architecture: str
) -> str:
    """Return a one-repository sources file (sources.list(5), "DEB822-STYLE FORMAT").

    :param suite: a suite, or a path that ends in a slash
    :param components: none where the suite is a path
    :param keyring: path of the key that alone may sign this repository
    """
    return (
        "Types: deb\n"
        f"URIs: {uri}\n"
        f"Suites: {suite}\n"
        + (f"Components: {' '.join(components)}\n" if components else "")
        + f"Architectures: {architecture}\n"
        f"Signed-By: {keyring}\n"
    )


def _hosts(no_proxy: str) -> list[str]:
    hosts = []
    for entry in filter(None, no_proxy.split(",")):
        try:
            ipaddress.ip_address(entry)
        except ValueError:
            if "/" in entry or entry.startswith((".", "*")):
                continue
        hosts.append(entry)
    return hosts
