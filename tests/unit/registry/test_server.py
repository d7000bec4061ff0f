# SPDX-License-Identifier: Apache-2.0
"""What a machine is made to do so that it serves the registry."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import ssl
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tacker_cir.command import Secret
from tacker_cir.exceptions import HostError
from tacker_cir.image_archive import ImageArchive
from tacker_cir.inventory import Node
from tacker_cir.login import Credentials
from tacker_cir.params.private_registry import PrivateRegistryParams
from tacker_cir.params.registry_tls import ServerTls
from tacker_cir.params.registry_upkeep import Collection, Upkeep
from tacker_cir.params.registry_users import RegistryUser
from tacker_cir.params.registry_volume import DataVolume
from tacker_cir.registry import server
from tacker_cir.registry.places import Places
from tacker_cir.registry.server import ensure_registry
from tacker_cir.render import htpasswd
from tests.certificates import Authority
from tests.machine import LIMITS
from tests.unit.answering import Answering
from tests.unit.registry.test_container import DATA, IMAGE, INSPECTED, binding, changed


class Registry(BaseHTTPRequestHandler):
    """What is served at a registry's port, as far as it matters here."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_args):
        pass


@pytest.fixture
def port():
    with ThreadingHTTPServer(("127.0.0.1", 0), Registry) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


NODE = Node("CP1", "127.0.0.1", "127.0.0.1", "server-1")
PARAMS = PrivateRegistryParams("CP1", Credentials("ubuntu", Secret("ubuntu")))
STATE, LOAD = "read the machine's state", "load image registry.tar"
INSTALLED = [
    "complete earlier package installations",
    "read the package lists",
    "complete earlier package installations",
    "install docker.io apparmor ca-certificates",
    "start docker.service",
    "wait for the Docker daemon",
]


def machine_with(docker=True, image=IMAGE, container=None) -> str:
    """Return what a Debian tells of itself."""
    lines = ["os\tID=debian", "os\tVERSION_ID=12", "arch\tamd64"]
    lines += ["docker\tactive\tenabled\t20.10.24"] if docker else []
    lines += [f"image\tregistry:latest\t{image}"] if image else []
    lines += [f"container\tprivate_registry\t{json.dumps(container)}"] if container else []
    return "\n".join([*lines, "end\n"])


def at(port, **others):
    """Return a container that listens at a port."""
    return {**changed(PortBindings=binding(str(port))), **others}


def archive(tmp_path, *, identity=IMAGE, architecture="amd64") -> ImageArchive:
    path = tmp_path / "registry.tar"
    path.write_bytes(bytes(10240))
    name = "registry:latest"
    ids, architectures = {name: frozenset([identity])}, {name: architecture}
    return ImageArchive(path, 10240, (name,), ids, architectures)


def ensure(connection, params):
    return ensure_registry(connection, NODE, params, LIMITS).changes


def test_a_new_machine_then_nothing(port):
    connection = Answering(
        {STATE: [machine_with(docker=False, image=None), machine_with(image=None), machine_with()]}
    )
    params = replace(PARAMS, port_no=port)
    assert ensure(connection, params) == [
        "Docker set up", "image registry:latest pulled", "registry container started"
    ]  # fmt: skip
    pulled = [STATE, "pull registry:latest", STATE, "docker run private_registry"]
    assert connection.taken() == [STATE, *INSTALLED, *pulled]
    words = " ".join(connection.asked[-1].argv)
    assert words.endswith(f"-v {DATA}:/var/lib/registry --restart=always "
                          "--name private_registry registry:latest")  # fmt: skip
    connection.answers[STATE] = machine_with(container=at(port))
    assert ensure(connection, params) == [] and connection.taken() == [STATE]


@pytest.mark.parametrize(
    ("others", "data_path", "steps", "changes"),
    [
        ({"State": {"Running": False}}, None, ["start"], ["registry container started"]),
        ({"Image": "sha256:older"}, None, ["stop", "rm", "run"], ["registry container replaced"]),
        ({}, "/srv/registry", ["stop", "copy", "rm", "run"], ["registry container replaced"]),
    ],
    ids=["it is stopped", "another image", "another volume"],
)
def test_a_container_that_is_not_as_it_shall_be(port, others, data_path, steps, changes):
    connection = Answering({STATE: machine_with(container=at(port, **others))})
    assert ensure(connection, replace(PARAMS, port_no=port, data_path=data_path)) == changes
    names = {word: f"docker {word} private_registry" for word in ("start", "stop", "rm", "run")}
    names["copy"] = f"copy the registry's data from {DATA} to /srv/registry"
    assert connection.taken() == [STATE, *(names[step] for step in steps)]
    assert not any("--volumes" in command.argv for command in connection.asked)


def test_an_archive_s_image_is_sent_then_known(port, tmp_path):
    params = replace(PARAMS, port_no=port, image=archive(tmp_path))
    connection = Answering({STATE: [machine_with(image="sha256:older"), machine_with()]})
    assert ensure(connection, params)[0] == "image registry:latest loaded from registry.tar"
    assert connection.taken() == [STATE, LOAD, STATE, "docker run private_registry"]
    assert f"tacker_cir.image-archive={IMAGE}" in connection.asked[-1].argv
    connection.answers[STATE] = machine_with(container=at(port))
    assert ensure(connection, params) == [] and connection.taken() == [STATE]


def test_a_daemon_s_own_id_for_an_archive_is_known_by_the_container(port, tmp_path):
    labels = {"Labels": {"tacker_cir.image-archive": "sha256:aaaa"}}
    params = replace(PARAMS, port_no=port, image=archive(tmp_path, identity="sha256:aaaa"))
    connection = Answering({STATE: machine_with(container=at(port, Config=labels))})
    assert ensure(connection, params) == [] and connection.taken() == [STATE]


def test_what_cannot_be_is_told_before_anything_is_changed(port, tmp_path):
    connection = Answering({STATE: machine_with(docker=False, image=None)})
    image = archive(tmp_path, architecture="arm64")
    with pytest.raises(HostError, match="the image of image_path is for arm64, the VM is amd64"):
        ensure(connection, replace(PARAMS, port_no=port, image=image))
    assert connection.taken() == [STATE]


def test_an_image_that_is_not_there_after_loading_is_told(port, tmp_path):
    connection = Answering({STATE: machine_with(image=None)})
    with pytest.raises(HostError, match="does not have it after loading"):
        ensure(connection, replace(PARAMS, port_no=port, image=archive(tmp_path)))
    assert connection.taken() == [STATE, LOAD, STATE]


VOLUME_ID = "9c8b1d2e-3f4a-4b5c-8d6e-7f8091a2b3c4"


def test_a_volume_comes_before_docker_and_the_container_gets_a_directory_of_it(port):
    connection = Answering({STATE: machine_with(), "find the volume": "there\tvda\nend\n"})
    params = replace(PARAMS, port_no=port, data_volume=DataVolume("registry_data"))
    limits = replace(LIMITS, service_timeout=0)
    with pytest.raises(HostError, match=f"no block device .* volume {VOLUME_ID}"):
        ensure_registry(connection, NODE, params, limits, VOLUME_ID)
    assert connection.taken() == [STATE, "find the volume's device"]

    connection = Answering(
        {
            STATE: machine_with(container=at(port)),
            "find the volume": "found\t254:16\t/dev/vdb\nthere\tvda vdb\nend\n",
            "look at the volume": "probe\t0 0 1024 9\ntag\tTYPE\text4\ntag\tLABEL\ttacker-cir\n"
            "tag\tUUID\t77398ccd-e5dd-41ca-ad91-546e697b7a6a\nthere\t254:16\nwritable\tyes\n"
            "unit\tactive\tenabled\nend\n",
        }
    )
    # What an earlier container had elsewhere moves onto the volume.
    changes = ensure_registry(connection, NODE, params, limits, VOLUME_ID).changes
    assert changes == ["registry container replaced"]
    copied = f"copy the registry's data from {DATA} to /srv/registry/data"
    assert copied in connection.taken()
    assert "/srv/registry/data:/var/lib/registry" in connection.asked[-1].argv


class Secured:
    """A registry with a certificate and a user, which reads its certificate when it starts."""

    def __init__(self, directory, certificate, key):
        self._directory = directory
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.show(certificate, key)

    def show(self, certificate, key):
        pair = self._directory / "pair.pem"
        pair.write_text(certificate + key)
        self.context.load_cert_chain(pair)


class AsksForLogin(Registry):
    def do_GET(self):
        if self.headers.get("Authorization") == f"Basic {ALICE.login.reveal()}":
            return super().do_GET()
        self.send_response(401)
        self.send_header("Content-Length", "0")
        self.end_headers()
        return None


CA = Authority("of the registry")
ALICE = RegistryUser("alice", Secret("S3cret"))
PAIR = CA.issue("registry.example")
WRITE = "write /etc/tacker-cir/registry/server.key"


@pytest.fixture
def secured(tmp_path):
    """Return a registry that shows a certificate, and its port."""
    registry = Secured(tmp_path, *PAIR)
    with ThreadingHTTPServer(("127.0.0.1", 0), AsksForLogin) as served:
        served.socket = registry.context.wrap_socket(served.socket, server_side=True)
        threading.Thread(target=served.serve_forever, args=(0.01,), daemon=True).start()
        yield registry, served.server_address[1]
        served.shutdown()


def with_tls(port, pair=PAIR):
    tls = ServerTls(pair[0] + CA.pem, Secret(pair[1]))
    return replace(PARAMS, port_no=port, tls=tls, users=(ALICE,))


def spec_of(port):
    return server._spec(with_tls(port), Places(None, DATA, "/own"), IMAGE)


def as_wanted(port):
    """Return the container as Docker tells of it once it runs as it shall."""
    spec = spec_of(port)
    mounts = [{"Destination": to, "Source": source, "RW": False}
              for to, source in spec.directories.items()]  # fmt: skip
    environment = [f"{name}={value}" for name, value in spec.environment.items()]
    config = {**INSPECTED["Config"], "Labels": spec.labels, "Env": environment}
    return at(port, Config=config, Mounts=[*INSPECTED["Mounts"], *mounts])


def test_tls_and_users_reach_the_container(secured):
    _, port = secured
    connection = Answering({STATE: machine_with()})
    report = ensure_registry(connection, NODE, with_tls(port), LIMITS)
    assert report.changes == ["registry's certificate written", "registry's users written",
                              "registry container started"]  # fmt: skip
    assert report.ca == CA.pem
    assert connection.taken() == [
        STATE,
        f"{WRITE} and 2 other files",
        "docker run private_registry",
    ]
    words = connection.asked[-1].argv
    assert "/etc/tacker-cir/registry:/etc/tacker-cir:ro" in words
    assert "REGISTRY_AUTH_HTPASSWD_PATH=/etc/tacker-cir/htpasswd" in words
    assert "S3cret" not in str(connection.asked) and "PRIVATE KEY" not in str(connection.asked)


def machine_of(port, params):
    """Return a machine that has everything as it shall be."""
    found = [f"{line}\n" for line in machine_with(container=as_wanted(port)).splitlines()[:-1]]
    directory = "/etc/tacker-cir/registry"
    hashes = htpasswd.render({user.username: user.password.reveal() for user in params.users})
    files = {"server.crt": (params.tls.certificate, "644"),
             "server.key": (params.tls.key.reveal(), "600"),
             "htpasswd": (hashes, "600")}  # fmt: skip
    for name, (text, mode) in files.items():
        digest = hashlib.sha256(text.encode()).hexdigest()
        found.append(f"file\t{directory}/{name}\t{mode} root root\t{digest}\n")
        content = base64.b64encode(text.encode()).decode()
        found.append(f"content\t{directory}/{name}\t{content}\n")
    return "".join([*found, "end\n"])


def test_a_second_run_changes_nothing_with_tls_and_users(secured):
    _, port = secured
    connection = Answering({STATE: machine_of(port, with_tls(port))})
    report = ensure_registry(connection, NODE, with_tls(port), LIMITS)
    assert (report.changes, connection.taken(), report.ca) == ([], [STATE], CA.pem)


def test_a_certificate_that_the_registry_has_not_read_makes_it_restart(secured):
    """As after an operation that was cut off once it had written the certificate."""
    registry, port = secured
    new = CA.issue("registry.example")

    def restart():
        registry.show(*new)
        return ""

    state = machine_of(port, with_tls(port, new))
    connection = Answering({STATE: state, "docker restart": restart})
    (change,) = ensure_registry(connection, NODE, with_tls(port, new), LIMITS).changes
    assert re.fullmatch(
        r"registry restarted for its new certificate: it did not serve for \d+\.\d s", change
    )
    assert connection.taken() == [STATE, "docker restart private_registry"]
    assert ensure_registry(connection, NODE, with_tls(port, new), LIMITS).changes == []


def test_what_tls_and_users_left_is_removed_once_the_registry_runs_without(port):
    params = replace(PARAMS, port_no=port)
    state = machine_of(port, with_tls(port))
    connection = Answering({STATE: state})
    assert ensure(connection, params) == ["registry container replaced"]
    assert connection.taken() == [STATE, "docker stop private_registry",
                                  "docker rm private_registry", "docker run private_registry",
                                  "remove /etc/tacker-cir/registry/server.crt and 2 other "
                                  "files"]  # fmt: skip


def test_a_registry_that_is_kept_up(port, caplog):
    upkeep = Upkeep(delete=True, collection=Collection("daily"), min_free="10%")
    room = "read the free space of the registry's disk"
    connection = Answering({STATE: machine_with(), room: "Size Avail\n1000000000 50000000\n"})
    report = ensure(connection, replace(PARAMS, port_no=port, upkeep=upkeep))
    assert report == ["registry container started", "collection of unused data set up"]
    steps = connection.taken()
    written = "write /var/lib/tacker-cir/tacker-cir-registry-collection.sh and 2 other files"
    assert steps == [
        "stop the collection of unused data",
        STATE,
        "docker run private_registry",
        room,
        written,
        "start the timer of the collection",
    ]
    words = " ".join(connection.asked[steps.index("docker run private_registry")].argv)
    assert "--env REGISTRY_STORAGE_DELETE_ENABLED=true " in words
    assert "--log-opt max-size=10m --log-opt max-file=3 " in words
    assert "has 50 MB free, less than the 100 MB of upkeep.min_free" in caplog.text
