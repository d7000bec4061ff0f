# SPDX-License-Identifier: Apache-2.0
"""The conductor's files of pinned host keys: whole, durable, this user's alone, and nothing else in
their place is taken for one."""

from __future__ import annotations

import os
import stat
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tacker_cir.exceptions import PinStoreError

#: What a file is called until all of it is written, and seconds after which its writer is gone.
_UNFINISHED = ".pin-"
_ABANDONED = 3600
#: Bytes; an RSA key of 16384 bits has 2.8 kB.
_LONGEST = 65536


def read(path: Path) -> bytes | None:
    """Return a file's content, None where there is no file.

    :raises PinStoreError: it cannot be read, or somebody else could have put it there
    """
    with _trouble(path):
        _refuse_others(path.parent)
        try:
            # A link that leads to nothing would look as if there were no pin.
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        with os.fdopen(fd, "rb") as file:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise OSError(0, "not a regular file", str(path))
            return file.read(_LONGEST)


def create(path: Path, text: str) -> bool:
    """Write a file that is not there; return False where it is.

    :raises PinStoreError: it cannot be written
    """
    with _trouble(path):
        _make_private(path.parent)
        fd, temporary = tempfile.mkstemp(dir=path.parent, prefix=_UNFINISHED)
        try:
            with os.fdopen(fd, "w") as file:
                file.write(text)
                file.flush()
                os.fsync(fd)
            # link(2) fails where the file exists: exactly one writer wins.
            os.link(temporary, path)
        except FileExistsError:
            return False
        finally:
            os.unlink(temporary)
        _sync_directory(path.parent)
    return True


def keep_only(directory: Path, names: Collection[str]) -> None:
    """Remove all files but those, and what writers that died left.

    :raises PinStoreError: they cannot be removed
    """
    with _trouble(directory):
        for file in directory.glob("*.json"):
            if file.name not in names:
                file.unlink(missing_ok=True)
        for file in directory.glob(f"{_UNFINISHED}*"):
            with suppress(FileNotFoundError):
                if time.time() - file.stat().st_mtime > _ABANDONED:
                    file.unlink()


@contextmanager
def _trouble(path: Path) -> Iterator[None]:
    """Tell trouble with our own files from trouble with a machine, whose is OSError as well."""
    try:
        yield
    except OSError as error:
        raise PinStoreError(
            error.filename if isinstance(error.filename, str) else str(path),
            f"the pinned host keys cannot be used ({error.strerror or error})",
            "let the conductor's user own the directory that [tacker_cir] state_path names, with "
            "all below it, on a file system that has room and hard links; remove what is neither "
            "a file nor a directory",
        ) from None


def _refuse_others(directory: Path) -> None:
    """Refuse a directory in which every user could put a file."""
    for path in (directory, *directory.parents[:2]):
        with suppress(FileNotFoundError):
            mode = path.stat().st_mode
            if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
                raise PinStoreError(
                    str(path), "every user can write to it", f"remove that right: chmod o-w {path}"
                )


def _make_private(directory: Path) -> None:
    """Make a directory, and those above it that are missing, for this user alone."""
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(mode=0o700, exist_ok=True)
        _sync_directory(path.parent)
    found = directory.stat()
    if found.st_mode & 0o077 and found.st_uid == os.geteuid():
        directory.chmod(0o700)


def _sync_directory(directory: Path) -> None:
    """Let what was named in a directory outlive a power cut."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
