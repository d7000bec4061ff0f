# SPDX-License-Identifier: Apache-2.0
"""Debian packages for the lab: installed on the host, or only downloaded and unpacked.

Installing never starts a service: while apt runs, /usr/sbin/policy-rc.d says 101 (action
forbidden by policy; see invoke-rc.d(8)). A policy-rc.d that the machine has is left alone.
A daemon that the lab runs itself is better unpacked than installed: an installed one would
start at the host's next boot.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.lab.machines.host import CACHE, LabError, build_once, locked, os_release, run, say, step

POLICY = Path("/usr/sbin/policy-rc.d")
POLICY_TEXT = "#!/bin/sh\n# tacker_cir lab: nothing starts while it installs packages\nexit 101\n"
APT_GET = ["apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=300", "-o", "APT::Sandbox::User=root"]
LOCK = Path("/run/lock/tacker-cir-lab-apt")


def missing(packages: Sequence[str]) -> list[str]:
    """Those of the packages that the host has not installed."""
    asked = run(
        ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *packages], check=False
    )
    installed = {
        line.split()[0] for line in asked.stdout.splitlines() if line.endswith(" installed")
    }
    return [name for name in packages if name not in installed]


def ensure(packages: Sequence[str]) -> None:
    """Install what the host lacks of the named packages, without starting any service.

    :raises LabError: when apt-get fails even with fresh package lists.
    """
    absent = missing(packages)
    if not absent:
        return
    if os.geteuid() != 0:
        raise LabError(f"root is needed to install: {' '.join(absent)}")
    with locked(LOCK), step(f"apt-get install {' '.join(absent)}"), no_services():
        argv = [*APT_GET, "install", "--no-install-recommends", *absent]
        _with_fresh_lists(argv, finish=True)  # stopped midway, dpkg would need repair


@contextlib.contextmanager
def no_services() -> Iterator[None]:
    """Forbid starting services while the block runs, then leave policy-rc.d as it was."""
    if POLICY.exists() and POLICY.read_text() == POLICY_TEXT:
        POLICY.unlink()  # a killed run left it
    if POLICY.exists():
        yield
        return
    POLICY.write_text(POLICY_TEXT)
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink(missing_ok=True)


def unpack(package: str, cache: Path = CACHE) -> Path:
    """Download one package and unpack it in the cache, without installing; its tree is returned.

    Dependencies are the caller's matter: the lab's daemons need the C library only.
    """

    tree = cache / "unpacked" / package / os_release()["VERSION_ID"]
    return build_once(tree, f"download of {package}", lambda path: unpack_over(path, [package]))


def unpack_over(tree: Path, packages: Sequence[str]) -> None:
    """Download packages and unpack them over each other in a directory, without installing."""
    tree.mkdir(exist_ok=True)
    _with_fresh_lists(["apt-get", "-q", "download", *packages], cwd=tree)
    for deb in sorted(tree.glob("*.deb")):
        run(["dpkg-deb", "-x", deb, tree])
        deb.unlink()


def download(packages: Sequence[str], status: Path, into: Path) -> list[Path]:
    """Download packages with what they need beyond a system's installed ones.

    :param status: that system's dpkg status file.
    :returns: the .deb files, without recommended packages.
    """
    (into / "partial").mkdir(parents=True, exist_ok=True)
    _with_fresh_lists(
        [
            *APT_GET,
            "install",
            "--download-only",
            "--no-install-recommends",
            "-o",
            f"Dir::State::status={status}",
            "-o",
            f"Dir::Cache::archives={into}",
            "-o",
            "APT::Keep-Downloaded-Packages=true",
            *packages,
        ]
    )
    shutil.rmtree(into / "partial")
    (into / "lock").unlink(missing_ok=True)
    return sorted(into.glob("*.deb"))


def distribution_sources() -> list[tuple[str, str, list[str]]]:
    """The host's sources of its own distribution: (address, suite, components), as apt reads them.

    Sources of third parties are left out: a guest is a plain machine of the distribution.
    """
    found = _index_targets()
    if not found:
        say("apt-get update: the host has no package lists yet")
        run([*APT_GET, "update"])
        found = _index_targets()
    if not found:
        raise LabError("the host's apt sources name no repository of its own distribution")
    return [(uri, suite, components) for (uri, suite), components in found.items()]


def _index_targets() -> dict[tuple[str, str], list[str]]:
    origin = os_release()["ID"]
    fields = "$(REPO_URI) $(RELEASE) $(COMPONENT) $(ORIGIN)"
    listed = run(["apt-get", "indextargets", "--format", fields, "Created-By: Packages"]).stdout
    found: dict[tuple[str, str], list[str]] = {}
    for line in listed.splitlines():
        uri, suite, component, said = line.split(" ", 3)
        components = found.setdefault((uri, suite), []) if said.lower() == origin else None
        if components is not None and component not in components:
            components.append(component)
    return found


def valid_until_is_checked() -> bool:
    """Whether the host's apt refuses outdated Release files: frozen mirrors switch that off."""
    said = run(["apt-config", "dump", "--format", "%v", "Acquire::Check-Valid-Until"]).stdout
    return said.strip().lower() not in {"false", "no", "0"}


def fingerprint(*parts: object) -> str:
    """A short hash of a recipe, to name what was built from it."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


def _with_fresh_lists(argv: list[str], cwd: Path | None = None, finish: bool = False) -> None:
    # Package lists may be missing or older than the mirror: only the attempt itself shows it.
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    if run(argv, check=False, env=env, cwd=cwd, finish=finish).returncode != 0:
        say("apt-get update: the package lists are missing or out of date")
        run([*APT_GET, "update"], env=env)
        run(argv, env=env, cwd=cwd, finish=finish)
