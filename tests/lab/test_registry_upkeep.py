# SPDX-License-Identifier: Apache-2.0
"""The upkeep of a registry VNF: what is collected, what is served meanwhile, and what is left when
it is cut off anywhere."""

from __future__ import annotations

import hashlib
import json
import urllib.error
import urllib.request
from dataclasses import dataclass

import pytest

from tacker_cir.registry.collection import COLLECTOR, READ_ONLY, UNIT
from tests.lab import collecting
from tests.lab.registry_client import OCI_MANIFEST_TYPE as MANIFEST
from tests.lab.registry_client import digest_of
from tests.lab.registry_vnf import RegistryVnf, build_csar
from tests.lab.vnf import completed
from tests.testbed.machines.host import wait_for

INDEX = "application/vnd.oci.image.index.v1+json"
REPOSITORY = "test/upkeep"
UPKEEP = {
    "delete": True,
    "garbage_collection": {"schedule": "Sun *-*-* 03:00:00", "window": 5},
    "log_size": "1m",
    "log_files": 2,
}
LAYER = 3_000_000


@dataclass(frozen=True)
class Registry:
    """The registry, as a client of its API sees it."""

    server: str

    def ask(self, method: str, path: str, content: bytes | None = None, kind: str = MANIFEST):
        """Return the status, headers and content of an answer."""
        url = path if "://" in path else f"http://{self.server}/v2/{REPOSITORY}/{path}"
        request = urllib.request.Request(url, content, method=method)
        request.add_header("Content-Type", kind)
        request.add_header("Accept", f"{MANIFEST}, {INDEX}")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()

    def upload(self, content: bytes) -> str:
        """Push a blob, unless it is there, and return its digest."""
        digest = digest_of(content)
        if self.ask("HEAD", f"blobs/{digest}")[0] != 200:
            status, headers, _ = self.ask("POST", "blobs/uploads/", b"")
            assert status == 202, status
            url = f"{headers['Location']}&digest={digest}"
            assert self.ask("PUT", url, content, "application/octet-stream")[0] == 201
        return digest

    def put(self, document: dict, reference: str | None = None) -> tuple[str, int]:
        """Push a manifest and return its digest and size."""
        content = json.dumps(document).encode()
        digest = digest_of(content)
        path = f"manifests/{reference or digest}"
        assert self.ask("PUT", path, content, document["mediaType"])[0] == 201
        return digest, len(content)

    def push(self, name: str, tag: str | None = None) -> tuple[str, int]:
        """Push an image that shares nothing with those of another name."""
        parts = [name.encode(), hashlib.sha256(name.encode()).digest() * (LAYER // 32)]
        config, layer = ({"digest": self.upload(p), "size": len(p)} for p in parts)
        config["mediaType"] = "application/vnd.oci.image.config.v1+json"
        layer["mediaType"] = "application/vnd.oci.image.layer.v1.tar"
        image = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]}
        return self.put(image, tag)

    def pull(self, reference: str) -> None:
        """Demand all that an image is made of, whole."""
        status, headers, content = self.ask("GET", f"manifests/{reference}")
        assert status == 200, (reference, status)
        assert digest_of(content) == headers["Docker-Content-Digest"]
        document = json.loads(content)
        for part in document.get("manifests", ()):
            self.pull(part["digest"])
        for part in (*document.get("layers", ()), *filter(None, [document.get("config")])):
            assert digest_of(self.ask("GET", f"blobs/{part['digest']}")[2]) == part["digest"]

    def push_status(self) -> int:
        """Return what a push begins with: 202 where one may, 405 where not, 0 without an answer."""
        try:
            return self.ask("POST", "blobs/uploads/", b"")[0]
        except OSError:
            return 0


@pytest.fixture(scope="module")
def vnf(stand, image, tmp_path_factory):
    directory = tmp_path_factory.mktemp("upkeep")
    made = RegistryVnf(stand, build_csar(directory, guest="debian-12", image=image))
    completed(made.instantiate({"upkeep": UPKEEP, "data_path": "/srv/registry"}))
    yield made
    made.discard()


@pytest.fixture(scope="module")
def run(stand, vnf):
    """Runs a shell script on the machine."""
    lab, machine = stand.lab, vnf.server().machine

    def go(script: str, check: bool = True) -> str:
        return lab.run(machine, ["sh", "-c", script], check=check).stdout.strip()

    return go


@pytest.fixture(scope="module")
def registry(vnf):
    return Registry(f"{vnf.server().address}:5000")


class TestUpkeep:
    """One VNF instance; its registry is collected again and again."""

    @pytest.fixture
    def held(self, run, registry):
        """Begins a collection that does not end by itself."""
        digest, _ = registry.push("held", "held")
        collecting.hold(run, "/srv/registry", REPOSITORY, digest)
        assert registry.push_status() == 405
        registry.pull("held")
        assert run("docker ps -q -f name=^/private_registry$") == ""
        return registry

    def serves_again(self, run, registry) -> None:
        """Demand that pushes are taken, that none was while something collected, and that nothing
        is left."""

        def look() -> bool:
            # Where it collects before and after the question, it did in between.
            collects = f"docker ps -q -f name={COLLECTOR}"
            before = run(collects, check=False)
            taken = registry.push_status() == 202
            assert not (taken and before and run(collects, check=False) == before)
            # A collection that was cut off with Docker begins anew when that is back.
            at_work = run(f"systemctl is-active {UNIT}.service", check=False).endswith("activating")
            return taken and not at_work

        wait_for(look, "a push to be taken", 120, 0.2)
        others = f"docker ps -aq -f name={COLLECTOR} -f name={READ_ONLY}"
        wait_for(lambda: run(others) == "", "the others to be gone", 30, 0.5)
        assert run("docker inspect -f '{{.HostConfig.RestartPolicy.Name}}' private_registry") == (
            "always"
        )
        registry.pull("held")
        registry.push("held", "held")

    def test_what_was_asked_for(self, run, registry):
        shown = run("docker inspect -f '{{json .HostConfig.LogConfig.Config}}' private_registry")
        log = json.loads(shown)
        assert log == {"max-size": "1m", "max-file": "2"}
        assert run(f"systemctl is-active {UNIT}.timer") == "active"
        assert run(f"systemctl is-enabled {UNIT}.timer") == "enabled"
        assert "Sun *-*-* 03:00:00" in run(f"systemctl show -p TimersCalendar {UNIT}.timer")

    def test_a_collection(self, run, registry):
        registry.push("one", "one")
        deleted, _ = registry.push("deleted", "deleted")
        registry.push("moved", "moving")
        registry.push("newer", "moving")
        parts = [registry.push(name) for name in ("amd64", "arm64")]
        manifests = [{"mediaType": MANIFEST, "digest": d, "size": s} for d, s in parts]
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}
        registry.put(index, "multi")
        assert registry.ask("DELETE", f"manifests/{deleted}")[0] == 202
        used = int(run("du -s --block-size=1 /srv/registry").split()[0])
        run(f"systemctl start {UNIT}.service")
        freed = used - int(run("du -s --block-size=1 /srv/registry").split()[0])
        assert freed > 2 * LAYER * 0.9
        # Its process has been started, and may not listen yet.
        wait_for(lambda: registry.push_status() == 202, "the registry to listen", 30)
        for tag in ("one", "moving", "multi"):
            registry.pull(tag)
        assert registry.ask("GET", "manifests/deleted")[0] == 404
        # A registry that remembered its blobs would refuse this.
        registry.push("deleted", "deleted")
        registry.push("moved", "moved")
        for tag in ("one", "moving", "multi", "deleted", "moved"):
            registry.pull(tag)

    def test_a_collection_that_is_killed(self, run, held):
        run(f"systemctl kill --signal=KILL {UNIT}.service")
        self.serves_again(run, held)

    def test_what_has_it_serve_again_is_killed_too(self, run, held):
        state = f"systemctl show -p SubState --value {UNIT}.service"
        run("systemctl kill --signal=STOP docker")
        try:
            run(f"systemctl kill --signal=KILL {UNIT}.service")
            wait_for(lambda: run(state) == "stop-post", "the end of the collection", 30, 0.2)
            run(f"systemctl kill --signal=KILL {UNIT}.service")
        finally:
            run("systemctl kill --signal=CONT docker")
        self.serves_again(run, held)

    def test_docker_restarted_meanwhile(self, run, held):
        run("systemctl restart docker")
        self.serves_again(run, held)

    def test_docker_killed_meanwhile(self, run, held):
        run("systemctl kill --signal=KILL docker")
        self.serves_again(run, held)

    def test_a_reboot_meanwhile(self, run, held, stand, vnf):
        stand.lab.reboot(vnf.server().machine)
        self.serves_again(run, held)
        assert run(f"systemctl is-active {UNIT}.timer") == "active"

    def test_the_registry_cannot_be_started_meanwhile(self, run, held):
        assert (
            run("docker start private_registry >/dev/null 2>&1 && echo started", check=False) == ""
        )
        assert held.push_status() == 405
        run(f"systemctl stop {UNIT}.service")
        self.serves_again(run, held)
