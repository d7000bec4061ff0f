# SPDX-License-Identifier: Apache-2.0
"""Text of others (guests, registries, Heat, Tacker) before a person reads it.

What a terminal takes for a command (ESC, OSC), what turns the order of a line round (right-to-left
marks) and what begins a line of its own is shown, not done.
"""

from __future__ import annotations


def printable(text: str) -> str:
    """Return text on one line in which each character is one to be read, as ``str.isprintable``
    tells; others are written as Python writes them, like ``\\x1b``."""
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    return " " if character.isspace() else character.encode("unicode_escape").decode()


def shown(text: object, limit: int = 300) -> str:
    """Return the beginning of a text as :func:`printable` shows it: who sends it decides on its
    length, too.

    :param limit: characters
    """
    whole = str(text)
    begin = printable(whole[:limit])[:limit]
    return begin if len(whole) <= limit else f"{begin}..."
