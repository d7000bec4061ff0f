# SPDX-License-Identifier: Apache-2.0
"""The registries in Docker's daemon.json (dockerd(8)), beside whatever else stands there."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from tacker_cir.documents import load_json

_INSECURE = "insecure-registries"
_MIRRORS = "registry-mirrors"
_LIVE_RESTORE = "live-restore"
_PROXIES = "proxies"

# dockerd refuses to start where a key of the file is an option of its command line as well.
_OPTIONS = {
    "insecure-registry": _INSECURE,
    "registry-mirror": _MIRRORS,
    "live-restore": _LIVE_RESTORE,
    "config-file": "config-file",
}
_OPTION = re.compile(rf"""(?<![\w-])--({"|".join(_OPTIONS)})(?![\w-])(?:[=\s]+["']?([^\s"';]+))?""")


@dataclass(frozen=True)
class Registries:
    """Entries of daemon.json.

    :param insecure: registries, ``host[:port]``, that may speak HTTP or show any certificate
    :param mirrors: URLs of mirrors of Docker Hub
    """

    insecure: tuple[str, ...] = ()
    mirrors: tuple[str, ...] = ()


@dataclass(frozen=True)
class CommandLine:
    """What dockerd is told by options: what stands there cannot be in the file.

    :param keys: of daemon.json
    :param registries: those that the options name
    :param file: that it reads in place of daemon.json; "" for that
    """

    keys: frozenset[str] = frozenset()
    registries: Registries = Registries()
    file: str = ""

    @classmethod
    def parse(cls, words: str) -> CommandLine:
        """Return the options in the text of a unit, of what it reads, or of a command line."""
        found: dict[str, list[str]] = {}
        for option, value in _OPTION.findall(words):
            found.setdefault(_OPTIONS[option], []).append(value)
        files = found.pop("config-file", [""])
        registries = Registries(*(tuple(found.get(key, ())) for key in (_INSECURE, _MIRRORS)))
        return cls(frozenset(found), registries, files[-1])

    def left_over(self, wanted: Registries) -> list[tuple[str, str]]:
        """Return (option, value) of what is wanted, cannot be in the file, and is no option yet."""
        found = [
            ("--insecure-registry", entry)
            for entry in wanted.insecure
            if _INSECURE in self.keys and entry not in self.registries.insecure
        ]
        mirrors = {url.rstrip("/") for url in self.registries.mirrors}
        return found + [
            ("--registry-mirror", url)
            for url in wanted.mirrors
            if _MIRRORS in self.keys and url.rstrip("/") not in mirrors
        ]

    def for_file(self, wanted: Registries) -> Registries:
        """Return what of the wanted entries may be in the file."""
        return Registries(
            () if _INSECURE in self.keys else wanted.insecure,
            () if _MIRRORS in self.keys else wanted.mirrors,
        )


def merge(
    text: str | None,
    previous: Registries,
    wanted: Registries,
    command_line: CommandLine | None = None,
) -> tuple[str | None, Registries]:
    """Add the wanted entries and take away those that we had added and that are wanted no longer.

    Where nothing changes, the text is returned as it is, so that Docker need not be restarted.

    :param text: the file as it is, None where there is none
    :param previous: the entries of the file that are ours
    :param wanted: the entries that shall be there
    :param command_line: whose keys are taken out of the file where nothing but ours is in them
    :return: the file as it shall be (None: still no file), and the entries of it that are ours,
        which are ``previous`` the next time. An entry that somebody else put there does not become
        ours
    :raises ValueError: the file is not what Docker reads
    """
    document = _parse(text)
    insecure = _merge_list(document, _INSECURE, previous.insecure, wanted.insecure)
    mirrors = _merge_list(document, _MIRRORS, previous.mirrors, wanted.mirrors)
    ours = Registries(insecure, mirrors)
    for key in command_line.keys if command_line else ():
        if document.get(key) == []:
            del document[key]
    if document == _parse(text):
        return text, ours
    return _dump(document), ours


def has_proxies(text: str | None) -> bool:
    """Tell whether the file names proxies, which go before those of the daemon's environment.

    :raises ValueError: the file is not what Docker reads
    """
    return bool(_parse(text).get(_PROXIES))


def with_live_restore(text: str | None, keys: Collection[str] = ()) -> str | None:
    """Return the file with ``live-restore`` on, unless something is said about that already.

    Then containers outlive a restart of the daemon, which a changed proxy needs.

    :param text: the file as it is, None where there is none
    :param keys: of the file that the daemon's command line sets
    :raises ValueError: the file is not what Docker reads
    """
    document = _parse(text)
    if _LIVE_RESTORE in keys or _LIVE_RESTORE in document:
        return text
    return _dump({**document, _LIVE_RESTORE: True})


def _dump(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=4, ensure_ascii=False) + "\n"


def _parse(text: str | None) -> dict[str, Any]:
    if text is None or not text.strip():
        return {}
    try:
        document = load_json(text)
    except ValueError as error:
        raise ValueError(f"is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise ValueError("is not a JSON object")
    for key in (_INSECURE, _MIRRORS):
        entries = document.get(key, [])
        if not isinstance(entries, list) or not all(isinstance(e, str) for e in entries):
            raise ValueError(f"{key} is not a list of strings")
    return document


def _merge_list(
    document: dict[str, Any], key: str, previous: tuple[str, ...], wanted: tuple[str, ...]
) -> tuple[str, ...]:
    """Change one list of the document in place and return the entries that are ours."""
    have = document.get(key, [])
    # Docker takes a mirror with and without a slash at its end for the same.
    ours_before = {entry.rstrip("/") for entry in previous}
    wanted_names = {entry.rstrip("/") for entry in wanted}
    kept = [e for e in have if e.rstrip("/") in wanted_names or e.rstrip("/") not in ours_before]
    present = {entry.rstrip("/") for entry in kept}
    added = [e for e in dict.fromkeys(wanted) if e.rstrip("/") not in present]
    if kept or added:
        document[key] = kept + added
    elif have:
        # Without the key, a daemon that is told to read the file again would keep what it has.
        document[key] = []
    return tuple(e for e in dict.fromkeys(wanted) if e in added or e.rstrip("/") in ours_before)
