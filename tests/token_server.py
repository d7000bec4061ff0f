# SPDX-License-Identifier: Apache-2.0
"""What stands before a registry and asks for tokens, as Docker Hub does."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "t0ken"


class Tokens(BaseHTTPRequestHandler):
    """Gives tokens for a login; distribution 2.8 logs in where it fetches from in no other way.

    :param behind: URL of the registry
    :param login: header Authorization that a token is given for
    """

    def __init__(self, behind: str, login: str, *args: Any):
        self._behind, self._login = behind, login
        super().__init__(*args)

    def do_GET(self) -> None:
        login = self.headers.get("Authorization")
        if self.path.startswith("/token"):
            status = 200 if login == self._login else 401
            return self._answer(status, json.dumps({"token": TOKEN}).encode())
        if login != f"Bearer {TOKEN}":
            realm = f"http://{self.headers['Host']}/token"
            asked = f'Bearer realm="{realm}",service="upstream"'
            return self._answer(401, b"{}", {"WWW-Authenticate": asked})
        request = urllib.request.Request(self._behind + self.path, method=self.command)
        request.add_header("Accept", ", ".join(self.headers.get_all("Accept", ["*/*"])))
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return self._answer(answer.status, answer.read(), dict(answer.headers))
        except urllib.error.HTTPError as error:
            return self._answer(error.code, error.read())

    do_HEAD = do_GET

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_args: Any) -> None:
        pass


@contextmanager
def serving(behind: str, login: str, address: str, port: int = 0) -> Iterator[int]:
    """Serve, and yield the port; parameters as for :class:`Tokens`."""
    server = ThreadingHTTPServer((address, port), partial(Tokens, behind, login))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
