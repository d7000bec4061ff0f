# SPDX-License-Identifier: Apache-2.0
"""A remote command's standard input: whole, or the command does not take it for complete.

Where a connection breaks or its sender dies, whoever reads the stream on the machine sees its end,
which looks like the end of what was sent. So the machine's shell reads it first, and a program gets
it, or sees its end, only once all of it was there. The shell learns length and hash from the stream
itself: a command line is public, and the hash of a short secret would betray it.
"""

from __future__ import annotations

import hashlib
import io
from typing import BinaryIO

# Where the input was cut the machine's shell ends with 74 (EX_IOERR of sysexits.h).

# The file has no name any more when the content comes: nothing is left, whatever ends this. One
# that was killed before left an empty file.
_STAGED = r"""
set -eu
directory=/run
[ -w "$directory" ] || directory=${TMPDIR:-/tmp}
mask=$(umask)
umask 077
if [ "$directory" = /run ]; then
  # Nobody else can put anything there.
  file=/run/tacker-cir-input.$$
  : >"$file"
else
  file=$(mktemp -- "$directory/tacker-cir-input.XXXXXXXX")
fi
exec 3<>"$file"
rm -f -- "$file" /run/tacker-cir-input.* 2>/dev/null || :
umask "$mask"
IFS=' ' read -r size sum || size=0 sum=
head -c "$size" >&3
if [ "$(sha256sum </proc/self/fd/3)" != "$sum  -" ]; then
  echo "the input was cut or could not be kept" >&2
  exit 74
fi
exec </proc/self/fd/3 3>&-
exec "$@"
"""

# A large input is not kept: it goes on as it comes, but its end is held back until it is known to
# be the true one. TERM reaches every process here at once: this one must not end first.
_FED = r"""
directory=/run
[ -w "$directory" ] || directory=${TMPDIR:-/tmp}
scratch=$(mktemp -d -- "$directory/tacker-cir-pipe.XXXXXXXX") || exit 74
mkfifo -m 600 -- "$scratch/pipe" || exit 74
trap : TERM
"$@" <"$scratch/pipe" &
command=$!
exec 3>"$scratch/pipe"
rm -rf -- "$scratch"
IFS= read -r size || size=0
if head -c "$size" >&3; then
  if [ "$(head -c 4)" = end. ]; then
    exec 3>&-
  else
    kill 0
    wait "$command"
    # Last: who broke the connection took away the reader as well.
    echo "the input was cut" >&2
    exit 74
  fi
fi
wait "$command"
"""

_END = b"end."


def receiver(argv: tuple[str, ...], stdin: bytes | BinaryIO) -> tuple[str, ...]:
    """Return what runs ``argv`` on the machine with an input that :func:`head` begins."""
    if stdin == b"":
        return argv
    script = _STAGED if isinstance(stdin, bytes) else _FED
    return ("sh", "-c", script, "sh", *argv)


def head(stdin: bytes | BinaryIO, size: int | None = None) -> bytes:
    """Return what is sent before the input.

    :param size: of a file, None where it can be sought
    """
    if not isinstance(stdin, bytes):
        return f"{_size_of(stdin) if size is None else size}\n".encode()
    if not stdin:
        return b""
    return f"{len(stdin)} {hashlib.sha256(stdin).hexdigest()}\n".encode()


def tail(stdin: bytes | BinaryIO) -> bytes:
    """Return what is sent after the input."""
    return b"" if isinstance(stdin, bytes) else _END


def _size_of(source: BinaryIO) -> int:
    """Return how many bytes are left to read."""
    here = source.tell()
    end = source.seek(0, io.SEEK_END)
    source.seek(here)
    return end - here
