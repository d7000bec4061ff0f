# SPDX-License-Identifier: Apache-2.0
"""The value of ``no_proxy``: what is asked without the proxy."""

from __future__ import annotations

from collections.abc import Iterable


def no_proxy(user: str, networks: Iterable[object], hosts: Iterable[str]) -> str:
    """Return the list, the user's entries first, each entry once.

    A network stands as such, never as an enumeration of its addresses: container runtimes, kubeadm
    and the kubelet (Go's httpproxy) match networks.

    :param user: what the user gave: hosts, domains and networks separated by commas
    :param networks: e.g. the networks of pods, services and nodes
    :param hosts: names and addresses without port, IPv6 addresses without brackets
    """
    entries: dict[str, str] = {}
    for entry in [*user.split(","), *map(str, networks), *hosts]:
        if entry.strip():
            entries.setdefault(entry.strip().lower(), entry.strip())
    return ",".join(entries.values())
