# SPDX-License-Identifier: Apache-2.0
"""What images an archive holds, whoever wrote it."""

from __future__ import annotations

import gzip
import hashlib
import json
import tarfile
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tacker_cir.image_archive import PackageFileError
from tacker_cir.image_contents import check_blobs, read_blobs, read_image_contents
from tacker_cir.params.names import places_in_registry
from tests.image_archives import (
    REF_NAME,
    Image,
    Layout,
    configuration,
    described,
    digest_of,
    docker_members,
    layer,
    layout_of,
    platform,
    write,
)

APP = Image(("docker.io/library/app:1", "app:2"), (layer("base"), layer("app")))
OTHER = Image(("quay.example/team/other:v1",), (layer("base"), layer("other")), "arm64")


def read(tmp_path, members, mode="w"):
    return read_image_contents(write(tmp_path / "images.tar", members, mode))


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("make", [docker_members, layout_of])
def test_all_images_with_their_blobs(tmp_path, make, packed, mode):
    images = [Image(i.names, i.layers, i.architecture, packed) for i in (APP, OTHER)]
    contents = read(tmp_path, make(*images), mode)
    assert [image.names for image in contents.images] == [APP.names, OTHER.names]
    assert [image.manifest.platforms for image in contents.images] == [
        ("linux/amd64",),
        ("linux/arm64",),
    ]
    for image, saved in zip(images, contents.images, strict=True):
        document = json.loads(saved.manifest.content)
        named = [document["config"], *document["layers"]]
        wanted = [digest_of(content) for content in (image.configuration, *image.blobs)]
        assert [each["digest"] for each in named] == wanted
        assert list(saved.manifest.all_blobs()) == wanted
        assert saved.size == sum(each["size"] for each in named)
    read_back = {
        blob.digest: b"".join(portions) for blob, portions in read_blobs(contents, contents.blobs())
    }
    assert read_back == {
        digest_of(content): content
        for image in images
        for content in (image.configuration, *image.blobs)
    }
    check_blobs(contents)


def test_the_manifest_of_docker_save(tmp_path):
    """As Docker and containerd pull it; the layers are those of the archive, bit by bit."""
    for packed, kind in ((False, "tar"), (True, "tar.gzip")):
        image = Image(("app:1",), (layer(1),), packed=packed)
        (saved,) = read(tmp_path, docker_members(image)).images
        assert json.loads(saved.manifest.content) == {
            "schemaVersion": 2,
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": {
                "mediaType": "application/vnd.docker.container.image.v1+json",
                "size": len(image.configuration),
                "digest": digest_of(image.configuration),
            },
            "layers": [
                {
                    "mediaType": f"application/vnd.docker.image.rootfs.diff.{kind}",
                    "size": len(image.blobs[0]),
                    "digest": digest_of(image.blobs[0]),
                }
            ],
        }
        assert saved.manifest.media_type == json.loads(saved.manifest.content)["mediaType"]
        again = read(tmp_path, docker_members(image)).images[0]
        assert again.manifest.digest == saved.manifest.digest


def test_an_archive_that_is_both_is_read_by_its_layout(tmp_path):
    image = Image(("docker.io/library/app:1",), (layer(1),))
    layout = Layout()
    descriptor = layout.manifest(image)
    layout.name(descriptor, *image.names)
    members = {**docker_members(image), **layout.files()}
    assert read(tmp_path, members).images[0].manifest.digest == descriptor["digest"]


@pytest.mark.parametrize(
    ("reference", "names"),
    [("quay.example/app:1", ("quay.example/app:1",)), ("latest", ("app:2",)), ("", ("app:2",))],
)
def test_the_name_may_stand_in_either_place(tmp_path, reference, names):
    """A tag alone, as skopeo writes it, names nothing; docker's list may."""
    image = Image(("app:2",), (layer(1),))
    layout = Layout()
    layout.name(layout.manifest(image), reference, key=REF_NAME)
    saved = [{"Config": f"blobs/sha256/{hashlib.sha256(image.configuration).hexdigest()}",
              "RepoTags": ["app:2"], "Layers": []}]  # fmt: skip
    members = {**layout.files(), "manifest.json": json.dumps(saved).encode()}
    assert read(tmp_path, members).images[0].names == names
    del members["manifest.json"]
    if names == ("app:2",):
        with pytest.raises(PackageFileError, match="no image with a name; save it by name"):
            read(tmp_path, members)


def multi(whole, *, attested=()):
    layout, entries = Layout(), []
    for name in ("amd64", "arm64", "arm"):
        image = Image((), (layer(name),), name)
        entries.append(layout.manifest(image, with_blobs=name in whole, **platform(name)))
        if name in attested:
            note = Image((), (layer(f"note {name}"),), "unknown")
            entries.append(
                layout.manifest(
                    note,
                    platform={"os": "unknown", "architecture": "unknown"},
                    annotations={"vnd.docker.reference.type": "attestation-manifest"},
                )
            )
    index = layout.index(entries)
    layout.name(index, "docker.io/library/multi:1")
    return layout, index, entries


def test_an_index_of_which_all_is_there_stays_as_it_is(tmp_path):
    layout, index, _ = multi(("amd64", "arm64", "arm"), attested=("amd64",))
    (image,) = read(tmp_path, layout.files()).images
    assert image.manifest.digest == index["digest"]
    assert image.manifest.platforms == ("linux/amd64", "linux/arm64", "linux/arm")
    assert (len(image.manifest.children), image.missing) == (4, ())


def test_an_index_of_which_some_is_there_is_cut_to_it_the_same_way_each_time(tmp_path):
    layout, index, entries = multi(("amd64", "arm64"), attested=("amd64", "arm"))
    (image,) = read(tmp_path, layout.files()).images
    assert image.missing == ("linux/arm",)
    assert image.manifest.digest != index["digest"]
    kept = json.loads(image.manifest.content)["manifests"]
    assert kept == [entries[0], entries[2]]
    assert read(tmp_path, layout.files()).images[0].manifest == image.manifest


def test_the_only_platform_that_is_there_is_the_image(tmp_path):
    layout, _, entries = multi(("arm64",), attested=("amd64",))
    (image,) = read(tmp_path, layout.files()).images
    assert image.manifest.digest == entries[2]["digest"]
    assert image.missing == ("linux/amd64", "linux/arm")


def test_an_image_without_its_blobs_is_told(tmp_path):
    layout, _, _ = multi(())
    with pytest.raises(
        PackageFileError, match="lacks blobs of the image docker.io/library/multi:1"
    ):
        read(tmp_path, layout.files())


def saved(**changes):
    """An archive of docker save in which something is wrong."""
    image = Image(("app:1",), (layer(1), layer(2)))
    members = docker_members(image)
    entry = {**json.loads(members["manifest.json"])[0], **changes}
    return {**members, "manifest.json": json.dumps([entry]).encode()}


def laid_out(change):
    layout = Layout()
    descriptor = layout.manifest(Image((), (layer(1),)))
    layout.name(descriptor, "app:1")
    change(layout)
    return layout.files()


def _another_size(layout):
    layout.top[0]["size"] += 1


def _another_content(layout):
    name = f"blobs/sha256/{layout.top[0]['digest'].removeprefix('sha256:')}"
    layout.members[name] = layout.members[name].replace(b"2", b"3", 1)


def _another_kind(layout):
    content = layout.add(b'{"mediaType": "application/vnd.docker.distribution.manifest.v1+json"}')
    layout.top[:] = []
    layout.name(described(content, "x/y"), "app:1")


def _no_sha256(layout):
    layout.top[0]["digest"] = "sha512:" + "0" * 128


def _traversal(layout):
    layout.top[0]["digest"] = "sha256:../../../../etc/passwd"


def _deep(layout):
    entry = layout.top[0]
    for _ in range(8):
        entry = layout.index([entry])
    layout.top[:] = []
    layout.name(entry, "app:1")


PACKED_LIE = {
    "l.tar": gzip.compress(layer("another")),
    "c.json": configuration([layer(1)]),
    "manifest.json": b'[{"Config": "c.json", "RepoTags": ["a:1"], "Layers": ["l.tar"]}]',
}
HOSTILE = {
    "no archive": ({"x": b"y"}, "is neither an archive made with 'docker save' nor one of an OCI"),
    "no list": ({"manifest.json": b"{}"}, "is neither"),
    "no object": ({"manifest.json": b"[[]]"}, "is neither"),
    "no index": ({"oci-layout": b"{}", "index.json": b"[]"}, "is neither"),
    "no text": (
        {"oci-layout": b"{}", "index.json": b'{"manifests": [{"digest": 7}]}'},
        "is neither",
    ),
    "no name": (saved(RepoTags=None), "no image with a name"),
    "no config": (saved(Config="gone.json"), "is neither"),
    "no layer": (saved(Layers=["gone", "gone"]), "is neither"),
    "a config outside": (saved(Config="../../etc/passwd"), "is neither"),
    "another number of layers": (saved(Layers=[]), "other layers than it has"),
    "another size": (laid_out(_another_size), "has another size"),
    "another content": (laid_out(_another_content), "has another digest"),
    "another kind": (laid_out(_another_kind), "has a manifest of another kind"),
    "another hash": (laid_out(_no_sha256), "not of SHA-256"),
    "a digest that leads away": (laid_out(_traversal), "not of SHA-256"),
    "indexes in each other": (laid_out(_deep), "too deep"),
    "a link in a circle": ({**saved(Layers=["a", "a"]), "a": "b", "b": "a"}, "is neither"),
    "a packed layer that is another": (PACKED_LIE, "holds another layer than"),
    "a packed layer that is damaged": (
        {**PACKED_LIE, "l.tar": gzip.compress(layer("another"))[:-9]},
        "is damaged: l.tar",
    ),
}


@pytest.mark.parametrize(("members", "problem"), HOSTILE.values(), ids=HOSTILE)
def test_what_is_refused(tmp_path, members, problem):
    with pytest.raises(PackageFileError, match=problem):
        read(tmp_path, members)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3)
    | st.sampled_from(["c.json", "l.tar", "app:1", f"sha256:{'0' * 64}"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["manifests", "digest", "size", "mediaType", "Config", "RepoTags", "Layers",
                         "rootfs", "diff_ids", "annotations", "platform", "config", "layers"]),
        inner, max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


@given(saved=ANYTHING, index=ANYTHING, config=ANYTHING, layout=st.booleans())
def test_whatever_json_is_there_is_no_archive_or_is_one(
    tmp_path_factory, saved, index, config, layout
):
    documents = {"manifest.json": saved, "index.json": index, "c.json": config}
    members = {name: json.dumps(value).encode() for name, value in documents.items()}
    if layout:
        members["oci-layout"] = b"{}"
    try:
        read(tmp_path_factory.mktemp("any"), members)
    except PackageFileError:
        pass


@pytest.mark.parametrize("make", [docker_members, layout_of])
def test_a_layer_that_is_another_is_found_when_it_is_read(tmp_path, make):
    image = Image(("app:1",), (layer(1, 1_000_000),))
    members = {
        name: bytes(len(content)) if content == image.layers[0] else content
        for name, content in make(image).items()
    }
    contents = read(tmp_path, members)
    taken = 0
    with pytest.raises(PackageFileError, match="is damaged.*has another digest than"):
        for _, portions in read_blobs(contents, contents.blobs()):
            for portion in portions:
                taken += len(portion)
    # Never all of it: who sends it on has not sent the last portion.
    assert taken < len(image.layers[0]) + len(image.configuration)


def test_what_an_index_repeats_costs_once(tmp_path):
    """Two lines of JSON a level stand for millions of manifests."""
    layout = Layout()
    layers = tuple(layer(number, 10) for number in range(60))
    entry = layout.manifest(Image((), layers))
    for _ in range(3):
        entry = layout.index([entry] * 900)
    layout.name(entry, "app:1")
    begun = time.monotonic()
    tracemalloc.start()
    try:
        with pytest.raises(PackageFileError, match="more than 1024 manifests"):
            read(tmp_path, layout.files())
        assert tracemalloc.get_traced_memory()[1] < 48 * 2**20
    finally:
        tracemalloc.stop()
    assert time.monotonic() - begun < 10


def test_a_packed_layer_that_stands_for_too_much(tmp_path, monkeypatch):
    monkeypatch.setattr("tacker_cir.image_contents.saved.MAX_UNPACKED", 2**20)
    members = {**PACKED_LIE, "l.tar": gzip.compress(bytes(3 * 2**20))}
    with pytest.raises(PackageFileError, match="stands for more than"):
        read(tmp_path, members)


def test_links_of_layers_are_followed(tmp_path):
    path = tmp_path / "images.tar"
    image = Image(("app:1",), (layer(1),))
    members = docker_members(image)
    (name,) = [name for name in members if name.endswith("layer.tar")]
    content = members.pop(name)
    write(path, {**members, "first/layer.tar": content})
    with tarfile.open(path, "a") as archive:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = tarfile.LNKTYPE, "first/layer.tar"
        archive.addfile(info)
    assert digest_of(image.layers[0]) in read_image_contents(path).blobs()


@pytest.mark.parametrize(
    ("name", "places"),
    [
        ("busybox", [("library/busybox", "latest")]),
        ("busybox:1.36", [("library/busybox", "1.36")]),
        ("docker.io/busybox:1", [("library/busybox", "1")]),
        ("docker.io/library/busybox:1", [("library/busybox", "1")]),
        ("calico/node:v3", [("calico/node", "v3")]),
        ("docker.io/calico/node:v3", [("calico/node", "v3")]),
        ("quay.io/a/b/c:1", [("a/b/c", "1")]),
        ("registry.k8s.io/pause:3.9", [("pause", "3.9")]),
        ("10.10.0.50:5000/app:1", [("app", "1")]),
        ("[2001:db8::1]:5000/app:1", [("app", "1")]),
        (f"quay.io/app@sha256:{'0' * 64}", [("app", None)]),
        (f"quay.io/app:1@sha256:{'0' * 64}", [("app", "1")]),
        ("registry.k8s.io/coredns/coredns:v1", [("coredns/coredns", "v1"), ("coredns", "v1")]),
    ],
)
def test_places_in_a_registry(name, places):
    assert places_in_registry(name) == places
