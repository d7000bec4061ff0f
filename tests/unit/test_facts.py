# SPDX-License-Identifier: Apache-2.0
"""What machines said of themselves, and what is understood."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tacker_cir.exceptions import HostError
from tacker_cir.facts import FileFact, parse
from tacker_cir.host.files import ManagedFile
from tacker_cir.host.system import check_supported

DEBIAN_12 = """\
PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
NAME="Debian GNU/Linux"
VERSION_ID="12"
VERSION="12 (bookworm)"
VERSION_CODENAME=bookworm
ID=debian
HOME_URL="https://www.debian.org/"
SUPPORT_URL="https://www.debian.org/support"
BUG_REPORT_URL="https://bugs.debian.org/"
"""
UBUNTU_20_04 = """\
NAME="Ubuntu"
VERSION="20.04.6 LTS (Focal Fossa)"
ID=ubuntu
ID_LIKE=debian
PRETTY_NAME="Ubuntu 20.04.6 LTS"
VERSION_ID="20.04"
HOME_URL="https://www.ubuntu.com/"
VERSION_CODENAME=focal
UBUNTU_CODENAME=focal
"""
UBUNTU_22_04 = """\
PRETTY_NAME="Ubuntu 22.04.4 LTS"
NAME="Ubuntu"
VERSION_ID="22.04"
VERSION="22.04.4 LTS (Jammy Jellyfish)"
VERSION_CODENAME=jammy
ID=ubuntu
ID_LIKE=debian
UBUNTU_CODENAME=jammy
"""
UBUNTU_24_04 = """\
PRETTY_NAME="Ubuntu 24.04.1 LTS"
NAME="Ubuntu"
VERSION_ID="24.04"
VERSION="24.04.1 LTS (Noble Numbat)"
VERSION_CODENAME=noble
ID=ubuntu
ID_LIKE=debian
UBUNTU_CODENAME=noble
LOGO=ubuntu-logo
"""
FEDORA_40 = """\
NAME="Fedora Linux"
VERSION="40 (Cloud Edition)"
ID=fedora
VERSION_ID=40
PRETTY_NAME="Fedora Linux 40 (Cloud Edition)"
# a comment
ANSI_COLOR="0;38;2;60;110;180"

"""
DEBIAN_TESTING = 'PRETTY_NAME="Debian GNU/Linux trixie/sid"\nID=debian\n'


def os_lines(os_release: str) -> str:
    return "".join(f"os\t{line}\n" for line in os_release.splitlines())


def test_a_fresh_debian():
    facts = parse(os_lines(DEBIAN_12) + "arch\tamd64\n")
    assert facts.os_release["PRETTY_NAME"] == "Debian GNU/Linux 12 (bookworm)"
    assert facts.architecture == "amd64"
    assert facts.cloud_init == ""
    assert not facts.docker_installed and not facts.docker_serving
    assert facts.packages == facts.files == facts.images == facts.containers == {}


def test_a_registry_that_serves():
    inspected = Path(__file__).with_name("data") / "container_inspect.json"
    container = json.dumps(json.loads(inspected.read_text()))
    facts = parse(
        os_lines(UBUNTU_22_04)
        + "arch\tarm64\n"
        + "cloud-init\tdone\n"
        + "docker\tactive\tenabled\t20.10.24+dfsg1\n"
        + "package\tdocker.io\t20.10.24+dfsg1-1+deb12u1+b2\tinstalled\n"
        + "package\tdocker-ce\t\tnot-installed\n"
        + "package\told\t1.0\tconfig-files\n"
        + "file\t/etc/apt/apt.conf.d/90proxy\t600 root root\t" + "0" * 64 + "  -\n"
        + "file\t/etc/with space\t4755 ubuntu users\t" + "f" * 64 + "  -\n"
        + "image\tregistry:latest\tsha256:1b7f\n"
        + "image\tother:1\t\n"
        + f"container\tprivate_registry\t{container}\n"
        + "container\tother\t\n"
    )  # fmt: skip
    assert facts.cloud_init == "done"
    assert facts.docker_installed and facts.docker_serving
    assert facts.packages == {"docker.io": "20.10.24+dfsg1-1+deb12u1+b2"}
    assert facts.files == {
        "/etc/apt/apt.conf.d/90proxy": FileFact(0o600, "root", "root", "0" * 64),
        "/etc/with space": FileFact(0o4755, "ubuntu", "users", "f" * 64),
    }
    assert facts.images == {"registry:latest": "sha256:1b7f"}
    assert facts.containers["private_registry"]["State"]["Running"] is True
    assert set(facts.containers) == {"private_registry"}


@pytest.mark.parametrize(
    ("line", "serving"),
    [
        ("docker\tactive\tenabled\t27.1.1", True),
        ("docker\tactive\tenabled\t", False),
        ("docker\tinactive\tenabled\t", False),
        ("docker\tactive\tdisabled\t27.1.1", False),
        ("docker\tfailed\tenabled\t", False),
        ("docker\t\t\t", False),
    ],
)
def test_a_daemon_that_serves_now_and_after_a_reboot(line, serving):
    facts = parse(line + "\n")
    assert facts.docker_installed and facts.docker_serving is serving


@pytest.mark.parametrize(
    ("line", "started"),
    [
        ("docker\tactive\tenabled\t27.1.1", True),
        ("docker\tactivating\tenabled\t", True),
        ("docker\tactivating\tdisabled\t", False),
        ("docker\tinactive\tenabled\t", False),
    ],
)
def test_a_daemon_that_needs_time_only(line, started):
    assert parse(line + "\n").is_started("docker") is started


def test_what_docker_says_of_itself():
    config = {"IndexConfigs": {"docker.io": {"Secure": True}}, "Mirrors": []}
    said = "docker\tactive\tenabled\t20.10.24+dfsg1\tcgroupfs\t" + json.dumps(config)
    facts = parse(said + "\n")
    assert facts.docker_serving
    assert facts.docker_cgroup_driver == "cgroupfs"
    assert facts.docker_registries == config


@pytest.mark.parametrize("said", ["", "\t\tnull", "\t"])
def test_a_docker_that_says_nothing(said):
    facts = parse(f"docker\tactivating\tenabled\t{said}\n")
    assert facts.is_started("docker") and not facts.docker_serving
    assert facts.docker_registries == {}


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+deb12u3", "1.6.20"),
        ("containerd containerd.io 1.7.27 05044ec0a9a75232cad458027ca83437aae3f4da", "1.7.27"),
        ("containerd github.com/containerd/containerd/v2 2.1.9+unknown ", "2.1.9"),
        ("containerd github.com/containerd/containerd/v2 v2.0.5 fb4c30d4", "2.0.5"),
        ("", ""),
    ],
)
def test_containerd(said, version):
    facts = parse(f"containerd\tactive\tenabled\t{said}\n")
    assert (facts.containerd, facts.is_started("containerd")) == (version, True)
    assert not parse(f"containerd\tinactive\tenabled\t{said}\n").is_started("containerd")


def test_kubelet_and_cgroups():
    facts = parse("kubelet\tactive\ncgroup\tcgroup2fs\n")
    assert "kubelet" in facts.active and facts.cgroup2
    facts = parse("kubelet\tactivating\ncgroup\ttmpfs\n")
    assert "kubelet" not in facts.active and not facts.cgroup2


def test_contents():
    line = "content\t/etc/hosts\tMTI3LjAuMC4xIGzDpAo=\ncontent\t/empty\t\n"
    facts = parse(line)
    assert facts.text("/etc/hosts") == "127.0.0.1 lä\n"
    assert facts.text("/empty") == "" and facts.text("/missing") is None
    assert "MTI3" not in repr(facts) and "127.0.0.1" not in repr(facts)


def test_files_that_were_written_since():
    facts = parse("")
    facts.note_file("/f", b"abc", 0o600)
    assert ManagedFile("/f", b"abc", 0o600).is_current(facts) and facts.text("/f") == "abc"
    facts.note_file("/f", None, 0)
    assert ManagedFile("/f", None).is_current(facts) and facts.text("/f") is None


@pytest.mark.parametrize(
    ("line", "interrupted"),
    [
        ("interrupted\t", False),
        ("interrupted\tThe following packages are only half configured, due to problems", True),
    ],
)
def test_an_installation_that_was_cut_off(line, interrupted):
    assert parse(line + "\n").packages_interrupted is interrupted


@pytest.mark.parametrize("os_release", [DEBIAN_12, UBUNTU_20_04, UBUNTU_22_04, UBUNTU_24_04])
def test_supported_systems(os_release):
    check_supported("CP1 (198.51.100.5)", parse(os_lines(os_release)))


@pytest.mark.parametrize(
    ("os_release", "named"),
    [
        (FEDORA_40, "the VM runs Fedora Linux 40 (Cloud Edition), which is not supported"),
        (DEBIAN_TESTING, "the VM runs Debian GNU/Linux trixie/sid, which is not supported"),
        (DEBIAN_12.replace("12", "11"), "the VM runs Debian GNU/Linux 11"),
        ("", "the VM runs an unknown system"),
        ("ID=alpine\n", "the VM runs alpine,"),
    ],
)
def test_other_systems_are_refused(os_release, named):
    with pytest.raises(HostError) as caught:
        check_supported("CP1 (198.51.100.5)", parse(os_lines(os_release)))
    assert named in str(caught.value)
    assert "use an image of Debian 12, Ubuntu 20.04, Ubuntu 22.04, Ubuntu 24.04" in str(
        caught.value
    )


DIGEST = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # of b"abc"


@pytest.mark.parametrize(
    ("fact", "content", "current"),
    [
        (None, None, True),
        (None, b"abc", False),
        (FileFact(0o644, "root", "root", DIGEST), b"abc", True),
        (FileFact(0o644, "root", "root", DIGEST), None, False),
        (FileFact(0o644, "root", "root", DIGEST), b"abd", False),
        (FileFact(0o600, "root", "root", DIGEST), b"abc", False),
        (FileFact(0o644, "ubuntu", "root", DIGEST), b"abc", False),
        (FileFact(0o644, "root", "ubuntu", DIGEST), b"abc", False),
    ],
)
def test_when_a_file_is_written(fact, content, current):
    facts = parse("")
    if fact:
        facts.files["/f"] = fact
    assert ManagedFile("/f", content).is_current(facts) is current
