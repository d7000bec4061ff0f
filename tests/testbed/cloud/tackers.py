# SPDX-License-Identifier: Apache-2.0
"""Which Tacker the cloud runs: that of this environment, or another one in its own.

Another one is a Python environment in the cache with Tacker and what it needs. This package is
beside it, built from this checkout, so that the environment stays when the checkout changes.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.testbed.cloud import settings
from tests.testbed.machines import apt
from tests.testbed.machines.host import REPOSITORY, LabError, run
from tests.testbed.machines.parts import Part

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# What a Tacker needs that its requirements do not say, which name no newest releases. For the
# client of Kubernetes see tacker_cir/doctor.py. Tacker before 16 declares a field by a class
# (PackageOperationalStateType), which oslo.versionedobjects 3.10 refuses.
BEFORE_16 = ["kubernetes<36", "oslo.versionedobjects<3.10"]
SINCE_16 = ["kubernetes>=36,<37"]
#: As pyproject.toml promises.
OLDEST = "15.0.0"
NEWEST_MAJOR = 16


@dataclass(frozen=True)
class Environment:
    """Where a Tacker's programs and files are.

    :param prefix: of the Python environment.
    :param package: directory with this package; None where the environment has it.
    """

    prefix: Path
    package: Path | None = None

    def command(self, name: str) -> list[str]:
        """The words that run a program."""
        program = str(self.prefix / "bin" / name)
        # An environment of the cache was made at another path, which its programs begin with.
        return [str(self.prefix / "bin/python"), program] if self.package else [program]

    def doctor(self) -> list[str]:
        """The words that run ``tacker-cir`` there."""
        return [str(self.prefix / "bin/python"), "-m", "tacker_cir", "doctor"]

    def data_file(self, name: str) -> Path:
        """A file that Tacker's package has installed under etc/tacker of the environment."""
        return self.prefix / "etc/tacker" / name

    @property
    def variables(self) -> Mapping[str, str]:
        """Environment variables of its programs."""
        return {"PYTHONPATH": str(self.package)} if self.package else {}

    @property
    def keystone(self) -> str:
        """Keystone's address in the catalog: Tacker before 16 adds the version to it."""
        url, major = settings.AUTH_URL, int(self.version.partition(".")[0])
        return url if major >= 16 else url.removesuffix("/v3")

    @property
    def version(self) -> str:
        """Tacker's version."""
        (found,) = self.prefix.glob("lib/python*/site-packages/tacker-*.dist-info")
        return found.name.removeprefix("tacker-").removesuffix(".dist-info")


#: That of the process that asks.
OWN = Environment(Path(sys.prefix))


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the option that chooses another Tacker."""
    group = parser.add_argument_group("another Tacker than that of this environment")
    group.add_argument("--tacker", metavar="VERSION", help="e.g. 15.0.0")


def words(arguments: argparse.Namespace) -> list[str]:
    """The option again, for another command."""
    return [f"--tacker={arguments.tacker}"] if arguments.tacker else []


def check(version: str) -> None:
    """Refuse a version that cannot be had, before anything is fetched.

    :raises LabError: with the reason.
    """
    if not re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+", version):
        raise LabError(f"--tacker {version}: expected a full version, e.g. 15.0.0")
    oldest = int(OLDEST.partition(".")[0])
    if not oldest <= int(version.partition(".")[0]) <= NEWEST_MAJOR:
        raise LabError(f"--tacker {version}: expected one from {OLDEST} to {NEWEST_MAJOR}")


def parts(cache: Path, version: str) -> tuple[Part, Part]:
    """The Python environment with a Tacker, and this package for it."""
    more = BEFORE_16 if int(version.partition(".")[0]) < 16 else SINCE_16
    words = [f"tacker=={version}", *more, *_requirements()]
    environment = Part(
        f"Tacker {version} in a Python environment of its own",
        cache / "tacker/environments" / apt.fingerprint(sys.version, words),
        lambda tree: _make_environment(tree, words),
        400,
        2,
    )
    package = Part(
        "this package for it",
        cache / "tacker/package" / apt.fingerprint(sys.version_info[:2], _checkout()),
        lambda tree: _make_package(tree),
        2,
        0.1,
    )
    return environment, package


def _make_environment(tree: Path, words: list[str]) -> None:
    # Without pip, which the host's Python need not bring: ours installs there as well.
    run([sys.executable, "-m", "venv", "--without-pip", tree])
    run([*_pip("--python", str(tree / "bin/python")), "install", *words])


def _make_package(tree: Path) -> None:
    run([*_pip(), "install", "--no-deps", "--target", str(tree), str(REPOSITORY)])


def _pip(*options: str) -> list[str]:
    return [sys.executable, "-m", "pip", "--quiet", *options]


def _requirements() -> list[str]:
    """What this package and the lab's settings need beside Tacker."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    return [word for word in project["dependencies"] if not word.startswith("tacker>")]


def _checkout() -> list[tuple[str, bytes]]:
    """All files that this package is built from."""
    files = [REPOSITORY / name for name in ("pyproject.toml", "README.md", "LICENSE")]
    for top in ("tacker_cir", "samples"):
        files += [p for p in sorted((REPOSITORY / top).rglob("*")) if "__pycache__" not in p.parts]
    return [(str(p.relative_to(REPOSITORY)), p.read_bytes()) for p in files if p.is_file()]
