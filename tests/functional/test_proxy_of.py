# SPDX-License-Identifier: Apache-2.0
"""A real registry that fetches another one's images, with a login."""

from __future__ import annotations

import json
import urllib.error
from contextlib import contextmanager
from functools import partial

import pytest

from tacker_cir.command import Secret
from tacker_cir.exceptions import HostError
from tacker_cir.image_contents import read_image_contents
from tacker_cir.params.registry_proxy_of import ProxyOf
from tacker_cir.registry import from_node
from tacker_cir.registry.contents import ensure_contents
from tacker_cir.registry.push import Place
from tacker_cir.render import docker_auth, registry_proxy
from tests import token_server
from tests.functional.registry_program import RealRegistry
from tests.functional.server import ADDRESS, wait_for
from tests.image_archives import Image, digest_of, layer, layout_of, write

USER, PASSWORD = "user01", "p w'd$é☃"
LOGIN = Secret(f"Basic {docker_auth.basic_auth(USER, PASSWORD)}")
APP = Image(("app:1",), (layer("app", 500_000),))


def place(connection, registry):
    dial = partial(from_node.dial, connection, ADDRESS, registry.port, 10, 60)
    return Place("CP1", ADDRESS, registry.port, dial)


@pytest.fixture
def upstream(tmp_path, sshd, dial):
    """Return the port of a registry that has an image, and what ends it."""
    archive = read_image_contents(write(tmp_path / "app.tar", layout_of(APP)))
    registry = RealRegistry(tmp_path / "upstream").start()
    ensure_contents(place(dial(sshd), registry), [archive], 60, lambda missing: None)
    try:
        with token_server.serving(registry.url, LOGIN.reveal(), ADDRESS) as port:
            yield port, registry.stop
    finally:
        registry.stop()


@contextmanager
def fetching(tmp_path, port, password, monkeypatch):
    """Run a registry with our configuration, at an address and in a directory of the test."""
    proxy_of = ProxyOf(f"{ADDRESS}:{port}", https=False, login=(USER, Secret(password)))
    for name, value in registry_proxy.environment(proxy_of, None).items():
        monkeypatch.setenv(name, value)
    settings = json.loads(registry_proxy.configuration(proxy_of, proxy_of.login).reveal())
    registry = RealRegistry(tmp_path / "fetching")
    settings["storage"]["filesystem"]["rootdirectory"] = str(registry.data)
    settings["http"]["addr"] = registry.settings["http"]["addr"]
    registry.settings = settings
    try:
        yield registry.start()
    finally:
        registry.stop()


def test_images_are_fetched_with_the_login_and_kept(tmp_path, upstream, monkeypatch):
    port, end = upstream
    with fetching(tmp_path, port, PASSWORD, monkeypatch) as registry:
        digest, blobs = registry.pull("library/app", "1")
        assert digest_of(APP.layers[0]) in blobs
        hexadecimal = digest_of(APP.layers[0]).removeprefix("sha256:")
        kept = f"docker/registry/v2/blobs/sha256/{hexadecimal[:2]}/{hexadecimal}/data"
        wait_for((registry.data / kept).exists, "the layer is kept")
        end()
        assert registry.pull("library/app", digest) == (digest, blobs)
        assert PASSWORD not in registry.log.read_text()


def test_a_wrong_login_fetches_nothing(tmp_path, upstream, monkeypatch):
    with fetching(tmp_path, upstream[0], "wrong", monkeypatch) as registry:
        with pytest.raises(urllib.error.HTTPError):
            registry.pull("library/app", "1")


def test_it_takes_no_push(tmp_path, upstream, sshd, dial, monkeypatch):
    members = layout_of(Image(("other:1",), (layer("other"),)))
    other = read_image_contents(write(tmp_path / "other.tar", members))
    with fetching(tmp_path, upstream[0], PASSWORD, monkeypatch) as registry:
        with pytest.raises(HostError, match="HTTP 405.*as a proxy_of another one it never does"):
            ensure_contents(place(dial(sshd), registry), [other], 60, lambda missing: None)
