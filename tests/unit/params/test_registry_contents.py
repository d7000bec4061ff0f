# SPDX-License-Identifier: Apache-2.0
"""``contents`` of the registry VNF."""

from __future__ import annotations

import pytest

from tacker_cir.exceptions import InvalidRequest
from tacker_cir.package import VnfPackage
from tacker_cir.params import private_registry
from tests.image_archives import Image, docker_members, layer, layout_of, write

PATH = "additionalParams.private_registry_installation_param.contents"
APP, OTHER = Image(("app:1",), (layer(1),)), Image(("other:1",), (layer(2),))


@pytest.fixture
def package(tmp_path):
    (tmp_path / "Files").mkdir()
    write(tmp_path / "Files/app.tar", layout_of(APP))
    write(tmp_path / "Files/other.tar", docker_members(OTHER))
    write(tmp_path / "Files/again.tar", layout_of(Image(("docker.io/library/app:1",), (layer(3),))))
    write(tmp_path / "Files/same.tar", layout_of(APP, OTHER))
    write(tmp_path / "Files/odd.tar", layout_of(Image(("App Of Mine:1",))))
    (tmp_path / "Files/text").write_text("text")
    return VnfPackage(tmp_path)


def parse(package, contents):
    given = {"ssh_cp_name": "CP1", "ssh_username": "u", "ssh_password": "p", "contents": contents}
    return private_registry.parse({private_registry.KEY: given}, package)


def faults_of(package, contents):
    with pytest.raises(InvalidRequest) as caught:
        parse(package, contents)
    return {fault.path: fault.problem for fault in caught.value.faults}


def test_archives_of_the_package(package):
    archives = parse(package, ["Files/app.tar", "Files/other.tar"]).contents
    assert [archive.path.name for archive in archives] == ["app.tar", "other.tar"]
    assert [image.names for archive in archives for image in archive.images] == [
        ("app:1",),
        ("other:1",),
    ]
    assert parse(package, ["Files/app.tar", "Files/same.tar"]).contents
    assert parse(package, []).contents == ()
    assert parse(None, ["Files/app.tar"]).contents == ()


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("../x.tar", "leads out of the VNF package"),
        ("/etc/passwd", "must be a path relative to the top"),
        ("Files/gone.tar", "is not in the VNF package"),
        ("Files/text", "is not a readable tar archive"),
        ("Files/odd.tar", "has an image named 'App Of Mine:1'; expected name[:tag][@digest]"),
        ("Files/again.tar", "has another image for library/app:1 than contents[0]"),
        (7, "expected an archive of 'docker save' or of an OCI image layout"),
    ],
)
def test_each_fault_at_its_place(package, path, problem):
    (where,), (told,) = zip(*faults_of(package, ["Files/app.tar", path]).items(), strict=True)
    assert where == f"{PATH}[1]"
    assert problem in told


@pytest.mark.parametrize("contents", ["Files/app.tar", {}, ["Files/app.tar", "Files/app.tar"]])
def test_what_is_no_list_of_archives(package, contents):
    assert "archives of images" in faults_of(package, contents)[PATH]
