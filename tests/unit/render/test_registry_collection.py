# SPDX-License-Identifier: Apache-2.0
"""The collection's script and units, and which manifests it takes away, on a real file system."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tacker_cir.registry.collection import COLLECTOR, READ_ONLY, SCRIPT, script
from tacker_cir.registry.container import ContainerSpec
from tacker_cir.render import registry_collection as render

SPEC = ContainerSpec(
    "registry:2.8.3",
    "sha256:" + "0" * 64,
    443,
    "/srv/it's a registry/data",
    archive="sha256:1",
    environment={"REGISTRY_STORAGE_DELETE_ENABLED": "true"},
    directories={"/etc/tacker-cir": "/etc/tacker-cir/registry"},
    log_options={"max-size": "10m", "max-file": "3"},
)


def test_the_files(golden, tmp_path):
    text = script(SPEC)
    golden("registry_collection.sh", text)
    golden("registry_collection.service", render.service(SCRIPT, 90))
    golden("registry_collection.timer", render.timer("Sun *-*-* 03:00:00 Europe/Berlin"))
    file = tmp_path / "script.sh"
    file.write_text(text)
    command = [Path(sys.prefix, "bin", "shellcheck"), "--exclude=SC2012", file]
    assert subprocess.run(command, capture_output=True, text=True).stdout == ""


class Store:
    """The files of a registry's storage driver, as registry 2 and 3 keep them."""

    def __init__(self, data: Path):
        self.data, self.root = data, data / "docker/registry/v2"

    def manifest(self, repository, content, *tags):
        text = json.dumps(content)
        hex_ = hashlib.sha256(text.encode()).hexdigest()
        self._write(f"blobs/sha256/{hex_[:2]}/{hex_}/data", text)
        digest = f"sha256:{hex_}"
        of = f"repositories/{repository}/_manifests"
        self._write(f"{of}/revisions/sha256/{hex_}/link", digest)
        for tag in tags:
            self._write(f"{of}/tags/{tag}/current/link", digest)
            self._write(f"{of}/tags/{tag}/index/sha256/{hex_}/link", digest)
        return digest

    def index(self, repository, *digests, tags=()):
        return self.manifest(repository, {"manifests": [{"digest": d} for d in digests]}, *tags)

    def revisions(self, repository):
        found = (self.root / f"repositories/{repository}/_manifests/revisions/sha256").iterdir()
        return {f"sha256:{path.name}" for path in found}

    def blob(self, digest):
        hex_ = digest.partition(":")[2]
        return self.root / f"blobs/sha256/{hex_[:2]}/{hex_}/data"

    def _write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def untag(self):
        text = script(ContainerSpec("registry:2", "sha256:0", 5000, str(self.data)))
        return subprocess.run(["sh", "-s", "untag"], input=text, capture_output=True, text=True)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "it's a registry")


# A stand-in for Docker: it has the containers of a directory, and refuses the first removals.
DOCKER = """#!/bin/sh
cd "$(dirname "$0")/containers"
case $1 in
  ps) ls | grep -x "$(expr "$*" : '.*name=^/\\([a-z_]*\\)')" || : ;;
  rm) shift $(($# - 1)); [ -e "../refused_$1" ] && { rm "$1" "../refused_$1"; exit; }
      touch "../refused_$1"; echo "removal of container $1 is already in progress" >&2; exit 1 ;;
  start) touch "$2" ;;
esac
"""


def test_the_registry_serves_although_a_removal_is_under_way(tmp_path):
    """Docker refuses another one, and the registry would stay read only."""
    containers = tmp_path / "containers"
    containers.mkdir()
    for name in (READ_ONLY, COLLECTOR):
        (containers / name).touch()
    (tmp_path / "docker").write_text(DOCKER)
    (tmp_path / "docker").chmod(0o755)
    done = subprocess.run(
        ["sh", "-s", "serve"],
        input=script(SPEC),
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("is already in progress") == 2
    assert [path.name for path in containers.iterdir()] == ["private_registry"]


def test_what_a_tag_leads_to_stays_and_the_rest_goes(store):
    layers = {"config": {"digest": "sha256:" + "1" * 64}}
    one = store.manifest("a/b", {"n": 1, **layers}, "one", "also")
    parts = [store.manifest("a/b", {"n": n, **layers}) for n in (2, 3, 4)]
    inner = store.index("a/b", *parts[:2])
    outer = store.index("a/b", inner, parts[2], tags=["multi"])
    old = [store.manifest("a/b", {"n": n}) for n in (5, 6)]
    loose = store.index("a/b", *old)
    # A tag that was moved remembers where it was.
    moved = store.manifest("a/b", {"n": 7}, "moving")
    new = store.manifest("a/b", {"n": 8}, "moving")
    # Of another repository, where nothing leads to it.
    elsewhere = store.manifest("a", {"n": 2, **layers})
    done = store.untag()
    assert done.returncode == 0, done.stderr
    assert store.revisions("a/b") == {one, *parts, inner, outer, new}
    assert store.revisions("a") == set()
    gone = {*old, loose, moved}
    assert {line.split()[-1] for line in done.stdout.splitlines()} == {*gone, elsewhere}
    tag = store.root / "repositories/a/b/_manifests/tags/moving/index/sha256"
    assert [path.name for path in tag.iterdir()] == [new.partition(":")[2]]
    assert store.untag().stdout == ""


def test_a_registry_without_anything(store):
    assert store.untag().returncode == 0
    (store.root / "repositories").mkdir(parents=True)
    assert store.untag().returncode == 0


def test_where_a_manifest_cannot_be_read_nothing_is_taken_away(store):
    part, unused = (store.manifest("a", {"n": n}) for n in (1, 2))
    index = store.index("a", part, tags=["multi"])
    store.blob(index).unlink()
    done = store.untag()
    assert done.returncode == 74 and "cannot be read" in done.stderr
    assert store.revisions("a") == {part, unused, index}


def test_digests_of_another_kind_are_left_alone(store):
    unused = store.manifest("a", {"n": 1})
    other = store.root / "repositories/a/_manifests/revisions/sha512/00"
    other.mkdir(parents=True)
    assert store.untag().returncode == 0
    assert store.revisions("a") == {unused} and other.exists()


def test_the_least_room_for_notes_is_enough_or_nothing_is_taken_away(store, monkeypatch):
    part = store.manifest("a", {"n": 1})
    store.index("a", part, tags=["multi"])
    before = store.revisions("a")
    monkeypatch.setenv("TMPDIR", "/nowhere")
    assert store.untag().returncode != 0
    assert store.revisions("a") == before


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd on this machine")
def test_systemd_understands_the_units(tmp_path):
    for kind, text in (
        ("service", render.service(SCRIPT, 60)),
        ("timer", render.timer("Sun 03:00")),
    ):
        (tmp_path / f"x.{kind}").write_text(text)
    (tmp_path / "docker.service").write_text("[Service]\nExecStart=/bin/true\n")
    command = ["systemd-analyze", "verify", "--man=no", tmp_path / "x.timer"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "x.timer" not in done.stderr and "x.service" not in done.stderr
