# SPDX-License-Identifier: Apache-2.0
"""``users`` of ``private_registry_installation_param``: who may use the registry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tacker_cir.command import Secret
from tacker_cir.params import bounds
from tacker_cir.params.fields import string
from tacker_cir.params.reader import Reader
from tacker_cir.render import docker_auth

KEY = "users"
ANONYMOUS_KEY = "anonymous_pull"

#: Bytes of a password that bcrypt takes into account.
MAX_PASSWORD = 72

SCHEMA: dict[str, Any] = {
    "type": "array",
    "writeOnly": True,
    "minItems": 1,
    "maxItems": bounds.MAX_ITEMS,
    "description": "a list of users, each an object with username and password",
    "items": {
        "type": "object",
        "writeOnly": True,
        "description": "an object with username and password",
        "additionalProperties": False,
        "required": ["username", "password"],
        "properties": {
            # It stands before a colon in a line of a file.
            "username": string(
                "a name of letters, digits and . _ @ + -, beginning with a letter or digit",
                maxLength=128,
                pattern=r"^[A-Za-z0-9][A-Za-z0-9._@+-]*\Z",
            ),
            "password": string(
                f"the user's password, at most {MAX_PASSWORD} bytes",
                writeOnly=True,
                maxLength=MAX_PASSWORD,
                pattern=r"^[^\x00-\x1f\x7f]+\Z",
            ),
        },
    },
}

ANONYMOUS_SCHEMA: dict[str, Any] = {
    "type": "boolean",
    "description": "false: who pulls has to log in where there are users",
}


@dataclass(frozen=True)
class RegistryUser:
    """Somebody who may pull, push and, where it is enabled, delete."""

    username: str
    password: Secret

    @property
    def login(self) -> Secret:
        """The login as HTTP's basic authentication has it."""
        return Secret(docker_auth.basic_auth(self.username, self.password.reveal()))

    @property
    def secrets(self) -> tuple[Secret, ...]:
        return self.password, self.login


def read(reader: Reader) -> tuple[RegistryUser, ...]:
    """Return the users, none where the registry is open to all, and note every fault."""
    if reader.valid(ANONYMOUS_KEY):
        reader.fault(
            "is not possible: the registry's image knows users (htpasswd), but no rights of theirs "
            "or of others. Leave it out, and users as well for a registry that is open to all",
            ANONYMOUS_KEY,
        )
    given = reader.raw.get(KEY)
    users: dict[str, RegistryUser] = {}
    for index in range(len(given) if isinstance(given, list) else 0):
        user = _read(reader, index)
        if user.username and user.username in users:
            reader.fault(f"{user.username} is in the list twice", KEY, index, "username")
        users.setdefault(user.username, user)
    return tuple(users.values())


def _read(reader: Reader, index: int) -> RegistryUser:
    password = reader.valid(KEY, index, "password") or ""
    if not len(password.encode(errors="replace")) <= MAX_PASSWORD:
        reader.fault(f"expected at most {MAX_PASSWORD} bytes in UTF-8", KEY, index, "password")
    return RegistryUser(reader.valid(KEY, index, "username") or "", Secret(password))
