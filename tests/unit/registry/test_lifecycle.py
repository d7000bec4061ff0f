# SPDX-License-Identifier: Apache-2.0
"""Which machine the registry VNF has."""

from __future__ import annotations

import pytest

from tacker_cir.exceptions import InventoryError
from tacker_cir.inventory import Resource
from tacker_cir.registry import lifecycle


def test_a_registry_has_exactly_one_machine():
    ports = [
        Resource("CP1", "OS::Neutron::Port", f"port-{n}", f"stack-{n}", (),
                 {"fixed_ips": [{"ip_address": f"198.51.100.{n}"}]})
        for n in (1, 2)
    ]  # fmt: skip
    assert lifecycle._only_node(ports[:1], "CP1").ssh_address == "198.51.100.1"
    with pytest.raises(InventoryError, match=r"has 2 VMs with CP 'CP1' \(198.51.100.1, 198.51.1"):
        lifecycle._only_node(ports, "CP1")
