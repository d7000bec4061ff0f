# SPDX-License-Identifier: Apache-2.0
"""Passwords as the registry reads them (Apache's htpasswd, bcrypt only)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress

import bcrypt

#: Logarithm of the number of rounds. The registry does them for each request: 10 are some 60 ms.
ROUNDS = 10

# Of other costs none is tried: who has the machine could name one that takes for ever.
_LINE = re.compile(
    rf"^([^:\n]+):(\$2[aby]\${ROUNDS:02}\$[./A-Za-z0-9]{{53}})$", re.ASCII | re.MULTILINE
)


def render(passwords: Mapping[str, str], present: str = "") -> str:
    """Return the file for some users, whose hashes stay as long as their passwords do.

    :param passwords: by username
    :param present: the file as it is
    """
    hashes = {match[1]: match[2] for match in _LINE.finditer(present)}
    lines = (
        f"{username}:{_hash(password.encode(), hashes.get(username, '').encode())}\n"
        for username, password in passwords.items()
    )
    return "".join(lines)


def _hash(password: bytes, present: bytes) -> str:
    # What looks like a hash may be none, to bcrypt.
    with suppress(ValueError):
        if present and bcrypt.checkpw(password, present):
            return present.decode()
    return bcrypt.hashpw(password, bcrypt.gensalt(ROUNDS)).decode()
