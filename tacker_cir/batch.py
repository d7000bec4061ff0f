# SPDX-License-Identifier: Apache-2.0
"""Several commands in one round trip, each still a step of its own: the first that fails ends the
batch, and the error names that step, its cause and its remedy.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

from tacker_cir.command import Command
from tacker_cir.exceptions import CommandFailed, HostError
from tacker_cir.reading import answer_of, reader
from tacker_cir.ssh import RETRY, Connection, Later, Result

# Arguments: the mark, then of each command where its input begins and how long it is, the statuses
# after which the batch goes on, and its line. The input is a file (tacker_cir.delivery), so a
# command that leaves some of its own unread takes nothing from the next.
_RUN = r"""
mark=$1
shift
while [ $# -gt 0 ]; do
  if [ "$2" = 0 ]; then
    (eval "exec $4") </dev/null
  else
    tail -c "+$1" </proc/self/fd/0 | head -c "$2" | (eval "exec $4")
  fi
  status=$?
  printf '\n%s %s\n' "$mark" "$status"
  printf '\n%s %s\n' "$mark" "$status" >&2
  case " $3 " in *" $status "* | ' any ') ;; *) exit 0 ;; esac
  shift 4
done
"""


class _Call(Later):
    """A command that is kept."""

    def __init__(
        self,
        command: Command,
        stdin: bytes,
        ok: tuple[int, ...] | None,
        remedy: str,
        timeout: float,
        done: Callable[[], None] | None,
    ):
        super().__init__()
        self.command, self.stdin, self.ok = command, stdin, ok
        self.remedy, self.timeout = remedy, timeout
        self._done = [done] if done else []

    def when_done(self, tell: Callable[[], None]) -> None:
        self._done.append(tell)

    def take(self, result: Result) -> None:
        self.set(result)
        for tell in self._done:
            tell()

    def run_alone(self, connection: Connection) -> None:
        self.take(
            connection.run(
                self.command,
                timeout=self.timeout,
                stdin=self.stdin,
                ok=self.ok,
                remedy=self.remedy,
            )
        )


class Batch(Connection):
    """A connection that keeps commands until one is run whose result counts, and then sends them
    all in one round trip.

    Whoever is given it need not know. In the end :meth:`flush` sends what is left. After a failure
    it is of no use any more. It belongs to one thread.

    :param connection: to the machine, as root
    """

    def __init__(self, connection: Connection):
        self._connection = connection
        self._kept: list[_Call] = []
        self._failure: HostError | None = None

    def later(
        self,
        command: Command,
        *,
        timeout: float | None = None,
        stdin: bytes = b"",
        ok: tuple[int, ...] | None = (0,),
        remedy: str = RETRY,
        done: Callable[[], None] | None = None,
        about: object = None,
    ) -> Later:
        seconds = self.command_timeout if timeout is None else timeout
        call = _Call(command, stdin, ok, remedy, seconds, done)
        call.about = about
        self._kept.append(call)
        return call

    def run(
        self,
        command: Command,
        *,
        timeout: float | None = None,
        stdin: bytes | BinaryIO = b"",
        size: int | None = None,
        ok: tuple[int, ...] | None = (0,),
        root: bool = True,
        remedy: str = RETRY,
    ) -> Result:
        if self._kept and isinstance(stdin, bytes) and root:
            call = self.later(command, timeout=timeout, stdin=stdin, ok=ok, remedy=remedy)
            self._send_kept(last_counts=True)
            return call.result
        self.flush()
        return self._connection.run(
            command, timeout=timeout, stdin=stdin, size=size, ok=ok, root=root, remedy=remedy
        )

    @property
    def last_kept(self) -> Later | None:
        return self._kept[-1] if self._kept else None

    def when_done(self, tell: Callable[[], None]) -> None:
        if self._kept:
            self._kept[-1].when_done(tell)
        else:
            tell()

    def flush(self) -> None:
        """Send what is kept.

        :raises HostError: a command has another exit status than it may have; those after it did
            not run
        :raises ConnectionLost: the connection broke
        """
        self._send_kept(last_counts=False)

    def _send_kept(self, *, last_counts: bool) -> None:
        """Run what is kept; judge the last one as its caller wants it."""
        if self._failure:
            raise self._failure
        calls, self._kept = self._kept, []
        try:
            if len(calls) == 1:
                calls[0].run_alone(self._connection)
            elif calls:
                _run_all(self._connection, calls)
        except CommandFailed as error:
            if last_counts and not any(call.is_due for call in calls[:-1]):
                raise
            # Not as what its caller may try again: this is another command's failure.
            self._failure = HostError(error.node, error.step, error.cause, error.remedy)
            raise self._failure from None
        except HostError as error:
            self._failure = error
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    @property
    def direct(self) -> Connection:
        return self._connection.direct

    @property
    def home(self) -> str:
        return self._connection.home


@contextmanager
def batched(connection: Connection) -> Iterator[Batch]:
    """Give a batch, and send what it keeps in the end.

    :raises HostError: as for :meth:`Batch.flush`
    """
    batch = Batch(connection)
    yield batch
    batch.flush()


def _run_all(connection: Connection, calls: Sequence[_Call]) -> None:
    mark = f"tacker-cir-{secrets.token_hex(16)}"
    words, begin = [mark], 1
    for call in calls:
        may = "any" if call.ok is None else " ".join(map(str, call.ok))
        words += [str(begin), str(len(call.stdin)), may, call.command.line()]
        begin += len(call.stdin)
    longest = max(calls, key=lambda call: call.timeout)
    command = Command.script(
        longest.command.step,
        _RUN,
        *words,
        confidential=any(call.command.confidential for call in calls),
    )
    whole = connection.run(
        command,
        stdin=b"".join(call.stdin for call in calls),
        timeout=sum(call.timeout for call in calls),
        ok=None,
    )
    with answer_of(connection.node, longest.command.step):
        results = _split(whole, mark)
    for call, result in zip(calls, results, strict=False):
        call.take(connection.judge(call.command, result, call.ok, call.remedy))
    if len(results) < len(calls):
        # It took everything with it.
        missing = calls[len(results)]
        connection.judge(missing.command, _rest(whole, mark), (), missing.remedy)


@reader("the results of commands")
def _split(whole: Result, mark: str) -> list[Result]:
    """Return what each command left behind, of those that came to their end."""
    outputs = _parts(whole.stdout, mark)
    errors = [text for text, _ in _parts(whole.stderr, mark)]
    # Only the end of the errors is kept: what is missing there is missing at their beginning.
    errors = [""] * (len(outputs) - len(errors)) + errors
    return [
        Result(int(status), output, error)
        for (output, status), error in zip(outputs, errors, strict=False)
    ]


def _rest(whole: Result, mark: str) -> Result:
    """Return what was printed by a command that did not come to its end."""
    output, errors = (
        text.rpartition(f"\n{mark} ")[2].partition("\n")[2] if mark in text else text
        for text in (whole.stdout, whole.stderr)
    )
    return Result(whole.exit_status, output, errors)


def _parts(text: str, mark: str) -> list[tuple[str, str]]:
    """Return pairs of what stands before each mark, and the exit status behind it."""
    first, *rest = text.split(f"\n{mark} ")
    found = []
    for part in rest:
        status, _, after = part.partition("\n")
        found.append((first, status))
        first = after
    return found
