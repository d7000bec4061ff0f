# SPDX-License-Identifier: Apache-2.0
"""What a lab that is up offers for a try, as the guide prints it."""

from __future__ import annotations

import json
import re
import subprocess

import pytest

from tacker_cir.csar.verify import verify
from tests.lab import tryout
from tests.lab.guide import PAGES
from tests.lab.vnf import tacker_cir

COMMAND = re.compile(r" +((?:source|package=|cluster=|openstack|kubectl) ?\S.*)")


@pytest.fixture(scope="module")
def words(stand):
    """What a user is told."""
    return tryout.lay_out(stand)


def commands(text: str, vnfd: str) -> list[str]:
    found = [match[1] for line in text.splitlines() if (match := COMMAND.fullmatch(line))]
    return [command.replace("VNFD_ID", vnfd) for command in found]


@pytest.fixture
def vnfd(words):
    return re.search(r"vnflcm create (\S+) --name", words)[1]


def test_the_guide_and_the_lab_print_the_same_commands(stand, words, vnfd):
    page = commands((PAGES / "try.rst").read_text(), vnfd)
    here = str(stand.lab.dir)
    assert [c.replace("/run/tacker-cir-lab", here) for c in page] == commands(words, vnfd)


def test_packages_and_requests_work_as_they_are(stand, words):
    directory = stand.lab.dir / "try"
    for name in ("kubernetes", "registry"):
        package, request = directory / f"{name}.zip", directory / f"{name}.json"
        assert json.loads(request.read_text())["vimConnectionInfo"][0]["vimId"] in words
        tacker_cir("validate", str(request), "--csar", str(package))
        assert verify(package) == []


@pytest.mark.thorough
def test_the_commands_of_the_guide_work_as_they_are(words, vnfd):
    script = "\n".join(["set -e", *commands(words, vnfd)])
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    for operation in ("INSTANTIATE", "SCALE", "HEAL", "TERMINATE"):
        assert f"{operation}: COMPLETED" in done.stdout
    for pod in ("kube-apiserver-master", "etcd-master", "coredns"):
        assert pod in done.stdout
    assert re.search(r"worker-\S+ \(\S+\): kubeadm join: done in", done.stderr)
