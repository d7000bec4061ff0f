# SPDX-License-Identifier: Apache-2.0
"""Files on a machine: written only where they differ, whole or not at all."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from tacker_cir import log as logging
from tacker_cir.command import Command
from tacker_cir.exceptions import HostError
from tacker_cir.facts import Facts, unfinished
from tacker_cir.ssh import RETRY, Connection, Later

LOG = logging.getLogger(__name__)

T = TypeVar("T")

_ANYTHING = "*"
_NOTHING = "-"

# Its input is two lines a file (mode, size, hash, hash of what is replaced, path; how a program
# judges it, or nothing), an empty line, and the contents. The whole of it is there before this
# begins (tacker_cir.delivery); what is on the disk is compared once more, and the first file is
# renamed when all are there. A rename is atomic, so nobody ever reads half a file; nobody but root
# reads it before its mode is right. What a kill leaves, facts tell of: the next run makes these
# files anew. The lock is for a run whose connection broke and that is still at work; no other user
# can take it.
_WRITE = r"""
set -efu
umask 077
exec 9>/run/tacker-cir-files
flock -w 60 9 || { echo "an earlier write of files is still at work" >&2; exit 75; }
umask 022
newline='
'
IFS=$newline
staged= sums= public= others= directories=
trap 'rm -f -- $staged' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 141' PIPE
trap 'exit 143' TERM

unfinished() { new=${1%/*}/.${1##*/}.tacker-cir-new; }

each() {
  action=$1
  shift
  while [ $# -gt 0 ]; do
    "$action" "$1" "$2" "$3" "$4" "$5" "$6"
    shift 6
  done
}

stage() {
  [ "$1" != - ] || return 0
  [ -d "${5%/*}" ] || mkdir -p -- "${5%/*}"
  case ${5%/*} in */tacker-cir | */tacker-cir/*) chmod 0700 -- "${5%/*}" ;; esac
  unfinished "$5"
  [ ! -e "$new" ] && [ ! -L "$new" ] || rm -f -- "$new"
  staged=$staged$new$newline sums=$sums$3$newline
  case $1 in
    600) ;;
    644) public=$public$new$newline ;;
    *) others=$others$1$newline$new$newline ;;
  esac
  umask 077
  head -c "$2" <&3 >"$new"
  umask 022
}

# For all of them at once, as a program is started for each.
complete() {
  chown root:root -- $staged
  found=$(sha256sum -- $staged)
  for sum in $found; do
    # A name with a backslash has another one before the hash.
    sum=${sum#\\}
    [ "${sum%% *}" = "${sums%%"$newline"*}" ] || {
      echo "${sum#*  }: what was written is not there" >&2
      exit 74
    }
    sums=${sums#*"$newline"}
  done
  [ -z "$sums" ]
  [ -z "$public" ] || chmod 644 -- $public
  set -- $others
  while [ $# -gt 0 ]; do
    chmod "$1" -- "$2"
    shift 2
  done
  sync -- $staged
}

judge() {
  [ -n "$6" ] || return 0
  unfinished "$5"
  sh -c "$6"' "$1"' sh "$new" >&2 && return
  echo "$5 is not written, as it would be refused" >&2
  exit 65
}

compare() {
  [ "$4" != '*' ] || return 0
  if [ -e "$5" ]; then
    case $(sha256sum <"$5") in "$3  -" | "$4  -") return 0 ;; esac
  else
    case "$1 $4" in '- '* | *' -') return 0 ;; esac
  fi
  echo "$5 was changed by somebody else meanwhile" >&2
  exit 75
}

place() {
  unfinished "$5"
  if [ "$1" = - ]; then rm -f -- "$5" "$new"; else mv -fT -- "$new" "$5"; fi
  [ ! -d "${5%/*}" ] || directories=$directories${5%/*}$newline
}

exec 3<&0
while IFS=' ' read -r mode size sum was path <&3 && [ -n "$mode" ]; do
  # What somebody made a link stays one.
  if [ -L "$path" ] && [ "$mode" != - ]; then path=$(readlink -m -- "$path"); fi
  IFS= read -r check <&3
  set -- "$@" "$mode" "$size" "$sum" "$was" "$path" "$check"
done
each stage "$@"
[ -z "$staged" ] || complete
each judge "$@"
each compare "$@"
each place "$@"
[ -z "$directories" ] || sync -- $directories
"""


@dataclass(frozen=True)
class ManagedFile:
    """A file, owned by root, as it shall be.

    :param path: absolute
    :param content: None for a file that shall not exist
    :param mode: permission bits
    :param made_from: SHA-256 of the content that this one was made from, "-" where there was no
        file: another one is not replaced. "*" where it does not matter
    :param check: words of a command that gets the path of the new file before that takes the old
        one's place; it does not where the command fails
    """

    path: str
    content: bytes | None = field(repr=False)
    mode: int = 0o644
    made_from: str = _ANYTHING
    check: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.path != self.path.strip() or "\n" in self.path:
            raise ValueError(f"not a path to write to: {self.path!r}")
        if any("\n" in word for word in self.check):
            raise ValueError(f"not words of one line: {self.check!r}")

    def is_current(self, facts: Facts) -> bool:
        """Tell whether the machine has the file as it shall be, and nothing of an earlier write."""
        if unfinished(self.path) in facts.files:
            return False
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

    def header(self) -> bytes:
        """Return the lines that the script reads of it."""
        if self.content is None:
            return f"- 0 - {self.made_from} {self.path}\n\n".encode()
        digest = hashlib.sha256(self.content).hexdigest()
        values = f"{self.mode:o} {len(self.content)} {digest} {self.made_from}"
        return f"{values} {self.path}\n{shlex.join(self.check)}\n".encode()


def kept(
    facts: Facts,
    path: str,
    text: str | None,
    mode: int | None = None,
    check: tuple[str, ...] = (),
) -> ManagedFile:
    """Return a file of others with a new content, made from the one that the facts have.

    :param mode: None for the one that it has
    :param check: as of :class:`ManagedFile`
    """
    fact = facts.files.get(path)
    if mode is None:
        mode = fact.mode if fact else 0o644
    content = None if text is None else text.encode()
    return ManagedFile(path, content, mode, _digest_of(facts, path), check)


def unusable(node: str, path: str, error: ValueError) -> HostError:
    """Return the error for a file that somebody else wrote and that cannot be completed."""
    return HostError(
        node,
        f"complete {path}",
        f"the file {error}",
        "repair the file on the machine or in the VM's image, or remove it",
    )


def understood(node: str, facts: Facts, path: str, understand: Callable[[str | None], T]) -> T:
    """Return what is made of the text of a file of others.

    :param understand: gets the text, None where there is no file
    :raises HostError: it does not understand it
    """
    try:
        return understand(facts.text(path))
    except ValueError as error:
        raise unusable(node, path, error) from None


def kept_secret(facts: Facts, path: str, text: str | None) -> ManagedFile:
    """Return a file of others with secrets: for root only where it changes, whatever mode it had.

    Parameters as for :func:`kept`.
    """
    content = None if text is None else text.encode()
    unchanged = facts.contents.get(path) == content
    return kept(facts, path, text, None if unchanged else 0o600)


def write(connection: Connection, due: Sequence[ManagedFile], remedy: str = RETRY) -> None:
    """Write or remove files, in the given order; :meth:`tacker_cir.host.machine.Machine.ensure` is
    what lets facts follow.

    :param remedy: what the user reads if it fails
    :raises HostError: as there
    """
    if remedy != RETRY or not _joined(connection.last_kept, due):
        connection.later(**_writing(connection.node, list(due)), remedy=remedy)


def _joined(last: Later | None, due: Sequence[ManagedFile]) -> bool:
    """Let files go with those that are about to be written anyway, if they are others."""
    if last is None or not isinstance(last.about, list):
        return False
    before = last.about
    if {f.path for f in before} & {f.path for f in due}:
        return False
    before.extend(due)
    last.command, last.stdin = _command(before)
    return True


def _writing(node: str, due: list[ManagedFile]) -> dict[str, Any]:
    """Return how files are written, for :meth:`tacker_cir.ssh.Connection.later`."""

    def done() -> None:
        for file in due:
            what = "removed" if file.content is None else "wrote"
            LOG.info("%s: %s %s", node, what, file.path)

    command, stdin = _command(due)
    return {"command": command, "stdin": stdin, "done": done, "about": due}


def _command(due: Sequence[ManagedFile]) -> tuple[Command, bytes]:
    content = b"".join(file.content or b"" for file in due)
    stdin = b"".join(file.header() for file in due) + b"\n" + content
    return Command.script(_step(due), _WRITE), stdin


def as_it_is(facts: Facts, path: str) -> ManagedFile | None:
    """Return a file as the machine has it, None where only its hash is known."""
    fact = facts.files.get(path)
    if fact is None:
        return ManagedFile(path, None)
    content = facts.contents.get(path)
    return None if content is None else ManagedFile(path, content, fact.mode)


def made_from_what_is(facts: Facts, file: ManagedFile) -> ManagedFile:
    """Return a file that takes the place of what the facts have, and of nothing else."""
    return replace(file, made_from=_digest_of(facts, file.path))


def _digest_of(facts: Facts, path: str) -> str:
    fact = facts.files.get(path)
    return fact.sha256 if fact else _NOTHING


def _step(due: Sequence[ManagedFile]) -> str:
    first = due[0]
    what = f"{'remove' if first.content is None else 'write'} {first.path}"
    if len(due) == 1:
        return what
    return f"{what} and {len(due) - 1} other file{'s' if len(due) > 2 else ''}"
