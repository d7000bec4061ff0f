# SPDX-License-Identifier: Apache-2.0
"""The user guide as its test in the lab reads it."""

from __future__ import annotations

import json

import pytest

from tacker_cir.vnflcm.update import registries_body
from tests.lab.guide import Guide

PAGES = ("kubernetes.rst", "kubernetes-operations.rst")


def test_commands_are_found_with_their_continuation_lines():
    guide = Guide(*PAGES)
    assert "openstack vnflcm update VNF_INSTANCE_ID --I touch.json" in guide.left
    build = next(command for command in guide.left if "build private-registry" in command)
    assert build.endswith("--image private_registry.tar --output private-registry.zip")
    filtered = 'openstack vnflcm op list --filter "(eq,vnfInstanceId,VNF_INSTANCE_ID)"'
    assert guide.words(filtered, {"VNF_INSTANCE_ID": "1"})[-1] == "(eq,vnfInstanceId,1)"
    assert filtered not in guide.left


def test_a_command_that_is_not_printed_is_refused():
    with pytest.raises(AssertionError, match="does not print"):
        Guide(*PAGES).words("openstack vnflcm explode VNF_INSTANCE_ID", {})


def test_files_are_json():
    guide = Guide(*PAGES)
    assert set(guide.files) == {"registries.json", "as-requested.json", "touch.json"}
    registries = json.loads(guide.file("registries.json", {"10.10.0.10:5000": "r:1"}))
    value = registries_body(registries)["metadata"]["private_registry_connection_info"]
    assert json.loads(value) == [{"connection_type": "0", "server": "r:1"}]
    assert all(json.loads(guide.file(name, {})) for name in guide.files)
