# SPDX-License-Identifier: Apache-2.0
"""Packages of newer Debian suites for the lab's Debian 12 machines.

containerd and Docker of newer suites need nothing newer of the system, so that one base tree has
every version that users have.
"""

from __future__ import annotations

from pathlib import Path

from tests.lab.machines import apt
from tests.lab.machines.base import keyring
from tests.lab.machines.host import LabError, build_once, os_release, run

#: Debian 13's, with containerd 1.7 and Docker 26; and the one after it, with containerd 2.
TRIXIE, FORKY = "trixie", "forky"
PACKAGES = {TRIXIE: ("containerd", "docker.io", "docker-cli"), FORKY: ("containerd",)}


def ensure(cache: Path, suite: str) -> Path:
    """Return a directory with the suite's .deb files of :data:`PACKAGES`, without what they need.

    :raises LabError: the host's mirror does not have the suite
    """
    packages = PACKAGES[suite]
    name = apt.fingerprint(suite, packages, Path(__file__).read_bytes())
    what = f"{' '.join(packages)} of Debian {suite}"
    return build_once(cache / "newer" / name, what, lambda tree: _download(tree, suite, packages))


def _download(tree: Path, suite: str, packages: tuple[str, ...]) -> None:
    if os_release()["ID"] != "debian":
        raise LabError("only a Debian host's mirror has Debian's suites")
    lists = tree / "lists"
    lists.mkdir(parents=True)
    # The mirror of the host's own suite, not that of its security updates.
    uri = next(
        uri for uri, found, _ in apt.distribution_sources() if "-" not in found.partition("/")[0]
    )
    sources = tree / "sources.list"
    sources.write_text(f"deb [signed-by={keyring()}] {uri} {suite} main\n")
    options = {
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": "-",
        "Dir::State::lists": lists,
        "Dir::Cache::pkgcache": "",
        "Dir::Cache::srcpkgcache": "",
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
        # Else an index that could not be had would only lack in what follows.
        "APT::Update::Error-Mode": "any",
    }
    argv = ["apt-get", "-q", *(f"-o{key}={value}" for key, value in options.items())]
    run([*argv, "update"])
    run([*argv, "download", *packages], cwd=tree)
    run(["rm", "-r", lists, sources])
