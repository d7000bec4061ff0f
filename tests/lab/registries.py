# SPDX-License-Identifier: Apache-2.0
"""Private registries of every kind in the lab's network: Debian's docker-registry.

Each has a storage of its own with one image that exists only there. They are processes of the
host that end with the test run, at the latest when it dies.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import bcrypt

from tests.certificates import Authority
from tests.testbed.machines import MachineLab, images, mirror, network
from tests.testbed.machines.base import GATEWAY
from tests.testbed.machines.host import run, wait_for

#: What a shell, JSON, TOML or "user:password" could stumble over.
PASSWORD = "a b\"c'd$HOME`e\\f:g%20#hé☃"
USER = "user01"
#: Large enough to be several blocks, small enough to make many.
IMAGE_SIZE = 200_000
START_SECONDS = 20


@dataclass(frozen=True)
class Kind:
    """How a registry is served.

    :param authority: signs its certificate; None for plain HTTP
    :param names: what its certificate is for
    :param password: of user :data:`USER`; None for no login
    :param clients: signs the certificates that clients must show
    """

    authority: Authority | None = None
    names: tuple[str, ...] = (GATEWAY,)
    password: str | None = None
    clients: Authority | None = None


class LabRegistry:
    """One registry.

    :param lab: the lab in whose network it listens
    :param directory: of its own
    :param port: at the lab's end of the bridge
    :param program: what its image runs; None for an image that cannot be run
    """

    def __init__(
        self,
        lab: MachineLab,
        directory: Path,
        port: int,
        kind: Kind,
        program: Path | None = None,
    ):
        self._lab, self._directory, self._port, self._kind = lab, directory, port, kind
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None
        self.address = f"{GATEWAY}:{port}"
        #: Repository and tag of its only image.
        self.image = f"test/only-at-{port}:1"

    def fill(self) -> None:
        """Put its image into its storage."""
        self._directory.mkdir(parents=True)
        archive = self._directory / "image.tar"
        if self._program is None:
            images.write_random_image(archive, self.image, IMAGE_SIZE, seed=self.image)
        else:
            files = {
                "/program": images.Entry(self._program, 0o755),
                "/where": images.Entry(self.address.encode()),
            }
            images.write_image(archive, self.image, files, {"Entrypoint": ["/program"]})
        self.start(Kind())
        mirror.push(archive, self.image, self._lab.netns, self.address)
        self.stop()

    def start(self, kind: Kind | None = None) -> None:
        """Serve, and wait until it listens.

        :param kind: in place of its own
        """
        settings = self._directory / "registry.json"
        settings.write_text(json.dumps(self._settings(kind or self._kind)))
        binary = self._lab.prepared.daemons / images.REGISTRY_PROGRAM
        inside = network.inside(self._lab.netns)
        with open(self._directory / "log", "ab") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig=KILL", *inside, binary, "serve", settings],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, "OTEL_TRACES_EXPORTER": "none"},
            )
        process = self._process

        def listens() -> bool:
            assert process.poll() is None, (self._directory / "log").read_text()[-2000:]
            asked = run([*inside, "ss", "-Hltn", "sport", "=", f":{self._port}"])
            return bool(asked.stdout)

        wait_for(listens, f"registry at port {self._port}", START_SECONDS)

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def set_password(self, password: str) -> None:
        """Change the user's password; the registry reads it at the next request."""
        hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()
        new = self._directory / "htpasswd.new"
        new.write_text(f"{USER}:{hashed}\n")
        new.rename(self._directory / "htpasswd")

    def _settings(self, kind: Kind) -> dict[str, object]:
        http: dict[str, object] = {"addr": self.address}
        settings: dict[str, object] = {
            "version": "0.1",
            "log": {"level": "info"},
            "storage": {"filesystem": {"rootdirectory": str(self._directory / "storage")}},
            "http": http,
        }
        if kind.authority:
            certificate, key = kind.authority.issue(*kind.names)
            tls: dict[str, object] = {
                "certificate": self._keep("server.crt", certificate),
                "key": self._keep("server.key", key),
            }
            if kind.clients:
                tls["clientcas"] = [self._keep("clients.crt", kind.clients.pem)]
            http["tls"] = tls
        if kind.password is not None:
            self.set_password(kind.password)
            settings["auth"] = {
                "htpasswd": {"realm": "lab", "path": str(self._directory / "htpasswd")}
            }
        return settings

    def _keep(self, name: str, text: str) -> str:
        path = self._directory / name
        path.write_text(text)
        return str(path)


@contextmanager
def serving(
    lab: MachineLab, directory: Path, kinds: dict[int, Kind], program: Path | None = None
) -> Iterator[list[LabRegistry]]:
    """Serve registries while the block runs.

    :param directory: for their data, which are removed in the end
    :param kinds: by port
    :param program: what their images run; None for images that cannot be run
    """
    made = [
        LabRegistry(lab, directory / str(port), port, kind, program) for port, kind in kinds.items()
    ]
    try:
        for registry in made:
            registry.fill()
            registry.start()
        yield made
    finally:
        for registry in made:
            registry.stop()
        shutil.rmtree(directory, ignore_errors=True)
