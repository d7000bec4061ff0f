# SPDX-License-Identifier: Apache-2.0
"""Which Tacker a lab runs, and what its programs are run with."""

from __future__ import annotations

import argparse
import importlib.metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.testbed.cloud import tackers
from tests.testbed.cloud.tackers import OWN, Environment
from tests.testbed.machines.host import REPOSITORY, LabError


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        ("15", "--tacker 15: expected a full version, e.g. 15.0.0"),
        ("15.0.0; x", "expected a full version"),
        ("11.0.0", f"expected one from {tackers.OLDEST} to 16"),
        ("17.0.0", "to 16"),
    ],
)
def test_versions_that_cannot_be_had(version, reason):
    with pytest.raises(LabError, match=reason):
        tackers.check(version)


def test_the_oldest_is_the_one_that_the_package_promises():
    tackers.check(tackers.OLDEST)
    text = (REPOSITORY / "pyproject.toml").read_text()
    assert f'"tacker>={tackers.OLDEST}"' in text


def test_the_option_is_repeated_for_another_command():
    parser = argparse.ArgumentParser()
    tackers.add_options(parser)
    assert tackers.words(parser.parse_args([])) == []
    assert tackers.words(parser.parse_args(["--tacker", "15.0.0"])) == ["--tacker=15.0.0"]


def test_each_tacker_has_an_environment_and_all_share_this_package(tmp_path):
    environment, package = tackers.parts(tmp_path, "15.0.0")
    newer, same = tackers.parts(tmp_path, "16.0.0")
    assert environment.target != newer.target and package.target == same.target
    assert environment.target.parent == newer.target.parent


def test_the_environment_has_what_this_package_needs_beside_tacker():
    words = tackers._requirements()
    names = {Requirement(word).name for word in words}
    assert {"paramiko", "tenacity", "SQLAlchemy"} <= names and "tacker" not in names


def test_programs_of_an_environment_find_this_package_first(tmp_path):
    (tmp_path / "lib/python3.11/site-packages/tacker-15.0.0.dist-info").mkdir(parents=True)
    other = Environment(tmp_path, Path("/package"))
    assert other.version == "15.0.0"
    assert other.command("tacker-server") == [
        f"{tmp_path}/bin/{n}" for n in ("python", "tacker-server")
    ]
    assert other.variables == {"PYTHONPATH": "/package"}
    assert other.keystone.endswith(":5000") and OWN.keystone.endswith("/v3")
    assert OWN.command("tacker-server") == [f"{OWN.prefix}/bin/tacker-server"]
    assert OWN.variables == {} and OWN.version == importlib.metadata.version("tacker")
