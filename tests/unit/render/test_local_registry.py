# SPDX-License-Identifier: Apache-2.0
"""What tells a cluster's users of its registry."""

from __future__ import annotations

import json

import pytest
import yaml

from tacker_cir.render import local_registry


def test_the_object(golden):
    text = json.dumps(local_registry.config_map("10.10.0.50:443"), indent=2) + "\n"
    golden("local_registry_hosting.json", text)


@pytest.mark.parametrize("server", ["registry.example", "[2001:db8::5]:443", "1.2.3.4"])
def test_what_it_tells_is_what_the_proposal_names(server):
    told = yaml.safe_load(local_registry.hosting(server))
    # All members are texts (KEP-1755, LocalRegistryHostingV1).
    members = ["host", "hostFromClusterNetwork", "hostFromContainerRuntime", "help"]
    assert list(told) == members and all(isinstance(text, str) for text in told.values())
    assert {told[name] for name in members[:3]} == {server}
