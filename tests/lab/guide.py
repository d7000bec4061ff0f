# SPDX-License-Identifier: Apache-2.0
"""The commands and files that pages of the user guide print, taken from the pages themselves."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Mapping

from tests.testbed.machines.host import REPOSITORY

PAGES = REPOSITORY / "doc" / "source" / "user"

_INDENT = "    "
_COMMAND = re.compile(r"(openstack|tacker-cir|ssh|kubectl|sh|python3) ")
_FILE = re.compile(r"\.\. code-block:: \S+\n +:caption: (\S+)\n\n((?: +.*\n|\n)+)")


class Guide:
    """Pages of the guide.

    :param pages: names of their files
    """

    def __init__(self, *pages: str):
        text = "\n".join((PAGES / page).read_text() for page in pages)
        self._commands = _commands(text)
        #: Those that nobody asked for yet.
        self.left = set(self._commands)
        #: By name: blocks that have it as their caption.
        self.files = {name: textwrap.dedent(body) for name, body in _FILE.findall(text)}

    def words(self, command: str, values: Mapping[str, str]) -> list[str]:
        """Return a command's words.

        :param command: in one line, as it is printed
        :param values: what stands in place of parts of the words, such as ``VNF_INSTANCE_ID``
        :raises AssertionError: no page prints it
        """
        assert command in self._commands, f"the guide does not print: {command}"
        self.left.discard(command)
        return [_replaced(word, values) for word in shlex.split(command)]

    def file(self, name: str, values: Mapping[str, str]) -> str:
        """Return a file; parameters as for :meth:`words`."""
        return _replaced(self.files[name], values)


def _commands(text: str) -> frozenset[str]:
    """Return the commands in literal blocks, each in one line."""
    joined = re.sub(r"\\\n +", "", text)
    lines = (line.strip() for line in joined.splitlines() if line.startswith(_INDENT))
    return frozenset(line for line in lines if _COMMAND.match(line))


def _replaced(text: str, values: Mapping[str, str]) -> str:
    # The longest first: one may be a part of another.
    for name in sorted(values, key=len, reverse=True):
        text = text.replace(name, values[name])
    return text
