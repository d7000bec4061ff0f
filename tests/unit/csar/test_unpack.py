# SPDX-License-Identifier: Apache-2.0
"""What is unpacked of a VNF package to check a request, and what never is."""

from __future__ import annotations

import zipfile

import pytest

from tacker_cir import csar
from tacker_cir.csar import CsarError, archive, unpacking

LARGE = bytes(archive.MAX_TEXT + 1)


def packed(tmp_path, **members):
    path = tmp_path / "package.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in members.items():
            target.writestr(name, content)
    return path


def unpacked(path, directory, texts=()):
    package = csar.unpack(path, directory, texts)
    return {str(p.relative_to(package.root)) for p in package.root.rglob("*") if p.is_file()}


def test_large_files_only_where_the_request_names_them(tmp_path):
    members = {"Definitions/a.yaml": "a: 1", "Files/image.tar": LARGE, "Files/vm.qcow2": LARGE}
    path = packed(tmp_path, **members)
    found = unpacked(path, tmp_path / "out", ["./Files//image.tar", "", "x"])
    assert found == {"Definitions/a.yaml", "Files/image.tar"}


def test_nothing_leads_out(tmp_path):
    names = ("../up", "/absolute", "a/../../up2", "Files/ok")
    path = packed(tmp_path, **dict.fromkeys(names, b"x"))
    assert "Files/ok" in unpacked(path, tmp_path / "in" / "out", names)
    assert [p.name for p in (tmp_path / "in").iterdir()] == ["out"]
    assert not (tmp_path / "up").exists()


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(unpacking, "MAX_UNPACKED", 2 * len(LARGE))
    path = packed(tmp_path, a=LARGE, b=LARGE, c=LARGE)
    assert path.stat().st_size < 20_000
    with pytest.raises(CsarError, match="too large to be unpacked"):
        csar.unpack(path, tmp_path / "out", ["a", "b", "c"])
    assert sum(p.stat().st_size for p in (tmp_path / "out").iterdir()) <= 2 * len(LARGE)


def test_any_damage_is_one_kind_of_error(tmp_path):
    """Each byte of a small package changed, and the package cut there."""
    whole = packed(tmp_path, **{"Definitions/a.yaml": "a: 1", "b": b"b" * 100}).read_bytes()
    damaged = tmp_path / "damaged.zip"
    for index in range(len(whole)):
        for content in (whole[:index], whole[:index] + b"\xff" + whole[index + 1 :]):
            damaged.write_bytes(content)
            try:
                csar.unpack(damaged, tmp_path / "out", ["b"])
                list(csar.verify(damaged))
            except CsarError:
                pass
