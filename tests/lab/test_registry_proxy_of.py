# SPDX-License-Identifier: Apache-2.0
"""A registry that fetches another one's images, through Tacker's API."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tacker_cir.params.shown_registry import SCHEME, SERVER
from tacker_cir.render.docker_auth import basic_auth
from tests import token_server
from tests.lab.registries import Kind, LabRegistry, serving
from tests.lab.registry_client import Client, PullFailed
from tests.lab.registry_vnf import RegistryVnf, build_csar
from tests.lab.vnf import completed
from tests.testbed.machines import MachineLab
from tests.testbed.machines.base import GATEWAY
from tests.testbed.machines.host import LabError, wait_for

USER, PASSWORD = "user01", "p w'd$é☃"
PORT, TOKENS_PORT = 5071, 5072


@pytest.fixture
def upstream(lab, tmp_path):
    """A registry with an image of its own, for anybody."""
    with serving(lab, tmp_path / "upstream", {PORT: Kind()}) as (registry,):
        yield registry


@pytest.fixture
def package(image, tmp_path):
    return build_csar(tmp_path, guest="debian-12", image=image)


def fetches_and_keeps(
    lab: MachineLab, machine: str, client: Client, upstream: LabRegistry, small_image: Path
) -> None:
    """Demand that images come through it, also when the other one is gone, and that it takes
    none.

    :param machine: that it runs on
    """
    image = Client(upstream.address).pull(upstream.image)
    assert client.pull(upstream.image) == image
    # What is sent on is fetched once more to be kept.
    wait_for(lambda: image <= _blobs(lab, machine), "the image is kept", 60, every=0.2)
    upstream.stop()
    assert client.pull(upstream.image) == image
    with pytest.raises(LabError, match="405"):
        client.push(small_image, "test/pushed:1", lab.netns)
    upstream.start()


def _blobs(lab: MachineLab, machine: str) -> set[str]:
    """The digests of what a registry has."""
    find = "find /home/ubuntu/registry/docker/registry/v2/blobs -name data"
    return {f"sha256:{Path(path).parent.name}" for path in lab.sh(machine, find).split()}


def test_a_vnf_that_fetches_with_a_login(lab, stand, upstream, package, small_image):
    """The upstream gives tokens for it, as Docker Hub does."""
    registry = RegistryVnf(stand, package)
    login = f"Basic {basic_auth(USER, PASSWORD)}"
    proxy_of = {
        "server": f"{GATEWAY}:{TOKENS_PORT}", "connection_type": "0",
        "username": USER, "password": PASSWORD,
    }  # fmt: skip
    try:
        with token_server.serving(f"http://{upstream.address}", login, GATEWAY, TOKENS_PORT):
            with pytest.raises(PullFailed, match="401"):
                Client(f"{GATEWAY}:{TOKENS_PORT}").pull(upstream.image)
            completed(registry.instantiate({"proxy_of": proxy_of}))
            shown = registry.shown()
            assert shown[SCHEME] == "http"
            client = Client(shown[SERVER])
            fetches_and_keeps(lab, registry.server().machine, client, upstream, small_image)

            words = ["docker", "container", "inspect", "private_registry"]
            inspected = lab.run(registry.server().machine, words).stdout
            for text in (inspected, stand.driver_log(), str(registry.shown())):
                assert json.dumps(PASSWORD)[1:-1] not in text and PASSWORD not in text
            completed(registry.modify(None))
            assert "no change, the registry serves at port 5000" in stand.driver_log()

            completed(registry.heal(registry.vnfc_ids()))
            client = Client(registry.shown()[SERVER])
            fetches_and_keeps(lab, registry.server().machine, client, upstream, small_image)
    finally:
        registry.discard()


def test_a_machine_that_fetches_as_anybody(machine, lab, upstream, small_image):
    target = machine("debian-12")
    request = {
        "image_path": "Files/images/registry.tar",
        "proxy_of": {"server": upstream.address, "connection_type": "0"},
    }
    target.deploy(request)
    client = Client(f"{target.address}:5000")
    fetches_and_keeps(lab, target.name, client, upstream, small_image)
    assert target.deploy(request).changes == []
