# SPDX-License-Identifier: Apache-2.0
"""A client of a registry with TLS and a login, which pulls as the runtimes do and counts."""

from __future__ import annotations

import hashlib
import http.client
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tacker_cir.render.docker_auth import basic_auth
from tests.testbed.machines import mirror

OCI_MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
#: Seconds for a request of a pull.
TIMEOUT = 5
#: Seconds after which a pull that failed is tried again.
RETRY = 0.2


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


class PullFailed(Exception):
    """An image does not come whole."""


@dataclass
class Pulls:
    """What a loop of pulls came to.

    :param failures: what was said, one for each pull that failed
    """

    done: int = 0
    failures: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Client:
    """A client.

    :param server: ``host:port``
    :param ca: that it trusts, in PEM; None for plain HTTP
    :param user: name and password
    """

    server: str
    ca: str | None = None
    user: tuple[str, str] | None = None

    @property
    def tls(self) -> ssl.SSLContext | None:
        return ssl.create_default_context(cadata=self.ca) if self.ca else None

    @property
    def login(self) -> str | None:
        return basic_auth(*self.user) if self.user else None

    def status(self) -> int:
        """Return the HTTP status of the API's root."""
        return self._ask("/v2/")[0]

    def push(self, archive: Path, reference: str, netns: str) -> None:
        """Push a ``docker save`` archive of one image."""
        mirror.push(archive, reference, netns, self.server, tls=self.tls, login=self.login)

    def pull(self, reference: str) -> frozenset[str]:
        """Pull an image and return the digests of what it is made of.

        :raises PullFailed: something of it does not come, or is not what its digest says
        """
        repository, _, tag = reference.partition(":")
        content = self._get(f"/v2/{repository}/manifests/{tag}")
        manifest = json.loads(content)
        digests = [part["digest"] for part in (manifest["config"], *manifest["layers"])]
        for digest in digests:
            if digest != digest_of(self._get(f"/v2/{repository}/blobs/{digest}")):
                raise PullFailed(f"{digest} has other content")
        return frozenset([digest_of(content), *digests])

    def digest(self, repository: str, tag: str) -> str:
        """Return the digest of a manifest, as it is sent."""
        return digest_of(self._get(f"/v2/{repository}/manifests/{tag}"))

    @contextmanager
    def pulling(self, reference: str) -> Iterator[Pulls]:
        """Pull an image again and again while the block runs, and count."""
        pulls, over = Pulls(), threading.Event()

        def run() -> None:
            while not over.is_set():
                try:
                    self.pull(reference)
                    pulls.done += 1
                except PullFailed as error:
                    pulls.failures.append(str(error))
                    over.wait(RETRY)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            yield pulls
        finally:
            over.set()
            thread.join()

    def _get(self, path: str) -> bytes:
        try:
            status, body = self._ask(path)
        except (OSError, http.client.HTTPException) as error:
            raise PullFailed(f"{path}: {type(error).__name__}: {error}") from error
        if status != 200:
            raise PullFailed(f"{path}: HTTP {status}")
        return body

    def _ask(self, path: str) -> tuple[int, bytes]:
        headers = {"Accept": f"{mirror.MANIFEST_TYPE}, {OCI_MANIFEST_TYPE}"}
        if self.login:
            headers["Authorization"] = f"Basic {self.login}"
        connection = (
            http.client.HTTPSConnection(self.server, timeout=TIMEOUT, context=self.tls)
            if self.ca
            else http.client.HTTPConnection(self.server, timeout=TIMEOUT)
        )
        try:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()
