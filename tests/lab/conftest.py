# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the lab tests. They run inside the lab's network namespace: ``tox -e lab``."""

from __future__ import annotations

import io
import itertools
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import paramiko
import pytest

from tests.lab.driving import RegistryMachine
from tests.testbed import progress
from tests.testbed.machines import MachineLab, images, services
from tests.testbed.stand import CloudStand
from tests.testbed.times import Times

_DRIVERS, _SERVICES = "what the drivers did", "what the services call an error"
_FOLLOWERS = pytest.StashKey[list[tuple[str, str, progress.Follower]]]()
#: Lines of a log that are shown.
_LINES = 200
#: Addresses of machines that tests make by hand; the lab's Neutron gives none of them away.
OWN_ADDRESSES = [f"198.51.100.{n}" for n in range(251, 255)]


def pytest_addoption(parser):
    parser.addoption("--thorough", action="store_true", help="run the longest tests as well")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--thorough"):
        return
    left_out = [item for item in items if item.get_closest_marker("thorough")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """Keep what drivers and services log in a test, for :func:`pytest_runtest_makereport`."""
    logs = CloudStand().cloud.logs
    item.stash[_FOLLOWERS] = [
        (_DRIVERS, "", progress.Follower(logs["tacker-conductor"])),
        *((_SERVICES, f"{name}: ", progress.Follower(log, progress.errors))
          for name, log in logs.items()),
    ]  # fmt: skip
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    """Show the drivers' own steps, and what went wrong in the cloud, where a test failed."""
    report = yield
    if report.failed:
        for title, head, follower in item.stash[_FOLLOWERS]:
            if lines := follower.new()[-_LINES:]:
                report.sections.append((title, "\n".join(head + line for line in lines)))
    return report


_seconds: dict[str, float] = defaultdict(float)
_failed: dict[str, list[tuple[str, float, str]]] = defaultdict(list)


def pytest_runtest_logreport(report):
    """Add up how long the tests of a file take, and keep what went wrong."""
    file, _, test = report.nodeid.partition("::")
    _seconds[file] += report.duration
    if report.failed:
        _failed[file].append((f"{test} ({report.when})", report.duration, _reason(report)))


def _reason(report) -> str:
    """Where a test failed and why, and the last words of drivers and services, in a line."""
    crash = getattr(report.longrepr, "reprcrash", None)
    place = f"line {crash.lineno} of {Path(crash.path).name}: " if crash else ""
    why = " ".join((crash.message if crash else report.longreprtext).split())
    last = []
    for title, text in report.sections:
        if of_the_end := {_DRIVERS: 3, _SERVICES: 1}.get(title):
            last += text.splitlines()[-of_the_end:]
    return place + why[:600] + "".join(f" | {line.strip()[:200]}" for line in last)


def pytest_sessionfinish():
    """Hand the times of all files on to who started us, and what failed: of a long log the end
    is what is kept and read."""
    times = Times.of_environment()
    for file, seconds in _seconds.items():
        times.add("test", file, seconds, "FAILED" if file in _failed else "ok")
        for failure in _failed.get(file, ()):
            times.add("failed", *failure)


@pytest.fixture(scope="session")
def lab():
    """The running lab."""
    return MachineLab()


@pytest.fixture(scope="session")
def registry_image(lab):
    """A ``docker save`` archive of registry:latest."""
    return lab.prepared.registry_image


@pytest.fixture(scope="session")
def image(registry_image, tmp_path_factory):
    """The registry's archive, under the name that the sample requests have."""
    path = tmp_path_factory.mktemp("archive") / "private_registry.tar"
    return Path(shutil.copy(registry_image, path))


@pytest.fixture(scope="session")
def stand():
    """The lab with a cloud."""
    return CloudStand()


@pytest.fixture(scope="session")
def proxy_url(lab):
    """URL of the lab's HTTP proxy, with its password."""
    return services.proxy_url(lab.dir)


@pytest.fixture(scope="session")
def small_image(tmp_path_factory):
    """A ``docker save`` archive of an image with a file in it."""
    path = tmp_path_factory.mktemp("images") / "small.tar"
    images.write_random_image(path, "test/small:1", size=1_000_000)
    return path


@pytest.fixture
def machine(lab, registry_image, tmp_path):
    """Makes machines: ``machine(image) -> RegistryMachine``; they are gone after the test."""
    numbers = itertools.count()
    made = []

    def make(image: str) -> RegistryMachine:
        number = next(numbers)
        name, address = f"own-{number}", OWN_ADDRESSES[number]
        package = tmp_path / name
        (package / "Files" / "images").mkdir(parents=True)
        shutil.copy(registry_image, package / "Files" / "images" / "registry.tar")
        made.append(name)
        lab.create(name, address, image=image)
        return RegistryMachine(lab, name, address, package, tmp_path / "pins")

    yield make
    for name in made:
        lab.delete(name)


@pytest.fixture(scope="session")
def private_key():
    """A key pair: (private key, public key line)."""
    key = paramiko.ECDSAKey.generate()
    text = io.StringIO()
    key.write_private_key(text)
    return text.getvalue(), f"{key.get_name()} {key.get_base64()}"


@pytest.fixture(scope="session")
def other_key(tmp_path_factory):
    """An armored OpenPGP public key that signed nothing."""
    home = tmp_path_factory.mktemp("gpg")
    gpg = ["gpg", "--homedir", str(home), "--batch", "--quiet"]
    make = [*gpg, "--passphrase", "", "--quick-generate-key", "other@example.org", "rsa2048"]
    subprocess.run(make, check=True)
    export = subprocess.run([*gpg, "--armor", "--export"], check=True, capture_output=True)
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=True)
    return export.stdout
