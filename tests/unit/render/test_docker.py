# SPDX-License-Identifier: Apache-2.0
"""Every file that is written on a machine, against tests/golden."""

from __future__ import annotations

import hashlib
import shutil
import subprocess

import pytest

from tacker_cir.command import Secret
from tacker_cir.facts import Facts, FileFact
from tacker_cir.host import apt as host_apt
from tacker_cir.host import docker as host_docker
from tacker_cir.params.private_registry import DockerPackage
from tacker_cir.params.proxy import Proxy
from tacker_cir.params.reader import AptRepository
from tacker_cir.render import apt, docker
from tests.machine import DEBIAN_12

SOURCE = host_apt.Source("docker")

PLAIN = ("http://192.0.2.9:3128", "http://192.0.2.9:3128", "")
WITH_LOGIN = (
    "http://user:p%40ss%25w%C3%B6rd@[2001:db8::9]:3128",
    "https://proxy.example:3129/",
    "localhost,127.0.0.1,::1,registry.example,.internal,*.internal,198.51.100.0/24,2001:db8::/64",
)
HTTP_ONLY = ("http://192.0.2.9:3128", None, "localhost")
PROXIES = [("plain", PLAIN), ("login", WITH_LOGIN), ("http_only", HTTP_ONLY)]


@pytest.mark.parametrize(("name", "proxy"), PROXIES)
def test_apt_proxy(golden, name, proxy):
    golden(f"apt_proxy_{name}.conf", apt.proxy_conf(*proxy))


@pytest.mark.skipif(shutil.which("apt-config") is None, reason="no apt on this machine")
@pytest.mark.parametrize(("name", "proxy"), PROXIES)
def test_apt_reads_the_proxy_as_meant(tmp_path, name, proxy):
    http, https, no_proxy = proxy
    file = tmp_path / "proxy.conf"
    file.write_text(apt.proxy_conf(*proxy))
    shown = subprocess.run(
        ["apt-config", "--config-file", str(file), "shell", "HTTP", "Acquire::http::Proxy",
         "HTTPS", "Acquire::https::Proxy", "DIRECT", "Acquire::http::Proxy::localhost",
         "DIRECT6", "Acquire::http::Proxy::::1"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    expected = [f"HTTP='{http}'"]
    expected += [f"HTTPS='{https}'"] if https else []
    expected += ["DIRECT='DIRECT'"] if "localhost" in no_proxy else []
    expected += ["DIRECT6='DIRECT'"] if "::1" in no_proxy else []
    assert shown.stdout.splitlines() == expected
    assert shown.stderr == ""


@pytest.mark.parametrize(("name", "proxy"), PROXIES)
def test_docker_proxy(golden, name, proxy):
    golden(f"docker_proxy_{name}.env", docker.proxy_environment(*proxy))


def test_docker_drop_in(golden):
    golden("docker_drop_in.conf", docker.environment_drop_in(host_docker.DOCKER.proxy_environment))


def test_apt_source(golden):
    golden(
        "apt_source.sources",
        apt.deb822_source(
            "https://repo.example/linux/debian", "bookworm", ["stable", "test"],
            SOURCE.armored_key, "amd64",
        ),
    )  # fmt: skip


def test_nothing_to_write():
    assert apt.proxy_conf(None, None, "localhost") == ""
    assert docker.proxy_environment(None, None) == ""


FACTS = Facts(os_release=DEBIAN_12, architecture="amd64")


def files(package=DockerPackage(), proxy=None):  # noqa: B008 - frozen
    return {f.path: f for f in host_docker.desired_files(FACTS, package, proxy)}


def test_without_options_no_file_shall_exist():
    assert all(file.content is None for file in files().values())
    assert {*files(), host_docker.DOCKER.pending} == set(host_docker.PATHS)


def test_only_root_reads_a_proxy_with_a_login():
    found = files(proxy=Proxy(Secret(WITH_LOGIN[0]), Secret(WITH_LOGIN[1]), WITH_LOGIN[2]))
    assert found[host_apt.PROXY].mode == 0o600
    assert found[host_docker.DOCKER.proxy_environment].mode == 0o600
    assert b"user" not in found[host_docker.DOCKER.proxy_drop_in].content
    plain = files(proxy=Proxy(Secret(PLAIN[0])))
    assert plain[host_apt.PROXY].mode == 0o644


@pytest.mark.parametrize(
    ("keyring", "path", "other"),
    [
        (b"-----BEGIN PGP", SOURCE.armored_key, SOURCE.binary_key),
        (b"\x99\x02", SOURCE.binary_key, SOURCE.armored_key),
    ],
)
def test_a_repository_trusts_its_own_keyring_only(keyring, path, other):
    repository = AptRepository("https://repo.example", None, ("stable",), keyring)
    found = files(DockerPackage("docker-ce", None, repository, requested=True))
    assert found[path].content == keyring and found[other].content is None
    source = found[SOURCE.path].content.decode()
    assert f"Signed-By: {path}\n" in source
    assert "Suites: bookworm\n" in source


@pytest.mark.parametrize(
    ("facts", "package", "needed"),
    [
        (Facts(), DockerPackage(), True),
        (Facts(docker_installed=True), DockerPackage(), False),
        (Facts(docker_installed=True), DockerPackage("docker-ce", requested=True), True),
        (Facts(packages={"docker-ce": "1"}), DockerPackage("docker-ce", requested=True), False),
        (Facts(packages={"docker-ce": "1"}), DockerPackage("docker-ce", "1", requested=True),
         False),
        (Facts(packages={"docker-ce": "2"}), DockerPackage("docker-ce", "1", requested=True),
         True),
        (Facts(docker_installed=True, packages_interrupted=True), DockerPackage(), True),
    ],
)  # fmt: skip
def test_when_docker_is_installed(facts, package, needed):
    assert host_docker.needs_install(facts, package) is needed


def test_when_the_daemon_must_read_its_files_again():
    given = list(files(proxy=Proxy(Secret(PLAIN[0]))).values())
    known = Facts(files={f.path: as_fact(f) for f in given if f.content is not None})
    assert host_docker.needs_restart(Facts(), given)
    assert not host_docker.needs_restart(known, given)
    # A proxy that is gone, and a restart that an earlier operation did not come to.
    assert host_docker.needs_restart(known, list(files().values()))
    cut_off = Facts(
        files={host_docker.DOCKER.pending: known.files[host_docker.DOCKER.proxy_drop_in]}
    )
    assert host_docker.needs_restart(cut_off, list(files().values()))
    # apt's files are none of the daemon's.
    apt_only = Facts(files={host_apt.PROXY: known.files[host_apt.PROXY]})
    assert not host_docker.needs_restart(apt_only, list(files().values()))


def as_fact(file):
    return FileFact(file.mode, "root", "root", hashlib.sha256(file.content).hexdigest())
