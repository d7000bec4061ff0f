# SPDX-License-Identifier: Apache-2.0
"""A real registry on loopback: Debian's docker-registry, fetched where there is none."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.functional import program
from tests.functional.server import ADDRESS, free_port, wait_for

ACCEPT = (
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.v2+json"
)


class RealRegistry:
    """One registry.

    :param directory: of its own; data are in ``data``
    :param settings: sections of its configuration in place of its own or beside them
    :param prefix: command line before the program's
    :param environment: variables that change its configuration
    """

    def __init__(
        self,
        directory: Path,
        settings: Mapping[str, Any] | None = None,
        prefix: tuple[str, ...] = (),
        environment: Mapping[str, str] | None = None,
    ):
        self.directory, self.port = directory, free_port()
        self.data, self.log = directory / "data", directory / "log"
        directory.mkdir(parents=True, exist_ok=True)
        self.data.mkdir(exist_ok=True)
        self.settings: dict[str, Any] = {
            "version": "0.1",
            "log": {"level": "info", "accesslog": {"disabled": False}},
            "storage": {"filesystem": {"rootdirectory": str(self.data)}},
            "http": {"addr": f"{ADDRESS}:{self.port}"},
            **(settings or {}),
        }
        self.url = f"http://{ADDRESS}:{self.port}"
        self._prefix, self._environment = prefix, environment or {}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> RealRegistry:
        """Serve, and wait until it listens."""
        tree = program.unpacked("docker-registry", "usr/bin/docker-registry", "docker-registry")
        path = self.directory / "config.json"
        path.write_text(json.dumps(self.settings))
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *("setpriv", "--pdeathsig", "KILL", *self._prefix),
                    *(str(tree / "usr/bin/docker-registry"), "serve", str(path)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, "OTEL_TRACES_EXPORTER": "none", **self._environment},
            )
        wait_for(self._listens, "the registry listens")
        return self

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log.read_text()[-2000:]
        with socket.socket() as probe:
            return probe.connect_ex((ADDRESS, self.port)) == 0

    def stop(self) -> None:
        """End it at once."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def requests(self) -> list[str]:
        """What it was asked, ``METHOD /path``, in their order."""
        lines = self.log.read_text(errors="replace").splitlines()
        asked = [
            line.split('"')[1] for line in lines if '" 2' in line or '" 4' in line or '" 5' in line
        ]
        return [
            " ".join(words.split(" ")[:2]) for words in asked if words.startswith(tuple("HGPD"))
        ]

    def get(self, path: str) -> tuple[bytes, Mapping[str, str]]:
        """Ask it as a client that pulls."""
        request = urllib.request.Request(self.url + path, headers={"Accept": ACCEPT})
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.read(), answer.headers

    def pull(self, repository: str, reference: str) -> tuple[str, dict[str, bytes]]:
        """Pull an image for all platforms; return the digest of its manifest and all blobs."""
        content, headers = self.get(f"/v2/{repository}/manifests/{reference}")
        document, blobs = json.loads(content), dict[str, bytes]()
        for child in document.get("manifests", ()):
            blobs.update(self.pull(repository, child["digest"])[1])
        for each in [document.get("config"), *document.get("layers", ())]:
            if each:
                blobs[each["digest"]] = self.get(f"/v2/{repository}/blobs/{each['digest']}")[0]
        return headers["Docker-Content-Digest"], blobs

    def has(self, path: str) -> bool:
        """Return whether it has what a path names."""
        try:
            self.get(path)
        except urllib.error.HTTPError as error:
            assert error.code == 404, error
            return False
        return True

    def uploads(self) -> list[Path]:
        """Return what is left of uploads that did not end."""
        return list(self.data.glob("docker/registry/v2/repositories/**/_uploads/*"))
