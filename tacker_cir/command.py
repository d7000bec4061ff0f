# SPDX-License-Identifier: Apache-2.0
"""Remote commands as objects, and the masking of secrets in whatever comes back from them.

A command line is public on the machine that runs it (``ps``, audit logs), so a secret is never a
part of one: it goes to the command's standard input. This is why a :class:`Command` refuses to
hold a :class:`Secret`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

MASK = "***"


class Secret:
    """A value that shows itself only to who calls :meth:`reveal`.

    Deliberately no ``str``: formatting, logging or joining it gives ``***``.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str):
        self._value = value

    def reveal(self) -> str:
        """Return the value itself."""
        return self._value

    def __str__(self) -> str:
        return MASK

    def __repr__(self) -> str:
        return f"Secret({MASK})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


@dataclass(frozen=True)
class Command:
    """One remote command.

    :param argv: program and arguments, each a word of its own; quoted when sent
    :param step: what the command is for, as the user will read it in the log and in errors
    :param confidential: whether its standard output may hold a secret that nobody knows yet: no
        error shows it
    """

    argv: tuple[str, ...]
    step: str
    confidential: bool = False

    def __post_init__(self) -> None:
        for word in self.argv:
            if not isinstance(word, str):
                raise TypeError(f"a command word must be a str, not {type(word).__name__}")

    @classmethod
    def script(cls, step: str, text: str, *args: str, confidential: bool = False) -> Command:
        """Return a command that runs a POSIX shell script; the arguments are its $1, $2, ..."""
        return cls(("sh", "-c", text, "sh", *args), step, confidential)

    def line(self) -> str:
        """Return the command as one line for a remote shell."""
        return shlex.join(self.argv)


class Redactor:
    """Masks known secret values in text that a machine or a library produced.

    :param secrets: the values to mask, also in their URL-decoded form
    """

    def __init__(self, secrets: Iterable[Secret] = ()):
        values: set[str] = set()
        for secret in secrets:
            value = secret.reveal()
            values.update(line for line in value.splitlines() if line)
            values.add(unquote(value))
        # Longest first: a secret may be a part of another.
        self._values = sorted((v for v in values if v), key=len, reverse=True)

    def __call__(self, text: str) -> str:
        for value in self._values:
            text = text.replace(value, MASK)
        return text


_USERINFO = re.compile(r"(?<=://)[^/\s]+(?=@)")


def mask_userinfo(text: str) -> str:
    """Mask ``user:password`` of every URL in a text (RFC 3986, section 3.2.1)."""
    return _USERINFO.sub(MASK, text)


def url_password(url: str) -> Secret | None:
    """Return the password inside a URL, if it has one."""
    password = urlsplit(url).password
    return Secret(password) if password else None
