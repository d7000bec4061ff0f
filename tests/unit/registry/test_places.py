# SPDX-License-Identifier: Apache-2.0
"""Where the registry's files are on its machine."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tacker_cir.command import Secret
from tacker_cir.login import Credentials
from tacker_cir.params.private_registry import PrivateRegistryParams
from tacker_cir.params.registry_volume import DataVolume
from tacker_cir.registry.places import Places

PARAMS = PrivateRegistryParams("CP1", Credentials("ubuntu", Secret("ubuntu")))
VOLUME = DataVolume("registry_data")
OWN = "/var/lib/tacker-cir/registry"


@pytest.mark.parametrize(
    ("params", "home", "places"),
    [
        (PARAMS, "/home/ubuntu", Places(None, "/home/ubuntu/registry", OWN)),
        (PARAMS, "/", Places(None, "/registry", OWN)),
        (replace(PARAMS, data_path="/data"), "/root", Places(None, "/data", OWN)),
        (
            replace(PARAMS, data_volume=VOLUME),
            "/home/ubuntu",
            Places("/srv/registry", "/srv/registry/data", "/srv/registry/tacker-cir"),
        ),
        (
            replace(PARAMS, data_volume=VOLUME, data_path="/mnt/r"),
            "/home/ubuntu",
            Places("/mnt/r", "/mnt/r/data", "/mnt/r/tacker-cir"),
        ),
    ],
)
def test_places(params, home, places):
    assert Places.of(params, home) == places
