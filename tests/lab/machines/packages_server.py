# SPDX-License-Identifier: Apache-2.0
"""The package server: listens in the lab's namespace, where machines are, and works outside it.

So machines get packages although nothing leads out of their network. Paths:
  /local, /docker-ce     the lab's own repositories (packages.py), and whatever else it is given
  /mirror/N/...          the N-th of the host's apt sources, fetched with the host's own apt
                         (its proxies, credentials and transports) and kept in the cache
Run by the lab as: python3 -m tests.lab.machines.packages_server SETTINGS.json
"""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
import re
import sys
import threading
import time
import urllib.parse
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.lab.machines import network
from tests.lab.machines.host import LabError, run

# Their content never changes under one name, so a copy in the cache stays right.
FIXED = re.compile(r"/by-hash/|^pool/")


class Mirror:
    """The host's apt sources, file by file."""

    def __init__(self, sources: list[str], cache: Path) -> None:
        self.sources = sources
        self.cache = cache
        self.lock = threading.Lock()

    def fetch(self, number: int, path: str) -> Path | None:
        """Return a file of a source as kept in the cache, fetched anew where it may change.

        A source that does not answer is bridged by the last copy: a lab once used works offline.
        """
        uri = self.sources[number]
        kept = self.cache / hashlib.sha256(uri.encode()).hexdigest()[:12] / path
        with self.lock:  # one machine fetches, the others find it
            if not (kept.exists() and FIXED.search(path)):
                kept.parent.mkdir(parents=True, exist_ok=True)
                part = kept.with_name(kept.name + ".part")
                part.unlink(missing_ok=True)
                try:
                    run(
                        [
                            "/usr/lib/apt/apt-helper",
                            "-o",
                            "APT::Sandbox::User=root",
                            "download-file",
                            uri.rstrip("/") + "/" + path,
                            part,
                        ]
                    )
                    part.rename(kept)
                except LabError:
                    pass
        return kept if kept.is_file() else None


class Handler(SimpleHTTPRequestHandler):
    """Serves the files; apt asks with keep-alive and If-Modified-Since, which the base knows."""

    protocol_version = "HTTP/1.1"
    top: Path
    mirror: Mirror

    def translate_path(self, path: str) -> str:
        """The file behind a request path; a name that cannot exist for what is not there."""
        plain = posixpath.normpath(urllib.parse.unquote(urllib.parse.urlsplit(path).path))
        parts = [part for part in plain.split("/") if part not in ("", "..")]
        if parts[:1] != ["mirror"]:
            return os.fspath(self.top.joinpath(*parts))
        found = None
        if len(parts) > 2 and parts[1].isdigit() and int(parts[1]) < len(self.mirror.sources):
            found = self.mirror.fetch(int(parts[1]), "/".join(parts[2:]))
        return os.fspath(found or "/nonexistent")

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
    Handler.mirror = Mirror(settings["sources"], Path(settings["cache"]))
    address = (settings["address"], settings["port"])
    with network.entered(settings["netns"]):
        server = ThreadingHTTPServer(address, Handler)
    server.serve_forever()


if __name__ == "__main__":
    main()
