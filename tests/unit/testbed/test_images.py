# SPDX-License-Identifier: Apache-2.0
"""The writer of `docker save` archives: what Docker will check, checked here first."""

from __future__ import annotations

import hashlib
import json
import tarfile

import pytest

from tests.testbed.machines.images import Entry, write_image, write_random_image

FILES = {
    "/bin/app": Entry(b"#!app\n", 0o755),
    "/etc/app/app.conf": Entry(b"answer = 42\n"),
    "/tmp": Entry(mode=0o1777),
}
CONFIG = {"Entrypoint": ["/bin/app"], "ExposedPorts": {"5000/tcp": {}}}


class Archive:
    """An archive taken apart the way `docker load` does it."""

    def __init__(self, path):
        with tarfile.open(path) as tar:
            self.files = {m.name: tar.extractfile(m).read() for m in tar if m.isfile()}
        (self.manifest,) = json.loads(self.files["manifest.json"])
        self.config_bytes = self.files[self.manifest["Config"]]
        self.config = json.loads(self.config_bytes)
        (self.layer_name,) = self.manifest["Layers"]
        self.layer_bytes = self.files[self.layer_name]


@pytest.fixture
def written(tmp_path):
    """An image of FILES and CONFIG: its ID, its archive and the archive's path."""
    path = tmp_path / "image.tar"
    image_id = write_image(path, "app:1", FILES, CONFIG)
    return image_id, Archive(path), path


def sha256(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def test_the_tag_is_what_docker_load_will_give_it(written):
    assert written[1].manifest["RepoTags"] == ["app:1"]


def test_the_image_id_is_the_digest_of_the_config(written):
    image_id, archive, _ = written
    assert image_id == sha256(archive.config_bytes)
    assert archive.manifest["Config"] == image_id.removeprefix("sha256:") + ".json"


def test_the_config_names_the_layer_by_the_digest_of_its_content(written):
    _, archive, _ = written
    assert archive.config["rootfs"] == {
        "type": "layers",
        "diff_ids": [sha256(archive.layer_bytes)],
    }
    assert len(archive.config["history"]) == 1


def test_the_config_carries_the_runtime_settings(written):
    config = written[1].config
    assert config["config"] == CONFIG
    assert config["os"] == "linux"


def test_the_layer_holds_the_files_and_the_directories_above_them(written, tmp_path):
    layer = tmp_path / "layer.tar"
    layer.write_bytes(written[1].layer_bytes)
    with tarfile.open(layer) as tar:
        members = {m.name: m for m in tar}
        assert list(members) == ["bin", "bin/app", "etc", "etc/app", "etc/app/app.conf", "tmp"]
        assert tar.extractfile("etc/app/app.conf").read() == b"answer = 42\n"
    assert members["bin"].isdir() and members["tmp"].isdir()
    assert members["bin/app"].mode == 0o755
    assert members["tmp"].mode == 0o1777
    assert {(m.uid, m.gid, m.mtime) for m in members.values()} == {(0, 0, 0)}


def test_a_host_file_is_written_like_given_bytes(written, tmp_path):
    source = tmp_path / "app"
    source.write_bytes(b"#!app\n")
    path = tmp_path / "from-file.tar"
    write_image(path, "app:1", {**FILES, "/bin/app": Entry(source, 0o755)}, CONFIG)
    assert path.read_bytes() == written[2].read_bytes()


def test_the_same_input_gives_the_same_bytes_in_any_order(written, tmp_path):
    again = tmp_path / "again.tar"
    write_image(again, "app:1", dict(reversed(FILES.items())), CONFIG)
    assert again.read_bytes() == written[2].read_bytes()


def test_random_images_share_nothing_unless_the_seed_is_the_same(tmp_path):
    paths = [tmp_path / name for name in ("a", "b", "c")]
    for path, seed in zip(paths, (1, 1, 2), strict=True):
        write_random_image(path, "random:1", 3_000_000, seed)
    first, again, other = (path.read_bytes() for path in paths)
    assert first == again
    assert Archive(paths[0]).layer_name != Archive(paths[2]).layer_name
    assert first != other and len(first) > 3_000_000
