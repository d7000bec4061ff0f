# SPDX-License-Identifier: Apache-2.0
"""Files of the VNF package: never outside of it, and what they hold."""

from __future__ import annotations

import gzip
import os
import re

import pytest

from tacker_cir.package import SMALL_FILE, PackageFileError, read_image_archive
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
