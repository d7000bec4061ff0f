# SPDX-License-Identifier: Apache-2.0
"""The package server of the lab: whatever directories it is given, over HTTP.

  /local, /docker-ce     the machines' repositories (packages.py), and what else is to be served
Run in the lab's namespace as: python3 -m tests.testbed.machines.packages_server SETTINGS.json
"""

from __future__ import annotations

import json
import os
import posixpath
import sys
import time
import urllib.parse
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Handler(SimpleHTTPRequestHandler):
    """Serves the files; apt asks with keep-alive and If-Modified-Since, which the base knows."""

    protocol_version = "HTTP/1.1"
    top: Path

    def translate_path(self, path: str) -> str:
        """The file behind a request path."""
        plain = posixpath.normpath(urllib.parse.unquote(urllib.parse.urlsplit(path).path))
        return os.fspath(self.top.joinpath(*(p for p in plain.split("/") if p not in ("", ".."))))

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """One line per request: time, client, request line, status."""
        status = int(code)
        print(
            time.strftime("%H:%M:%S"), self.client_address[0], self.requestline, status, flush=True
        )

    def log_error(self, format: str, *args: object) -> None:
        """Nothing more: the status is in the request's line."""


def main() -> None:
    """Serve until killed."""
    settings = json.loads(Path(sys.argv[1]).read_text())
    Handler.top = Path(settings["top"])
    ThreadingHTTPServer((settings["address"], settings["port"]), Handler).serve_forever()


if __name__ == "__main__":
    main()
