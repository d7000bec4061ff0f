# SPDX-License-Identifier: Apache-2.0
"""Which VNF instances a cluster can name: with Tacker's own code and database."""

from __future__ import annotations

import uuid

import pytest
import sqlalchemy
from tacker import context as tacker_context
from tacker import objects
from tacker.db.db_sqlalchemy import models

from tacker_cir.exceptions import InventoryError
from tacker_cir.tacker_bridge import V1Instance
from tests.unit.tacker_database import tacker_database

OWN, OTHER = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
PARAMETERS = {"private_registry_installation_param": {"users": []}}


@pytest.fixture(autouse=True)
def database(tmp_path, monkeypatch):
    used = (models.VnfInstance, models.VnfInstantiatedInfo)
    with tacker_database(tmp_path, monkeypatch, *used) as engine:
        yield engine


def context(tenant, *, admin=False):
    return tacker_context.Context(user_id="user", tenant_id=tenant, is_admin=admin, roles=[])


def vnf(name, tenant, state="INSTANTIATED", **metadata):
    """A VNF instance, made by Tacker's objects."""
    software = {"vnf_provider": "p", "vnf_product_name": "n", "vnf_software_version": "1"}
    made = objects.VnfInstance(
        context=context(tenant),
        vnf_instance_name=name,
        tenant_id=tenant,
        vnfd_id=str(uuid.uuid4()),
        vnfd_version="1",
        vnf_pkg_id=str(uuid.uuid4()),
        instantiation_state=state,
        vnf_metadata=metadata,
        **software,
    )
    made.create()
    if state == "INSTANTIATED":
        info = objects.InstantiatedVnfInfo(
            context=context(tenant), vnf_instance_id=made.id, flavour_id="simple", ext_cp_info=[],
            vnf_state="STARTED", additional_params=PARAMETERS,
        )  # fmt: skip
        made.instantiated_vnf_info = info
        made.save()
    return made


def find(name_or_id, *, admin=False, caller=OWN):
    cluster = objects.VnfInstance(tenant_id=OWN)
    return V1Instance(context(caller, admin=admin), cluster).registry_vnf(name_or_id)


def refusal(name_or_id, **how):
    with pytest.raises(InventoryError) as caught:
        find(name_or_id, **how)
    return str(caught.value)


def test_one_is_found_by_its_name_and_by_its_id():
    made = vnf("registry", OWN, private_registry_server="10.0.0.5:5000")
    for by in ("registry", made.id):
        found = find(by)
        assert (found.id, found.name, found.instantiated) == (made.id, "registry", True)
        assert found.parameters == PARAMETERS
        assert found.metadata == {"private_registry_server": "10.0.0.5:5000"}
        assert "10.0.0.5" not in repr(found) and "users" not in repr(found)


def test_one_that_was_never_instantiated_has_no_parameters():
    vnf("new", OWN, state="NOT_INSTANTIATED")
    found = find("new")
    assert not found.instantiated and found.parameters is None and found.metadata == {}


@pytest.mark.parametrize("admin", [False, True])
@pytest.mark.parametrize("caller", [OWN, OTHER])
def test_that_of_another_project_is_not_there_whoever_asks(admin, caller, database):
    foreign = vnf("registry", OTHER)
    asked = []
    sqlalchemy.event.listen(database, "before_cursor_execute", lambda *a: asked.append(a[2]))
    for there, nowhere in (("registry", "nothing"), (foreign.id, str(uuid.uuid4()))):
        told = [refusal(name, admin=admin, caller=caller) for name in (there, nowhere)]
        assert told[0] == f"no VNF instance of this project has the name or id {there!r}"
        # The same words, after the same question.
        assert told[0].replace(there, nowhere) == told[1]
        half = len(asked) // 2
        assert half == len(["BEGIN", "SELECT"]) and asked[:half] == asked[half:]
        asked.clear()


def test_an_administrator_names_what_is_of_the_clusters_project():
    own, _ = vnf("registry", OWN), vnf("registry", OTHER)
    assert find("registry", admin=True, caller=OTHER).id == own.id


def test_a_name_that_several_have_is_refused_with_their_ids():
    ids = sorted(vnf("registry", OWN).id for _ in range(7))
    vnf("registry", OTHER)
    assert refusal("registry") == (
        "7 VNF instances of this project have the name 'registry'; expected the id of one: "
        f"{', '.join(ids[:5])} and 2 more"
    )
    assert find(ids[3]).id == ids[3]


def test_an_id_is_not_taken_over_by_a_name():
    first = vnf("registry", OWN)
    vnf(first.id, OWN)
    assert find(first.id).name == "registry"


def test_a_name_is_meant_as_it_is_written():
    vnf("Registry", OWN)
    assert "no VNF instance" in refusal("registry")
    assert "no VNF instance" in refusal("Registry ")


def test_one_that_was_deleted_is_gone():
    made = vnf("registry", OWN)
    made.destroy(context(OWN))
    assert "no VNF instance" in refusal("registry")
    assert "no VNF instance" in refusal(made.id)


def test_each_operation_sees_what_is_now_shown():
    made = vnf("registry", OWN, private_registry_server="10.0.0.5:5000")
    operation = V1Instance(context(OWN), objects.VnfInstance(tenant_id=OWN))
    assert operation.registry_vnf("registry").metadata["private_registry_server"] == "10.0.0.5:5000"
    made.update_metadata({"private_registry_server": "10.0.0.6:5000"})
    later = find("registry")
    assert later.metadata["private_registry_server"] == "10.0.0.6:5000"
