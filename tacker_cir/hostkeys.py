# SPDX-License-Identifier: Apache-2.0
"""SSH host-key policies: which key a machine must show before anything is told to it."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import paramiko

from tacker_cir import log as logging

LOG = logging.getLogger(__name__)

_PUBLIC_KEY = re.compile(r"^(?P<type>[a-z0-9@.-]+) (?P<key>[A-Za-z0-9+/]+=*)( .*)?$")


class HostKeyMismatch(Exception):
    """The key is not acceptable.

    :param remedy: what to do about it
    """

    def __init__(self, message: str, remedy: str):
        super().__init__(message)
        self.remedy = remedy


class HostKeyChecker(Protocol):
    """Decides about one machine's host key."""

    def key_types(self) -> tuple[str, ...]:
        """Key types that can be accepted, () for any: the server is asked for one of them."""

    def check(self, key: paramiko.PKey) -> None:
        """Accept the key or raise :class:`HostKeyMismatch`."""


def parse_public_key(line: str) -> tuple[str, str]:
    """Return (type, base64 key) of a public key line as ssh-keygen writes it.

    :raises ValueError: not such a line
    """
    match = _PUBLIC_KEY.match(line.strip())
    if match is None:
        raise ValueError("not a public key line")
    kind, key = match["type"], match["key"]
    # The key itself begins with the length and the name of its type (RFC 4253, section 6.6).
    name = kind.encode()
    try:
        genuine = base64.b64decode(key).startswith(len(name).to_bytes(4, "big") + name)
    except ValueError:
        genuine = False
    if not genuine:
        raise ValueError("not a public key line")
    return kind, key


def fingerprint(key: paramiko.PKey) -> str:
    """Return the key's fingerprint as ssh-keygen prints it."""
    return f"{key.get_name()} {key.fingerprint}"


class AcceptAny:
    """Policy ``off``.

    :param reason: why nothing is checked, for the warning
    """

    def __init__(self, node: str, reason: str):
        self._node, self._reason = node, reason

    def key_types(self) -> tuple[str, ...]:
        return ()

    def check(self, key: paramiko.PKey) -> None:
        LOG.warning(
            "%s: host key %s accepted unchecked: %s", self._node, fingerprint(key), self._reason
        )


class KnownKeys:
    """Policy ``strict``: only keys that are known beforehand.

    :param keys: (type, base64 key) pairs
    :param source: where they come from, for the error message
    """

    def __init__(self, keys: Iterable[tuple[str, str]], source: str):
        self._keys, self._source = frozenset(keys), source

    def key_types(self) -> tuple[str, ...]:
        return tuple(sorted({key_type for key_type, _ in self._keys}))

    def check(self, key: paramiko.PKey) -> None:
        if (key.get_name(), key.get_base64()) in self._keys:
            return
        known = "no key of this machine" if not self._keys else "another key"
        raise HostKeyMismatch(
            f"the machine shows {fingerprint(key)}, but {self._source} has {known}",
            "give the machine's public host key as ssh_host_keys in the request, as output "
            "ssh_host_keys of the Heat stack, or in the known_hosts file; if the key should have "
            "been known, somebody may be between the conductor and the machine",
        )


class PinnedKey:
    """Policy ``tofu``: the key of the first connection is the machine's key as long as it lives.

    A pin belongs to the Nova server, not to the address: a healed VM is a new server and gets
    a new pin, whereas the same server with another key is an attack or a re-installation.

    :param file: where the pin is kept
    :param server_id: id of the Nova server
    """

    def __init__(self, file: Path, server_id: str):
        self._file, self._server_id = file, server_id

    def _pin(self) -> tuple[str, str] | None:
        try:
            pin = json.loads(self._file.read_text())
        except FileNotFoundError:
            return None
        return pin["type"], pin["key"]

    def key_types(self) -> tuple[str, ...]:
        pin = self._pin()
        return (pin[0],) if pin else ()

    def check(self, key: paramiko.PKey) -> None:
        shown = (key.get_name(), key.get_base64())
        pin = self._pin() or self._create(shown)
        if pin != shown:
            raise HostKeyMismatch(
                f"server {self._server_id} shows {fingerprint(key)}, another key than at the "
                "first connection",
                f"if the VM was re-installed on purpose, remove {self._file}; if not, somebody "
                "may be between the conductor and the machine",
            )

    def _create(self, shown: tuple[str, str]) -> tuple[str, str]:
        """Pin the key unless another thread or conductor was first; return the pin."""
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd, temporary = tempfile.mkstemp(dir=self._file.parent, prefix=".pin-")
        try:
            with os.fdopen(fd, "w") as file:
                json.dump({"type": shown[0], "key": shown[1]}, file)
            # link(2) fails where the pin exists: exactly one first connection wins.
            os.link(temporary, self._file)
        except FileExistsError:
            return self._pin() or shown
        finally:
            os.unlink(temporary)
        LOG.info("host key of server %s pinned in %s", self._server_id, self._file)
        return shown


class PinStore:
    """The pinned keys of one VNF instance's machines.

    :param directory: of its own for each VNF instance, one file a machine
    """

    def __init__(self, directory: Path):
        self._directory = directory

    def key_of(self, server_id: str) -> PinnedKey:
        """Return the checker for a Nova server."""
        if not re.fullmatch(r"[A-Za-z0-9_-]+", server_id):
            raise ValueError(f"not a server id: {server_id!r}")
        return PinnedKey(self._directory / f"{server_id}.json", server_id)

    def keep_only(self, server_ids: Iterable[str]) -> None:
        """Drop the pins of machines that are no more."""
        kept = {f"{server_id}.json" for server_id in server_ids}
        for file in self._directory.glob("*.json"):
            if file.name not in kept:
                file.unlink(missing_ok=True)

    def clear(self) -> None:
        """Drop all pins."""
        shutil.rmtree(self._directory, ignore_errors=True)


def known_hosts_keys(path: Path, address: str, port: int = 22) -> list[tuple[str, str]]:
    """Return the keys that an OpenSSH known_hosts file has for an address.

    :raises ValueError: the file cannot be read
    """
    name = address if port == 22 else f"[{address}]:{port}"
    try:
        entries = paramiko.HostKeys(str(path)).lookup(name)
    except FileNotFoundError:
        return []
    except (OSError, paramiko.SSHException) as error:
        raise ValueError(f"{path}: {error}") from None
    return [(key.get_name(), key.get_base64()) for key in entries.values()] if entries else []
