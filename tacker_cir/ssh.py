# SPDX-License-Identifier: Apache-2.0
"""One SSH connection to one machine: commands, small files and large streams over its channels.

Files go through a command's standard input rather than through SFTP: an SFTP server runs as the
login user, so a file for root would need a second, world-reachable copy; and a stream into
``docker load`` needs no copy on the machine's disk at all.
"""

from __future__ import annotations

import contextlib
import math
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import BinaryIO

import paramiko

from tacker_cir import delivery, guests
from tacker_cir import exceptions as exc
from tacker_cir import log as logging
from tacker_cir.command import Command, Redactor, mask_userinfo
from tacker_cir.config import TimeLimits
from tacker_cir.hostkeys import HostKeyChecker
from tacker_cir.login import PORT, Credentials, open_transport
from tacker_cir.steps import timed
from tacker_cir.text import shown
from tacker_cir.waiting import ALARMS, Deadline

LOG = logging.getLogger(__name__)

#: Bytes handed to paramiko at once; it splits them into packets of the peer's window.
BLOCK = 256 * 1024
#: What is kept of each output stream: all that a fact needs, never unbounded memory.
KEEP_STDOUT = 4 * 1024 * 1024
KEEP_STDERR = 64 * 1024
#: Seconds that the local side waits longer than the remote ``timeout``, which ends the process.
GRACE = 15
#: Seconds from SIGTERM to SIGKILL for a remote process past its deadline; less than GRACE.
KILL_AFTER = 10
#: Seconds between two progress lines of a long transfer.
PROGRESS = 5
#: What stands for an exit status where a signal ended the command.
ENDED_BY_SIGNAL = -1
# What coreutils' timeout(1) leaves: 124 after SIGTERM; after SIGKILL 128+9, or its own death.
_ENDED_BY_TIMEOUT = (124, 137, ENDED_BY_SIGNAL)

#: Remedy where there is no better one.
RETRY = "see the cause; the operation can be retried"

#: What is kept of what a machine says before the command begins: enough to tell why it does not.
KEEP_NOISE = 4096
#: Characters of each stream that an error shows.
SHOWN = 1500

# A login shell's profile, or sudo's PAM, may print something by itself: what comes before this line
# is not the command's. The line is no part of the command line, which they may print as well.
_BEGINS = b"tacker-cir begins\n"
_ENVIRONMENT = " ".join(
    f"{name}={value}"
    for guest in guests.GUESTS.values()
    for name, value in guest.environment.items()
)
_BEGIN = rf"""
export LC_ALL=C {_ENVIRONMENT}
printf 'tacker-cir %s\n' begins
printf 'tacker-cir %s\n' begins >&2
exec "$@"
"""

_BECOMING = "find out how to become root"
# Says how and where it is at home before it runs what follows as root; where sudo does not do so
# without a password, it only says so.
_BECOME_ROOT = r"""
how=root
if [ "$(id -u)" != 0 ]; then
  sudo -n true </dev/null >/dev/null 2>&1
  how=$?
fi
printf '\ntacker-cir %s %s %s\n' is "$how" "$HOME"
case $how in
  root) exec "$@" ;;
  0) exec sudo -n -- "$@" ;;
esac
"""
_IS = re.compile(r"^tacker-cir is (root|\d+) (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Result:
    """What a command left behind.

    :param stdout: its first 4 MiB as it came: data for the caller, not for a log (masking would
        spoil it: with the password "ubuntu", so would /home/ubuntu)
    :param stderr: its last 64 KiB with secrets masked: text for the user
    :param begun: False where the machine did something else than to run the command; the streams
        are what it said instead
    :param noise: what stood on the standard output before the command began
    """

    exit_status: int
    stdout: str
    stderr: str
    begun: bool = True
    noise: str = ""


class Later:
    """What a command that may be run later will have left behind.

    :param about: what it is for, for who wants to change it before it is run
    """

    command: Command
    stdin: bytes
    about: object = None
    _result: Result | None = None

    @property
    def is_due(self) -> bool:
        """Whether it has still to be run to a good end."""
        return self._result is None

    @property
    def result(self) -> Result:
        assert self._result is not None, "it was not run yet"
        return self._result

    def set(self, result: Result) -> None:
        self._result = result


@dataclass
class _Identity:
    """Where the login user is at home on the machine and how it becomes root."""

    home: str
    sudo: tuple[str, ...] = ()
    sudo_password: bool = False


class _Tail:
    """Keeps the end of a stream."""

    def __init__(self, limit: int):
        self._limit, self._data = limit, bytearray()

    def add(self, data: bytes) -> None:
        self._data += data
        if len(self._data) > 2 * self._limit:
            del self._data[: -self._limit]

    def text(self) -> str:
        return bytes(self._data[-self._limit :]).decode("utf-8", "replace")


class _Head(_Tail):
    """Keeps the beginning of a stream and reads on."""

    def add(self, data: bytes) -> None:
        self._data += data[: self._limit - len(self._data)]


class _Stream:
    """What a command writes to one stream, without what was written before it began.

    :param sink: keeps it
    """

    def __init__(self, sink: _Tail):
        self._sink, self._before = sink, bytearray()
        self.begun = False

    def add(self, data: bytes) -> None:
        if self.begun:
            self._sink.add(data)
            return
        self._before += data
        noise, begin, rest = self._before.partition(_BEGINS)
        self._before = noise[-KEEP_NOISE:]
        if begin:
            self.begun = True
            self._sink.add(bytes(rest))

    @property
    def noise(self) -> str:
        """What was written before the command began."""
        return self._before.decode("utf-8", "replace")

    def text(self) -> str:
        """Return what the command wrote; what came instead where it did not begin."""
        return self._sink.text() if self.begun else self.noise


@dataclass
class Connection:
    """An authenticated SSH connection. Use :func:`connect` to get one.

    :param node: the machine as the user knows it; begins every log line and error
    :param transport: paramiko's connection
    :param credentials: what it was opened with
    :param redactor: masks the operation's secrets in outputs
    :param command_timeout: default seconds for one command
    """

    node: str
    transport: paramiko.Transport
    credentials: Credentials
    redactor: Redactor
    command_timeout: float
    commands: int = field(default=0, init=False)
    _identity: _Identity | None = field(default=None, init=False)

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
        """Run a command and return its result.

        :param timeout: seconds until both the remote process and the wait for it are ended
        :param stdin: bytes or an open file that is streamed to the command, which takes it for
            complete only where it is
        :param size: size of the file in bytes; None where it can be sought
        :param ok: exit statuses that mean success; None accepts every one
        :param root: run as root (through sudo where the login user is another)
        :param remedy: what the user reads if it fails
        :raises CommandFailed: another exit status, or the machine does not run it at all
        :raises CommandTimeout: not done in time
        :raises ConnectionLost: the connection broke
        """
        if root and not isinstance(stdin, bytes):
            # It can be sent once only.
            self.identity()
        seconds = max(1, math.ceil(self.command_timeout if timeout is None else timeout))
        prefix = b""
        wire = ["sh", "-c", _BEGIN, "sh"]
        wire += ["timeout", "-k", str(KILL_AFTER), str(seconds)]
        wire += delivery.receiver(command.argv, stdin)
        identity = self._identity
        if root and identity is None:
            wire = ["sh", "-c", _BECOME_ROOT, "sh", *wire]
        elif root and identity is not None:
            wire = [*identity.sudo, *wire]
            if identity.sudo_password and self.credentials.password is not None:
                prefix = self.credentials.password.reveal().encode() + b"\n"
        prefix += delivery.head(stdin, size)
        line = Command(tuple(wire), command.step).line()
        LOG.debug("%s: %s", self.node, command.step)
        self.commands += 1
        remote_deadline = Deadline(seconds)
        with timed(self.node, command.step):
            result = self._execute(command, line, prefix, stdin, size, seconds + GRACE)
            if result.exit_status in _ENDED_BY_TIMEOUT and remote_deadline.expired:
                said = self._said(result, shows_stdout=not command.confidential)
                cause = f"not done after {seconds} seconds" + (f"; it said: {said}" if said else "")
                raise exc.CommandTimeout(self.node, command.step, cause, remedy)
            if root and identity is None and self._learn_identity(result):
                # sudo wants a password: nothing was done yet.
                return self.run(command, timeout=timeout, stdin=stdin, ok=ok, remedy=remedy)
            if not result.begun:
                raise self._not_begun(command, result)
            return self.judge(command, result, ok, remedy)

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
        """Run a command as root at the latest when the next one runs; a connection does it now, a
        :class:`tacker_cir.batch.Batch` then.

        :param done: called once it has run; other parameters and errors as for :meth:`run`
        :param about: as for :class:`Later`
        """
        later = Later()
        later.set(self.run(command, timeout=timeout, stdin=stdin, ok=ok, remedy=remedy))
        if done:
            done()
        return later

    @property
    def last_kept(self) -> Later | None:
        """The last of the commands that have still to be run, which may be changed."""
        return None

    @property
    def direct(self) -> Connection:
        """The connection itself, where this one keeps commands."""
        return self

    def when_done(self, tell: Callable[[], None]) -> None:
        """Call something once all that was to be run so far has run."""
        tell()

    def judge(
        self, command: Command, result: Result, ok: tuple[int, ...] | None, remedy: str
    ) -> Result:
        """Return the result of a command if it was a success.

        :raises CommandFailed: another exit status
        """
        if ok is not None and result.exit_status not in ok:
            raise self._failed(command, result, remedy)
        return result

    def identity(self) -> _Identity:
        """Return who the login user is and how it becomes root, asked for once."""
        if self._identity is None:
            self.run(Command(("true",), _BECOMING))
        assert self._identity is not None
        return self._identity

    @property
    def home(self) -> str:
        """Home directory of the login user."""
        return self.identity().home

    @contextmanager
    def session(self, line: str, limit: float) -> Iterator[paramiko.Channel]:
        """Start a command and yield its streams.

        :param line: for the login shell
        :param limit: seconds until the connection is closed if the context was not left by then:
            not every wait of paramiko has a timeout, and its end ends them all
        """
        begun: list[paramiko.Channel] = []

        def give_up() -> None:
            self.transport.close()
            for channel in begun:
                # Where the connection broke as a request began, nobody else ends the wait for it.
                channel.event.set()

        alarm = ALARMS.set(limit, give_up)
        try:
            channel = self.transport.open_session(timeout=limit)
            begun.append(channel)
            try:
                channel.exec_command(line)
                yield channel
            finally:
                # A connection that is gone tells so at the next command; here it would take the
                # place of what went wrong, or of an answer that is complete.
                with suppress(EOFError, OSError, paramiko.SSHException):
                    channel.close()
        finally:
            ALARMS.cancel(alarm)

    def prove_alive(self) -> None:
        """Do nothing where the machine still answers: only a living connection opens a channel.

        :raises paramiko.SSHException: it is gone
        """
        try:
            self.transport.open_session(timeout=GRACE).close()
        except (EOFError, OSError) as error:
            raise paramiko.SSHException(str(error) or type(error).__name__) from None

    def lost(self, step: str, reason: Exception | str) -> exc.ConnectionLost:
        """Return what is raised where the connection broke during a step.

        :param reason: what paramiko says of it
        """
        return exc.ConnectionLost(
            self.node,
            step,
            f"the SSH connection broke ({shown(reason) or type(reason).__name__})",
            "see whether the machine is alive and reachable, then retry the operation: "
            "it goes on where it was",
        )

    def close(self) -> None:
        self.transport.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_exc_info: object) -> None:
        self.close()

    def _learn_identity(self, result: Result) -> bool:
        """Note what the first command told; return whether it has to be run again."""
        told = _IS.findall(result.noise)
        if not told:
            return False
        how, home = told[-1]
        if how == "root":
            self._identity = _Identity(home)
        elif how == "0":
            self._identity = _Identity(home, ("sudo", "-n", "--"))
        else:
            self._use_sudo_password(home, sudo_is_there=how != "127")
            return True
        return False

    def _use_sudo_password(self, home: str, *, sudo_is_there: bool) -> None:
        if self.credentials.password is None or not sudo_is_there:
            raise exc.HostError(
                self.node,
                _BECOMING,
                f"user {self.credentials.username} may not run commands with sudo",
                "let the user run sudo without a password (NOPASSWD), give ssh_password, "
                "or log in as root",
            )
        # -k makes sudo ask every time, so that exactly one line of stdin is always consumed.
        self._identity = _Identity(home, ("sudo", "-k", "-S", "-p", "", "--"), True)
        try:
            self.run(Command(("true",), _BECOMING))
        except exc.CommandFailed as error:
            self._identity = None
            raise exc.HostError(
                self.node,
                _BECOMING,
                f"sudo refuses user {self.credentials.username}: {error.stderr.strip()}",
                "put the user into sudoers, or log in as root",
            ) from None

    def _failed(self, command: Command, result: Result, remedy: str) -> exc.CommandFailed:
        cause = f"exit status {result.exit_status}"
        if result.exit_status == ENDED_BY_SIGNAL:
            cause = "a signal ended the command (was the machine out of memory?)"
        said = self._said(result, shows_stdout=not command.confidential)
        return exc.CommandFailed(
            self.node,
            command.step,
            f"{cause}: {said}" if said else cause,
            remedy,
            exit_status=result.exit_status,
            stderr=result.stderr,
        )

    def _not_begun(self, command: Command, result: Result) -> exc.CommandFailed:
        said = self._said(result, shows_stdout=True) or "nothing"
        return exc.CommandFailed(
            self.node,
            command.step,
            f"the machine ran no command for user {self.credentials.username}; it ended with exit "
            f"status {result.exit_status} and said: {said}",
            "log in as a user with a POSIX shell who may become root: the image of a cloud often "
            "names its user",
            exit_status=result.exit_status,
            stderr=result.stderr,
        )

    def _said(self, result: Result, *, shows_stdout: bool) -> str:
        """Return the end of both streams: programs tell their reasons on either."""
        told = [_last(result.stderr)]
        if shows_stdout:
            stdout = _last(self._clean(result.stdout))
            told.append(f"standard output: {stdout}" if stdout and told[0] else stdout)
        return "; ".join(filter(None, told))

    def _execute(
        self,
        command: Command,
        line: str,
        prefix: bytes,
        stdin: bytes | BinaryIO,
        size: int | None,
        timeout: float,
    ) -> Result:
        deadline = Deadline(timeout)
        try:
            with self.session(line, timeout) as channel:
                return self._converse(channel, command, prefix, stdin, size)
        except (paramiko.SSHException, EOFError, OSError) as error:
            if deadline.expired:
                raise exc.CommandTimeout(
                    self.node,
                    command.step,
                    f"no answer for {timeout:.0f} seconds",
                    "see whether the machine is alive and reachable, then retry the operation",
                ) from None
            raise self.lost(command.step, error) from None

    def _converse(
        self,
        channel: paramiko.Channel,
        command: Command,
        prefix: bytes,
        stdin: bytes | BinaryIO,
        size: int | None,
    ) -> Result:
        stdout, stderr = _Stream(_Head(KEEP_STDOUT)), _Stream(_Tail(KEEP_STDERR))
        ends = [_drained(channel.recv_stderr, stderr)]
        # What the peer takes without being read from needs no further thread.
        is_small = isinstance(stdin, bytes) and len(stdin) <= BLOCK
        if not is_small:
            ends.append(_drained(channel.recv, stdout))
        self._send(channel, command, prefix, stdin, size)
        if is_small:
            _drain_until_over(channel, stdout)
        channel.status_event.wait()
        # A daemon that the command started may hold the streams open for ever.
        output_deadline = Deadline(GRACE)
        for end in ends:
            # No join(): in a process that eventlet patched, its timeout is raised on Python 3.13.
            end.wait(output_deadline.remaining)
        if channel.exit_status == -1 or (channel.closed and not channel.eof_received):
            # Either the connection broke, in the second case before all of the output was here, or
            # a signal ended the command, which paramiko does not tell.
            self.prove_alive()
        # The value that paramiko has where it got none is ENDED_BY_SIGNAL.
        return Result(
            channel.exit_status,
            stdout.text(),
            self._clean(stderr.text()),
            begun=stdout.begun,
            noise=stdout.noise,
        )

    def _send(
        self,
        channel: paramiko.Channel,
        command: Command,
        prefix: bytes,
        stdin: bytes | BinaryIO,
        size: int | None,
    ) -> None:
        """Feed the command; one that ends early without reading is judged by its exit status."""
        try:
            if prefix:
                channel.sendall(prefix)
            if isinstance(stdin, bytes):
                channel.sendall(stdin)
            else:
                self._stream(channel, command, stdin, size)
                channel.sendall(delivery.tail(stdin))
            channel.shutdown_write()
        except OSError:
            if not channel.status_event.wait(GRACE):
                raise

    def _stream(
        self,
        channel: paramiko.Channel,
        command: Command,
        source: BinaryIO,
        size: int | None,
    ) -> None:
        start = told = time.monotonic()
        sent = 0
        while block := self._read(source, command):
            channel.sendall(block)
            sent += len(block)
            now = time.monotonic()
            if now - told >= PROGRESS:
                told = now
                LOG.info("%s: %s: %s", self.node, command.step, _progress(sent, size, now - start))
        elapsed = time.monotonic() - start
        LOG.info("%s: %s: sent %s", self.node, command.step, _progress(sent, size, elapsed))

    def _read(self, source: BinaryIO, command: Command) -> bytes:
        """Read what is sent: trouble with it is the conductor's, not the connection's."""
        try:
            return source.read(BLOCK)
        except OSError as error:
            raise exc.HostError(
                self.node,
                command.step,
                f"the conductor cannot read what it has to send: {error}",
                "see whether the conductor's copy of the VNF package can be read",
            ) from None

    def _clean(self, text: str) -> str:
        return mask_userinfo(self.redactor(text))


def _drained(receive: Callable[[int], bytes], sink: _Stream) -> threading.Event:
    """Read a stream beside; return what is set at its end."""
    end = threading.Event()
    threading.Thread(target=_drain, args=(receive, sink, end), daemon=True).start()
    return end


def _drain_until_over(channel: paramiko.Channel, sink: _Stream) -> None:
    """Read the standard output to its end, or for a while after the command has ended."""
    channel.settimeout(GRACE / 10)
    deadline: Deadline | None = None
    while deadline is None or not deadline.expired:
        try:
            data = channel.recv(BLOCK)
        except TimeoutError:
            if deadline is None and channel.status_event.is_set():
                deadline = Deadline(GRACE)
            continue
        if not data:
            break
        sink.add(data)


def _drain(receive: Callable[[int], bytes], sink: _Stream, end: threading.Event) -> None:
    """Read a stream to its end, so that the remote process never blocks on a full pipe."""
    try:
        while True:
            with contextlib.suppress(TimeoutError):
                data = receive(BLOCK)
                if not data:
                    break
                sink.add(data)
    finally:
        end.set()


def _last(text: str) -> str:
    """Return the last characters of a text, its lines in one."""
    lines = (line.strip() for line in text[-2 * SHOWN :].splitlines())
    return " | ".join(filter(None, lines))[-SHOWN:]


def _progress(sent: int, size: int | None, elapsed: float) -> str:
    mb = sent / 1e6
    rate = f"{mb / elapsed:.0f} MB/s" if elapsed > 0 else "-"
    if not size:
        return f"{mb:.0f} MB, {rate}"
    return f"{mb:.0f} of {size / 1e6:.0f} MB ({100 * sent // size} %), {rate}"


def connect(
    node: str,
    address: str,
    credentials: Credentials,
    host_keys: HostKeyChecker,
    *,
    redactor: Redactor,
    limits: TimeLimits,
    port: int = PORT,
) -> Connection:
    """Open a connection to a machine that may still be booting.

    :param node: the machine as the user knows it
    :param address: IPv4 or IPv6 address
    :param host_keys: decides whether the machine's host key is accepted
    :param redactor: masks the operation's secrets in outputs
    :param limits: for sshd to answer, one attempt to connect, a refused login to become right, and
        one command on this connection
    :raises ConnectError: sshd does not answer in time
    :raises AuthenticationFailed: the login is refused
    :raises HostKeyError: the host key is not the expected one
    """
    transport = open_transport(node, address, credentials, host_keys, limits=limits, port=port)
    return Connection(node, transport, credentials, redactor, limits.command_timeout)
