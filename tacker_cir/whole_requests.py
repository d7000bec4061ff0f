# SPDX-License-Identifier: Apache-2.0
"""HTTP requests whose timeout is for all of a request. That of requests and urllib3 is for each
read: who sends one byte a minute is waited for without an end."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from typing import Any

import requests
from keystoneauth1.session import TCPKeepAliveAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

#: Bytes of an answer; a stack of a thousand machines has a tenth of it.
MOST = 64 * 1024 * 1024
#: Bytes read at once.
BLOCK = 256 * 1024
# What this thread's request goes over.
_used = threading.local()


class _Known(HTTPConnection):
    """A connection whose socket can be shut down by another thread, in TLS' handshake too."""

    _twin: socket.socket | None = None

    def _new_conn(self) -> socket.socket:
        sock = super()._new_conn()
        self._twin = _used.twin = socket.socket(fileno=os.dup(sock.fileno()))
        return sock

    def request(self, *args: Any, **options: Any) -> None:
        _used.twin = self._twin
        super().request(*args, **options)

    def close(self) -> None:
        super().close()
        if self._twin is not None:
            self._twin.close()


class _KnownTls(_Known, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Known


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _KnownTls


_POOLS = {"http": _Pool, "https": _TlsPool}


class WholeTimeout(TCPKeepAliveAdapter):
    """Ends a request that is not over, its answer read, within its timeout."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **options: Any) -> Any:
        manager = super().proxy_manager_for(*args, **options)
        manager.pool_classes_by_scheme = _POOLS
        return manager

    def send(
        self, request: requests.PreparedRequest, *args: Any, **options: Any
    ) -> requests.Response:
        """Send a request and read its answer.

        :raises requests.exceptions.Timeout: it was not over in time
        :raises requests.exceptions.ConnectionError: it failed, or the answer is too long
        """
        with _ended_after(options["timeout"]):
            response = super().send(request, *args, **options)
            _read(response)
            return response


def _read(response: requests.Response) -> None:
    """Read an answer as requests does, up to a bound."""
    blocks, size = [], 0
    for block in response.iter_content(BLOCK):
        size += len(block)
        if size > MOST:
            response.close()
            raise requests.exceptions.ConnectionError(f"an answer of more than {MOST} bytes")
        blocks.append(block)
    response._content = b"".join(blocks)


@contextlib.contextmanager
def _ended_after(seconds: float) -> Iterator[None]:
    """Shut the connection of this thread's request down after some seconds."""
    mine, over = _used.__dict__, threading.Event()

    def end() -> None:
        over.set()
        twin = mine.get("twin")
        with contextlib.suppress(OSError):
            if twin is not None:
                twin.shutdown(socket.SHUT_RDWR)

    mine.clear()
    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    except requests.exceptions.RequestException:
        if not over.is_set():
            raise
    finally:
        timer.cancel()
    if over.is_set():
        raise requests.exceptions.ReadTimeout(f"no whole answer for {seconds:.0f} seconds")


def session() -> requests.Session:
    """Return a session for keystoneauth1's."""
    made = requests.Session()
    for scheme in ("http://", "https://"):
        made.mount(scheme, WholeTimeout())
    return made
