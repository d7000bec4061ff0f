# SPDX-License-Identifier: Apache-2.0
"""daemon.json is judged before it is written, and taken back where Docker does not bear it. The
files are real; dockerd, docker and systemctl are stand-ins (the lab has the real ones)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tacker_cir.exceptions import HostError
from tacker_cir.facts import Facts, gather
from tacker_cir.host import docker
from tacker_cir.host.files import kept
from tacker_cir.host.runtimes import RUNTIMES
from tacker_cir.host.runtimes import docker as docker_runtime
from tacker_cir.host.service import Service
from tacker_cir.registry import access
from tacker_cir.registry.node_files import Owned, Plan
from tacker_cir.render.docker_daemon import CommandLine, Registries
from tacker_cir.ssh import Connection
from tests.functional.server import IS_ROOT
from tests.machine import machine

pytestmark = pytest.mark.skipif(not IS_ROOT, reason="the files belong to root")

# Refuses, as dockerd since 23.0 does, a key that is an option as well.
DOCKERD = r"""#!/bin/sh
case "$*" in
  --help) echo "      --validate      Validate daemon"; exit ;;
  *--validate*)
    for word; do file=$word; done
    case "$*" in *--insecure-registry*) ! grep -q insecure-registries "$file" || {
      echo "the following directives are specified both as a flag and in the file" >&2; exit 1; }
    esac
    exit ;;
esac
sleep 1000
"""
SYSTEMCTL = r"""#!/bin/sh
echo "$1" >>calls
case "$1" in
  show) [ ! -e pid ] || cat pid ;;
  is-active) echo active ;;
  is-enabled) echo enabled ;;
  restart | reload | enable) [ ! -e "fails-$1" ] ;;
esac
"""
INFO = '#!/bin/sh\ncase "$*" in *Registry*) cat info ;; *) echo 20.10.24 ;; esac\n'


class Node:
    def __init__(self, connection: Connection, directory: Path):
        self.connection, self.directory = connection, directory
        self.daemon = directory / "daemon.json"

    def facts(self) -> Facts:
        found = gather(self.connection, contents=[str(self.daemon)], effective=["dockerd"])
        found.docker_installed = found.docker_serving = True
        found.note_started("docker")
        return found

    def calls(self) -> list[str]:
        told = (self.directory / "calls").read_text().split()
        (self.directory / "calls").write_text("")
        return [verb for verb in told if verb in ("restart", "reload", "enable")]


@pytest.fixture
def node(make_sshd, dial, tmp_path, monkeypatch) -> Node:
    for name, text in (("dockerd", DOCKERD), ("systemctl", SYSTEMCTL), ("docker", INFO)):
        text = text.replace("\n", f"\ncd {tmp_path} || exit\n", 1) if name != "dockerd" else text
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "calls").touch()
    (tmp_path / "info").write_text("{}")

    class Elsewhere(Service):
        proxy_environment = f"{tmp_path}/proxy.env"
        proxy_drop_in = f"{tmp_path}/proxy.conf"
        pending = f"{tmp_path}/pending"

    monkeypatch.setattr(docker_runtime, "DOCKER", Elsewhere("docker"))
    monkeypatch.setattr(docker_runtime, "DAEMON_CONFIG", str(tmp_path / "daemon.json"))
    judged = (str(tmp_path / "daemon.json"),)
    monkeypatch.setattr(docker_runtime.DockerRuntime, "judged", judged)
    environment = [f"PATH={tmp_path}:{os.environ['PATH']}"]
    return Node(dial(make_sshd(environment=environment).start()), tmp_path)


@pytest.fixture
def running_dockerd(node) -> Iterator[None]:
    """One that was started with an option."""
    command = [str(node.directory / "dockerd"), "-H", "fd://", "--insecure-registry", "a:5000"]
    process = subprocess.Popen(command, start_new_session=True)
    (node.directory / "pid").write_text(f"{process.pid}\n")
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def ensure(node: Node, facts: Facts) -> bool:
    used = machine(node.connection, facts, service_timeout=0)
    return RUNTIMES["docker"].ensure(used)


def test_a_restart_that_fails_puts_the_file_back(node):
    (node.directory / "pending").touch()
    (node.directory / "fails-restart").touch()
    for before in ('{"debug": true}', None):
        node.daemon.unlink(missing_ok=True)
        if before:
            node.daemon.write_text(before)
        facts = node.facts()
        facts.note_file(str(node.directory / "pending"), b"", 0o644)
        with pytest.raises(HostError, match="step 'restart docker.service'"):
            ensure(node, facts)
        assert node.calls() == ["reload", "restart", "restart"]
        assert (node.daemon.read_text() if before else node.daemon.exists()) == (before or False)
    (node.directory / "fails-restart").unlink()
    ensure(node, facts)
    assert json.loads(node.daemon.read_text()) == {"live-restore": True}


def plan(node: Node, facts: Facts, registries: Registries) -> Plan:
    text = json.dumps({"insecure-registries": registries.insecure})
    file = kept(facts, str(node.daemon), text, check=docker.JUDGE)
    return Plan(Owned(), Owned(entries={"insecure_registries": registries.insecure}), (file,))


@pytest.fixture
def reload(node, monkeypatch):
    """Bring registries into the file, without the other files that belong to a registry."""

    def run(facts: Facts, registries: Registries) -> None:
        monkeypatch.setattr(access.node_files, "plan", lambda *_a: plan(node, facts, registries))
        monkeypatch.setattr(access, "STATE", str(node.directory / "registries.json"))
        used = machine(node.connection, facts, service_timeout=0)
        access.ensure_access(used, [], runtime=RUNTIMES["docker"])

    return run


def test_what_docker_does_not_take_over_is_taken_back(node, reload):
    node.daemon.write_text("{}")
    with pytest.raises(HostError) as caught:
        reload(node.facts(), Registries(("b:5000",)))
    assert "Docker did not take over the registries" in str(caught.value)
    assert f"({node.daemon} is as before)" in str(caught.value)
    assert node.daemon.read_text() == "{}" and node.calls() == ["reload", "reload"]
    (node.directory / "info").write_text('{"IndexConfigs": {"b:5000": {"Secure": false}}}')
    reload(node.facts(), Registries(("b:5000",)))
    assert json.loads(node.daemon.read_text()) == {"insecure-registries": ["b:5000"]}


def test_what_docker_would_refuse_is_not_written(node, running_dockerd, reload):
    node.daemon.write_text("{}")
    facts = node.facts()
    found = CommandLine.parse(facts.dockerd_words)
    assert found.registries == Registries(("a:5000",))
    with pytest.raises(HostError) as caught:
        reload(facts, Registries(("b:5000",)))
    assert "specified both as a flag and in the file" in str(caught.value)
    assert f"{node.daemon} is not written, as it would be refused" in str(caught.value)
    assert node.daemon.read_text() == "{}" and "restart" not in node.calls()
