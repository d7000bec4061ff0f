# SPDX-License-Identifier: Apache-2.0
"""TCP, TLS and HTTP as seen from a node, whatever programs it has.

The node makes the TCP connection and hands on its bytes; TLS and HTTP are spoken here, through the
SSH connection. bash does it, not sshd: hardened images forbid sshd to forward, and paramiko does
not tell why a forwarded connection failed.

Who answers may be anybody: a question has one deadline for all of it, and an answer one size.
"""

from __future__ import annotations

import functools
import http.client
import io
import math
import os
import re
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import paramiko

from tacker_cir.command import Command, Secret
from tacker_cir.ssh import Connection
from tacker_cir.text import shown
from tacker_cir.waiting import Deadline

T = TypeVar("T")

#: Bytes read at once.
BLOCK = 64 * 1024
_CERTIFICATE = re.compile(
    "-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\\s]+-----END CERTIFICATE-----", re.ASCII
)
#: Of an answer's body no more is read.
KEEP_BODY = 64 * 1024
#: Bytes that a server may send in answer to one question, TLS and headers included.
MOST = 1024 * 1024
#: Bytes that a login shell and bash may say before the connection is there.
MOST_SAID = 16 * 1024
#: Seconds that a connection may take as a whole; the node ends what is older.
LIFETIME = 60
#: Seconds beyond the deadline after which the machine, not the server, is given up.
GRACE = 5

# Ends when either side does. Where the registry takes no more, its last words are waited for.
# Not with "wait -n", which waits for ever where the first one has ended before it is called.
_RELAY = r"""
exec 3<>"/dev/tcp/$1/$2" 4<&0 || exit 1
printf '%s' "$3"
cat <&4 >&3 2>/dev/null &
questions=$!
{
  trap 'kill "$answers"' TERM
  cat <&3 &
  answers=$!
  wait "$answers"
  kill "$questions"
} 2>/dev/null &
reader=$!
wait "$questions" && kill "$reader"
wait "$reader"
"""
# What the relay says once it is connected; a login shell may say something before it.
_CONNECTED = b"tacker_cir: connected\n"
# What getaddrinfo(3) says, as gai_strerror(3) has it in the C locale.
_NOT_RESOLVED = (
    "Name or service not known",
    "No address associated with hostname",
    "Temporary failure in name resolution",
    "Non-recoverable failure in name resolution",
)


class NotResolved(OSError):
    """The node does not know the name's address."""


class NotConnected(OSError):
    """The node got no TCP connection."""


class Endless(OSError):
    """The server sends more than an answer may have."""


class Line(Protocol):
    """What a socket and a channel have in common."""

    def settimeout(self, seconds: float | None, /) -> None: ...

    def send(self, data: bytes, /) -> int: ...

    def recv(self, size: int, /) -> bytes: ...


@dataclass(frozen=True)
class Answer:
    """An HTTP response.

    :param headers: names in lower case; the values of a name joined by commas (RFC 9110, 5.3)
    :param validity: from when to when the server's certificate holds, in seconds since 1970; None
        where none was judged
    """

    status: int
    headers: Mapping[str, str]
    body: str
    validity: tuple[float, float] | None = None


class Stream:
    """A connection that lasts until its deadline and gives a bounded number of bytes.

    :param line: a socket, or a channel to one
    :param deadline: for all that is sent and received
    :param most: bytes that may be received
    """

    def __init__(self, line: Line, deadline: Deadline, most: int = MOST):
        self._line, self._deadline, self._left = line, deadline, most

    def begin(self, deadline: Deadline, most: int = MOST) -> None:
        """Begin another question, which has a deadline and a size of its own."""
        self._deadline, self._left = deadline, most

    def sendall(self, data: bytes) -> None:
        """Send everything.

        :raises TimeoutError: the deadline passed
        """
        while data:
            self._tick()
            data = data[self._line.send(data[:BLOCK]) :]

    def receive(self, size: int) -> bytes:
        """Return what came, empty at the end.

        :raises TimeoutError: the deadline passed
        :raises Endless: it sent too much
        """
        self._tick()
        data = self._line.recv(size)
        self._left -= len(data)
        if self._left < 0:
            raise Endless("it sends more than an answer may have")
        return data

    def _tick(self) -> None:
        """Let the next wait end with the deadline."""
        if self._deadline.expired:
            raise TimeoutError
        self._line.settimeout(self._deadline.remaining)

    def makefile(self, *_mode: object, **_options: object) -> io.BufferedReader:
        """Return what http.client reads from."""
        return io.BufferedReader(_Reader(self))

    def close(self) -> None:
        """Leave the line open: http.client closes before it reads an answer's body."""


class _Errors:
    """A channel's standard error as a line of its own."""

    def __init__(self, channel: paramiko.Channel):
        self.settimeout, self.send, self.recv = (
            channel.settimeout,
            channel.send,
            channel.recv_stderr,
        )


@contextmanager
def dial(
    connection: Connection, host: str, port: int, timeout: float, lifetime: float | None = None
) -> Iterator[Stream]:
    """Open a TCP connection from the node.

    :param timeout: seconds to connect
    :param lifetime: seconds for all that is done with it, None for ``timeout``
    :raises NotResolved: the name is not known
    :raises NotConnected: no connection in time
    :raises paramiko.SSHException: the machine itself does not answer any more
    """
    deadline, whole = Deadline(timeout), timeout if lifetime is None else lifetime
    most = max(LIFETIME, math.ceil(whole) + GRACE)
    words = ("env", "LC_ALL=C", "timeout", str(most), "bash", "-c", _RELAY, "bash")
    command = Command(
        (*words, host, str(port), _CONNECTED.decode()), f"connect to {host} port {port}"
    )
    try:
        with connection.session(command.line(), whole + GRACE) as channel:
            try:
                _wait_until_connected(
                    Stream(channel, deadline, MOST_SAID),
                    Stream(_Errors(channel), deadline, MOST_SAID),
                )
            except TimeoutError:
                raise NotConnected(f"no answer for {timeout:.0f} seconds") from None
            except Endless:
                raise NotConnected("the login shell talks without an end") from None
            yield Stream(channel, Deadline(whole) if lifetime else deadline)
    except (http.client.HTTPException, OSError):
        # Over a connection to the machine that broke, every answer ends too soon.
        connection.prove_alive()
        raise


def _wait_until_connected(stdout: Stream, stderr: Stream) -> None:
    said = b""
    # Byte by byte: what follows is the registry's.
    while not said.endswith(_CONNECTED):
        received = stdout.receive(1)
        if not received:
            raise _no_connection(stderr)
        said += received


def _no_connection(stderr: Stream) -> OSError:
    said = b""
    while received := stderr.receive(BLOCK):
        said += received
    lines = said.decode("utf-8", "replace").splitlines()
    for line in lines:
        reason = line.rpartition(": ")[2]
        if reason in _NOT_RESOLVED:
            return NotResolved(reason)
    # bash says twice what happened, the second time with the path.
    return NotConnected(shown(lines[0].rpartition(": ")[2]) if lines else "no reason given")


def tls_context(
    authorities: str, client: tuple[str, Secret] | None, verify: bool
) -> ssl.SSLContext:
    """Return settings that accept what Go's crypto/x509 accepts.

    :param authorities: certificates in PEM; a certificate among them is trusted whoever signed it
    :param client: certificate and key in PEM
    :param verify: False to accept any certificate
    :raises ssl.SSLError: a certificate or key that OpenSSL does not accept
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.hostname_checks_common_name = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        _trust(context, _CERTIFICATE.findall(authorities))
    if client:
        certificate, key = client
        # OpenSSL wants a file. This one is in memory and has no name: no way out leaves it behind.
        with os.fdopen(os.memfd_create("client"), "w") as file:
            file.write(f"{key.reveal()}\n{certificate}\n")
            file.flush()
            context.load_cert_chain(f"/proc/self/fd/{file.fileno()}")
    return context


def _trust(context: ssl.SSLContext, certificates: Sequence[str]) -> None:
    """Trust certificates, given without the comments around them, which may be in any language."""
    try:
        if certificates:
            context.load_verify_locations(cadata="\n".join(certificates))
    except ssl.SSLError:
        # One is damaged. Go's programs leave it out and go on.
        for certificate in certificates:
            with suppress(ssl.SSLError):
                context.load_verify_locations(cadata=certificate)


def get(
    stream: Stream,
    host: str,
    port: int,
    path: str,
    headers: Mapping[str, str],
    tls: ssl.SSLContext | None,
) -> Answer:
    """Ask once, over an open connection to the server.

    :param host: name or address, for the Host header and the certificate
    :param tls: None for HTTP
    :raises ssl.SSLError: TLS failed
    :raises http.client.HTTPException: the answer is not HTTP
    :raises OSError: the connection broke, or did not end in time or size
    """
    return Exchange(stream, host, port, tls).ask("GET", path, headers)


class Exchange:
    """Questions over one connection, one after the other.

    :param stream: an open connection to the server
    :param host: name or address, for the Host header and the certificate
    :param tls: None for HTTP
    :raises ssl.SSLError: TLS failed
    :raises OSError: the connection broke, or did not end in time or size
    """

    def __init__(self, stream: Stream, host: str, port: int, tls: ssl.SSLContext | None):
        self._client = http.client.HTTPConnection(host, port)
        if tls is not None:
            self._client.default_port = http.client.HTTPS_PORT
        # It would open another connection from here where the server has closed this one.
        self._client.auto_open = 0
        self._secured = None if tls is None else _Tls(stream, tls, host)
        self._client.sock = self._secured or stream

    def ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: Iterable[bytes] = (),
        size: int | None = None,
    ) -> Answer:
        """Ask and return the answer, of which the beginning is read.

        :param body: portions of what is sent along
        :param size: bytes of it, None where nothing is
        :raises http.client.HTTPException: the answer is not HTTP
        :raises OSError: the connection broke, or did not end in time or size
        """
        client = self._client
        client.putrequest(method, path)
        for name, value in headers.items():
            client.putheader(name, value)
        if size is not None:
            client.putheader("Content-Length", str(size))
        refused = self._send(body)
        try:
            answer = client.getresponse()
        except (http.client.HTTPException, OSError) as error:
            raise (error if refused is None or is_alert(error) else refused) from None
        received = {
            name.lower(): ", ".join(answer.headers.get_all(name, ())) for name in answer.headers
        }
        text = answer.read(KEEP_BODY).decode("utf-8", "replace")
        validity = self._secured.validity if self._secured else None
        # Of what was neither sent nor read, the rest would be taken for the next answer.
        self.stays = refused is None and answer.isclosed() and client.sock is not None
        return Answer(answer.status, received, text, validity)

    #: Whether another question may be asked.
    stays = False

    def _send(self, body: Iterable[bytes]) -> OSError | None:
        """Send a question; return what ended it. Who refuses it may say why and close."""
        for send in self._sends(body):
            try:
                send()
            except TimeoutError:
                raise
            except OSError as error:
                return error
        return None

    def _sends(self, body: Iterable[bytes]) -> Iterator[Callable[[], object]]:
        yield self._client.endheaders
        for portion in body:
            yield functools.partial(self._client.send, portion)


def is_alert(error: Exception) -> bool:
    """Return whether the peer said in TLS why it ends the connection (RFC 8446, section 6.2)."""
    return isinstance(error, ssl.SSLError) and "ALERT" in (error.reason or "")


class _Reader(io.RawIOBase):
    def __init__(self, stream: Stream):
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.receive(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class _Tls(Stream):
    """TLS over a connection."""

    def __init__(self, stream: Stream, context: ssl.SSLContext, host: str):
        self._stream = stream
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_hostname=host)
        self._step(self._tls.do_handshake)

    @property
    def validity(self) -> tuple[float, float] | None:
        """From when to when the server's certificate holds, None where it was not judged."""
        certificate = self._tls.getpeercert()
        if not certificate:
            return None
        first, last = (str(certificate[key]) for key in ("notBefore", "notAfter"))
        return ssl.cert_time_to_seconds(first), ssl.cert_time_to_seconds(last)

    def sendall(self, data: bytes) -> None:
        sent = 0
        while sent < len(data):
            sent += self._step(functools.partial(self._tls.write, data[sent:]))

    def receive(self, size: int) -> bytes:
        try:
            return self._step(lambda: self._tls.read(size))
        except ssl.SSLZeroReturnError:
            return b""

    def _step(self, operation: Callable[[], T]) -> T:
        """Do one operation, carrying bytes in and out until it is done."""
        while True:
            try:
                result = operation()
            except ssl.SSLWantReadError:
                self._flush()
                received = self._stream.receive(BLOCK)
                if received:
                    self._in.write(received)
                else:
                    self._in.write_eof()
            except ssl.SSLError:
                # It tells the peer why we end it, who may be gone.
                with suppress(OSError):
                    self._flush()
                raise
            else:
                self._flush()
                return result

    def _flush(self) -> None:
        if self._out.pending:
            self._stream.sendall(self._out.read())
