# SPDX-License-Identifier: Apache-2.0
"""What Docker Hub, as the only registry, is called otherwise at different places."""

from __future__ import annotations

#: In the names of images.
NAME = "docker.io"
#: Where its registry is.
REGISTRY = "registry-1.docker.io"
#: Where it gives tokens for a login.
TOKENS = "auth.docker.io"
#: In Docker's file of logins, which has kept the address of the first version of its API.
LOGIN_KEY = "https://index.docker.io/v1/"

_HOSTS = frozenset(
    "docker.io index.docker.io registry-1.docker.io registry.docker.io registry.hub.docker.com "
    "hub.docker.com www.docker.com docker.com".split()
)


def is_called(host: str) -> bool:
    """Return whether a host is Docker Hub, whatever a user calls it."""
    return host.lower() in _HOSTS
