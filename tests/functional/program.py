# SPDX-License-Identifier: Apache-2.0
"""A real OpenSSH server program: the machine's own, or Debian's package unpacked into a cache.

Unpacked, not installed: an installed server would listen on the machine's port 22 from the next
boot on, and installing needs root.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

INSTALLED = Path("/usr/sbin/sshd")


class NoServer(Exception):
    """There is no sshd on this machine and apt does not give one."""


@dataclass(frozen=True)
class Program:
    """An sshd that can be run.

    :param path: the program
    :param tree: where its package was unpacked, None for an installed one
    """

    path: Path
    tree: Path | None = None

    @property
    def environment(self) -> dict[str, str]:
        """Environment that makes the program find its unpacked libraries."""
        if self.tree is None:
            return dict(os.environ)
        directories = sorted({str(library.parent) for library in self.tree.rglob("lib*.so.*")})
        return {**os.environ, "LD_LIBRARY_PATH": ":".join(directories)}

    def options(self) -> list[str]:
        """Lines of sshd_config for the helper programs, which lie elsewhere when unpacked."""
        helpers = {"SshdSessionPath": "sshd-session", "SshdAuthPath": "sshd-auth"}
        if self.tree is None:
            return []
        found = {key: self.tree / "usr/lib/openssh" / name for key, name in helpers.items()}
        return [f"{key} {path}" for key, path in found.items() if path.exists()]


def cache_directory() -> Path:
    """Return where unpacked packages are kept between runs, outside of the work tree."""
    if given := os.environ.get("TACKER_CIR_LAB_CACHE"):
        return Path(given)
    if os.geteuid() == 0:
        return Path("/var/cache/tacker-cir-lab")
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "tacker-cir-lab"


def find() -> Program:
    """Return the machine's sshd, or fetch Debian's.

    :raises NoServer: saying what was tried
    """
    if INSTALLED.exists():
        return Program(INSTALLED)
    tree = unpacked("openssh-server", "usr/sbin/sshd", "sshd")
    return Program(tree / "usr/sbin/sshd", tree)


def unpacked(package: str, program: str, name: str) -> Path:
    """Return the directory in which Debian's package is, with all that it needs.

    :param program: path of what it is wanted for
    :param name: of the directory
    :raises NoServer: saying what was tried
    """
    cache = cache_directory()
    tree = cache / name
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (tree / program).exists():
            try:
                _unpack(package, cache, tree)
            except (OSError, subprocess.CalledProcessError) as error:
                said = getattr(error, "stderr", "") or str(error)
                raise NoServer(
                    f"the functional tests need {program}: it is not there, and 'apt-get download "
                    f"{package}' failed: {said.strip()}. Install {package}, or give the machine "
                    "working apt sources"
                ) from None
    return tree


def _unpack(package: str, cache: Path, tree: Path) -> None:
    """Download a package and what it needs beyond the installed packages; unpack it all."""
    part = cache / f"{tree.name}.part"
    shutil.rmtree(part, ignore_errors=True)
    (part / "tree").mkdir(parents=True)
    try:
        _download(package, part, [])
    except subprocess.CalledProcessError:
        # Package lists of our own: the machine's may be missing or old, and are root's to renew.
        lists = cache / "apt"
        for directory in ("lists/partial", "archives/partial"):
            (lists / directory).mkdir(parents=True, exist_ok=True)
        options = [
            f"--option=Dir::State::lists={lists}/lists",
            f"--option=Dir::Cache={lists}",
            "--option=APT::Sandbox::User=",
        ]
        _apt_get(part, [*options, "update"])
        _download(package, part, options)
    for file in part.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", file, part / "tree"], check=True)
    shutil.rmtree(tree, ignore_errors=True)
    (part / "tree").rename(tree)
    shutil.rmtree(part)


def _download(package: str, directory: Path, options: list[str]) -> None:
    wanted = ["--simulate", "--no-install-recommends", "install", package]
    planned = _apt_get(directory, [*options, *wanted])
    names = re.findall(r"^Inst (\S+)", planned, re.MULTILINE)
    _apt_get(directory, [*options, "download", *names])


def _apt_get(directory: Path, arguments: list[str]) -> str:
    environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        ["apt-get", "--quiet", *arguments],
        cwd=directory,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout
