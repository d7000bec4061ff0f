# SPDX-License-Identifier: Apache-2.0
"""What a registry answers at /v2/: how it is known (OCI distribution specification), how it asks
for a login (RFC 9110, section 11) and where its tokens are (distribution's "Token Authentication
Specification").
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from tacker_cir.params.names import is_host_name
from tacker_cir.registry.from_node import Answer

#: Header of every registry but a few, and its value (Docker's HTTP API V2).
_VERSION_HEADER, _VERSION = "docker-distribution-api-version", "registry/2.0"

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_GAP = re.compile(r"[ \t,]*")
_PARAMETER = re.compile(rf'({_TOKEN})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}))')
_SCHEME = re.compile(rf"({_TOKEN})(?=[ \t,]|$)(?:[ \t]+[A-Za-z0-9._~+/-]+=*(?=[ \t]*(?:,|$)))?")
# What may stand in a header; real tokens are RFC 6750's b64token.
_BEARER = re.compile(r"[\x20-\x7e]{1,32768}")
# A request's target, where http.client asks for no more.
_TARGET = re.compile(r"[\x21-\x7e]*")


def is_registry(answer: Answer) -> bool:
    """Return whether an answer with HTTP 200 is that of a registry.

    The specification defines no body, and lets the header be left out. A page that is there for
    browsers has neither the header nor the empty object that distribution sends.
    """
    if answer.status != 200:
        return False
    if _VERSION in answer.headers.get(_VERSION_HEADER, "").replace(",", " ").split():
        return True
    media_type = answer.headers.get("content-type", "application/json").partition(";")[0]
    return media_type.strip().lower() == "application/json" and answer.body.strip() == "{}"


@dataclass(frozen=True)
class Challenge:
    """One way in which a server wants to be shown who asks.

    :param scheme: in lower case
    :param parameters: names in lower case
    """

    scheme: str
    parameters: Mapping[str, str]


def challenges(header: str) -> list[Challenge]:
    """Return the challenges in the value of a WWW-Authenticate header, or of several together.

    What follows something that is not of the grammar is left out.
    """
    found: list[Challenge] = []
    parameters: dict[str, str] = {}
    at = 0
    while (at := _end(_GAP.match(header, at))) < len(header):
        if found and (match := _PARAMETER.match(header, at)):
            name, quoted, token = match.groups()
            parameters[name.lower()] = re.sub(r"\\(.)", r"\1", quoted) if token is None else token
        elif match := _SCHEME.match(header, at):
            parameters = {}
            found.append(Challenge(match.group(1).lower(), parameters))
        else:
            break
        at = match.end()
    return found


def _end(match: re.Match[str] | None) -> int:
    assert match is not None  # the pattern matches nothing at all, too
    return match.end()


@dataclass(frozen=True)
class TokenServer:
    """Where a registry's tokens are.

    :param target: path and query
    """

    https: bool
    host: str
    port: int
    target: str

    @classmethod
    def of(cls, challenge: Challenge, scope: str | None) -> TokenServer:
        """Return what a Bearer challenge names.

        :param scope: what the token shall allow, None for nothing but to be known
        :raises ValueError: it names no server
        """
        realm = urlsplit(challenge.parameters.get("realm", ""))
        host = realm.hostname or ""
        if realm.scheme not in ("http", "https") or not _is_host(host):
            raise ValueError("no server")
        https = realm.scheme == "https"
        query = {"service": challenge.parameters.get("service"), "scope": scope}
        asked = urlencode({name: value for name, value in query.items() if value is not None})
        target = f"{realm.path or '/'}?{'&'.join(part for part in (realm.query, asked) if part)}"
        if not _TARGET.fullmatch(target):
            raise ValueError("no URL")
        return cls(https, host, realm.port or (443 if https else 80), target)

    @property
    def name(self) -> str:
        """The server as a request names it: ``host[:port]``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.https else 80) else f"{host}:{self.port}"


def _is_host(text: str) -> bool:
    try:
        return is_host_name(text) or bool(ipaddress.ip_address(text))
    except ValueError:
        return False


def bearer_token(body: str) -> str:
    """Return the token in a token server's answer.

    :raises ValueError: there is none that can be sent; the error does not show it
    """
    try:
        document = json.loads(body)
        token = document.get("token") or document["access_token"]
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        raise ValueError("no token") from None
    if not isinstance(token, str) or not _BEARER.fullmatch(token):
        raise ValueError("not a token")
    return token
