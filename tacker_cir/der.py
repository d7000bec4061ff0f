# SPDX-License-Identifier: Apache-2.0
"""Just enough of PEM (RFC 7468) and DER (X.690) to see what a key or certificate is, and how large,
before a library in C works on it."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator

INTEGER, OCTETS, OBJECT, SEQUENCE, FIRST = 0x02, 0x04, 0x06, 0x30, 0xA0

_BEGIN = re.compile(r"-----BEGIN ([A-Z0-9 ]{1,40})-----")


class EncodingFault(ValueError):
    """Text is not PEM, or bytes are not DER."""


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """Yield the label and the text inside of each PEM block; what is between them is left out.

    :raises EncodingFault: a block does not end
    """
    at = 0
    while begin := _BEGIN.search(text, at):
        end = f"-----END {begin[1]}-----"
        at = text.find(end, begin.end())
        if at < 0:
            raise EncodingFault(f"a block {begin[1]} does not end")
        yield begin[1], text[begin.end() : at]
        at += len(end)


def decode(body: str) -> bytes:
    """Return what a PEM block holds.

    :raises EncodingFault: it is not Base64 alone
    """
    try:
        return base64.b64decode("".join(body.split()), validate=True)
    except ValueError:
        raise EncodingFault("a block is not Base64") from None


class Reader:
    """Reads the members of a DER value one after the other.

    :param data: the value
    """

    def __init__(self, data: bytes):
        self._data, self._at = data, 0

    @property
    def next_tag(self) -> int | None:
        """Tag of the next member, None at the end."""
        return self._data[self._at] if self._at < len(self._data) else None

    def take(self, tag: int) -> bytes:
        """Return the content of the next member.

        :raises EncodingFault: there is none with that tag
        """
        head = self._data[self._at : self._at + 2]
        if len(head) < 2 or head[0] != tag:
            raise EncodingFault("a value of another type is expected")
        begin, length = self._at + 2, head[1]
        if length & 0x80:
            count = length & 0x7F
            length = int.from_bytes(self._data[begin : begin + count], "big")
            begin += count
            if not 1 <= count <= 4:
                raise EncodingFault("a length is not definite")
        value = self._data[begin : begin + length]
        if len(value) < length:
            raise EncodingFault("a value is cut off")
        self._at = begin + length
        return value

    def inside(self) -> Reader:
        """Return a reader of the next member, a SEQUENCE."""
        return Reader(self.take(SEQUENCE))

    def natural(self) -> int:
        """Return the next member, an INTEGER that is not negative."""
        value = self.take(INTEGER)
        if not value or value[0] & 0x80:
            raise EncodingFault("a number is negative")
        return int.from_bytes(value, "big")
