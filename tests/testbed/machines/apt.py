# SPDX-License-Identifier: Apache-2.0
"""Debian packages for the lab: installed on the host, or only downloaded and unpacked.

All of it happens in the preparation stage, from package lists of the lab's own: whatever anybody
does to the host's lists meanwhile, a run sees one state of the distribution.

Installing never starts a service: while apt runs, /usr/sbin/policy-rc.d says 101 (action
forbidden by policy; see invoke-rc.d(8)). A policy-rc.d that the machine has is left alone.
A daemon that the lab runs itself is better unpacked than installed: an installed one would
start at the host's next boot.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.testbed.machines.host import (
    LabError,
    demand_preparation,
    os_release,
    remove,
    run,
    say,
    step,
)

POLICY = Path("/usr/sbin/policy-rc.d")
POLICY_TEXT = "#!/bin/sh\n# tacker_cir lab: nothing starts while it installs packages\nexit 101\n"
APT_GET = ["apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=300", "-o", "APT::Sandbox::User=root"]
#: apt-get update exits 0 when a source fails, unless told otherwise.
UPDATE = [*APT_GET, "-o", "Acquire::Retries=3", "update", "--error-on=any"]

_CONFIGURED = "$(REPO_URI) $(RELEASE) $(COMPONENT)"
_SOURCES = "sources.json"


@dataclass(frozen=True)
class Source:
    """A repository of the distribution: its address, suite and components."""

    uri: str
    suite: str
    components: tuple[str, ...]

    def line(self, kind: str = "deb", options: str = "") -> str:
        """A line for sources.list."""
        return f"{kind} {options}{self.uri} {self.suite} {' '.join(self.components)}\n"


@dataclass(frozen=True)
class Distribution:
    """The host's own distribution, with package lists that only the lab reads.

    Sources of third parties are left out: a guest is a plain machine of the distribution.

    :param state: directory with the sources and the lists.
    :param checks_validity: whether the host's apt refuses outdated Release files: those who use a
        frozen mirror switch that off.
    """

    state: Path
    sources: tuple[Source, ...]
    checks_validity: bool

    @classmethod
    def find(cls, cache: Path) -> Distribution:
        """Find out which repositories the host's apt has of its distribution.

        That is asked once for each configuration of the host's apt and kept.

        :raises LabError: there are none, or one does not answer.
        """
        valid = _checks_validity()
        configured = _targets(["--no-release-info"], _CONFIGURED)
        state = cache / "apt" / fingerprint(os_release(), configured, valid)
        if not (state / _SOURCES).exists():
            demand_preparation("what the host's package sources are")
            remove(state)
            (state / "lists/partial").mkdir(parents=True)
            found = _own_sources(state, configured)
            cls(state, _sources(found), valid)._write_list("deb")
            (state / _SOURCES).write_text(json.dumps(found))
        return cls(state, _sources(json.loads((state / _SOURCES).read_text())), valid)

    def refresh(self) -> None:
        """Bring the lists up to date.

        :raises LabError: a repository does not answer, or has no valid signature.
        """
        demand_preparation("the package lists")
        with step(f"package lists of {', '.join(s.suite for s in self.sources)}"):
            run([*UPDATE, *self._options], env=_environment())

    def install(self, packages: Sequence[str]) -> None:
        """Install on the host what it lacks of the named packages, without starting any service."""
        absent = missing(packages)
        if not absent:
            return
        demand_preparation(f"package {' '.join(absent)} of the host")
        if os.geteuid() != 0:
            raise LabError(f"root is needed to install: {' '.join(absent)}")
        with step(f"apt-get install {' '.join(absent)}"), no_services():
            argv = [*APT_GET, *self._options, "install", "--no-install-recommends", *absent]
            # Stopped midway, dpkg would need repair.
            run(argv, env=_environment(), finish=True)

    def unpack(self, tree: Path, packages: Sequence[str]) -> None:
        """Download packages, in one call, and unpack them over each other in a directory.

        Nothing is installed. Dependencies are the caller's matter.
        """
        tree.mkdir(exist_ok=True)
        self.fetch(tree, packages)
        for deb in sorted(tree.glob("*.deb")):
            run(["dpkg-deb", "-x", deb, tree])
            deb.unlink()

    def fetch(self, into: Path, packages: Sequence[str]) -> None:
        """Download the files of just these packages, in one call."""
        demand_preparation(f"the packages {' '.join(packages)}")
        run([*APT_GET, *self._options, "download", *packages], cwd=into, env=_environment())

    def download(self, packages: Sequence[str], status: Path, into: Path) -> list[Path]:
        """Download packages with what they need beyond a system's installed ones.

        :param status: that system's dpkg status file.
        :returns: the .deb files, without recommended packages.
        """
        demand_preparation(f"the packages {' '.join(packages)}")
        (into / "partial").mkdir(parents=True, exist_ok=True)
        settings = {
            "Dir::State::status": status,
            "Dir::Cache::archives": into,
            "APT::Keep-Downloaded-Packages": "true",
        }
        words = ["install", "--download-only", "--no-install-recommends", *packages]
        run([*APT_GET, *self._options, *_as_options(settings), *words], env=_environment())
        shutil.rmtree(into / "partial")
        (into / "lock").unlink(missing_ok=True)
        return sorted(into.glob("*.deb"))

    def newer(self, suite: str) -> Distribution:
        """The same distribution's repository of another suite, with lists of its own."""
        # Not that of its updates, whose suites have names of their own.
        own = os_release()["VERSION_CODENAME"]
        main = next(source for source in self.sources if source.suite == own)
        state = self.state / "suites" / suite
        (state / "lists/partial").mkdir(parents=True, exist_ok=True)
        other = Distribution(state, (Source(main.uri, suite, ("main",)),), self.checks_validity)
        other._write_list("deb")
        return other

    def with_repository(self, state: Path, line: str) -> Distribution:
        """The same with one more repository, whose lists are fetched; the others' stay.

        :param state: a new directory for the lists.
        :param line: for sources.list.
        """
        demand_preparation(f"the package lists of {line}")
        shutil.copytree(self.state / "lists", state / "lists")
        more = Distribution(state, self.sources, self.checks_validity)
        more._write_list("deb")
        only = state / "only.list"
        only.write_text(f"{line}\n")
        options = _as_options({"Dir::Etc::SourceList": only, "APT::Get::List-Cleanup": "false"})
        run([*UPDATE, *more._options, *options], env=_environment())
        with (state / "sources.list").open("a") as sources:
            sources.write(f"{line}\n")
        return more

    def source_package(self, name: str, into: Path) -> Path:
        """Download a source package, whose signatures apt checks; its description (.dsc) is
        returned."""
        demand_preparation(f"the source of {name}")
        (into / "lists/partial").mkdir(parents=True)
        sources = Distribution(into, self.sources, self.checks_validity)
        sources._write_list("deb-src")
        run([*UPDATE, *sources._options], env=_environment())
        words = ["source", "--download-only", name]
        run([*APT_GET, *sources._options, *words], cwd=into, env=_environment())
        (description,) = into.glob("*.dsc")
        return description

    def libraries(self, package: str) -> list[str]:
        """Shared libraries that a package names as its dependencies."""
        words = [*self._options, "--no-all-versions", "show", package]
        shown = run(["apt-cache", *words]).stdout
        line = next(line for line in shown.splitlines() if line.startswith("Depends:"))
        names = [word.split("|")[0].split("(")[0].strip() for word in line[8:].split(",")]
        return [name for name in names if name.startswith("lib")]

    def names(self, prefix: str) -> list[str]:
        """Names of packages that begin so."""
        return run(["apt-cache", *self._options, "pkgnames", prefix]).stdout.split()

    @property
    def _options(self) -> list[str]:
        return _as_options(
            {
                "Dir::Etc::SourceList": self.state / "sources.list",
                "Dir::Etc::SourceParts": os.devnull,
                "Dir::State::Lists": self.state / "lists",
                "Dir::Cache": self.state,
            }
        )

    def _write_list(self, kind: str) -> None:
        signed = f"[signed-by={keyring()}] "
        lines = [source.line(kind, signed) for source in self.sources]
        (self.state / "sources.list").write_text("".join(lines))


def fetch_file(url: str, target: Path) -> None:
    """Download a file with apt's own downloader, which knows the host's proxies."""
    demand_preparation(url)
    options = _as_options({"APT::Sandbox::User": "root", "Acquire::Retries": 3})
    run(["/usr/lib/apt/apt-helper", *options, "download-file", url, target], env=_environment())


def missing(packages: Sequence[str]) -> list[str]:
    """Those of the packages that the host has not installed."""
    asked = run(
        ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *packages], check=False
    )
    installed = {
        line.split()[0] for line in asked.stdout.splitlines() if line.endswith(" installed")
    }
    return [name for name in packages if name not in installed]


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


def keyring() -> str:
    """Path of the distribution's archive keys, the same on the host and in a guest."""
    return f"/usr/share/keyrings/{os_release()['ID']}-archive-keyring.gpg"


def fingerprint(*parts: object) -> str:
    """A short hash of a recipe, to name what was built from it."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


def _own_sources(state: Path, configured: list[str]) -> list[tuple[str, str, list[str]]]:
    """Ask all of the host's sources whose they are; only a fetched Release file says so."""
    lists = _as_options({"Dir::State::Lists": state / "lists", "Dir::Cache": state})
    say("asking the host's package sources which are of its own distribution")
    update = run([*APT_GET, *lists, "update"], check=False, env=_environment())
    origin = os_release()["ID"]
    found: dict[tuple[str, str], list[str]] = {}
    answered = set()
    for line in _targets(lists, f"{_CONFIGURED} $(ORIGIN)"):
        uri, suite, component, said = line.split(" ", 3)
        answered.add((uri, suite))
        components = found.setdefault((uri, suite), []) if said.lower() == origin else None
        if components is not None and component not in components:
            components.append(component)
    own = {uri for uri, _ in found}
    silent = {tuple(line.split(" ")[:2]) for line in configured} - answered
    if lost := sorted(f"{uri} {suite}" for uri, suite in silent if uri in own or not own):
        said = (update.stdout + update.stderr).strip()[-1500:]
        raise LabError(f"the host's package sources do not answer: {', '.join(lost)}\n{said}")
    for uri, suite in sorted(silent):
        say(f"not used, as it does not answer: {uri} {suite}")
    if not found:
        raise LabError("the host's apt sources name no repository of its own distribution")
    return [(uri, suite, components) for (uri, suite), components in found.items()]


def _sources(listed: list[tuple[str, str, list[str]]]) -> tuple[Source, ...]:
    return tuple(Source(uri, suite, tuple(components)) for uri, suite, components in listed)


def _targets(options: list[str], fields: str) -> list[str]:
    """The package indexes that apt knows of, a line each."""
    words = ["apt-get", "indextargets", *options, "--format", fields, "Created-By: Packages"]
    return sorted(set(run(words).stdout.splitlines()))


def _checks_validity() -> bool:
    said = run(["apt-config", "dump", "--format", "%v", "Acquire::Check-Valid-Until"]).stdout
    return said.strip().lower() not in {"false", "no", "0"}


def _as_options(settings: dict[str, object]) -> list[str]:
    return [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]


def _environment() -> dict[str, str]:
    return {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
