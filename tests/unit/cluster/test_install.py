# SPDX-License-Identifier: Apache-2.0
"""The install script as text, how it is called, what is made of its answers, and its files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tacker_cir.cluster import install
from tacker_cir.cluster.install import Installed, NodeScript
from tacker_cir.command import Command, Secret
from tacker_cir.exceptions import CommandFailed, HostError
from tacker_cir.facts import Facts
from tacker_cir.host import apt
from tacker_cir.params.install_script import find_script_fault
from tacker_cir.params.k8s_cluster import KubernetesPackages
from tacker_cir.params.proxy import Proxy
from tacker_cir.params.reader import AptRepository
from tacker_cir.runtimes import RUNTIMES
from tacker_cir.ssh import Result
from tests.machine import DEBIAN_12, machine

PATH = (
    Path(__file__).parents[3]
    / "samples/kubernetes_vnf_package/Scripts/install_k8s_cluster.sh"
)  # fmt: skip
TEXT = PATH.read_text()
SOURCE = apt.Source("kubernetes")
FACTS = Facts(os_release=DEBIAN_12, architecture="amd64")
ARMORED = b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQ==\n"
DEFAULT = KubernetesPackages("1.34.8")
MIRROR = KubernetesPackages(
    "1.20.2", AptRepository("http://192.168.0.10/kubernetes/", "/", (), ARMORED)
)
BINARY_MIRROR = KubernetesPackages(
    "1.34.8", AptRepository("https://mirror.example.org/k8s", "stable", ("main",), b"\x99\x02")
)
IN_IMAGE = KubernetesPackages("1.34.8", in_image=True)


def run_script(*words: str, program: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*program, str(PATH), *words], capture_output=True, text=True)


class Answers:
    """Stands in for a connection: gives the answers in turn and keeps what it was asked."""

    node = "master (198.51.100.10)"

    def __init__(self, *answers: str | int):
        self.answers, self.commands, self.inputs = list(answers), [], []

    def run(self, command: Command, *, stdin: bytes, timeout: float, remedy: str) -> Result:
        self.commands.append(command)
        self.inputs.append(stdin)
        answer = self.answers.pop(0)
        if isinstance(answer, int):
            stderr = "progress\nE: Could not get lock /var/lib/dpkg/lock-frontend\n"
            raise CommandFailed(
                self.node, command.step, stderr, remedy, exit_status=answer, stderr=stderr
            )
        return Result(0, answer, "")


def script(*answers: str | int, first_boot_timeout: float = 5) -> NodeScript:
    used = machine(Answers(*answers), first_boot_timeout=first_boot_timeout)
    return NodeScript(used, "containerd")


def done(step: str, changed: bool = True, **more: object) -> str:
    words = "".join(f', "{key}": {str(value).lower()}' for key, value in more.items())
    return f'{{"step": "{step}", "changed": {str(changed).lower()}{words}}}\n'


def test_shellcheck_has_nothing_to_say():
    # That of this environment, whether or not it is activated.
    program = Path(sys.prefix, "bin", "shellcheck")
    found = subprocess.run([program, PATH], capture_output=True, text=True)
    assert (found.stdout, found.returncode) == ("", 0)


def test_the_script_can_be_run():
    assert PATH.stat().st_mode & 0o111 == 0o111
    assert find_script_fault(TEXT) is None


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "is not an install script of tacker_cir"),
        ("#!/bin/bash\necho NODE_SCRIPT_PROTOCOL=1\n", "is not an install script"),
        ("readonly NODE_SCRIPT_PROTOCOL=2\n", "is for another tacker_cir"),
    ],
)
def test_a_script_that_answers_otherwise_is_refused(text, fault):
    assert fault in find_script_fault(text)


@pytest.mark.parametrize(
    ("line", "known", "unknown"),
    [
        ("", ("docker", "containerd"), ("cri-o", "dock")),
        ("readonly NODE_SCRIPT_RUNTIMES=(containerd)\n", ("containerd",), ("docker", "cri-o")),
        ("readonly NODE_SCRIPT_RUNTIMES=(docker cri-o)\n", ("docker", "cri-o"), ("containerd",)),
        ("readonly NODE_SCRIPT_RUNTIMES=()\n", (), ("docker", "containerd")),
    ],
)
def test_a_script_that_does_not_know_the_runtime_is_refused(line, known, unknown):
    """One that was made before it had to tell its runtimes knows the first two."""
    text = f"readonly NODE_SCRIPT_PROTOCOL=1\n{line}"
    assert [find_script_fault(text, name) for name in known] == [None] * len(known)
    for name in unknown:
        fault = find_script_fault(text, name)
        assert f"does not install container_runtime {name}, only " in fault
        assert " and ".join(known) in fault


@pytest.mark.parametrize("name", RUNTIMES)
def test_the_script_installs_every_runtime_that_a_request_can_have(name):
    assert find_script_fault(TEXT, name) is None
    finished = run_script("install", "--container-runtime", name)
    assert "--container-runtime" not in finished.stderr
    assert "--kubernetes-version: not 1.N.P" in finished.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "step (none) is not known"),
        (["explode"], "step explode is not known"),
        (["install", "--hostname"], "--hostname needs a value"),
        (["install", "--force"], "option --force is not known"),
        (["install", "--container-runtime", "podman"], "neither docker nor containerd"),
        (["install", "--container-runtime", "docker", "--kubernetes-version", "1.34"], "1.N.P"),
        (["init", "--container-runtime", "docker"], "--config is missing"),
    ],
)
def test_wrong_use_is_told_and_changes_nothing(words, told):
    finished = run_script(*words)
    assert finished.returncode == 2
    assert finished.stdout == ""
    assert told in finished.stderr


def test_root_is_needed():
    somebody = () if os.geteuid() else ("setpriv", "--reuid=65534", "--clear-groups")
    finished = run_script("network", program=(*somebody, "bash"))
    assert (finished.returncode, finished.stdout) == (1, "")
    assert "must run as root" in finished.stderr


@pytest.mark.parametrize(
    ("packages", "words"),
    [
        (
            DEFAULT,
            "--kubernetes-version 1.34.8 --hostname master-1 --packages repository "
            "--key-url https://pkgs.k8s.io/core:/stable:/v1.34/deb/Release.key "
            "--keyring /etc/apt/keyrings/tacker-cir-kubernetes.asc",
        ),
        (MIRROR, "--kubernetes-version 1.20.2 --hostname master-1 --packages repository"),
        (IN_IMAGE, "--kubernetes-version 1.34.8 --hostname master-1 --packages image"),
    ],
)
def test_arguments_of_install(packages, words):
    assert " ".join(install.install_words(packages, "master-1")) == words


def test_install_tells_what_it_found():
    node = script(done("install", changed=False, container=True))
    assert node.install(MIRROR, "master-1") == Installed(False, True)
    assert node.machine.connection.commands[0].argv[:4] == (
        install.SCRIPT, "install", "--container-runtime", "containerd"
    )  # fmt: skip


def test_a_configuration_goes_through_the_standard_input():
    node = script(done("pull", False), done("init"), done("join"), done("network"))
    assert node.pull("images", worker=True) is False
    assert node.init("token: s3cret") is True
    assert node.join("token: s3cret") is True
    assert node.network("kind: DaemonSet") is True
    assert node.machine.connection.inputs == [
        b"images", b"token: s3cret", b"token: s3cret", b"kind: DaemonSet"
    ]  # fmt: skip
    lines = [" ".join(command.argv[1:]) for command in node.machine.connection.commands]
    assert lines == [
        "pull --container-runtime containerd --worker --config -",
        "init --container-runtime containerd --config -",
        "join --container-runtime containerd --config -",
        "network --manifest -",
    ]


def test_no_manifest_means_the_default_of_the_script():
    node = script(done("network"), done("reset"))
    node.network(None)
    assert node.reset() is True
    lines = [" ".join(command.argv[1:]) for command in node.machine.connection.commands]
    assert lines == ["network", "reset --container-runtime containerd"]


def test_a_node_that_is_busy_is_asked_again():
    node = script(75, done("init"))
    assert node.init("x") is True


def test_a_node_that_stays_busy_is_told():
    node = script(75, first_boot_timeout=0)
    with pytest.raises(HostError, match="kubeadm init.*at work for 0 sec.*Could not get lock"):
        node.init("x")


def test_another_exit_status_is_a_failure():
    with pytest.raises(CommandFailed):
        script(1).init("x")


@pytest.mark.parametrize(
    "output", ["", "hello\n", "[]", done("join"), '{"step": "init", "changed": "yes"}']
)
def test_a_script_that_tells_no_result_is_refused(output):
    with pytest.raises(HostError, match="did not tell its result"):
        script(output).init("x")


def test_the_last_line_is_the_result():
    assert install.parse_answer("noise\n" + done("init") + "\n", "init") == {
        "step": "init", "changed": True
    }  # fmt: skip
    assert install.parse_answer(done("install"), "install") is None


@pytest.mark.parametrize(
    ("packages", "name", "key"),
    [
        (DEFAULT, "kubernetes_default.sources", None),
        (MIRROR, "kubernetes_mirror.sources", SOURCE.armored_key),
        (BINARY_MIRROR, "kubernetes_suite.sources", SOURCE.binary_key),
        (IN_IMAGE, None, None),
    ],
)
def test_files_of_the_repository(golden, packages, name, key):
    files = {f.path: f for f in install.desired_files(FACTS, TEXT, packages, None)}
    assert files[install.SCRIPT].content == TEXT.encode()
    assert files[install.SCRIPT].mode == 0o755
    assert files[apt.PROXY].content is None
    description = files[SOURCE.path].content
    if name is None:
        assert description is None
    else:
        golden(name, description.decode())
    keys = {SOURCE.armored_key, SOURCE.binary_key}
    assert {path for path in keys & set(files) if files[path].content} == ({key} if key else set())
    # The key of pkgs.k8s.io is the script's; every other one that is not given is taken away.
    left_alone = {SOURCE.armored_key} if packages is DEFAULT else set()
    assert keys - set(files) == left_alone
    assert set(files) <= set(install.PATHS)


def test_a_proxy_with_a_password_is_root_s_alone():
    proxy = Proxy(Secret("http://user:pw@192.168.0.1:3128"), None, "10.0.0.1")
    (file,) = (f for f in install.desired_files(FACTS, TEXT, DEFAULT, proxy) if f.path == apt.PROXY)
    assert file.mode == 0o600
    assert b"user:pw@192.168.0.1" in file.content
