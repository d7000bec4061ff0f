# SPDX-License-Identifier: Apache-2.0
"""What a ``docker save`` archive says of itself, read without unpacking it and within bounds.

An archive comes from a tenant. A compressed one of some hundred kilobytes can stand for gigabytes,
in one header or in a thousand members; what is kept here has a bounded size whatever it is.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import posixpath
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from tacker_cir.documents import DocumentError, load_json

#: A manifest, configuration, key, certificate or keyring is never larger than this many bytes.
SMALL_FILE = 1024 * 1024
#: Bytes of all manifests and configurations together.
MAX_KEPT = 16 * SMALL_FILE
#: Files in an archive; an image has two or three for each layer, and at most 127 layers.
MAX_MEMBERS = 10_000
#: Tags in an archive.
MAX_TAGS = 64
#: Bytes that a compressed archive may stand for, and how many for each of its own.
MAX_UNPACKED = 4 * 1024**3
MAX_RATIO = 100
#: Below this many bytes the ratio does not count.
SMALL_ARCHIVE = 16 * SMALL_FILE

# Bytes of one member's header with its extensions, among them a map of any length, and of all.
_MAX_HEADER = 64 * 1024
_MAX_HEADERS = 16 * SMALL_FILE
# Bytes of memory for a dictionary; xz -9 needs 65 MiB.
_XZ_MEMORY = 80 * 1024**2
_CHUNK = 256 * 1024
# Bytes by which the ways to pack are told apart.
_HEAD = 6
# Characters of a tag; the longest image reference has less.
_MAX_TAG = 512


class PackageFileError(ValueError):
    """A file of the package is missing, outside of it or not what it should be."""


@dataclass(frozen=True)
class Member:
    """A file in an archive.

    :param name: its path, normalized
    :param offset: where its content begins in the archive, unpacked
    :param size: bytes of its content
    :param head: its first bytes
    :param content: all of it, where it is small and may be JSON
    :param link: name of the member whose content it has, None where it has one of its own
    """

    name: str
    offset: int
    size: int
    head: bytes = b""
    content: bytes | None = None
    link: str | None = None


@dataclass(frozen=True)
class ImageArchive:
    """What a ``docker save`` archive says of itself.

    :param path: the archive
    :param size: bytes
    :param tags: image references in it, e.g. ``registry:latest``
    :param image_ids: per tag, the ids that a Docker daemon may give the loaded image: the digest
        of the config (graph drivers) or of a manifest (containerd image store)
    :param architectures: per tag, the architecture in Go's terms, e.g. ``amd64``
    """

    path: Path
    size: int
    tags: tuple[str, ...]
    image_ids: dict[str, frozenset[str]]
    architectures: dict[str, str]


def read_image_archive(path: Path) -> ImageArchive:
    """Read what a ``docker save`` archive holds (Docker image specification v1.2 and OCI layout).

    Plain archives are only seeked through; compressed ones are read once.

    :raises PackageFileError: not such an archive, or one beyond the bounds
    """
    members = {m.name: m.content for m in read_members(path) if m.content is not None}
    try:
        return _understand(path, members)
    except (DocumentError, KeyError, TypeError):
        raise PackageFileError("is not an archive made with 'docker save'") from None


def read_members(path: Path) -> list[Member]:
    """Return the files of a tar archive, plain or compressed, in their order.

    :raises PackageFileError: not a tar archive, or one beyond the bounds
    """
    with _opened(path) as (file, size):
        return list(_members(file, size))


def read_contents(
    path: Path, members: Iterable[Member]
) -> Iterator[tuple[Member, Iterator[bytes]]]:
    """Yield members of an archive with their contents in portions, in the archive's order: a
    compressed one is unpacked once. What is not taken of a content is passed over.

    :param members: as :func:`read_members` tells them, none of them a link
    :raises PackageFileError: the archive is damaged, or has become another
    """
    with _opened(path) as (file, size):
        stream = _open(file, size)
        for member in sorted(members, key=lambda member: member.offset):
            stream.seek(member.offset)
            yield member, _portions(path, stream, member.size)


def _portions(path: Path, stream: _Stream, left: int) -> Iterator[bytes]:
    while left:
        try:
            portion = stream.read(min(left, _CHUNK))
        except (EOFError, OSError, ValueError, lzma.LZMAError, zlib.error) as error:
            raise PackageFileError(f"is not a readable tar archive ({error})") from None
        if not portion:
            raise PackageFileError("is not a readable tar archive (it ends in the middle)")
        left -= len(portion)
        yield portion


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise PackageFileError(f"cannot be read ({error.strerror})") from None
    with file:
        yield file, path.stat().st_size


class _Stream(Protocol):
    """What tarfile reads from."""

    def read(self, size: int, /) -> bytes: ...
    def seek(self, position: int, /) -> object: ...
    def tell(self) -> int: ...


class _Packed(Protocol):
    """What unpacks."""

    def read(self, size: int, /) -> bytes: ...


class _Source:
    """An archive's bytes, plain, in portions that no header exceeds.

    :param stream: the archive, unpacked
    """

    def __init__(self, stream: _Stream):
        self.content, self.seek, self.tell = stream.read, stream.seek, stream.tell
        self._left = _MAX_HEADERS
        self._left_of_member = _MAX_HEADER

    def begin_member(self) -> None:
        self._left_of_member = _MAX_HEADER

    def read(self, size: int) -> bytes:
        """Return a part of a member's header, as tarfile asks for it."""
        self._left -= size
        self._left_of_member -= size
        if min(self._left, self._left_of_member) < 0:
            raise PackageFileError("has larger headers than an archive made with 'docker save'")
        return self.content(size)


class _Unpacked:
    """What a compressed archive stands for, forwards only: nothing is kept of it.

    :param packed: reads it from its beginning
    :param allowed: bytes that it may stand for
    """

    def __init__(self, packed: _Packed, allowed: int):
        self._packed, self._allowed = packed, allowed
        self._end = 0
        self._last = b""
        self._back = False

    def tell(self) -> int:
        return self._end - self._back

    def seek(self, position: int) -> None:
        """Go on, or back by one byte: by that tarfile sees whether a member is complete."""
        self._back = position == self._end - 1
        while self._end < position and self._take(position - self._end):
            pass

    def read(self, size: int) -> bytes:
        parts = []
        if self._back and size:
            parts, size, self._back = [self._last], size - 1, False
        while size and (part := self._take(size)):
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _take(self, size: int) -> bytes:
        found = self._packed.read(min(size, _CHUNK))
        self._end += len(found)
        self._last = found[-1:] or self._last
        if self._end > self._allowed:
            raise PackageFileError(
                f"stands for more than {self._allowed} bytes; save it without compression"
            )
        return found


class _Xz:
    """An archive packed with xz, whose author chooses how much memory unpacking takes."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self._decoder = lzma.LZMADecompressor(memlimit=_XZ_MEMORY)

    def read(self, size: int) -> bytes:
        while not self._decoder.eof:
            packed = self._file.read(_CHUNK) if self._decoder.needs_input else b""
            if not packed and self._decoder.needs_input:
                raise EOFError("the file ends in the middle")
            found = self._decoder.decompress(packed, size)
            if found:
                return found
        return b""


_PACKED: Mapping[bytes, Callable[[BinaryIO], _Packed]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": _Xz,
}


def _open(file: BinaryIO, size: int) -> _Stream:
    magic = file.read(6)
    file.seek(0)
    for beginning, unpack in _PACKED.items():
        if magic.startswith(beginning):
            allowed = min(MAX_UNPACKED, max(SMALL_ARCHIVE, size * MAX_RATIO))
            return _Unpacked(unpack(file), allowed)
    return file


def _members(file: BinaryIO, size: int) -> Iterator[Member]:
    try:
        source = _Source(_open(file, size))
        # typeshed asks for what only a writer needs.
        with tarfile.open(fileobj=source, mode="r:") as archive:  # type: ignore[call-overload]
            yield from _described(archive, source)
    except PackageFileError:
        raise
    # tarfile and the decompressors raise nearly anything for a damaged file.
    except Exception as error:
        problem = f"is not a readable tar archive ({error or type(error).__name__})"
        raise PackageFileError(problem) from None


def _described(archive: tarfile.TarFile, source: _Source) -> Iterator[Member]:
    kept = 0
    for _ in range(MAX_MEMBERS):
        source.begin_member()
        info = archive.next()
        if info is None:
            return
        # tarfile would keep them all.
        archive.members = []  # type: ignore[attr-defined]
        if info.issym() or info.islnk():
            yield _link(info)
        elif info.isfile() and not info.issparse():
            member = _described_file(info, source)
            kept += len(member.content or b"")
            if kept > MAX_KEPT:
                raise PackageFileError(f"has more than {MAX_KEPT} bytes of manifests")
            yield member
    raise PackageFileError(f"has more than {MAX_MEMBERS} files")


def _link(info: tarfile.TarInfo) -> Member:
    name = posixpath.normpath(info.name)
    # A symbolic link begins where it is, a hard one at the archive's top.
    above = posixpath.dirname(name) if info.issym() else ""
    return Member(name, 0, 0, link=posixpath.normpath(posixpath.join(above, info.linkname)))


def _described_file(info: tarfile.TarInfo, source: _Source) -> Member:
    offset = source.tell()
    head = source.content(min(info.size, _HEAD))
    content = None
    if head[:1] in (b"{", b"[") and info.size <= SMALL_FILE:
        content = head + source.content(info.size - len(head))
    return Member(posixpath.normpath(info.name), offset, info.size, head, content)


def _understand(path: Path, members: Mapping[str, bytes]) -> ImageArchive:
    """Return what the members say; raise DocumentError, KeyError or TypeError where they do not."""
    image_ids: dict[str, frozenset[str]] = {}
    architectures: dict[str, str] = {}
    parents = _parents(members)
    images = load_json(members["manifest.json"])
    for image in _typed(images, list):
        tags = _typed(_typed(image, dict).get("RepoTags") or [], list)
        if not tags:
            continue
        if len(image_ids) + len(tags) > MAX_TAGS:
            raise PackageFileError(f"holds more than {MAX_TAGS} tagged images")
        config_name = posixpath.normpath(_typed(image["Config"], str))
        config = _typed(load_json(members[config_name]), dict)
        ids = _ids(posixpath.basename(config_name).removesuffix(".json"), parents)
        for tag in tags:
            image_ids[_typed(tag, str)[:_MAX_TAG]] = ids
            architectures[tag[:_MAX_TAG]] = str(config.get("architecture") or "")[:_MAX_TAG]
    if not image_ids:
        raise PackageFileError("holds no tagged image; save it by name, not by id")
    return ImageArchive(path, path.stat().st_size, tuple(image_ids), image_ids, architectures)


def _typed(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"not a {kind.__name__}")
    return value


def _parents(members: Mapping[str, bytes]) -> dict[str, list[str]]:
    """Return the digests of the OCI manifests and indexes that name a digest."""
    parents: dict[str, list[str]] = {}
    for name, content in members.items():
        if not name.startswith("blobs/sha256/"):
            continue
        try:
            blob = load_json(content)
        except DocumentError:
            # A layer may begin like JSON.
            continue
        for digest in _named_digests(blob):
            parents.setdefault(digest, []).append(posixpath.basename(name))
    return parents


def _named_digests(blob: Any) -> Iterator[str]:
    """Yield the digests of a manifest's config or of an index' manifests."""
    if not isinstance(blob, dict):
        return
    manifests = blob.get("manifests")
    for descriptor in [blob.get("config"), *(manifests if isinstance(manifests, list) else [])]:
        digest = descriptor.get("digest") if isinstance(descriptor, dict) else None
        if isinstance(digest, str):
            yield digest.removeprefix("sha256:")


def _ids(config_digest: str, parents: Mapping[str, list[str]]) -> frozenset[str]:
    """Return the ids of an image: the digest of its config and of what leads to it."""
    found = {config_digest}
    new = [config_digest]
    while new:
        above = [digest for digest in parents.get(new.pop(), ()) if digest not in found]
        found.update(above)
        new += above
    return frozenset(f"sha256:{digest}" for digest in found)
