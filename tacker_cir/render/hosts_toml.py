# SPDX-License-Identifier: Apache-2.0
"""containerd's registry configuration: hosts.toml of one directory below certs.d.

The format is that of containerd's docs/hosts.md. containerd reads the file at each pull.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tomli_w

from tacker_cir import docker_hub

#: A mirror answers for another registry's content; nothing is pushed to it.
MIRROR_CAPABILITIES = ["pull", "resolve"]


@dataclass(frozen=True)
class Endpoint:
    """Where containerd asks, and how.

    :param url: ``http[s]://host[:port]``
    :param ca: path on the node of the CA certificate; https only
    :param client: paths on the node of the client's certificate and key; https only
    :param skip_verify: accept any certificate; https only
    :param authorization: value of the ``Authorization`` header. It makes the file a secret, and is
        sent with each request to this endpoint, whatever login a pull brings along
    """

    url: str
    ca: str | None = None
    client: tuple[str, str] | None = None
    skip_verify: bool = False
    authorization: str | None = None

    def __post_init__(self) -> None:
        # With any TLS setting containerd tries https first on an http:// endpoint.
        if self.url.startswith("http:") and (self.ca or self.client or self.skip_verify):
            raise ValueError(f"{self.url} is not https, but has TLS settings")

    def table(self) -> dict[str, Any]:
        """Return what the file says of the endpoint besides its URL."""
        settings: dict[str, Any] = {}
        if self.ca:
            settings["ca"] = self.ca
        if self.client:
            settings["client"] = [list(self.client)]
        if self.skip_verify:
            settings["skip_verify"] = True
        if self.authorization:
            settings["header"] = {"Authorization": self.authorization}
        return settings


def upstream(namespace: str) -> Endpoint:
    """Return where a registry is that is not configured itself.

    :param namespace: the registry as image names begin with it, e.g. ``docker.io``
    """
    return Endpoint(f"https://{docker_hub.REGISTRY if namespace == docker_hub.NAME else namespace}")


def render(server: Endpoint | None, mirrors: Sequence[Endpoint] = ()) -> str:
    """Return the file of one registry.

    The last endpoint to ask stands at the file's top: a registry named there is asked once, whereas
    containerd would ask the same registry under ``[host]`` and then, without its settings, again.

    :param server: the registry itself; None to ask the mirrors only
    :param mirrors: asked first, in this order
    :raises ValueError: no endpoint is left
    """
    endpoints = [*mirrors, *([server] if server else [])]
    if not endpoints:
        raise ValueError("neither a server nor a mirror")
    *first, last = endpoints
    document: dict[str, Any] = {"server": last.url}
    if server is None:
        document["capabilities"] = MIRROR_CAPABILITIES
    document |= last.table()
    # Even where it is empty: containerd 1.6 ignores a file without this table.
    document["host"] = {
        mirror.url: {"capabilities": MIRROR_CAPABILITIES, **mirror.table()} for mirror in first
    }
    return tomli_w.dumps(document)
