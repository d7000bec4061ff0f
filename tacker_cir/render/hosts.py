# SPDX-License-Identifier: Apache-2.0
"""The lines of /etc/hosts that are ours: one block between two markers, everything else is
others'."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

BEGIN = "# BEGIN tacker_cir"
END = "# END tacker_cir"

#: What every machine's file has at least.
LOCALHOST = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"


def line(address: str, names: Iterable[str]) -> str:
    """Return one line (hosts(5)): an address and its names.

    :raises ValueError: one of them is not one word
    """
    words = [str(ipaddress.ip_address(address)), *names]
    for word in words:
        if not word.isprintable() or not word or set(word) & set(" #"):
            raise ValueError("a name for /etc/hosts is not one word")
    return " ".join(words)


def with_block(text: str, lines: Sequence[str]) -> str:
    """Return ``text`` with exactly ``lines`` in the block.

    The block stays where it is and is new at the end. A marker without its partner, which somebody
    left while editing, is dropped; the lines around it may be anybody's and stay.

    :param text: the file as it is
    :param lines: the lines wanted, in their order, repetitions left out; none removes the block
    """
    others, at = _without_block(text)
    wanted = list(dict.fromkeys(lines))
    if not wanted:
        return "".join(others)
    if at is None:
        at = len(others)
    if at and not others[at - 1].endswith("\n"):
        others[at - 1] += "\n"
    block = [f"{entry}\n" for entry in (BEGIN, *wanted, END)]
    return "".join([*others[:at], *block, *others[at:]])


def addresses(text: str) -> dict[str, str]:
    """Return the address of each name, in lower case, that lines of others give: the first one.

    :param text: the file
    """
    found: dict[str, str] = {}
    for entry in _without_block(text)[0]:
        address, *names = entry.partition("#")[0].split() or [""]
        for name in names:
            found.setdefault(name.lower(), address)
    return found


def _without_block(text: str) -> tuple[list[str], int | None]:
    """Return the lines that are not ours, and where among them the first block was."""
    others: list[str] = []
    at: int | None = None
    begun: int | None = None
    for entry in text.splitlines(keepends=True):
        marker = entry.strip()
        if marker == BEGIN:
            # A second BEGIN before an END: what follows the first one is not known to be ours.
            begun = len(others)
        elif marker == END:
            if begun is not None:
                del others[begun:]
                at = begun if at is None else at
                begun = None
        else:
            others.append(entry)
    return others, at
