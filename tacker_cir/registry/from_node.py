# SPDX-License-Identifier: Apache-2.0
"""TCP, TLS and HTTP as seen from a node, whatever programs it has.

The node makes the TCP connection and hands on its bytes; TLS and HTTP are spoken here, through the
SSH connection. bash does it, not sshd: hardened images forbid sshd to forward, and paramiko does
not tell why a forwarded connection failed.
"""

from __future__ import annotations

import http.client
import io
import re
import ssl
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import paramiko

from tacker_cir.command import Command, Secret
from tacker_cir.ssh import Connection

T = TypeVar("T")

#: Bytes read at once.
BLOCK = 64 * 1024
_CERTIFICATE = re.compile(
    "-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\\s]+-----END CERTIFICATE-----", re.ASCII
)
#: Of an answer's body no more is read.
KEEP_BODY = 64 * 1024
#: Seconds that a connection may take as a whole; the node ends what is older.
LIFETIME = 60

# Ends when either side does. Where the registry takes no more, its last words are waited for.
_RELAY = r"""
exec 3<>"/dev/tcp/$1/$2" 4<&0 || exit 1
printf '%s' "$3"
cat <&4 >&3 2>/dev/null &
cat <&3 &
answers=$!
wait -n || wait "$answers"
kill $(jobs -p) 2>/dev/null
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


@dataclass(frozen=True)
class Answer:
    """An HTTP response.

    :param headers: the last value of each, names in lower case
    """

    status: int
    headers: Mapping[str, str]
    body: str


@contextmanager
def dial(
    connection: Connection, host: str, port: int, timeout: float
) -> Iterator[paramiko.Channel]:
    """Open a TCP connection from the node.

    :param timeout: seconds to connect, and for each wait afterwards
    :raises NotResolved: the name is not known
    :raises NotConnected: no connection in time
    """
    words = ("env", "LC_ALL=C", "timeout", str(LIFETIME), "bash", "-c", _RELAY, "bash")
    command = Command(
        (*words, host, str(port), _CONNECTED.decode()), f"connect to {host} port {port}"
    )
    channel = connection.transport.open_session(timeout=timeout)
    try:
        channel.settimeout(timeout)
        channel.exec_command(command.line())
        _wait_until_connected(channel, timeout)
        yield channel
    finally:
        channel.close()


def _wait_until_connected(channel: paramiko.Channel, timeout: float) -> None:
    said = b""
    try:
        # Byte by byte: what follows is the registry's.
        while not said.endswith(_CONNECTED):
            received = channel.recv(1)
            if not received:
                raise _no_connection(channel)
            said += received
    except TimeoutError:
        raise NotConnected(f"no answer for {timeout:.0f} seconds") from None


def _no_connection(channel: paramiko.Channel) -> OSError:
    said = b""
    while received := channel.recv_stderr(BLOCK):
        said += received
    lines = said.decode("utf-8", "replace").splitlines()
    for line in lines:
        reason = line.rpartition(": ")[2]
        if reason in _NOT_RESOLVED:
            return NotResolved(reason)
    # bash says twice what happened, the second time with the path.
    return NotConnected(lines[0].rpartition(": ")[2] if lines else "no reason given")


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
    elif found := _CERTIFICATE.findall(authorities):
        # Without the comments around them, which may be in any language.
        context.load_verify_locations(cadata="\n".join(found))
    if client:
        certificate, key = client
        # OpenSSL wants files. They are the user's alone and gone at once.
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(f"{key.reveal()}\n{certificate}\n")
            file.flush()
            context.load_cert_chain(file.name)
    return context


def get(
    channel: paramiko.Channel,
    host: str,
    port: int,
    path: str,
    headers: Mapping[str, str],
    tls: ssl.SSLContext | None,
) -> Answer:
    """Ask once, over an open channel to the server.

    :param host: name or address, for the Host header and the certificate
    :param tls: None for HTTP
    :raises ssl.SSLError: TLS failed
    :raises http.client.HTTPException: the answer is not HTTP
    :raises OSError: the connection broke or nothing came in time
    """
    client = http.client.HTTPConnection(host, port)
    if tls is not None:
        client.default_port = http.client.HTTPS_PORT
    stream = _Stream(channel) if tls is None else _Tls(channel, tls, host)
    client.sock = stream  # type: ignore[assignment]
    client.request("GET", path, headers=dict(headers))
    answer = client.getresponse()
    received = {name.lower(): value for name, value in answer.getheaders()}
    return Answer(answer.status, received, answer.read(KEEP_BODY).decode("utf-8", "replace"))


class _Stream:
    """A channel with what http.client asks of a socket."""

    def __init__(self, channel: paramiko.Channel):
        self._channel = channel

    def sendall(self, data: bytes) -> None:
        self._channel.sendall(data)

    def receive(self, size: int) -> bytes:
        """Return what came, empty at the end."""
        return self._channel.recv(size)

    def makefile(self, *_mode: object, **_options: object) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self))

    def close(self) -> None:
        """Leave the channel open: http.client closes before it reads an answer's body."""


class _Reader(io.RawIOBase):
    def __init__(self, stream: _Stream):
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.receive(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class _Tls(_Stream):
    """TLS over a channel."""

    def __init__(self, channel: paramiko.Channel, context: ssl.SSLContext, host: str):
        super().__init__(channel)
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_hostname=host)
        self._step(self._tls.do_handshake)

    def sendall(self, data: bytes) -> None:
        self._step(lambda: self._tls.write(data))

    def receive(self, size: int) -> bytes:
        try:
            return self._step(lambda: self._tls.read(size))
        except ssl.SSLZeroReturnError:
            return b""

    def _step(self, operation: Callable[[], T]) -> T:
        """Do one operation, carrying bytes in and out until it is done."""
        while True:
            try:
                return operation()
            except ssl.SSLWantReadError:
                self._flush()
                received = self._channel.recv(BLOCK)
                if received:
                    self._in.write(received)
                else:
                    self._in.write_eof()
            finally:
                # Also what tells the peer why we end it.
                self._flush()

    def _flush(self) -> None:
        if self._out.pending:
            self._channel.sendall(self._out.read())
