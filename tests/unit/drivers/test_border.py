# SPDX-License-Identifier: Apache-2.0
"""Where Tacker ends: what knows it, and what its objects become there."""

from __future__ import annotations

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

from tacker_cir import tacker_bridge
from tacker_cir.exceptions import InventoryError
from tacker_cir.instance import Leaving
from tacker_cir.inventory import Node
from tacker_cir.tacker_bridge import V1Instance, healed, scaled_in

#: Imports every module in a process that has no Tacker, and tells which need it.
_IMPORT_ALL = """
import importlib, json, pkgutil, sys
sys.modules["tacker"] = None
import tacker_cir
need = []
for module in pkgutil.walk_packages(tacker_cir.__path__, "tacker_cir."):
    try:
        importlib.import_module(module.name)
    except ImportError:
        need.append(module.name)
print(json.dumps(need))
"""


def test_only_the_bridge_and_the_drivers_need_tacker():
    command = [sys.executable, "-W", "ignore", "-c", _IMPORT_ALL]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert json.loads(done.stdout) == [
        "tacker_cir.drivers.kubernetes_mgmt",
        "tacker_cir.drivers.private_registry_mgmt",
        "tacker_cir.tacker_bridge",
        "tacker_cir.tacker_vims",
    ]


def vnf_instance(**members):
    return SimpleNamespace(id="vnf", vnfd_id="vnfd", vnf_metadata=None, **members)


def kept(**members):
    values = {"additional_params": {"kept": 1}, "flavour_id": "kept", "instance_id": "stack"}
    return SimpleNamespace(**{**values, **members})


def test_parameters_are_those_of_the_request_and_later_those_that_tacker_keeps():
    request = SimpleNamespace(additional_params={"asked": 1}, flavour_id="asked")
    found = vnf_instance(instantiated_vnf_info=kept())
    new, later = V1Instance(None, found, request), V1Instance(None, found)
    assert (new.parameters, new.flavour_id) == ({"asked": 1}, "asked")
    assert (later.parameters, later.flavour_id) == ({"kept": 1}, "kept")
    assert new.metadata == later.metadata == {}


def test_an_instance_that_was_never_instantiated_has_no_parameters():
    never = V1Instance(None, vnf_instance(instantiated_vnf_info=None))
    assert never.parameters is None and never.flavour_id is None


def test_without_a_stack_the_operation_ends():
    lost = V1Instance(None, vnf_instance(instantiated_vnf_info=kept(instance_id="")))
    with pytest.raises(InventoryError, match="roll the operation back and instantiate again"):
        _ = lost.stack_id


def test_each_network_is_asked_for_once(monkeypatch):
    links = [SimpleNamespace(resource_id=name) for name in ("b", None, "a", "b")]
    request = SimpleNamespace(ext_virtual_links=links, ext_managed_virtual_links=None)
    asked = []
    monkeypatch.setattr(V1Instance, "_access_info", lambda _self: {"of": "vim"})
    monkeypatch.setattr(tacker_bridge, "read_subnets", lambda *a: asked.append(a) or [])
    subnets = V1Instance(None, vnf_instance(), request).subnets()
    assert list(subnets) == ["b", "a"]
    assert asked == [({"of": "vim"}, "b"), ({"of": "vim"}, "a")]


def machine(server_id, member):
    return Node("CP", "198.51.100.1", "198.51.100.1", server_id, member)


def test_machines_leave_by_their_server_or_by_their_member():
    servers = Leaving(servers=frozenset({"s1"}))
    members = Leaving(members=frozenset({"m2"}))
    assert machine("s1", "m1") in servers and machine("s2", "m2") in members
    assert machine("s2", None) not in servers and machine(None, "m1") not in members
    # What the stack does not tell is no name.
    assert machine(None, None) not in Leaving()


def test_what_tacker_takes_away():
    vnfcs = [
        SimpleNamespace(id=f"vnfc-{n}", compute_resource=SimpleNamespace(resource_id=f"server-{n}"))
        for n in (1, 2)
    ]
    found = vnf_instance(instantiated_vnf_info=kept(vnfc_resource_info=vnfcs))
    all_of_it = SimpleNamespace(vnfc_instance_id=[])
    assert healed(found, all_of_it) is None
    one = SimpleNamespace(vnfc_instance_id=["vnfc-2", "vnfc-of-something-else"])
    assert healed(found, one) == Leaving(servers=frozenset({"server-2"}))
    # What is not known here is not the entire VNF.
    other = SimpleNamespace(vnfc_instance_id=["vnfc-of-something-else"])
    assert healed(found, other) == Leaving()
    assert scaled_in({"scale_name_list": ["a", "b"]}) == Leaving(members=frozenset({"a", "b"}))
    assert scaled_in({}) == scaled_in({"scale_name_list": None}) == Leaving()
