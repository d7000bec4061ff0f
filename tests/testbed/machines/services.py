# SPDX-License-Identifier: Apache-2.0
"""The lab's services: package server, registry mirror, HTTP proxy.

Each is one process of the host in the cgroup NETNS/services/NAME, by which it is found and
ended; its settings and its output (NAME.log) are in the run directory. The two daemons are
Debian's binaries, unpacked in the cache and not installed: a host's boot never starts them.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.testbed.machines import apt, cgroups, images, mirror, network
from tests.testbed.machines.base import GATEWAY
from tests.testbed.machines.guests import MIRROR
from tests.testbed.machines.host import REPOSITORY, LabError, run, wait_for
from tests.testbed.machines.parts import Part, Prepared

START_SECONDS = 20
SERVED = "served"
"""In the run directory: what the package server serves, as links into the cache."""

PROXY_PORT = 3128
PROXY_USER = "proxyuser"

PROXY_SETTINGS = """\
Port {port}
Listen {address}
Timeout 600
MaxClients 100
LogLevel Connect
Allow {network}
BasicAuth {user} {password}
DefaultErrorFile "{errors}/default.html"
ErrorFile 407 "{errors}/default.html"
DisableViaHeader Yes
"""


def part(cache: Path, distribution: apt.Distribution) -> Part:
    """The daemons' programs, unpacked: they need the C library only."""
    names = ["docker-registry", "tinyproxy-bin"]
    name = apt.fingerprint(names, distribution.sources)
    return Part(
        "registry mirror and proxy",
        cache / "daemons" / name,
        lambda tree: distribution.unpack(tree, names),
        40,
        0.1,
    )


def start(
    cache: Path, run_dir: Path, netns: str, prepared: Prepared, proxy_password: str | None
) -> None:
    """Start those services that do not run yet with these settings, and wait for them to listen.

    :param cache: where the registry mirror keeps its contents.
    :param proxy_password: None keeps that of a proxy that runs, or makes a random one.
    """
    for repository in prepared.repositories.iterdir():
        serve(run_dir, repository.name, repository)
    _start_package_server(run_dir, netns)
    _start_mirror(cache, run_dir, netns, prepared)
    _start_proxy(run_dir, netns, prepared.daemons, proxy_password)


def proxy_url(run_dir: Path) -> str:
    """Address of the lab's HTTP proxy with user and password in it."""
    password = (run_dir / "proxy.password").read_text()
    return f"http://{PROXY_USER}:{password}@{GATEWAY}:{PROXY_PORT}"


def serve(run_dir: Path, name: str, directory: Path) -> None:
    """Let the package server, running or not yet, serve a directory as /NAME."""
    link = run_dir / SERVED / name
    link.parent.mkdir(exist_ok=True)
    part = link.with_name(f".{name}.part")
    part.unlink(missing_ok=True)
    part.symlink_to(directory)
    part.rename(link)


def _start_package_server(run_dir: Path, netns: str) -> None:
    settings = json.dumps({"address": GATEWAY, "port": 80, "top": str(run_dir / SERVED)})
    path = run_dir / "apt.conf"
    argv = [
        *network.inside(netns),
        sys.executable,
        "-m",
        "tests.testbed.machines.packages_server",
        str(path),
    ]
    _start(run_dir, netns, "apt", argv, 80, settings)


def _start_mirror(cache: Path, run_dir: Path, netns: str, prepared: Prepared) -> None:
    binary = prepared.daemons / images.REGISTRY_PROGRAM
    path = run_dir / "mirror.conf"
    argv = [*network.inside(netns), str(binary), "serve", str(path)]
    port = int(MIRROR.rpartition(":")[2])
    _start(run_dir, netns, "mirror", argv, port, mirror.settings(cache))
    mirror.fill(prepared.registry_image, netns)


def _start_proxy(run_dir: Path, netns: str, tree: Path, password: str | None) -> None:
    kept = run_dir / "proxy.password"
    if password is None:
        password = kept.read_text() if kept.exists() else secrets.token_hex(12)
    if not re.fullmatch(r"[A-Za-z0-9._-]+", password):
        raise LabError("the proxy's password may have letters, digits and . _ - only (tinyproxy)")
    _write_private(kept, password)
    path = run_dir / "proxy.conf"
    settings = PROXY_SETTINGS.format(
        port=PROXY_PORT,
        address=GATEWAY,
        network=network.NETWORK,
        user=PROXY_USER,
        password=password,
        errors=tree / "usr/share/tinyproxy",
    )
    argv = [*network.inside(netns), str(tree / "usr/bin/tinyproxy"), "-d", "-c", str(path)]
    _start(run_dir, netns, "proxy", argv, PROXY_PORT, settings)


def _start(
    run_dir: Path, netns: str, name: str, argv: Sequence[str], port: int, settings: str
) -> None:
    """Run a service that reads its settings from NAME.conf, unless it does so already."""
    group = f"{netns}/services/{name}"
    conf, log_path = run_dir / f"{name}.conf", run_dir / f"{name}.log"
    if cgroups.pids(group) and conf.read_text() == settings:
        return
    cgroups.kill(group)
    _write_private(conf, settings)
    tracking = cgroups.create(group)[0]
    with open(log_path, "a") as log:
        # Into the cgroup first, then fork: when this returns, the service is known by its group.
        subprocess.run(
            [
                "sh",
                "-c",
                'echo $$ > "$0"; exec setsid --fork "$@"',
                tracking / "cgroup.procs",
                *argv,
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            check=True,
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        )

    def listens_or_ended() -> bool:
        listed = run([*network.inside(netns), "ss", "-Hltn", "sport", "=", f":{port}"]).stdout
        return bool(listed) or not cgroups.pids(group)

    wait_for(listens_or_ended, f"start of service {name}", START_SECONDS)
    if not cgroups.pids(group):
        raise LabError(f"service {name} ended at once: {log_path.read_text()[-2000:]}")


def _write_private(path: Path, text: str) -> None:
    path.touch(0o600)
    path.write_text(text)
