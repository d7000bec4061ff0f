# SPDX-License-Identifier: Apache-2.0
"""SSH host-key policies: which key a machine must show before anything is told to it."""

from __future__ import annotations

import base64
import json
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import paramiko
from paramiko.hostkeys import HostKeyEntry, InvalidHostKey

from tacker_cir import log as logging
from tacker_cir import pin_files
from tacker_cir.exceptions import PinStoreError

LOG = logging.getLogger(__name__)

#: Types of the keys that a machine can be asked to show.
KEY_TYPES = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "ssh-rsa",
)

# An ECDSA key has three: type, curve, point.
_MAX_FIELDS = 4

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
        """Accept the key or raise :class:`HostKeyMismatch`.

        :raises PinStoreError: it cannot be told which key the machine must show
        """


def parse_public_key(line: str) -> tuple[str, str]:
    """Return (type, base64 key) of a public key line as ssh-keygen writes it.

    :raises ValueError: not such a line
    """
    match = _PUBLIC_KEY.match(line.strip())
    if match is None:
        raise ValueError("not a public key line")
    kind, key = match["type"], match["key"]
    try:
        fields = _fields(base64.b64decode(key, validate=True))
    except ValueError:
        raise ValueError("not a public key line") from None
    # The key itself begins with the name of its type (RFC 4253, section 6.6).
    if fields[:1] != [kind.encode()] or len(fields) < 2:
        raise ValueError("not a public key line")
    # Compared with what the machine shows: one key has one text.
    return kind, base64.b64encode(b"".join(map(_field, fields))).decode()


def _fields(data: bytes) -> list[bytes]:
    """Return the texts that a public key consists of."""
    fields: list[bytes] = []
    while data:
        length = int.from_bytes(data[:4], "big")
        if len(data) < 4 + length or len(fields) == _MAX_FIELDS:
            raise ValueError("no public key")
        fields.append(data[4 : 4 + length])
        data = data[4 + length :]
    return fields


def _field(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


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
        """Return the key that is pinned, None where there is no pin.

        :raises PinStoreError: it cannot be told which one it is
        """
        text = pin_files.read(self._file)
        if text is None:
            return None
        try:
            pin = json.loads(text)
            return parse_public_key(f"{pin['type']} {pin['key']}")
        except (ValueError, TypeError, KeyError, RecursionError):
            raise self._damaged("is not what an earlier connection wrote") from None

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
        if pin_files.create(self._file, json.dumps({"type": shown[0], "key": shown[1]})):
            LOG.info("host key of server %s pinned in %s", self._server_id, self._file)
            return shown
        pin = self._pin()
        if pin is None:
            raise self._damaged("comes and goes")
        return pin

    def _damaged(self, problem: str) -> PinStoreError:
        return PinStoreError(
            str(self._file),
            f"the pinned host key of server {self._server_id} {problem}",
            "compare the machine's host key with its console log, then remove the file: the next "
            "connection pins the key anew",
        )


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
        """Drop the pins of machines that are no more.

        :raises PinStoreError: they cannot be removed
        """
        pin_files.keep_only(self._directory, {f"{server_id}.json" for server_id in server_ids})

    def clear(self) -> None:
        """Drop all pins. What cannot be removed does no harm: no server's id comes again."""
        try:
            shutil.rmtree(self._directory)
        except FileNotFoundError:
            pass
        except OSError as error:
            LOG.warning("the pinned host keys in %s stay: %s", self._directory, error)


def known_hosts_keys(path: Path, address: str, port: int = 22) -> list[tuple[str, str]]:
    """Return the keys that an OpenSSH known_hosts file has for an address and does not revoke.

    :raises ValueError: the file cannot be read
    """
    name = address if port == 22 else f"[{address}]:{port}"
    known: list[tuple[str, str]] = []
    revoked: set[str] = set()
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from None
    for words in map(str.split, lines):
        # paramiko does not know marks (sshd(8)). What is revoked is so for whomever.
        if words[:1] == ["@revoked"]:
            revoked.update(words[3:4])
        elif words and not words[0].startswith(("#", "@")):
            known += _keys_of_line(" ".join(words), name)
    return [pair for pair in known if pair[1] not in revoked]


def _keys_of_line(line: str, name: str) -> list[tuple[str, str]]:
    """Return the key of a line of known_hosts if it is that host's; a damaged line has none."""
    try:
        entry = HostKeyEntry.from_line(line)
    except (InvalidHostKey, ValueError, paramiko.SSHException):
        return []
    if entry is None:
        return []
    hosts = paramiko.HostKeys()
    for host in entry.hostnames:
        hosts.add(host, entry.key.get_name(), entry.key)
    return [(entry.key.get_name(), entry.key.get_base64())] if hosts.lookup(name) else []
