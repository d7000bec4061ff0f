# SPDX-License-Identifier: Apache-2.0
"""Files of the VNF package: never outside of it, and what they hold."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import re
import tarfile
import tracemalloc
from pathlib import Path

import pytest

from tacker_cir.package import MAX_TEMPLATE, SMALL_FILE, PackageFileError, read_image_archive
from tests.unit.conftest import docker_archive, oci_archive, write_tar


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("", "must be a path relative to the top of the VNF package"),
        ("/etc/passwd", "must be a path relative to the top of the VNF package"),
        ("Files\\x", "must be a path relative to the top of the VNF package"),
        ("Files\0x", "must be a path relative to the top of the VNF package"),
        ("../other", "leads out of the VNF package"),
        ("..", "leads out of the VNF package"),
        ("Files/../../package/Files", "leads out of the VNF package"),
        ("Files/missing", "is not in the VNF package"),
        ("Files", "is not a regular file"),
        (".", "is not a regular file"),
    ],
)
def test_paths_that_are_refused(package, path, problem):
    with pytest.raises(PackageFileError, match=re.escape(problem)):
        package.file(path)


@pytest.mark.parametrize("target", ["/etc/passwd", "../../../outside", ".."])
def test_a_link_out_of_the_package_is_refused(package, target):
    (package.root.parent / "outside").write_text("secret")
    (package.root / "Files/link").symlink_to(target)
    (package.root / "linked").symlink_to("/etc")
    for path in ("Files/link", "linked/passwd"):
        with pytest.raises(PackageFileError, match="leads out of the VNF package|regular file"):
            package.file(path)


def test_a_link_inside_the_package_is_followed(package):
    (package.root / "link.tar").symlink_to("Files/images/registry.tar")
    assert package.file("link.tar").name == "registry.tar"
    assert package.file("./Files//images/../images/registry.tar").name == "registry.tar"


def test_a_pipe_is_no_file(package):
    os.mkfifo(package.root / "Files/pipe")
    with pytest.raises(PackageFileError, match="is not a regular file"):
        package.file("Files/pipe")


def test_small_files_only(package):
    (package.root / "big").write_bytes(bytes(SMALL_FILE + 1))
    with pytest.raises(PackageFileError, match="is larger than 1048576 bytes"):
        package.read("big")
    (package.root / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(PackageFileError, match="is not a text file"):
        package.text("binary")


def test_the_connection_points_that_may_be_named(package):
    assert package.connection_points("simple") == {"PrivateRegistryVDU_CP1", "CP_FIP"}
    assert package.connection_points() == {"PrivateRegistryVDU_CP1", "CP_FIP"}
    assert package.connection_points("other") == {"PrivateRegistryVDU_CP1"}


SCALING_VNFD = """
topology_template:
  policies:
    - scaling_aspects:
        type: tosca.policies.nfv.ScalingAspects
        properties:
          aspects:
            master_instance: {name: master_instance}
            worker_instance: {name: worker_instance}
            other_flavours_instance: {name: other_flavours_instance}
    - instantiation_levels:
        type: tosca.policies.nfv.InstantiationLevels
        properties: {levels: {level_1: {}}}
    - 7
"""
SCALING_HOT = """
resources:
  master_instance: {type: 'OS::Heat::AutoScalingGroup'}
  worker_instance: {type: 'OS::Heat::AutoScalingGroup'}
  no_aspect: {type: 'OS::Heat::AutoScalingGroup'}
  worker_instance_scale_out: {type: 'OS::Heat::ScalingPolicy'}
"""


def test_the_scaling_aspects_that_may_be_named(package):
    assert package.scaling_aspects("simple") == frozenset()
    (package.root / "Definitions/scaling.yaml").write_text(SCALING_VNFD)
    vnfd = {"master_instance", "worker_instance", "other_flavours_instance"}
    assert package.scaling_aspects("simple") == vnfd
    (package.root / "BaseHOT/simple/scaling.yaml").write_text(SCALING_HOT)
    assert package.scaling_aspects("simple") == {"master_instance", "worker_instance"}
    assert package.scaling_aspects() == {"master_instance", "worker_instance"}
    assert package.scaling_aspects("other") == vnfd


@pytest.mark.parametrize("make", [docker_archive, oci_archive])
@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_an_image_archive_tells_what_it_holds(tmp_path, make, mode):
    tags = ["registry:latest", "registry:2"]
    path = write_tar(tmp_path / "image.tar", make(tags, "arm64"), mode)
    archive = read_image_archive(path)
    assert (archive.path, archive.size) == (path, path.stat().st_size)
    assert archive.tags == tuple(tags)
    assert archive.architectures == dict.fromkeys(tags, "arm64")
    ids = archive.image_ids["registry:2"]
    assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", image_id) for image_id in ids)
    # The OCI layout has a manifest, whose digest is the id in containerd's image store.
    assert len(ids) == (2 if make is oci_archive else 1)


def test_the_ids_of_an_image_are_all_that_leads_to_it(tmp_path):
    members = oci_archive(["registry:latest"])
    (single,) = read_image_archive(write_tar(tmp_path / "a", members)).image_ids.values()
    manifest = next(i for i in single if i[7:] in members["index.json"].decode())
    index = json.dumps({"manifests": [{"digest": manifest}, {"digest": "sha256:" + "0" * 64}]})
    above = json.dumps({"manifests": [{"digest": "sha256:" + "1" * 64}]})
    blobs = {"1": index, "2": above, "3": '{"manifests": 7, "config": []}'}
    members |= {f"blobs/sha256/{digit * 64}": text.encode() for digit, text in blobs.items()}
    archive = read_image_archive(write_tar(tmp_path / "b", members))
    expected = {"sha256:" + "1" * 64, "sha256:" + "2" * 64}
    assert archive.image_ids["registry:latest"] == single | expected


def _manifest(**more):
    files = docker_archive(["a:1"])
    (image,) = json.loads(files["manifest.json"])
    return files | {"manifest.json": json.dumps([image | more]).encode()}


@pytest.mark.parametrize(
    "members",
    [
        _manifest(RepoTags=[1]),
        _manifest(RepoTags="a:1"),
        _manifest(RepoTags={"a:1": 1}),
        _manifest(RepoTags=[["a:1"]]),
        _manifest(Config=1),
        _manifest(Config=None),
        _manifest(Config="manifest.json"),
        docker_archive(["a:1"]) | {"manifest.json": b"[" * 100_000},
        docker_archive(["a:1"]) | {"manifest.json": b"[" + b"9" * 5000 + b"]"},
        docker_archive(["a:1"]) | {"manifest.json": b"[1]"},
        docker_archive(["a:1"]) | {"manifest.json": b'["a:1"]'},
        docker_archive(["a:1"]) | {"manifest.json": b"[\xff]"},
        _manifest(RepoTags=[f"a:{i}" for i in range(1000)]),
    ],
    ids=lambda members: members["manifest.json"][:60].decode(errors="replace"),
)
def test_a_manifest_of_another_shape_is_a_fault(tmp_path, members):
    with pytest.raises(PackageFileError, match="made with 'docker save'|more than 64 tagged"):
        read_image_archive(write_tar(tmp_path / "image.tar", members))


def _bombs():
    """Yield a name and members whose gigabytes pack into kilobytes."""
    yield "one large layer", [("layer", 24 * 2**20, b"\0")]
    yield "many manifests", [(f"m{i}", 2**20, b"{") for i in range(17)]
    yield "more members than an image has", [(f"m{i}", 0, b"") for i in range(11_000)]
    yield "a large name", [("n" * 5_000_000, 0, b"")]
    yield "many large names", [(f"{i}" + "n" * 60_000, 0, b"") for i in range(300)]


@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("pack", [gzip.open, bz2.open, lzma.open], ids=["gz", "bz2", "xz"])
@pytest.mark.parametrize("members", [m for _, m in _bombs()], ids=[n for n, _ in _bombs()])
def test_a_small_archive_costs_little(tmp_path, members, pack, format):
    path = tmp_path / "bomb"
    level = {"preset": 0} if pack is lzma.open else {"compresslevel": 1}
    with (
        pack(path, "wb", **level) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=format) as tar,
    ):
        for name, size, content in members:
            info = tarfile.TarInfo(name)
            info.size = size
            tar.addfile(info, _Repeated(content, size))
    assert path.stat().st_size < 2_000_000
    tracemalloc.start()
    try:
        with pytest.raises(PackageFileError, match="more than|larger headers|docker save"):
            read_image_archive(path)
        # xz -9 needs 65 MiB to be unpacked; what Python counts is without it.
        assert tracemalloc.get_traced_memory()[1] < 48 * 2**20
    finally:
        tracemalloc.stop()


class _Repeated:
    """A file of one character."""

    def __init__(self, content: bytes, size: int):
        self._content, self._left = content, size

    def read(self, size: int) -> bytes:
        size = min(size, self._left)
        self._left -= size
        return self._content * size


def test_an_archive_that_wants_much_memory_is_refused(tmp_path):
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 512 * 2**20, "preset": 0}]
    plain = write_tar(tmp_path / "plain", docker_archive(["a:1"])).read_bytes()
    # The size of the dictionary is in the header, whatever the content needs.
    (tmp_path / "image.xz").write_bytes(lzma.compress(plain, filters=filters))
    with pytest.raises(PackageFileError, match="is not a readable tar archive.*emory"):
        read_image_archive(tmp_path / "image.xz")


def test_a_sparse_file_is_not_looked_into(tmp_path):
    """Its map may have any number of entries; tarfile reads them all."""
    path = tmp_path / "image.tar"
    count = 50_000
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo("sparse")
        info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0",
                            "GNU.sparse.realsize": "1", "GNU.sparse.name": "x"}  # fmt: skip
        text = f"{count}\n".encode() + b"0\n1\n" * count
        info.size = len(text) + -len(text) % 512
        tar.addfile(info, io.BytesIO(text.ljust(info.size, b"\0")))
    tracemalloc.start()
    try:
        with pytest.raises(PackageFileError):
            read_image_archive(path)
        assert tracemalloc.get_traced_memory()[1] < 48 * 2**20
    finally:
        tracemalloc.stop()


def test_each_template_is_read_once(package, monkeypatch):
    read = []
    text = Path.read_text

    def read_text(path, **how):
        read.append(path)
        return text(path, **how)

    monkeypatch.setattr(Path, "read_text", read_text)
    for _ in range(3):
        assert package.connection_points("simple")
        package.scaling_aspects("simple")
    assert len(read) == len(set(read)) == 3


def test_templates_that_are_none(package):
    """Whatever is called a template: it is passed over, and nothing waits for it."""
    os.mkfifo(package.root / "Definitions/pipe.yaml")
    (package.root / "Definitions/circle.yaml").symlink_to("circle.yaml")
    (package.root / "Definitions/large.yaml").write_bytes(b"a" * (MAX_TEMPLATE + 1))
    (package.root / "Definitions/value.yaml").write_text("a: !!float ''")
    (package.root / "Definitions/deep.yaml").write_text("[" * 100_000)
    (package.root / "Definitions/list.yaml").write_text(
        "topology_template: [7, {node_templates: {1: 2}}]"
    )
    assert package.connection_points("simple") == {"PrivateRegistryVDU_CP1", "CP_FIP"}


@pytest.mark.parametrize("path", ["x" * 5000, "circle", "Files/circle/x", "\ud800", "Files/" * 900])
def test_paths_that_no_file_has(package, path):
    (package.root / "circle").symlink_to("circle")
    (package.root / "Files/circle").symlink_to("circle")
    with pytest.raises(PackageFileError):
        package.read(path)


def test_names_may_begin_with_a_dot(tmp_path):
    members = {f"./{name}": content for name, content in docker_archive(["r:1"]).items()}
    assert read_image_archive(write_tar(tmp_path / "i.tar", members)).tags == ("r:1",)


def _truncated(tmp_path):
    whole = write_tar(tmp_path / "whole", docker_archive(["registry:latest"])).read_bytes()
    return gzip.compress(whole)[:-200]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (lambda _: b"", "is not a"),
        (lambda _: b"no archive at all" * 100, "is not a readable tar archive"),
        (_truncated, "is not a readable tar archive"),
        (lambda p: write_tar(p / "a", {"x": b"{}"}).read_bytes(), "not an archive made with 'doc"),
        (
            lambda p: write_tar(p / "a", {"manifest.json": b'{"a": 1}'}).read_bytes(),
            "is not an archive made with 'docker save'",
        ),
        (
            lambda p: write_tar(p / "a", {"manifest.json": b'[{"Config": "gone"}]'}).read_bytes(),
            "holds no tagged image",
        ),
        (
            lambda p: write_tar(p / "a", docker_archive(None)).read_bytes(),
            "holds no tagged image; save it by name, not by id",
        ),
        (
            lambda p: write_tar(
                p / "a", {"manifest.json": b'[{"Config": "gone", "RepoTags": ["a:1"]}]'}
            ).read_bytes(),
            "is not an archive made with 'docker save'",
        ),
    ],
)
def test_what_is_no_image_archive(tmp_path, content, problem):
    path = tmp_path / "image.tar"
    path.write_bytes(content(tmp_path))
    with pytest.raises(PackageFileError, match=problem):
        read_image_archive(path)
