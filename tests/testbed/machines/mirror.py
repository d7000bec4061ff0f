# SPDX-License-Identifier: Apache-2.0
"""The lab's registry mirror: Debian's docker-registry, serving library/registry:latest.

Docker uses it in place of Docker Hub when daemon.json names it in registry-mirrors. Its
contents are pushed through the registry's own API and stay in the cache.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import json
import ssl
import tarfile
from pathlib import Path

from tests.testbed.machines import network
from tests.testbed.machines.guests import MIRROR
from tests.testbed.machines.host import LabError, say

IMAGE = "library/registry:latest"
MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
LAYER_TYPE = "application/vnd.docker.image.rootfs.diff.tar.gzip"


def settings(cache: Path) -> str:
    """The registry's configuration file (JSON, which is YAML too)."""
    return json.dumps(
        {
            "version": "0.1",
            "log": {"level": "info"},
            "storage": {"filesystem": {"rootdirectory": str(cache / "registry-mirror")}},
            "http": {"addr": MIRROR},
        }
    )


def fill(registry_image: Path, netns: str) -> None:
    """Push the registry image to the running mirror, unless it has it."""
    push(registry_image, IMAGE, netns)


def push(
    archive: Path,
    reference: str,
    netns: str,
    registry: str = MIRROR,
    *,
    tls: ssl.SSLContext | None = None,
    login: str | None = None,
) -> None:
    """Push a docker save archive of one image to a registry of the lab.

    :param reference: repository and tag to give it there.
    :param tls: None for plain HTTP
    :param login: in Base64
    """
    repository, _, tag = reference.partition(":")
    client = _Client(registry, repository, netns, tls, login)
    with tarfile.open(archive) as saved:

        def content(name: str) -> bytes:
            member = saved.extractfile(name)
            assert member, name
            return member.read()

        (image,) = json.loads(content("manifest.json"))
        config = content(image["Config"])
        if _digest(config) in (client.get(f"/manifests/{tag}") or b"").decode():
            return  # the config names the layers: the same config is the same image
        say(f"push {reference} to the registry {registry}")
        # Level 1: a third of the time of 6, and a tenth more to send within one host.
        layers = [gzip.compress(content(name), 1, mtime=0) for name in image["Layers"]]
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": _descriptor(CONFIG_TYPE, config),
            "layers": [_descriptor(LAYER_TYPE, layer) for layer in layers],
        }
    ).encode()
    for blob in (config, *layers):
        client.put_blob(blob)
    client.put(f"/manifests/{tag}", manifest, MANIFEST_TYPE)


def _digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def _descriptor(kind: str, content: bytes) -> dict[str, object]:
    return {"mediaType": kind, "size": len(content), "digest": _digest(content)}


class _Client:
    """The few requests of the registry API that a push needs."""

    def __init__(
        self,
        registry: str,
        repository: str,
        netns: str,
        tls: ssl.SSLContext | None,
        login: str | None,
    ) -> None:
        self.top = f"/v2/{repository}"
        self.login = {"Authorization": f"Basic {login}"} if login else {}
        self.connection = (
            http.client.HTTPSConnection(registry, timeout=60, context=tls)
            if tls
            else http.client.HTTPConnection(registry, timeout=60)
        )
        with network.entered(netns):
            self.connection.connect()

    def get(self, path: str) -> bytes | None:
        """What a path holds; None if nothing."""
        status, body, _ = self._ask("GET", self.top + path, None, {"Accept": MANIFEST_TYPE})
        return body if status == 200 else None

    def put(self, path: str, body: bytes, kind: str) -> None:
        """Store a document."""
        self._created("PUT", self.top + path, body, {"Content-Type": kind})

    def put_blob(self, content: bytes) -> None:
        """Upload a blob in one piece."""
        path = f"{self.top}/blobs/uploads/"
        status, said, location = self._ask("POST", path, None, {})
        if status != 202:
            raise LabError(f"registry: POST {path}: {status} {said[:500]!r}")
        joint = "&" if "?" in location else "?"
        kind = {"Content-Type": "application/octet-stream"}
        self._created("PUT", f"{location}{joint}digest={_digest(content)}", content, kind)

    def _created(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> None:
        status, said, _ = self._ask(method, path, body, headers)
        if status != 201:
            raise LabError(f"registry: {method} {path}: {status} {said[:500]!r}")

    def _ask(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[int, bytes, str]:
        self.connection.request(method, path, body, {**headers, **self.login})
        response = self.connection.getresponse()
        return response.status, response.read(), response.getheader("Location", "")
