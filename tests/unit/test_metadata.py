# SPDX-License-Identifier: Apache-2.0
"""What is shown in a VNF instance's metadata: with Tacker's own objects and database."""

from __future__ import annotations

import pytest
from oslo_utils import uuidutils
from tacker import objects
from tacker.db.db_sqlalchemy import models

from tacker_cir import metadata
from tacker_cir.tacker_bridge import V1Instance
from tests.unit.tacker_database import TENANT, new_context, tacker_database

LONG = "0123456789" * 250


@pytest.fixture
def database(tmp_path, monkeypatch):
    tables = models.VnfInstance, models.VnfInstantiatedInfo
    with tacker_database(tmp_path, monkeypatch, *tables) as engine:
        yield engine


@pytest.fixture
def vnf_instance(database):
    """A VNF instance with metadata of its user's."""
    made = objects.VnfInstance(
        context=new_context(), vnf_instance_name="registry", vnf_instance_description="",
        vnf_provider="p", vnf_product_name="p", vnf_software_version="1", vnfd_version="1",
        vnfd_id=uuidutils.generate_uuid(), instantiation_state="INSTANTIATED", tenant_id=TENANT,
        vnf_pkg_id=uuidutils.generate_uuid(), vnf_metadata={"mine": "kept"}
    )  # fmt: skip
    made.create()
    return made


def read(vnf_instance) -> dict[str, str]:
    """The metadata as another process reads them."""
    return objects.VnfInstance.get_by_id(new_context(), vnf_instance.id).vnf_metadata


def test_what_is_shown_is_saved_in_parts_that_tacker_takes(vnf_instance):
    instance = V1Instance(new_context(), vnf_instance)
    instance.show({"ca": LONG, "ca_sha256": "aa", "server": "192.0.2.1:443"})
    saved = read(vnf_instance)
    assert saved["mine"] == "kept" and saved["server"] == "192.0.2.1:443"
    assert sorted(saved) == ["ca", "ca_2", "ca_3", "ca_sha256", "mine", "server"]
    assert max(map(len, saved.values())) == metadata.MAX_VALUE
    assert metadata.joined(saved, "ca") == LONG == metadata.joined(instance.metadata, "ca")


def test_a_shorter_text_leaves_nothing_of_a_longer_one(vnf_instance):
    instance = V1Instance(new_context(), vnf_instance)
    instance.show({"ca": LONG, "ca_sha256": "aa"})
    instance.show({"ca": "short"})
    assert read(vnf_instance) == {"mine": "kept", "ca": "short", "ca_sha256": "aa"}
    instance.show({"ca": None, "ca_sha256": None})
    assert read(vnf_instance) == {"mine": "kept"}


def test_nothing_is_saved_where_nothing_changed(vnf_instance, monkeypatch):
    instance = V1Instance(new_context(), vnf_instance)
    instance.show({"server": "192.0.2.1:443", "gone": None})
    monkeypatch.setattr(objects.VnfInstance, "save", None)
    instance.show({"server": "192.0.2.1:443", "gone": None})
    assert read(vnf_instance) == {"mine": "kept", "server": "192.0.2.1:443"}


def test_an_instance_without_metadata(vnf_instance):
    vnf_instance.vnf_metadata = None
    vnf_instance.save()
    V1Instance(new_context(), vnf_instance).show({"server": "192.0.2.1:443"})
    assert read(vnf_instance) == {"server": "192.0.2.1:443"}


@pytest.mark.parametrize(
    ("given", "number"),
    [("ca", 1), ("ca_2", 2), ("ca_1024", 1024), ("ca_sha256", None), ("ca_02", None),
     ("cab", None), ("c", None)],
)  # fmt: skip
def test_which_part_a_key_has(given, number):
    assert metadata.part_number("ca", given) == number


def test_a_text_ends_where_a_part_is_missing():
    assert metadata.joined({"ca": "a", "ca_3": "c"}, "ca") == "a"
    assert metadata.joined({"ca_2": "b"}, "ca") is None
