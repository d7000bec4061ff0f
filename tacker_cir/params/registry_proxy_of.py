# SPDX-License-Identifier: Apache-2.0
"""``proxy_of`` of the registry VNF: the registry whose images it fetches and keeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tacker_cir import docker_hub
from tacker_cir.command import Secret
from tacker_cir.params.fields import string
from tacker_cir.params.proxy import Proxy
from tacker_cir.params.reader import Reader

KEY = "proxy_of"
#: Members of the request that write into the registry or take something out of it: one that fetches
#: takes no pushes, and by itself takes away what nobody asked for lately.
EXCLUDED = (("contents",), ("upkeep", "delete"), ("upkeep", "garbage_collection"))

_MAX_LOGIN = 4096

SCHEMA: dict[str, Any] = {
    "type": "object",
    "writeOnly": True,
    "description": "an object with server, connection_type, username, password",
    "additionalProperties": False,
    "required": ["server"],
    "properties": {
        "server": string("the registry's host[:port], e.g. docker.io", maxLength=255),
        "connection_type": {
            "enum": ["0", "1", 0, 1],
            "description": '"0" for HTTP, "1" for HTTPS',
        },
        # A colon would end the name where it is sent (RFC 7617).
        "username": string(
            "a name without a colon for the login",
            maxLength=_MAX_LOGIN,
            pattern=r"^[^:\x00-\x1f\x7f]+\Z",
        ),
        "password": string(
            "a password or token for the login",
            writeOnly=True,
            maxLength=_MAX_LOGIN,
            pattern=r"^[^\x00-\x1f\x7f]+\Z",
        ),
    },
}


@dataclass(frozen=True)
class ProxyOf:
    """The registry that images are fetched from.

    :param server: ``host[:port]``
    :param login: user name and password, None for none
    """

    server: str
    https: bool = True
    login: tuple[str, Secret] | None = None

    @property
    def url(self) -> str:
        """Where it is asked."""
        server = docker_hub.REGISTRY if self.server == docker_hub.NAME else self.server
        return f"{'https' if self.https else 'http'}://{server}"

    @property
    def secrets(self) -> tuple[Secret, ...]:
        return (self.login[1],) if self.login else ()


def read(reader: Reader, proxy: Proxy | None) -> ProxyOf | None:
    """Return ``proxy_of``, None where the request has none, and note its faults.

    :param proxy: of the request
    """
    if reader.valid(KEY, "server") is None:
        return None
    server = reader.server(KEY, "server")
    _check_company(reader, proxy)
    https = reader.valid(KEY, "connection_type") not in ("0", 0)
    return ProxyOf(server or "", https, _login(reader))


def _login(reader: Reader) -> tuple[str, Secret] | None:
    given = reader.raw[KEY]
    for name, other in (("username", "password"), ("password", "username")):
        if name not in given and other in given:
            reader.fault(f"is missing; expected it beside {other}", KEY, name)
    username, password = (reader.valid(KEY, name) for name in ("username", "password"))
    return (username, Secret(password)) if username and password else None


def _check_company(reader: Reader, proxy: Proxy | None) -> None:
    """Refuse what a registry that fetches cannot have beside it."""
    for path in EXCLUDED:
        if reader.valid(*path):
            reader.fault(
                f"excludes {KEY}: a registry that fetches another one's images takes none, and "
                "keeps its disk by itself; expected one of the two",
                *path,
            )
    if proxy is not None and proxy.has_credentials:
        reader.fault(
            f"expected URLs without a login beside {KEY}: the registry's program knows its proxy "
            "from its environment only, which 'docker inspect' shows",
            "proxy",
        )
