# SPDX-License-Identifier: Apache-2.0
"""Images of archives in a real registry, through a real SSH connection."""

from __future__ import annotations

import base64
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from tacker_cir.command import Redactor, Secret
from tacker_cir.exceptions import ConnectionLost, HostError
from tacker_cir.image_contents import read_image_contents
from tacker_cir.inventory import Node
from tacker_cir.login import Credentials
from tacker_cir.params.private_registry import PrivateRegistryParams
from tacker_cir.registry import contents, from_node, push
from tacker_cir.registry.contents import ensure_contents, take_upload_away
from tacker_cir.registry.places import Places
from tacker_cir.registry.push import Place
from tacker_cir.registry.serving import Access
from tests.certificates import Authority
from tests.functional.registry_program import RealRegistry
from tests.functional.server import ADDRESS, IS_ROOT, serve
from tests.image_archives import (
    Image,
    Layout,
    digest_of,
    docker_members,
    layer,
    layout_of,
    platform,
    write,
)
from tests.machine import machine

USER, PASSWORD = "user01", "p w'd$é☃"
LOGIN = Secret("Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode())
APP = Image(("docker.io/library/app:1", "app:2"), (layer("base"), layer("app", 700_000)))
OTHER = Image(("quay.example/team/other:v1",), (layer("base"), layer("other")))


@pytest.fixture
def make_registry(tmp_path) -> Iterator[Callable[..., RealRegistry]]:
    with ExitStack() as stack:

        def make(**settings: Any) -> RealRegistry:
            made = RealRegistry(tmp_path / f"registry-{len(stack._exit_callbacks)}", **settings)  # type: ignore[attr-defined]
            stack.callback(made.stop)
            return made.start()

        yield make


@pytest.fixture
def connection(sshd, dial):
    return dial(sshd)


def place(connection, port: int, data: Path | None = None, **more: Any) -> Place:
    open_line = partial(from_node.dial, connection, ADDRESS, port, 10, 60)
    if data:
        more["take_away"] = partial(take_upload_away, connection, str(data))
    known = {"masked": connection.redactor, "prove_alive": connection.prove_alive}
    return Place("CP1", ADDRESS, port, open_line, **known, **more)


def push_all(where: Place, *archives: Path, seconds: float = 60, room=lambda missing: None):
    return ensure_contents(where, [read_image_contents(path) for path in archives], seconds, room)


def sent(registry: RealRegistry, begin: int = 0) -> list[str]:
    """What changed something."""
    return [asked for asked in registry.requests()[begin:] if not asked.startswith(("HEAD", "GET"))]


FORMS: dict[str, Callable[..., dict[str, Any]]] = {
    "docker save": docker_members,
    "layout": layout_of,
}


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("packed", [False, True], ids=["plain layers", "packed layers"])
@pytest.mark.parametrize("form", FORMS)
def test_images_are_there_whole_and_a_second_run_sends_nothing(
    make_registry, connection, tmp_path, form, packed, mode
):
    images = [Image(i.names, i.layers, packed=packed) for i in (APP, OTHER)]
    archive = write(tmp_path / "images.tar", FORMS[form](*images), mode)
    registry = make_registry()
    told: list[int] = []
    changes = push_all(place(connection, registry.port), archive, room=told.append)
    assert changes == ["images.tar: library/app:1, library/app:2, team/other:v1 pushed"]
    assert len(told) == 1 and told[0] == sum(
        len(blob)
        for blob in {*images[0].blobs, *images[1].blobs} | {i.configuration for i in images}
    )

    digests = {tag: registry.pull("library/app", tag)[0] for tag in ("1", "2")}
    assert len(set(digests.values())) == 1
    for image, repository, tag in (
        (images[0], "library/app", "1"),
        (images[1], "team/other", "v1"),
    ):
        _, blobs = registry.pull(repository, tag)
        assert {digest_of(content) for content in blobs.values()} == set(blobs)
        wanted = {digest_of(content) for content in (*image.blobs, image.configuration)}
        assert set(blobs) == wanted
    # What both have went over the line once.
    uploads = [asked for asked in sent(registry) if asked.startswith("PUT") and "/blobs/" in asked]
    assert len(uploads) == 5
    assert any("mount=" in asked for asked in sent(registry))
    assert registry.uploads() == []

    before = len(registry.requests())
    assert push_all(place(connection, registry.port), archive, room=pytest.fail) == []
    assert sent(registry, before) == []


def test_the_manifest_made_for_docker_save_is_the_same_every_time(
    make_registry, connection, tmp_path
):
    archive = write(tmp_path / "a.tar", docker_members(APP))
    digests = set()
    for _ in range(2):
        registry = make_registry()
        push_all(place(connection, registry.port), archive)
        digests.add(registry.pull("library/app", "1")[0])
    assert (
        digests
        == {
            "sha256:" + "0" * 64,
        }
        or len(digests) == 1
    )
    (digest,) = digests
    assert digest == read_image_contents(archive).images[0].manifest.digest


@pytest.mark.parametrize("present", [("amd64", "arm64"), ("amd64",), ("amd64", "arm64", "arm")])
def test_an_index_has_the_platforms_that_are_there(make_registry, connection, tmp_path, present):
    layout, entries = Layout(), []
    for architecture in ("amd64", "arm64", "arm"):
        image = Image((), (layer(architecture),), architecture)
        whole = architecture in present
        entries.append(layout.manifest(image, with_blobs=whole, **platform(architecture)))
    index = layout.index(entries)
    layout.name(index, "docker.io/library/multi:1")
    archive = write(tmp_path / "multi.tar", layout.files())
    (image,) = read_image_contents(archive).images
    assert image.manifest.platforms == tuple(f"linux/{each}" for each in present)
    assert len(image.missing) == 3 - len(present)

    registry = make_registry()
    push_all(place(connection, registry.port), archive)
    digest, blobs = registry.pull("library/multi", "1")
    assert {digest_of(layer(each)) for each in present} <= set(blobs)
    if len(present) == 3:
        assert digest == index["digest"]
    if len(present) == 1:
        assert digest == entries[0]["digest"]


def test_only_what_is_missing_goes(make_registry, connection, tmp_path):
    registry = make_registry()
    push_all(place(connection, registry.port), write(tmp_path / "a.tar", layout_of(APP)))
    before, told = len(registry.requests()), []
    both = write(tmp_path / "b.tar", layout_of(APP, OTHER))
    push_all(place(connection, registry.port), both, room=told.append)
    uploads = [asked for asked in sent(registry, before) if asked.startswith("PUT")]
    # The other's own layer, its configuration and its manifest; the base is mounted.
    assert len(uploads) == 3
    assert told == [len(layer("other")) + len(OTHER.configuration)]


def test_without_room_nothing_is_sent(make_registry, connection, tmp_path):
    registry = make_registry()

    def room(missing: int) -> None:
        raise HostError("CP1", "x", f"{missing}", "y")

    with pytest.raises(HostError):
        push_all(place(connection, registry.port), write(tmp_path / "a", layout_of(APP)), room=room)
    assert sent(registry) == []


def test_a_damaged_blob_of_an_archive_is_not_taken(make_registry, connection, tmp_path):
    members = layout_of(APP)
    name = next(name for name, content in members.items() if content == APP.layers[1])
    members[name] = bytes(reversed(members[name]))  # type: ignore[arg-type]
    registry = make_registry()
    with pytest.raises(HostError, match="a.tar is damaged: blobs/sha256/.* has another digest"):
        where = place(connection, registry.port, registry.data)
        push_all(where, write(tmp_path / "a.tar", members))
    assert registry.uploads() == []
    assert not registry.has("/v2/library/app/manifests/1")


def test_login_and_tls(make_registry, connection, tmp_path):
    authority = Authority("registry")
    certificate, key = authority.issue(ADDRESS)
    for name, text in (("server.crt", certificate), ("server.key", key)):
        (tmp_path / name).write_text(text)
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    (tmp_path / "htpasswd").write_text(f"{USER}:{hashed}\n")
    registry = make_registry()
    registry.stop()
    registry.settings["http"]["tls"] = {
        "certificate": str(tmp_path / "server.crt"),
        "key": str(tmp_path / "server.key"),
    }
    registry.settings["auth"] = {"htpasswd": {"realm": "x", "path": str(tmp_path / "htpasswd")}}
    registry.start()
    archive = write(tmp_path / "a.tar", layout_of(APP))
    tls = from_node.tls_context(authority.pem, None, verify=True)
    with pytest.raises(HostError, match="HTTP 401.*one of the registry's users"):
        push_all(place(connection, registry.port, tls=tls), archive)
    stranger = from_node.tls_context(Authority("other").pem, None, verify=True)
    with pytest.raises(HostError, match="certificate verify failed"):
        push_all(place(connection, registry.port, tls=stranger), archive)
    where = place(connection, registry.port, tls=tls, authorization=LOGIN)
    assert push_all(where, archive) == ["a.tar: library/app:1, library/app:2 pushed"]
    assert push_all(where, archive) == []


def test_a_cut_inside_an_upload_is_finished_by_a_retry(
    make_registry, sshd, dial, tmp_path, monkeypatch
):
    """The SSH session is killed while the large blob is on its way."""
    image = Image(("app:1",), (layer("large", 8_000_000),))
    archive = write(tmp_path / "a.tar", layout_of(image))
    registry = make_registry()
    connection = dial(sshd)
    ask = from_node.Exchange.ask

    def cut(self, method, path, headers, body=(), size=None):
        def until_cut(portions):
            for number, portion in enumerate(portions):
                if number == 10:
                    sshd.signal_sessions(9)
                yield portion

        return ask(self, method, path, headers, until_cut(body), size)

    monkeypatch.setattr(from_node.Exchange, "ask", cut)
    with pytest.raises(ConnectionLost, match="the SSH connection broke"):
        push_all(place(connection, registry.port), archive)
    monkeypatch.undo()
    assert not registry.has("/v2/library/app/manifests/1")
    push_all(place(dial(sshd), registry.port), archive)
    assert set(registry.pull("library/app", "1")[1]) >= {digest_of(image.layers[0])}


def test_a_registry_that_dies_and_comes_back(make_registry, connection, tmp_path, monkeypatch):
    image = Image(("app:1",), (layer("large", 8_000_000),))
    archive = write(tmp_path / "a.tar", layout_of(image))
    registry = make_registry()
    ask = from_node.Exchange.ask

    def kill(self, method, path, headers, body=(), size=None):
        def until_dead(portions):
            for number, portion in enumerate(portions):
                if number == 10:
                    registry.stop()
                yield portion

        return ask(self, method, path, headers, until_dead(body), size)

    monkeypatch.setattr(from_node.Exchange, "ask", kill)
    with pytest.raises(HostError, match="the connection to the registry broke") as caught:
        push_all(place(connection, registry.port), archive)
    assert not isinstance(caught.value, ConnectionLost)
    monkeypatch.undo()
    registry.start()
    push_all(place(connection, registry.port), archive)
    assert set(registry.pull("library/app", "1")[1]) >= {digest_of(image.layers[0])}


@pytest.mark.skipif(not IS_ROOT, reason="mounts a small file system")
def test_a_full_disk_is_told_and_nothing_stays_of_what_was_begun(
    make_registry, connection, tmp_path
):
    disk = tmp_path / "disk"
    disk.mkdir()

    def take_away(*which: str) -> None:
        # The SSH server has mounts of its own, and does not see the disk.
        script = ["sh", "-c", contents._TAKE_AWAY, "sh", str(disk), *which]
        subprocess.run(script, check=True)

    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk], check=True)
    try:
        registry = make_registry()
        registry.stop()
        registry.settings["storage"]["filesystem"]["rootdirectory"] = str(disk)
        registry.data = disk
        registry.start()
        small = write(tmp_path / "small.tar", layout_of(APP))
        push_all(place(connection, registry.port), small)
        image = Image(("big:1",), (layer("large", 8_000_000),))
        big = write(tmp_path / "big.tar", layout_of(image))
        with pytest.raises(HostError, match="HTTP 500.*no space left.*check the free disk space"):
            push_all(place(connection, registry.port, take_away=take_away), big)
        assert registry.uploads() == []
        # What was there still is, and there is room for what is small.
        assert set(registry.pull("library/app", "1")[1]) >= {digest_of(APP.layers[1])}
        push_all(place(connection, registry.port), write(tmp_path / "o.tar", layout_of(OTHER)))
    finally:
        registry.stop()
        subprocess.run(["umount", disk], check=True)


class Hostile(BaseHTTPRequestHandler):
    """A registry that answers as it was told."""

    protocol_version = "HTTP/1.1"

    def __init__(self, behave: Callable[[Hostile], None], asked: list, *args: Any):
        self._behave, self._asked = behave, asked
        super().__init__(*args)

    def do_HEAD(self) -> None:
        self._asked.append((self.command, self.path, self.headers.get("Authorization")))
        self._behave(self)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD

    def answer(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": "0", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def log_message(self, *_args: Any) -> None:
        pass


@pytest.fixture
def hostile() -> Iterator[Callable[..., tuple[int, list]]]:
    with ExitStack() as stack:

        def start(behave: Callable[[Hostile], None]) -> tuple[int, list]:
            asked: list = []
            server = ThreadingHTTPServer((ADDRESS, 0), partial(Hostile, behave, asked))
            server.daemon_threads = True
            server.handle_error = lambda *_: None  # type: ignore[method-assign]
            return serve(server, stack), asked

        yield start


@pytest.mark.parametrize(
    "location",
    ["http://{ip}:{other}/v2/x", "https://{ip}:{port}/v2/x", "//{ip}:{other}/x", "http://evil/", "",
     "/v2/a b", "http://{ip}:{port}@{ip}:{other}/x", "http://{ip}:99999/x", "http://[::1/x", "x"],
)  # fmt: skip
def test_credentials_go_nowhere_else(hostile, connection, tmp_path, location):
    other, seen = hostile(lambda server: server.answer(201))

    def behave(server: Hostile) -> None:
        if server.command == "POST":
            port = server.server.server_address[1]
            server.answer(202, Location=location.format(ip=ADDRESS, port=port, other=other))
        else:
            server.answer(404)

    port, asked = hostile(behave)
    archive = write(tmp_path / "a.tar", layout_of(APP))
    with pytest.raises(HostError, match="wants the upload to go elsewhere"):
        push_all(place(connection, port, authorization=LOGIN), archive)
    assert seen == []
    assert {method for method, _, _ in asked} == {"HEAD", "POST"}
    assert {login for _, _, login in asked} == {LOGIN.reveal()}


def endless_headers(server: Hostile) -> None:
    server.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        server.wfile.write(b"X: " + b"x" * 60_000 + b"\r\n")


def endless_continue(server: Hostile) -> None:
    while True:
        server.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)


def silence(server: Hostile) -> None:
    time.sleep(30)


def endless_body(server: Hostile) -> None:
    server.wfile.write(b"HTTP/1.1 500 Sorry\r\n\r\n")
    while True:
        server.wfile.write(b"x" * 60_000)


def secret_in_it(server: Hostile) -> None:
    said = f"no {server.headers.get('Authorization')}".encode()
    server.wfile.write(b"HTTP/1.1 500 Sorry\r\nContent-Length: %d\r\n\r\n%s" % (len(said), said))


@pytest.mark.parametrize(
    "behave", [endless_headers, endless_continue, silence, endless_body, secret_in_it]
)
def test_a_hostile_registry_ends_in_an_error_in_time(
    hostile, sshd, dial, tmp_path, monkeypatch, behave
):
    monkeypatch.setattr(push, "QUESTION", 2)
    connection = dial(sshd, redactor=Redactor([LOGIN]))

    def only_posts(server: Hostile) -> None:
        behave(server) if server.command == "POST" else server.answer(404)

    port, _ = hostile(only_posts)
    archive = write(tmp_path / "a.tar", layout_of(APP))
    begun = time.monotonic()
    with pytest.raises(HostError) as caught:
        push_all(place(connection, port, authorization=LOGIN), archive, seconds=20)
    assert time.monotonic() - begun < 15
    assert LOGIN.reveal() not in str(caught.value)
    assert len(str(caught.value)) < 1200


def test_a_push_has_one_deadline_as_a_whole(hostile, connection, tmp_path):
    """The registry reads a byte now and then: each read is in time, the whole is not."""

    def slow(server: Hostile) -> None:
        if server.command == "POST":
            server.answer(202, Location="/v2/x")
        elif server.command == "PUT":
            for _ in range(200):
                server.rfile.read(10)
                time.sleep(0.1)
        else:
            server.answer(404)

    port, _ = hostile(slow)
    image = Image(("app:1",), (layer("large", 12_000_000),))
    archive = write(tmp_path / "a.tar", layout_of(image))
    begun = time.monotonic()
    with pytest.raises(
        HostError, match="took longer than 3 seconds.*raise .tacker_cir. image_timeout"
    ):
        push_all(place(connection, port), archive, seconds=3)
    assert time.monotonic() - begun < 12


def test_who_says_why_and_hangs_up_is_heard(hostile, connection, tmp_path):
    def refuse(server: Hostile) -> None:
        if server.command == "POST":
            server.answer(202, Location="/v2/x")
        elif server.command == "PUT":
            said = json.dumps({"errors": [{"code": "DENIED", "message": "too large"}]}).encode()
            server.wfile.write(b"HTTP/1.1 413 No\r\nContent-Length: %d\r\n\r\n" % len(said) + said)
            server.close_connection = True
        else:
            server.answer(404)

    port, _ = hostile(refuse)
    image = Image(("app:1",), (layer("large", 12_000_000),))
    archive = write(tmp_path / "a.tar", layout_of(image))
    with pytest.raises(HostError, match="HTTP 413.*too large"):
        push_all(place(connection, port), archive)


def test_a_connection_that_ends_between_two_questions_is_made_anew(hostile, connection, tmp_path):
    def close_after_each(server: Hostile) -> None:
        server.answer(404)
        server.connection.shutdown(1)
        server.close_connection = True

    port, asked = hostile(close_after_each)
    archive = write(tmp_path / "a.tar", layout_of(APP))
    with pytest.raises(HostError, match="HTTP 404"):
        push_all(place(connection, port), archive)
    assert len(asked) == 4


def test_what_a_request_asks_for(make_registry, connection, tmp_path):
    """As the step on the VM does it, which looks at the disk of the data, too."""
    registry = make_registry()
    archive = read_image_contents(write(tmp_path / "a.tar", layout_of(APP)))
    params = PrivateRegistryParams(
        "CP1",
        Credentials("u"),
        port_no=registry.port,
        data_path=str(registry.data),
        contents=(archive,),
    )
    node, places = Node("CP1", ADDRESS, ADDRESS, "id"), Places.of(params, "/root")
    access = Access(params.port_no)
    done = contents.ensure(machine(connection), node, params, places, access)
    assert done == ["a.tar: library/app:1, library/app:2 pushed"]
    assert contents.ensure(machine(connection), node, params, places, access) == []
    assert digest_of(APP.layers[0]) in registry.pull("library/app", "2")[1]
