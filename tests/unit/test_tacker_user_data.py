# SPDX-License-Identifier: Apache-2.0
"""The base HOT's parameters of how VMs boot: what the request says, and the login it names."""

from __future__ import annotations

import ast
import copy
import re
from io import StringIO
from types import SimpleNamespace

import bcrypt
import paramiko
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tacker.objects.instantiate_vnf_req import InstantiateVnfRequest
from tacker.vnflcm import utils as vnflcm_utils

from tacker_cir import csar
from tacker_cir.command import Secret
from tacker_cir.exceptions import InvalidRequest
from tacker_cir.login import Credentials
from tacker_cir.package import VnfPackage
from tacker_cir.params import boot_options
from tacker_cir.tacker_bridge import V1Instance
from tacker_cir.tacker_user_data import hot_parameters, login_user_data, package_of

VDUS = ("masterNode", "workerNode")
SAMPLES = csar.samples_dir()
TOP = SAMPLES / "kubernetes_vnf_package/BaseHOT/simple/kubernetes_cluster_hot_top.yaml"
NESTED = TOP.parent / "nested/kubernetes_cluster_hot_nested_master.yaml"
OPEN = {
    "key_name": "",
    "security_groups": [],
    "availability_zone": "",
    "config_drive": False,
    "user_data": "",
}


@pytest.fixture(scope="module")
def key():
    """A private key in OpenSSH's format, and its public half."""
    pair = paramiko.ECDSAKey.generate()
    text = StringIO()
    pair.write_private_key(text)
    return text.getvalue(), f"{pair.get_name()} {pair.get_base64()}"


def parameters(options, logins=None, template=None, root=SAMPLES):
    request = SimpleNamespace(additional_params=options, ext_virtual_links=[])
    base_hot = {"heat_template": template or yaml.safe_load(TOP.read_text())}
    before = copy.deepcopy(base_hot)
    found = hot_parameters(base_hot, request, {}, VnfPackage(root), logins or {})
    assert base_hot == before
    return found


def test_the_package_is_the_request_s_whichever_module_tacker_has_imported(tmp_path, monkeypatch):
    paths = {"vnfd-1": str(tmp_path / "own"), "vnfd-2": str(tmp_path / "other")}
    monkeypatch.setattr(vnflcm_utils, "_get_vnf_package_path", lambda _context, name: paths[name])
    module = str(tmp_path / "other" / "UserData" / "user_data.py")
    request = InstantiateVnfRequest(flavour_id="simple", additional_params={})
    assert package_of(request, module).root == tmp_path / "other"
    V1Instance(None, SimpleNamespace(id="1", vnfd_id="vnfd-1"), request).package()
    assert package_of(request, module).root == tmp_path / "own"
    # Neither is it stored with the request.
    assert "own" not in str(request.obj_to_primitive())


def as_heat_hands_it_on(user_data):
    """What the nested template makes of the parameter, as Heat's str_replace does: in one pass."""
    resource = yaml.safe_load(NESTED.read_text())["resources"]["masterNode"]["properties"]
    params = resource["user_data"]["str_replace"]["params"]
    return re.sub("|".join(params), lambda found: params[found[0]], user_data)


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*/BaseHOT/*/nested/*.yaml")), ids=str)
def test_every_template_puts_the_characters_back(path):
    (server,) = (
        resource["properties"]
        for resource in yaml.safe_load(path.read_text())["resources"].values()
        if resource["type"] == "OS::Nova::Server"
    )
    same = yaml.safe_load(NESTED.read_text())["resources"]["masterNode"]["properties"]
    assert server["user_data"] == same["user_data"]


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8").filter(lambda c: c.isprintable() or c in "\n\r\t")))
@example("#!/bin/sh\nprintf '%s\\n' \"it's\" %0A %250A # \\' '' \\\\\n")
def test_user_data_survive_what_tacker_does_with_them(text):
    """It keeps the parameters as repr() and reads that as YAML when it heals a VNFC."""
    text = f"#{text}"
    found = parameters({"user_data": text, "key_name": "mine"})
    kept = yaml.safe_load(str(found))
    assert kept == found
    assert as_heat_hands_it_on(kept["boot"]["masterNode"]["user_data"]) == text


def test_what_the_request_leaves_open_is_left_to_nova():
    assert parameters({})["boot"] == dict.fromkeys(VDUS, OPEN)


def test_what_the_request_says_comes_first():
    given = {
        "key_name": "mine",
        "security_groups": {"workerNode": ["web"]},
        "availability_zone": {"masterNode": "az1", "workerNode": "az2"},
        "config_drive": True,
    }
    master, worker = parameters(given)["boot"].values()
    assert master == OPEN | {"key_name": "mine", "availability_zone": "az1", "config_drive": True}
    assert worker == master | {"availability_zone": "az2", "security_groups": ["web"]}


def test_cloud_init_makes_the_login_that_the_request_names(key):
    private, public = key
    logins = {
        "masterNode": Credentials("ubuntu", private_key=Secret(private)),
        "workerNode": Credentials("debian", Secret("s3cret")),
    }
    found = parameters({}, logins)
    texts = [as_heat_hands_it_on(vm["user_data"]) for vm in found["boot"].values()]
    assert all(text.startswith("#cloud-config\n") for text in texts)
    master, worker = map(yaml.safe_load, texts)
    (user,) = master["users"]
    assert (user["name"], user["ssh_authorized_keys"], user["lock_passwd"]) == (
        "ubuntu",
        [public],
        True,
    )
    (user,) = worker["users"]
    assert (user["name"], user["lock_passwd"], worker["ssh_pwauth"]) == ("debian", False, True)
    assert bcrypt.checkpw(b"s3cret", user["hashed_passwd"].encode())
    for secret in ("s3cret", *private.split("\n")[1:-2]):
        assert secret not in str(found)


@pytest.mark.parametrize("options", [{"key_name": "mine"}, {"user_data": "#cloud-config\n"}])
def test_a_key_pair_or_user_data_take_the_place_of_that(options):
    logins = dict.fromkeys(VDUS, Credentials("ubuntu", Secret("s3cret")))
    (name, value), *_ = options.items()
    master, worker = parameters({name: {"masterNode": value}}, logins)["boot"].values()
    assert as_heat_hands_it_on(master["user_data"]) == options.get("user_data", "")
    assert "hashed_passwd" in worker["user_data"]


def test_a_password_that_would_count_in_part_is_refused():
    with pytest.raises(InvalidRequest, match="more than 72 bytes") as caught:
        login_user_data(Credentials("ubuntu", Secret("s3cret" * 13)))
    assert "s3cret" not in str(caught.value)


def test_a_base_hot_without_the_parameter_gets_none_and_refuses_what_needs_it():
    template = yaml.safe_load(TOP.read_text())
    del template["parameters"]["boot"]
    login = {"masterNode": Credentials("ubuntu", Secret("s3cret"))}
    assert set(parameters({"vm_image": "x"}, login, template)) == {"nfv"}
    with pytest.raises(InvalidRequest, match="has no parameter boot"):
        parameters({"key_name": "mine"}, login, template)


@pytest.mark.parametrize(
    "path", sorted(SAMPLES.glob("*/UserData/*_user_data.py")), ids=lambda path: path.stem
)
def test_scripts_list_what_they_read(path):
    """Who looks at a package without running its script learns it there."""
    tree = ast.parse(path.read_text())
    (read,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "READ"
    )
    registry = "registry" in path.stem
    assert read == (boot_options.NAMES if registry else boot_options.VM_NAMES)


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*/BaseHOT/*/*.yaml")), ids=lambda p: p.stem)
def test_the_login_is_hidden_in_every_template(path):
    for template in (path, *path.parent.glob("nested/*.yaml")):
        parameter = yaml.safe_load(template.read_text())["parameters"]["boot"]
        assert parameter["hidden"] is True
    for default in yaml.safe_load(path.read_text())["parameters"]["boot"]["default"].values():
        assert default == OPEN


REGISTRY = (
    SAMPLES / "private_registry_vnf_package_basehot/BaseHOT/simple/private_registry_hot_top.yaml"
)
VOLUME_ID = "9c8b1d2e-3f4a-4b5c-8d6e-7f8091a2b3c4"
DATA_VOLUME = {"private_registry_installation_param": {"data_volume": {"name": "registry_data"}}}


@pytest.mark.parametrize(
    ("options", "data"),
    [
        ({}, {"size": 0, "id": ""}),
        ({**DATA_VOLUME, "data_volume_size": 100}, {"size": 100, "id": ""}),
        ({**DATA_VOLUME, "data_volume_size": 100.0}, {"size": 100, "id": ""}),
        ({**DATA_VOLUME, "data_volume_id": VOLUME_ID}, {"size": 0, "id": VOLUME_ID}),
    ],
)
def test_the_volume_of_a_request_survives_what_tacker_does_with_it(options, data):
    found = parameters(options, template=yaml.safe_load(REGISTRY.read_text()))
    assert yaml.safe_load(str(found))["data"] == found["data"] == data
    assert repr(found["data"]) == repr(data)


def test_the_volume_of_a_package_s_own_is_taken_where_the_request_names_none():
    registry = yaml.safe_load(REGISTRY.read_text())
    registry["parameters"]["data"]["default"]["size"] = 50
    assert parameters(DATA_VOLUME, template=registry)["data"] == {"size": 50, "id": ""}
    given = {**DATA_VOLUME, "data_volume_id": VOLUME_ID}
    assert parameters(given, template=registry)["data"] == {"size": 0, "id": VOLUME_ID}


def test_a_volume_is_neither_forgotten_nor_handed_to_nobody():
    registry = yaml.safe_load(REGISTRY.read_text())
    with pytest.raises(InvalidRequest, match="data_volume: the VNF has no volume; give data_vol"):
        parameters(DATA_VOLUME, template=registry)
    del registry["parameters"]["data"]
    # A base HOT of one's own attaches what it likes.
    assert "data" not in parameters(DATA_VOLUME, template=registry)
    with pytest.raises(InvalidRequest, match="data_volume_size: .* has no parameter data"):
        parameters({**DATA_VOLUME, "data_volume_size": 1}, template=registry)
