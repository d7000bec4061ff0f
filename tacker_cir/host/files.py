# SPDX-License-Identifier: Apache-2.0
"""Files on a machine: written only where they differ, whole or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from tacker_cir import log as logging
from tacker_cir.command import Command
from tacker_cir.facts import Facts
from tacker_cir.ssh import Connection

LOG = logging.getLogger(__name__)

# mktemp makes the file 0600, so owner and mode are right before the content is there; the rename
# is atomic, so nobody ever reads half a file.
_WRITE = r"""
set -eu
umask 022
mkdir -p -- "$(dirname -- "$1")"
new=$(mktemp -- "$1.XXXXXXXX")
trap 'rm -f -- "$new"' EXIT
chown root:root -- "$new"
chmod "$2" -- "$new"
cat >"$new"
sync -- "$new"
mv -f -- "$new" "$1"
"""


@dataclass(frozen=True)
class ManagedFile:
    """A file, owned by root, as it shall be.

    :param path: absolute
    :param content: None for a file that shall not exist
    :param mode: permission bits
    """

    path: str
    content: bytes | None
    mode: int = 0o644

    def is_current(self, facts: Facts) -> bool:
        """Tell whether the machine has the file as it shall be."""
        fact = facts.files.get(self.path)
        if self.content is None or fact is None:
            return self.content is None and fact is None
        digest = hashlib.sha256(self.content).hexdigest()
        return (fact.mode, fact.owner, fact.group, fact.sha256) == (
            self.mode,
            "root",
            "root",
            digest,
        )


def ensure_files(
    connection: Connection, facts: Facts, files: Iterable[ManagedFile]
) -> frozenset[str]:
    """Write or remove what differs; return the paths that changed."""
    changed = set()
    for file in files:
        if file.is_current(facts):
            continue
        if file.content is None:
            connection.run(Command(("rm", "-f", "--", file.path), f"remove {file.path}"))
        else:
            command = Command.script(f"write {file.path}", _WRITE, file.path, f"{file.mode:o}")
            connection.run(command, stdin=file.content)
        LOG.info(
            "%s: %s %s", connection.node, "removed" if file.content is None else "wrote", file.path
        )
        changed.add(file.path)
    return frozenset(changed)
