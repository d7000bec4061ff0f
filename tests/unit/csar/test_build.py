# SPDX-License-Identifier: Apache-2.0
"""What is built, what cannot be built, and where the parts come from."""

import hashlib
import os
import shutil
import stat
import tracemalloc
import zipfile

import pytest

from tacker_cir import cli, csar
from tacker_cir.csar import CsarError, sources
from tests.unit.csar.common import DEFINITIONS, DRIVER, DRIVER_FILE, OTHER_ID

# The file that is written


def test_summary_tells_what_is_inside(variants, registry_image):
    built = variants("tosca-all")

    assert built.vnfd_id == OTHER_ID
    assert built.image_path == "Files/images/private_registry.tar"
    assert built.size == built.path.stat().st_size
    entry = next(e for e in built.entries if e.path == built.image_path)
    assert entry.size == registry_image.stat().st_size
    assert entry.sha256 == hashlib.sha256(registry_image.read_bytes()).hexdigest()


@pytest.mark.parametrize("variant", ["tosca-all", "basehot-all"])
def test_equal_input_gives_equal_bytes(variant, variants, registry_image):
    first = variants(variant).path.read_bytes()
    os.utime(registry_image, (1, 1))
    assert variants(variant).path.read_bytes() == first


def test_additional_files_are_private(variants, conductor):
    built = variants("tosca-all")
    root = conductor(built.path)[3]

    assert stat.S_IMODE(built.path.stat().st_mode) == 0o600
    assert stat.S_IMODE((root / "Files/keys/docker.asc").stat().st_mode) == 0o600
    assert stat.S_IMODE((root / DRIVER_FILE).stat().st_mode) == 0o644


def test_large_images_are_streamed(variants, tmp_path):
    large = tmp_path / "large.raw"
    with large.open("wb") as stream:
        stream.truncate(64 * 1024 * 1024)
    tracemalloc.start()
    try:
        built = csar.build_private_registry(tmp_path / "large.zip", vm_image_file=large)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert built.size > 64 * 1024 * 1024  # a disk image is not packed a second time
    assert peak < 24 * 1024 * 1024


def test_failed_build_leaves_the_old_file_and_nothing_else(variants, tmp_path, monkeypatch):
    old = variants("basehot")
    before = old.path.read_bytes(), sorted(tmp_path.iterdir())

    def interrupted(path):
        raise KeyboardInterrupt

    monkeypatch.setattr("tacker_cir.csar.build.verify", interrupted)
    with pytest.raises(KeyboardInterrupt):
        variants("basehot")
    assert (old.path.read_bytes(), sorted(tmp_path.iterdir())) == before


# What cannot be built


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "an existing image cannot be named"),
        ({"vm_image": "debian-12"}, "an existing image cannot be named"),
        ({"flavor": "m1.small", "vm_image_file": "jammy.img"}, "virtual_compute"),
        ({"base_hot": True, "package": "."}, "not both"),
        ({"package": "missing"}, "is not a directory"),
        ({"package": "."}, "it is no package directory"),
        ({"base_hot": True, "vnfd_id": "registry"}, "must be a UUID"),
        ({"base_hot": True, "image": "jammy.img"}, "is not a readable tar archive"),
        ({"base_hot": True, "image": "missing.tar"}, "missing.tar"),
        ({"base_hot": True, "files": {"Files/x": "missing"}}, "is not a file"),
        ({"base_hot": True, "files": {"../x": "jammy.img"}}, "cannot be a path"),
        ({"base_hot": True, "files": {"/etc/x": "jammy.img"}}, "cannot be a path"),
        ({"base_hot": True, "files": {"Files/a: b": "jammy.img"}}, "cannot be a path"),
        ({"base_hot": True, "files": {DRIVER_FILE: "jammy.img"}}, "two files"),
        ({"base_hot": True, "sol001_definitions": "."}, "were not found; looked in"),
    ],
)
def test_build_refuses(options, message, tmp_path, disk_image, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CsarError, match=message):
        csar.build_private_registry("x.zip", **options)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["jammy.img"]


def test_definitions_that_are_nowhere(variants, monkeypatch):
    monkeypatch.setattr(sources, "_SHIPPED", (("tackerclient", "nowhere"),))
    with pytest.raises(CsarError, match="nowhere.*--sol001-definitions"):
        variants("basehot")


def test_definitions_of_a_directory(variants, tmp_path, monkeypatch):
    given = tmp_path / "etsi"
    given.mkdir()
    for name, path in csar.sol001_definitions().items():
        (given / name).write_bytes(path.read_bytes() + b"# given\n")
    monkeypatch.setattr(sources, "_SHIPPED", ())

    built = variants("basehot", sol001_definitions=given)

    with zipfile.ZipFile(built.path) as package:
        assert package.read(DEFINITIONS).endswith(b"# given\n")


def test_own_package_is_checked_before_it_appears(variants, tmp_path):
    (tmp_path / "own/Definitions/private_registry_types.yaml").unlink()
    with pytest.raises(CsarError, match="imports private_registry_types.yaml"):
        variants("own")
    assert not (tmp_path / "own.zip").exists()


def test_driver_copy_in_an_own_package_is_replaced(variants, tmp_path):
    (tmp_path / "own/Scripts").mkdir()
    (tmp_path / "own" / DRIVER_FILE).write_text("an old copy")
    assert csar.verify(variants("own").path) == []


# Where the parts come from


def test_samples_of_an_installed_wheel(tmp_path, monkeypatch):
    installed = tmp_path / "site-packages/tacker_cir"
    shutil.copytree(csar.samples_dir(), installed / "samples")
    monkeypatch.setattr(sources, "__file__", str(installed / "csar/sources.py"))
    assert csar.samples_dir() == installed / "samples"

    shutil.rmtree(installed / "samples")
    with pytest.raises(CsarError, match="install tacker_cir again"):
        csar.samples_dir()


def test_driver_that_is_installed_twice(tmp_path, monkeypatch):
    info = tmp_path / "other_tacker-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other-tacker\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[{sources.DRIVER_GROUP}]\n{DRIVER} = other:Driver\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(CsarError, match="installed twice.*other-tacker"):
        csar.installed_driver(DRIVER)


def test_no_additional_file_is_dropped_without_a_word(tmp_path, capsys):
    words = ["csar", "build", "kubernetes", "--output", str(tmp_path / "a.zip")]
    files = ["--file", f"Files/a={tmp_path}/1", "--file", f"Files/a={tmp_path}/2"]
    assert cli.main([*words, *files]) == cli.USAGE
    assert "--file Files/a=... is given more than once" in capsys.readouterr().err
