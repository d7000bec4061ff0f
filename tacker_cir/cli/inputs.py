# SPDX-License-Identifier: Apache-2.0
"""Files that a user names on the command line."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tacker_cir import csar
from tacker_cir.documents import DocumentError, load_json, load_yaml
from tacker_cir.exceptions import UnreadableInput, io_problem
from tacker_cir.package import VnfPackage
from tacker_cir.params import bounds
from tacker_cir.templates.trees import walk

#: What stands for the standard input.
STANDARD_INPUT = "-"
#: Bytes of a file: of a whole request, with what is not for the drivers.
MAX_INPUT = 4 * bounds.MAX_SIZE


def read_json(name: str) -> Any:
    """Return what a file holds as JSON.

    :param name: of the file, or ``-``
    :raises UnreadableInput: there is none, or it is no JSON
    """
    return _decoded(name, "JSON", lambda text: load_json(text, unique=True))


def read_json_or_yaml(name: str) -> Any:
    """Return what a file holds: YAML where its name says so, else JSON.

    :param name: of the file, or ``-``
    :raises UnreadableInput: there is none, or it is not of its format
    """
    if name.endswith((".yaml", ".yml")):
        return _decoded(name, "YAML", load_yaml)
    return read_json(name)


@contextmanager
def unpacked(path: Path | None, bodies: Iterable[Any]) -> Iterator[VnfPackage | None]:
    """Unpack what bodies of requests may look at in a VNF package.

    :param path: of the package; None for none
    :raises CsarError: it cannot be read
    """
    if path is None:
        yield None
        return
    sizable = (body for body in bodies if not bounds.find_oversize(body, ""))
    texts = (value for body in sizable for value in walk(body) if isinstance(value, str))
    with tempfile.TemporaryDirectory(prefix="tacker-cir-") as directory:
        yield csar.unpack(path, Path(directory), texts)


def _decoded(name: str, form: str, load: Any) -> Any:
    shown = "standard input" if name == STANDARD_INPUT else name
    content = _read(name, shown)
    try:
        # As RFC 8259 and its predecessors tell the encodings apart, a byte order mark included.
        text = content.decode(json.detect_encoding(content))
    except UnicodeDecodeError:
        raise UnreadableInput(f"{shown} is no text") from None
    try:
        return load(text)
    except DocumentError as error:
        raise UnreadableInput(f"{shown} cannot be read as {form}: {error}") from None


def _read(name: str, shown: str) -> bytes:
    try:
        if name == STANDARD_INPUT:
            content = sys.stdin.buffer.read(MAX_INPUT + 1)
        else:
            with Path(name).open("rb") as file:
                content = file.read(MAX_INPUT + 1)
    except OSError as error:
        raise UnreadableInput(f"{shown}: {io_problem(error)}") from None
    if len(content) > MAX_INPUT:
        raise UnreadableInput(f"{shown} has more than {MAX_INPUT} bytes")
    return content
