# SPDX-License-Identifier: Apache-2.0
"""containerd's settings, judged by containerd itself: Debian's, fetched where there is none.
systemctl(1) and ctr(1) only note how they are called: nothing is started."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tacker_cir.exceptions import HostError
from tacker_cir.facts import Facts, gather
from tacker_cir.host.files import unfinished
from tacker_cir.host.runtimes import RUNTIMES, containerd
from tacker_cir.host.service import Service
from tacker_cir.render.containerd_config import CRI, tomllib
from tacker_cir.ssh import Connection
from tests.functional import program
from tests.functional.server import IS_ROOT
from tests.machine import machine

pytestmark = pytest.mark.skipif(not IS_ROOT, reason="the files belong to root")

PAUSE = "registry.example.com:5000/pause:3.9"
CERTS_D = containerd.CONTAINERD_CERTS_D
RUNTIME = RUNTIMES["containerd"]


@pytest.fixture(scope="session")
def real_containerd() -> str:
    """A command line."""
    if installed := shutil.which("containerd"):
        return f"'{installed}'"
    tree = program.unpacked("containerd", "usr/bin/containerd", "containerd")
    libraries = ":".join(sorted({str(file.parent) for file in tree.rglob("lib*.so.*")}))
    return f"env LD_LIBRARY_PATH='{libraries}' '{tree}/usr/bin/containerd'"


class Node:
    """A machine whose containerd reads a file of the test's own.

    :param connection: to it
    :param directory: of containerd's files
    """

    def __init__(self, connection: Connection, directory: Path, calls: Path):
        self.connection, self.directory, self._calls = connection, directory, calls
        self.config = directory / "config.toml"

    def facts(self) -> Facts:
        paths = [*containerd.CONTAINERD.paths]
        return gather(
            self.connection,
            files=paths,
            contents=[str(self.config)],
            effective=RUNTIME.effective,
        )

    def ensure(self, facts: Facts | None = None) -> Facts:
        facts = facts or self.facts()
        facts.cgroup2 = True
        RUNTIME.ensure(machine(self.connection, facts, service_timeout=0), sandbox_image=PAUSE)
        return facts

    def calls(self) -> list[str]:
        """Verbs of systemctl that change something, since the last time."""
        told = self._calls.read_text().split("\n") if self._calls.exists() else []
        self._calls.unlink(missing_ok=True)
        return [verb for verb in told if verb in ("restart", "enable")]


@pytest.fixture
def node(real_containerd, make_sshd, dial, tmp_path, monkeypatch) -> Node:
    directory, programs, calls = tmp_path / "containerd", tmp_path / "programs", tmp_path / "calls"
    for path in (directory / "conf.d", programs):
        path.mkdir(parents=True)
    texts = {
        "systemctl": f'echo "$1" >>{calls}\ncase $1 in is-active) echo active ;; '
        f"is-enabled) echo enabled ;; show) cat {tmp_path}/unit 2>/dev/null ;; esac\n",
        "ctr": f'echo "io.containerd.grpc.v1 cri linux/amd64 $(cat {tmp_path}/cri)"\n',
        "containerd": f'[ "$1" != config ] || set -- --config {directory}/config.toml "$@"\n'
        f'exec {real_containerd} "$@"\n',
    }
    for name, text in texts.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}")
        (programs / name).chmod(0o755)
    (tmp_path / "cri").write_text("ok\n")
    monkeypatch.setattr(containerd, "CONTAINERD_CONFIG", str(directory / "config.toml"))
    service = replace_paths(tmp_path)
    monkeypatch.setattr(containerd, "CONTAINERD", service)
    environment = [f"PATH={programs}:{os.environ['PATH']}"]
    return Node(dial(make_sshd(environment=environment).start()), directory, calls)


def replace_paths(directory: Path) -> Service:
    class Elsewhere(Service):
        pending = f"{directory}/pending"

    return Elsewhere("containerd")


def test_the_file_is_in_effect(node):
    node.config.write_text("version = 2\n")
    facts = node.ensure()
    assert facts.containerd and node.calls() == ["restart"]
    cri = tomllib.loads(facts.containerd_dump)["plugins"][CRI]
    assert cri["registry"]["config_path"] == CERTS_D and cri["sandbox_image"] == PAUSE
    assert RUNTIME.cgroup_driver(facts) == "systemd"
    text, sent = node.config.read_text(), node.connection.commands
    node.ensure(node.facts())
    assert node.calls() == [] and node.config.read_text() == text
    # One for the facts.
    assert node.connection.commands - sent == 1


@pytest.mark.parametrize(
    "drop_in",
    [
        f'[plugins."{CRI}".registry.mirrors."docker.io"]\nendpoint = ["https://m"]\n',
        f'[plugins."{CRI}".containerd]\ndefault_runtime_name = "nvidia"\n'
        f'[plugins."{CRI}".containerd.runtimes.nvidia]\nruntime_type = "io.containerd.runc.v2"\n',
        f'[plugins."{CRI}"]\nsandbox_image = "other:1"\n',
    ],
    ids=["registry", "runtime", "sandbox"],
)
@pytest.mark.parametrize("pattern", ["{}/conf.d/*.toml", "conf.d/a.toml"], ids=["all", "relative"])
def test_a_drop_in_with_the_last_word_is_named_and_nothing_is_changed(node, drop_in, pattern):
    text = f'version = 2\nimports = ["{pattern.format(node.directory)}"]\n# ours\n'
    node.config.write_text(text)
    other = node.directory / "conf.d/a.toml"
    other.write_text(f"version = 2\n{drop_in}")
    (node.directory / "conf.d/b.toml").write_text("version = 2\n[metrics]\naddress = ''\n")
    with pytest.raises(HostError) as caught:
        node.ensure()
    assert str(other) in str(caught.value) and "b.toml" not in str(caught.value)
    assert "has the last word, so that the file has no effect: " in caught.value.cause
    assert node.config.read_text() == text and node.calls() == []
    assert sorted(p.name for p in node.directory.iterdir()) == ["conf.d", "config.toml"]


def test_a_drop_in_that_concerns_others_does_not_hinder(node):
    node.config.write_text(f'version = 2\nimports = ["{node.directory}/conf.d/*.toml"]\n')
    (node.directory / "conf.d/b.toml").write_text("version = 2\n[metrics]\naddress = ''\n")
    node.ensure()
    assert node.calls() == ["restart"] and CERTS_D in node.config.read_text()


def test_a_drop_in_that_comes_later_is_seen_by_the_next_run(node):
    node.config.write_text(f'version = 2\nimports = ["{node.directory}/conf.d/*.toml"]\n')
    node.ensure()
    text = node.config.read_text()
    node.calls()
    (node.directory / "conf.d/a.toml").write_text(
        f'version = 2\n[plugins."{CRI}".registry]\nconfig_path = "/etc/other"\n'
    )
    with pytest.raises(HostError, match="config_path is '/etc/other'"):
        node.ensure()
    assert node.config.read_text() == text and node.calls() == []


def test_the_default_runtime_of_the_file(node):
    runtime = (
        f'[plugins."{CRI}".containerd.runtimes.nvidia]\nruntime_type = "io.containerd.runc.v2"'
    )
    node.config.write_text(
        f'version = 2\n[plugins."{CRI}".containerd]\ndefault_runtime_name = "nvidia"\n{runtime}\n'
    )
    facts = node.ensure()
    found = tomllib.loads(facts.containerd_dump)["plugins"][CRI]["containerd"]["runtimes"]
    assert found["nvidia"]["options"]["SystemdCgroup"] is True
    assert RUNTIME.cgroup_driver(facts) == "systemd"


def test_what_the_cri_does_not_bear_is_taken_back(node, tmp_path):
    (tmp_path / "cri").write_text("error\n")
    for before in ("version = 2\n# theirs\n", None):
        node.config.unlink(missing_ok=True)
        if before:
            node.config.write_text(before)
        with pytest.raises(HostError) as caught:
            node.ensure()
        assert f"({node.config} is as before)" in str(caught.value)
        assert "it does not serve" in str(caught.value)
        assert node.calls() == ["restart", "restart"]
        assert (node.config.read_text() if before else node.config.exists()) == (before or False)
        assert not (tmp_path / "pending").exists()
    (tmp_path / "cri").write_text("ok\n")
    node.ensure()
    assert CERTS_D in node.config.read_text()


def test_another_file_on_the_command_line(node, tmp_path):
    node.config.write_text("version = 2\n")
    other = tmp_path / "other.toml"
    other.write_text("version = 2\n")
    (tmp_path / "unit").write_text(
        f"{{ path=/usr/bin/containerd ; argv[]=/usr/bin/containerd --config {other} ; x }}\n"
    )
    facts = node.facts()
    assert facts.containerd_config_file == str(other) and "version" in facts.containerd_dump
    with pytest.raises(HostError, match=f"names another file, {other}"):
        node.ensure(facts)
    assert node.config.read_text() == "version = 2\n"


def test_the_trial_leaves_nothing(node):
    assert unfinished(str(node.config)).endswith("/.config.toml.tacker-cir-new")
    node.config.write_text('version = 2\nimports = ["conf.d/a.toml"]\n')
    (node.directory / "conf.d/a.toml").write_text("damaged")
    with pytest.raises(HostError, match="repair the files that"):
        node.ensure(replace(node.facts(), containerd_dump=""))
    assert sorted(p.name for p in node.directory.iterdir()) == ["conf.d", "config.toml"]
