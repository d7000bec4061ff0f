# SPDX-License-Identifier: Apache-2.0
"""Images of the package in a registry VNF, through Tacker's API: one instance for all tests."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest

from tacker_cir import metadata
from tacker_cir.params.shown_registry import CA
from tests.image_archives import Image, Layout, layer, platform, write
from tests.lab.registry_vnf import RegistryVnf, build_csar
from tests.lab.vnf import completed, tacker_cir
from tests.testbed.machines import images

ALICE = {"username": "alice", "password": "al!ce S3cret"}
#: Enough for several portions of each stream on the way.
SIZE = 20_000_000
APP, MULTI = "library/app:1", "team/multi:v1"


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """One of docker save, and a layout of an image of which one platform is missing."""
    directory = tmp_path_factory.mktemp("contents")
    images.write_random_image(directory / "app.tar", "app:1", SIZE, seed="app")
    layout, entries = Layout(), []
    for name in ("amd64", "arm64", "s390x"):
        image = Image((), (layer(name, 100_000),), name, packed=True)
        entries.append(layout.manifest(image, with_blobs=name != "s390x", **platform(name)))
    layout.name(layout.index(entries), f"quay.example/{MULTI}")
    return [directory / "app.tar", write(directory / "multi.tar.gz", layout.files(), "w:gz")]


@pytest.fixture(scope="module")
def registry(stand, archives, image, tmp_path_factory):
    directory = tmp_path_factory.mktemp("csar")
    package = build_csar(directory, guest="debian-12", image=image, contents=archives)
    made = RegistryVnf(stand, package)
    request = {
        "port_no": None,
        "tls": {"self_signed": {}},
        "users": [ALICE],
        "contents": [f"Files/contents/{archive.name}" for archive in archives],
    }
    completed(made.instantiate(request))
    yield made
    made.discard()


@pytest.fixture
def pulled(registry, tmp_path):
    """Pull with skopeo and what the VNF instance shows; returns the digest."""

    def pull(reference: str) -> str:
        shown = registry.shown()
        authority, target = tmp_path / "certs", tmp_path / "image"
        authority.mkdir(exist_ok=True)
        (authority / "ca.crt").write_text(metadata.joined(shown, CA))
        shutil.rmtree(target, ignore_errors=True)
        login = tmp_path / "auth.json"
        server = f"{registry.server().address}:443"
        words = ["skopeo", "login", "--authfile", login, "--cert-dir", authority]
        words += ["--username", ALICE["username"], "--password-stdin", server]
        subprocess.run(words, input=ALICE["password"], text=True, check=True)
        copy = ["skopeo", "copy", "--all", "--src-authfile", login, "--src-cert-dir", authority]
        copy += ["--digestfile", tmp_path / "digest"]
        subprocess.run([*copy, f"docker://{server}/{reference}", f"dir:{target}"], check=True)
        return (tmp_path / "digest").read_text().strip()

    return pull


@pytest.fixture(scope="module")
def wanted(archives):
    """The digests that tacker-cir tells of the archives, by the names in the registry."""
    told = json.loads(tacker_cir("images", *map(str, archives), "-f", "json"))
    found = [image for archive in told["archives"] for image in archive["images"]]
    return {name: image["digest"] for image in found for name in image["in_registry"]}


def requests(stand, registry) -> list[str]:
    """What the registry was asked that changes something."""
    words = ["docker", "logs", "private_registry"]
    done = stand.lab.run(registry.server().machine, ["sh", "-c", f"{' '.join(words)} 2>&1"])
    return re.findall(r'"((?:POST|PUT|PATCH) /v2/\S+)', done.stdout)


def test_the_images_are_there(pulled, wanted):
    assert set(wanted) == {APP, MULTI}
    assert {name: pulled(name) for name in wanted} == wanted
    repository = APP.partition(":")[0]
    assert pulled(f"{repository}@{wanted[APP]}") == wanted[APP]


def test_an_operation_that_finds_them_sends_nothing(stand, registry):
    before = requests(stand, registry)
    assert before
    names = ["Files/contents/app.tar", "Files/contents/multi.tar.gz"]
    completed(registry.modify({"contents": names}))
    assert requests(stand, registry) == before


def test_a_heal_brings_them_again_with_the_same_digests(registry, pulled, wanted):
    old = registry.server()
    completed(registry.heal(registry.vnfc_ids()))
    assert registry.server().id != old.id
    assert {name: pulled(name) for name in wanted} == wanted


def test_the_log_tells_what_was_pushed(stand):
    told = stand.driver_log()
    assert "app.tar: library/app:1 pushed" in told
    assert ALICE["password"] not in told
