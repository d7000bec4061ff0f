# SPDX-License-Identifier: Apache-2.0
"""What a request says of its VMs beside the drivers' parameters."""

from __future__ import annotations

import pytest

from tacker_cir.package import VnfPackage
from tacker_cir.params import boot_options

VDUS = ("masterNode", "workerNode")
ALL = {
    "vm_image": "debian-12",
    "vm_flavor": {"masterNode": "large", "workerNode": "small"},
    "key_name": "mine",
    "security_groups": ["cluster", "0a0c3b7e-6a51-4a3e-9f3b-0c9d6c0a5c11"],
    "availability_zone": {"workerNode": "az2"},
    "config_drive": True,
    "user_data": "#cloud-config\n",
}


@pytest.fixture
def package(tmp_path):
    return VnfPackage(tmp_path)


def faults(given, package=None):
    given = {**given, boot_options.USER_DATA: "./UserData/any.py"}
    return [str(fault) for fault in boot_options.find_faults(given, package, VDUS)]


def test_without_user_data_nothing_reads_them():
    (fault,) = boot_options.find_faults({"key_name": "mine"}, None)
    assert "TOSCA-only VNFD nothing reads it" in str(fault)
    assert boot_options.find_faults({"unrelated": 1}, None) == []


def test_values_are_for_all_vms_or_for_those_of_a_vdu(package):
    options = boot_options.parse({**ALL, "unrelated": 1}, package, VDUS)
    assert [options.get("key_name", vdu) for vdu in VDUS] == ["mine", "mine"]
    assert [options.get("vm_flavor", vdu) for vdu in VDUS] == ["large", "small"]
    assert [options.get("availability_zone", vdu) for vdu in VDUS] == [None, "az2"]
    assert options.get("security_groups", "workerNode") == ALL["security_groups"]
    assert set(ALL) == set(boot_options.VM_NAMES)


@pytest.mark.parametrize("given", [None, {}, {"k8s_cluster_installation_param": {}}])
def test_none_need_be_given(given):
    assert boot_options.parse(given, None).get("key_name", "masterNode") is None


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"key_name": 5}, "additionalParams.key_name: expected the name of a key pair"),
        ({"key_name": ""}, "got ''"),
        ({"key_name": "a\nb"}, "additionalParams.key_name: expected the name of a key pair"),
        ({"key_name": {}}, "additionalParams.key_name: expected"),
        ({"security_groups": "default"}, "expected a list of names or IDs of security groups"),
        ({"security_groups": []}, "got an empty list"),
        (
            {"security_groups": {"masterNode": [7]}},
            "additionalParams.security_groups.masterNode[0]",
        ),
        ({"config_drive": "yes"}, "additionalParams.config_drive: expected true or false"),
        ({"availability_zone": {"workernode": "a"}}, "did you mean workerNode?"),
        ({"vm_image": {"nosuch": "a"}}, "the VNF package has no VDU 'nosuch'; known: masterNode"),
    ],
)
def test_faults_say_where_and_what(given, fault, package):
    (found,) = faults(given, package)
    assert fault in found


def test_every_fault_is_reported_at_once(package):
    assert len(faults({"key_name": 5, "config_drive": 5, "availability_zone": ""}, package)) == 3


def test_user_data_may_be_a_file_of_the_package(package, tmp_path):
    (tmp_path / "web.yaml").write_text("#cloud-config\npackages: [curl]\n")
    given = {"user_data": {"masterNode": "web.yaml", "workerNode": "#!/bin/sh\n"}}
    options = boot_options.parse(given, package, VDUS)
    assert options.get("user_data", "masterNode") == "#cloud-config\npackages: [curl]\n"
    assert options.get("user_data", "workerNode") == "#!/bin/sh\n"


@pytest.mark.parametrize("odd", ["\x1b", "\x00", "\x85", "\u00a0", "\u2028", "\u200b"])
def test_what_would_be_changed_on_its_way_is_refused(odd, package):
    assert "expected printable" in faults({"user_data": f"#{odd}\n"}, package)[0]


@pytest.mark.parametrize("name", ["a\\b", "it's", 'a"b'])
def test_names_that_would_be_changed_on_their_way_are_refused(name, package):
    assert len(faults({"key_name": name}, package)) == 1


def test_a_message_with_several_parts_is_no_path(package):
    text = "Content-Type: multipart/mixed; boundary=x\n\n--x--\n"
    assert boot_options.parse({"user_data": text}, package).get("user_data", "any") == text


def test_user_data_is_never_shown(package, tmp_path):
    (large := tmp_path / "large").write_text("#" * (boot_options.MAX_USER_DATA + 1))
    for value in ("s3cret", "../s3cret", 7, large.name):
        (found,) = faults({"user_data": {"masterNode": value}}, package)
        assert found.startswith("additionalParams.user_data.masterNode: ")
        assert "s3cret" not in found


ID = "9c8b1d2e-3f4a-4b5c-8d6e-7f8091a2b3c4"
WITH_VOLUME = {"private_registry_installation_param": {"data_volume": {"name": "registry_data"}}}


@pytest.mark.parametrize("volume", [{"data_volume_size": 100}, {"data_volume_id": ID}])
def test_a_volume_is_made_or_given(package, volume):
    assert faults({**WITH_VOLUME, **volume}, package) == []
    options = boot_options.parse({**WITH_VOLUME, **volume}, package, VDUS)
    ((name, value),) = volume.items()
    assert options.get(name, "any") == value


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"data_volume_size": 0}, "data_volume_size: expected the size of the volume"),
        ({"data_volume_size": "100"}, "data_volume_size: expected the size of the volume"),
        ({"data_volume_size": True}, "data_volume_size: expected the size of the volume"),
        ({"data_volume_id": "data"}, "data_volume_id: expected the id of a volume"),
        ({"data_volume_id": f"{ID}\n"}, "data_volume_id: expected the id of a volume"),
        (
            {"data_volume_size": 1, "data_volume_id": ID},
            "data_volume_id: expected this or data_volume_size, not both",
        ),
        (
            {"data_volume_id": ID, "private_registry_installation_param": {}},
            "private_registry_installation_param.data_volume: is missing",
        ),
    ],
)
def test_a_volume_that_cannot_be(package, given, fault):
    (found,) = faults({**WITH_VOLUME, **given}, package)
    assert fault in found
