# SPDX-License-Identifier: Apache-2.0
"""Stand-ins for pkgs.k8s.io and registry.k8s.io on loopback, with the lab's own Kubernetes in them.

So the fetching of another Kubernetes is shown where the makers' own cannot be reached.
"""

from __future__ import annotations

import contextlib
import functools
import json
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.testbed.kubernetes import archives
from tests.testbed.kubernetes.fetch import HOST_PACKAGES, Order
from tests.testbed.kubernetes.release import VERSION, Release
from tests.testbed.machines import apt, images
from tests.testbed.machines.host import LabError, preparation, run, wait_for
from tests.testbed.machines.parts import Prepared

# The same each time, as what is fetched is kept by where it came from.
PACKAGES_PORT = 15080
REGISTRY = "127.0.0.1:15050"
PATH = "core:/stable:/v1.20/deb"
#: What fetches the compiled Kubernetes from here.
ORDER = Order(VERSION, f"http://127.0.0.1:{PACKAGES_PORT}/{PATH}/", REGISTRY)


@contextlib.contextmanager
def serving(cache: Path, prepared: Prepared) -> Iterator[None]:
    """Serve the compiled Kubernetes while the block runs."""
    with preparation():
        apt.Distribution.find(cache).install(HOST_PACKAGES)
    assert prepared.kubernetes and prepared.images
    offered = archives.compiled(prepared.kubernetes, prepared.images)
    with tempfile.TemporaryDirectory(prefix="tacker-cir-stand-ins-") as directory:
        top = Path(directory)
        link = top / "packages" / PATH
        link.parent.mkdir(parents=True)
        link.symlink_to(offered.packages)
        program = prepared.daemons / images.REGISTRY_PROGRAM
        with _packages(top / "packages"), _registry(top, program):
            _fill(offered)
            yield


@contextlib.contextmanager
def _packages(top: Path) -> Iterator[None]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_words: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(top))
    with ThreadingHTTPServer(("127.0.0.1", PACKAGES_PORT), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield
        finally:
            server.shutdown()


@contextlib.contextmanager
def _registry(top: Path, program: Path) -> Iterator[None]:
    settings, log = top / "registry.json", top / "registry.log"
    storage = {"filesystem": {"rootdirectory": str(top / "registry")}}
    settings.write_text(
        json.dumps({"version": "0.1", "storage": storage, "http": {"addr": REGISTRY}})
    )
    with log.open("w") as output:
        argv: list[str | Path] = [program, "serve", settings]
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        listens = ["ss", "-Hltn", "src", REGISTRY]
        wait_for(lambda: process.poll() or run(listens).stdout, "start of a registry", 20)
        if process.poll() is not None:
            raise LabError(f"the registry ended at once: {log.read_text()[-2000:]}")
        yield
    finally:
        process.terminate()
        process.wait()


def _fill(offered: Release) -> None:
    for name, archive in offered.images.items():
        words = ["skopeo", "--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false"]
        run([*words, f"docker-archive:{archive}", f"docker://{REGISTRY}/{name}"])
