# SPDX-License-Identifier: Apache-2.0
"""Words of machines and servers on their way into our errors and logs."""

from __future__ import annotations

#: Characters of a foreign text that an error shows.
SHOWN = 300


def shown(text: object, limit: int = SHOWN) -> str:
    """Return a foreign text as one bounded line without control characters.

    Escape sequences of terminals and marks that turn the direction of writing are replaced: what a
    log shows must be what it holds.
    """
    line = " ".join(str(text)[: 4 * limit].split())
    safe = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)
    return safe if len(safe) <= limit else safe[:limit] + "..."
