# SPDX-License-Identifier: Apache-2.0
"""Servers on loopback that want to do harm: registries that never come to an end, and an SSH server
that keeps to no rule."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import paramiko
from paramiko.common import (
    cMSG_CHANNEL_DATA,
    cMSG_CHANNEL_EXTENDED_DATA,
    cMSG_UNIMPLEMENTED,
    cMSG_USERAUTH_BANNER,
)

from tacker_cir import ssh

ADDRESS = "127.0.0.1"
#: How much more work the long run does (tox's TACKER_CIR_THOROUGH).
THOROUGH = 20 if os.environ.get("TACKER_CIR_THOROUGH") else 1

GOOD = (
    b"HTTP/1.1 200 OK\r\nDocker-Distribution-Api-Version: registry/2.0\r\n"
    b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
)
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def drip(data: bytes) -> Iterator[bytes]:
    """Give data byte by byte, each in time for a timeout that counts reads."""
    for byte in data:
        yield bytes([byte])
        time.sleep(0.2)


#: What a registry sends after a question, by name; what ends is followed by silence.
ANSWERS: dict[str, Callable[[], Iterator[bytes]]] = {
    "silence": lambda: iter(()),
    "a byte at a time": lambda: drip(GOOD),
    "a header that drips": lambda: itertools.chain([OK], drip(b"X: " + b"x" * 10_000)),
    "a body that drips": lambda: itertools.chain(
        [OK + b"Content-Length: 10000\r\n\r\n"], drip(b"x" * 10_000)
    ),
    "chunks that drip": lambda: itertools.chain([CHUNKED], drip(b"1\r\nx\r\n" * 1000)),
    "100 Continue": lambda: itertools.repeat(b"HTTP/1.1 100 Continue\r\n\r\n"),
    "100 Continue that drips": lambda: drip(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
    "headers": lambda: itertools.chain([OK], itertools.repeat(b"X: x\r\n")),
    "a header line": lambda: itertools.chain([OK + b"X: "], itertools.repeat(b"x" * 60_000)),
    "long header lines": lambda: itertools.chain(
        [OK], itertools.repeat(b"X: " + b"x" * 60_000 + b"\r\n")
    ),
    "a status line": lambda: itertools.chain([b"HTTP/1.1 200 "], itertools.repeat(b"x" * 60_000)),
    "a body": lambda: itertools.chain([OK + b"\r\n"], itertools.repeat(b"x" * 60_000)),
    "a body of 10^18 bytes": lambda: itertools.chain(
        [OK + b"Content-Length: 1000000000000000000\r\n\r\n"], itertools.repeat(b"x" * 60_000)
    ),
    "chunks": lambda: itertools.chain([CHUNKED], itertools.repeat(b"1\r\nx\r\n" * 5_000)),
    "a chunk's extension": lambda: itertools.chain(
        [CHUNKED + b"1;"], itertools.repeat(b"x" * 60_000)
    ),
    "a chunk of 2^64 bytes": lambda: itertools.chain(
        [CHUNKED + b"10000000000000000\r\n"], itertools.repeat(b"x" * 60_000)
    ),
    "trailers": lambda: itertools.chain([CHUNKED + b"0\r\n"], itertools.repeat(b"X: x\r\n")),
    "a redirect to itself": lambda: iter(
        [b"HTTP/1.1 302 Found\r\nLocation: /v2/\r\nContent-Length: 0\r\n\r\n"]
    ),
    "a page": lambda: iter([OK + b"Content-Type: text/html\r\nContent-Length: 2\r\n\r\n{}"]),
    "noise": lambda: itertools.repeat(random.Random(1).randbytes(60_000)),
}


class Registry:
    """Sends the same to whoever asks.

    :param answer: makes what is sent
    :param tls: speaks TLS where given
    """

    def __init__(self, answer: Callable[[], Iterator[bytes]], tls: ssl.SSLContext | None = None):
        self._answer, self._tls = answer, tls
        self._listener = socket.create_server((ADDRESS, 0))
        self.port: int = self._listener.getsockname()[1]
        self.asked: list[bytes] = []
        #: What clients showed in TLS, {} for nothing.
        self.shown: list[dict[str, object]] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._talk, args=(client,), daemon=True).start()

    def _talk(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            client.settimeout(20)
            talk = self._tls.wrap_socket(client, server_side=True) if self._tls else client
            if isinstance(talk, ssl.SSLSocket):
                self.shown.append(talk.getpeercert() or {})
            self.asked.append(talk.recv(65536))
            for data in self._answer():
                talk.sendall(data)
            # Until the other side ends it.
            while talk.recv(65536):
                pass

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


class HostileSshd(paramiko.ServerInterface):
    """An SSH server that lets anybody in and then behaves as its ``manner`` says."""

    def __init__(self, manner: str):
        self.manner = manner
        self._listener = socket.create_server((ADDRESS, 0))
        self.port: int = self._listener.getsockname()[1]
        self.key = paramiko.ECDSAKey.generate()
        self.sent = 0
        self.stopped = threading.Event()
        self._transports: list[paramiko.Transport] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self.manner in _RAW:
                    threading.Thread(target=self._talk, args=(client,), daemon=True).start()
                    continue
                transport = paramiko.Transport(client)
                self._transports.append(transport)
                transport.add_server_key(self.key)
                with contextlib.suppress(paramiko.SSHException, EOFError):
                    transport.start_server(server=self)

    def _talk(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            client.settimeout(20)
            for data in _RAW[self.manner]():
                client.sendall(data)
                self.sent += len(data)
            while client.recv(65536):
                pass

    def close(self) -> None:
        self.stopped.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for transport in self._transports:
            transport.close()

    # What paramiko asks a server.

    def get_allowed_auths(self, username: str) -> str:
        return "password"

    def check_auth_password(self, username: str, password: str) -> int:
        if self.manner == "a login that is never answered":
            self.stopped.wait()
        if self.manner == "greetings without an end":
            self._repeat(cMSG_USERAUTH_BANNER, b"welcome" * 4000, b"")
        if self.manner == "a login that is never enough":
            return paramiko.common.AUTH_PARTIALLY_SUCCESSFUL
        return paramiko.common.AUTH_SUCCESSFUL

    def check_channel_request(self, kind: str, chanid: int) -> int:
        if self.manner == "a channel that is never opened":
            self.stopped.wait()
        return paramiko.common.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        if self.manner == "a command that is never answered":
            self.stopped.wait()
        threading.Thread(target=self._run, args=(channel,), daemon=True).start()
        return True

    def _run(self, channel: paramiko.Channel) -> None:
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            if self.manner in ("stdout", "stderr", "both", "an unknown stream"):
                self._flood(channel)
            elif self.manner == "output that drips":
                while not self.stopped.wait(0.2):
                    channel.sendall(b"x")
            elif self.manner == "output without an end":
                while not self.stopped.is_set():
                    channel.sendall(b"x" * 32768)
                    self.sent += 32768
            elif self.manner == "messages without a meaning":
                self._repeat(cMSG_UNIMPLEMENTED)
            elif self.manner == "no end":
                channel.send_exit_status(0)
                self.stopped.wait()
            elif self.manner == "an end before that of the output":
                # sshd tells of a command's end while output of it may still be under way.
                channel.sendall(ssh._BEGINS + b"the first half")
                channel.send_exit_status(0)
                channel.transport.close()

    def _repeat(self, kind: bytes, *strings: bytes) -> None:
        """Send a message again and again, at most for as long as a test may take."""
        message = paramiko.Message()
        message.add_byte(kind)
        for string in strings:
            message.add_string(string)
        transport = self._transports[-1]
        end = time.monotonic() + 10
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            while transport.is_active() and not self.stopped.is_set() and time.monotonic() < end:
                transport._send_message(message)

    def _flood(self, channel: paramiko.Channel) -> None:
        """Send whatever the window says."""
        kinds = {"stdout": (0,), "stderr": (1,), "both": (0, 1), "an unknown stream": (7,)}
        data = b"x" * 32768
        for kind in itertools.cycle(kinds[self.manner]):
            if self.stopped.is_set() or not channel.transport.is_active():
                return
            message = paramiko.Message()
            message.add_byte(cMSG_CHANNEL_EXTENDED_DATA if kind else cMSG_CHANNEL_DATA)
            message.add_int(channel.remote_chanid)
            if kind:
                message.add_int(kind)
            message.add_string(data)
            channel.transport._send_user_message(message)
            self.sent += len(data)


_BANNER = b"SSH-2.0-hostile\r\n"
#: What a server sends that does not come to a key exchange.
_RAW: dict[str, Callable[[], Iterator[bytes]]] = {
    "a banner without an end": lambda: itertools.repeat(b"x" * 32768),
    "lines without an end": lambda: itertools.repeat(b"welcome\r\n" * 3000),
    "a banner that drips": lambda: drip(b"x" * 10_000),
    "a packet of 4 GB": lambda: itertools.chain(
        [_BANNER + b"\xff\xff\xff\xf4"], itertools.repeat(b"\x14" * 65536)
    ),
    "a packet that drips": lambda: itertools.chain(
        [_BANNER + b"\x00\x00\x7f\xfc"], drip(b"\x14" * 10_000)
    ),
    "packets without an end": lambda: itertools.chain(
        [_BANNER], itertools.repeat((b"\x00\x00\x00\x0c\x0a\x02" + b"\x00" * 10) * 2000)
    ),
}
RAW_MANNERS = tuple(_RAW)


class Memory:
    """How much this process grows while something happens."""

    def __enter__(self) -> Memory:
        self._end = threading.Event()
        self._start = self.most = _resident()
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *_exc_info: object) -> None:
        self._end.set()
        self.most = max(self.most, _resident())

    def _watch(self) -> None:
        while not self._end.wait(0.02):
            self.most = max(self.most, _resident())

    @property
    def grown(self) -> int:
        """Bytes."""
        return self.most - self._start


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
