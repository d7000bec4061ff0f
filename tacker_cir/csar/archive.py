# SPDX-License-Identifier: Apache-2.0
"""The zip side of a CSAR: deterministic writing in one pass, careful reading."""

from __future__ import annotations

import hashlib
import io
import re
import stat
import zipfile
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from tacker_cir.documents import DocumentError
from tacker_cir.documents import load_yaml as load_document
from tacker_cir.exceptions import TackerCirError, UnreadableInput, WrongUse, io_problem

T = TypeVar("T")

TOSCA_META = "TOSCA-Metadata/TOSCA.meta"

#: Bytes held in memory while a file is copied or hashed.
CHUNK = 1024 * 1024
#: No template or script of a package has more bytes than this; the ETSI types have 80 kB.
MAX_TEXT = 4 * 1024 * 1024

#: Files in a package; those of the samples have some twenty.
MAX_MEMBERS = 10_000

# Tacker reads TOSCA.meta as YAML: a name must be a plain scalar in it.
_SEGMENT = re.compile(r"[A-Za-z0-9_+@][A-Za-z0-9_+@.-]*")
# Zip cannot store an earlier time (PKWARE APPNOTE 4.4.6, MS-DOS date).
_TIME = (1980, 1, 1, 0, 0, 0)


class CsarError(TackerCirError):
    """A VNF package cannot be built or read."""


class UnreadableCsar(CsarError, UnreadableInput):
    """A file of or for a package cannot be read or written."""


class CsarUse(CsarError, WrongUse):
    """What is asked of a build does not go together."""


@dataclass(frozen=True)
class Entry:
    """A file of a VNF package.

    :param path: its path in the package
    :param size: bytes
    :param sha256: hexadecimal SHA-256
    """

    path: str
    size: int
    sha256: str


def check_name(name: str) -> None:
    """Refuse a path that could not be a file inside a package.

    :raises CsarError: the path is absolute, leads out, or has characters that TOSCA.meta cannot
        hold unquoted
    """
    if not all(_SEGMENT.fullmatch(segment) for segment in name.split("/")):
        raise CsarUse(
            f"{name!r} cannot be a path in a VNF package: expected relative path segments of "
            "letters, digits and _ + @ . -, none beginning with a dot or hyphen"
        )


class Writer:
    """Writes the members of a package, in the order of the calls.

    Equal calls give equal bytes: times, owner system and modes are fixed.

    :param target: open for writing, seekable
    """

    def __init__(self, target: BinaryIO):
        self._zip = zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED)
        self.entries: dict[str, Entry] = {}

    def add(
        self, name: str, source: bytes | Path, *, mode: int = 0o644, pack: bool = True
    ) -> Entry:
        """Add one file; a path is streamed.

        :param mode: permissions, which Tacker sets on the unpacked file
        :param pack: False stores the file as it is, for content that is compressed already
        :raises CsarError: the name is no path in a package, or given twice
        :raises OSError: the source cannot be read
        """
        check_name(name)
        if name in self.entries:
            raise CsarUse(f"two files for {name} in the VNF package; rename one of them")
        info = zipfile.ZipInfo(name, _TIME)
        info.create_system = 3  # Unix, or the permissions mean nothing
        info.external_attr = (stat.S_IFREG | mode) << 16
        info.compress_type = zipfile.ZIP_DEFLATED if pack else zipfile.ZIP_STORED
        digest, size = hashlib.sha256(), 0
        with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as stream:
            # zipfile needs the size beforehand to choose zip64 headers.
            info.file_size = stream.seek(0, io.SEEK_END)
            stream.seek(0)
            with self._zip.open(info, "w") as member:
                while chunk := stream.read(CHUNK):
                    member.write(chunk)
                    digest.update(chunk)
                    size += len(chunk)
        entry = self.entries[name] = Entry(name, size, digest.hexdigest())
        return entry

    def close(self) -> None:
        """Write the directory of the zip."""
        self._zip.close()


class Reader:
    """Reads members of a package without unpacking it.

    :param path: the package
    :raises CsarError: no zip file
    """

    def __init__(self, path: Path):
        try:
            self._zip = _try(f"{path} cannot be read as a zip file", lambda: zipfile.ZipFile(path))
        except CsarError as error:
            cause = error.__cause__
            said = f"{path}: {io_problem(cause)}" if isinstance(cause, OSError) else str(error)
            raise UnreadableCsar(said) from None
        if len(self._zip.infolist()) > MAX_MEMBERS:
            raise CsarError(f"{path} has more than {MAX_MEMBERS} files")
        self.members = {i.filename: i for i in self._zip.infolist() if not i.is_dir()}
        self._digests: dict[tuple[str, str], str] = {}

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def unsafe(self) -> Iterable[tuple[str, str]]:
        """Yield name and problem of every member that must not be unpacked."""
        seen: set[str] = set()
        for info in self._zip.infolist():
            name = info.filename
            if name.startswith("/") or "\\" in name or ".." in name.split("/"):
                yield name, "leads out of the package when unpacked"
            if stat.S_ISLNK(info.external_attr >> 16):
                yield name, "is a symbolic link"
            if name in seen:
                yield name, "is in the package twice"
            seen.add(name)

    def read(self, name: str) -> bytes:
        """Return the content of a template or script.

        :raises CsarError: damaged, or too large for one
        """
        info = self.members[name]
        if info.file_size > MAX_TEXT:
            raise CsarError(f"{name} is larger than {MAX_TEXT} bytes")
        return _try(f"{name} is damaged", lambda: self._zip.read(info))

    def unpack(self, directory: Path, named: Collection[str], limit: int) -> None:
        """Unpack what a check of a request may look at: small files, and large ones that it names.

        :param named: paths in the package
        :param limit: bytes that are unpacked at most
        :raises CsarError: damaged, or more than that
        """
        for name, info in self.members.items():
            if info.file_size > MAX_TEXT and name not in named:
                continue
            limit -= info.file_size
            if limit < 0:
                raise CsarError(f"{name} and what is before it are too large to be unpacked")
            # zipfile unpacks below the directory whatever the name is, and no more than it says.
            _try(f"{name} is damaged", partial(self._zip.extract, info, directory))

    def text(self, name: str) -> str | None:
        """Return the text of a template, None where there is no such member.

        :raises CsarError: as :meth:`read`, or it is not UTF-8
        """
        try:
            return self.read(name).decode() if name in self.members else None
        except UnicodeDecodeError as error:
            raise CsarError(f"{name} is not UTF-8 text") from error

    def digest(self, name: str, algorithm: str) -> str:
        """Return the hexadecimal hash of a member.

        :param algorithm: as in TOSCA.meta or a VNFD, e.g. ``SHA-256``
        :raises CsarError: damaged member, or an algorithm that Tacker does not know
        """
        if (name, algorithm) not in self._digests:
            digest = _hash(algorithm)
            _try(f"{name} is damaged", lambda: self._feed(name, digest))
            self._digests[name, algorithm] = digest.hexdigest()
        return self._digests[name, algorithm]

    def _feed(self, name: str, digest: Any) -> None:
        with self._zip.open(self.members[name]) as stream:
            while chunk := stream.read(CHUNK):
                digest.update(chunk)


def _try(problem: str, read: Callable[[], T]) -> T:
    """Return what ``read`` does: for a damaged, truncated or encrypted file, zipfile and the
    decompressors raise nearly anything."""
    try:
        return read()
    except Exception as error:
        cause = io_problem(error) if isinstance(error, OSError) else error or type(error).__name__
        raise CsarError(f"{problem}: {cause}") from error


def file_digest(path: Path, algorithm: str) -> str:
    """Return the hexadecimal hash of a file.

    :param algorithm: as :meth:`Reader.digest`
    """
    digest = _hash(algorithm)
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _hash(algorithm: str) -> hashlib._Hash:
    name = algorithm.lower().replace("-", "")
    if name not in ("sha224", "sha256", "sha384", "sha512"):
        raise CsarError(
            f"hash algorithm {algorithm!r} is not one that Tacker knows; "
            "expected SHA-224, SHA-256, SHA-384 or SHA-512"
        )
    return hashlib.new(name)


def load_yaml(name: str, text: str) -> dict[str, Any]:
    """Return a YAML file's mapping.

    :raises CsarError: no YAML, or no mapping
    """
    try:
        document = load_document(text)
    except DocumentError as error:
        raise CsarError(f"{name} is not YAML: {error}") from error
    if not isinstance(document, dict):
        raise CsarError(f"{name} is not a YAML mapping")
    return document
