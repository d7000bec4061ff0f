# SPDX-License-Identifier: Apache-2.0
"""VNF packages and requests, judged by the code of Tacker, tosca-parser and heat-translator."""

import hashlib
import json
import os
import re
import zipfile

import jsonschema
import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tacker.api.schemas import vnf_lcm as tacker_schemas
from tacker.api.validation import validators as _registers_formats  # noqa: F401
from tacker.common import exceptions as tacker_exceptions
from tacker.vnflcm import utils as vnflcm_utils
from tacker.vnflcm.vnflcm_driver import VnfLcmDriver
from tacker.vnfm.infra_drivers.openstack.openstack import OpenStack
from tacker.vnfm.infra_drivers.openstack.translate_template import TOSCAToHOT
from tacker.vnfm.lcm_user_data import utils as user_data_utils

from tacker_cir import cli, csar
from tacker_cir.csar import sources
from tacker_cir.params import private_registry, schema
from tests.unit.csar.common import (
    ALL,
    DRIVER,
    DRIVER_FILE,
    NESTED,
    OTHER_ID,
    VDU,
    glance_image,
    request_object,
    rewrite,
    sample_request,
)

# Onboarding


@pytest.mark.parametrize("variant", ALL)
def test_tacker_onboards(variant, variants, conductor):
    built = variants(variant)

    vnf_data, flavours, artifacts, _ = conductor(built.path)

    assert vnf_data["descriptor_id"] == built.vnfd_id
    assert [f["flavour_id"] for f in flavours] == ["simple"]
    listed = {e.path for e in built.entries if not e.path.startswith(("Definitions/", "TOSCA-"))}
    # Tacker does not hash disk images again: Glance does.
    assert artifacts == {name for name in listed if not name.endswith(".img")}
    assert DRIVER_FILE in artifacts
    assert csar.verify(built.path) == []


@pytest.mark.parametrize("variant", ["tosca", "basehot"])
def test_tacker_accepts_the_packaged_driver(variant, variants, conductor):
    _, _, _, root = conductor(variants(variant).path)
    tacker = VnfLcmDriver.__new__(VnfLcmDriver)  # its __init__ needs a message queue
    tacker._mgmt_driver_hash = {DRIVER: tacker._get_file_hash(csar.installed_driver(DRIVER))}
    vnfd = vnflcm_utils._get_flavour_based_vnfd(str(root), "simple")
    vnf = vnfd["topology_template"]["node_templates"]["VNF"]

    operations = vnf["interfaces"]["Vnflcm"]

    assert {"instantiate_start", "instantiate_end", "heal_start", "heal_end"} <= set(operations)
    assert not [o for o in operations if o.startswith("terminate")]
    for operation in operations.values():
        name = operation["implementation"]
        assert tacker._check_mgmt_driver(name, vnf["artifacts"], str(root)) == DRIVER


def test_packaged_driver_is_the_installed_file(variants):
    with zipfile.ZipFile(variants("tosca").path) as package:
        assert package.read(DRIVER_FILE) == csar.installed_driver(DRIVER).read_bytes()


def test_tacker_and_verify_agree_on_a_changed_script(variants, conductor):
    built = variants("tosca")
    rewrite(built.path, DRIVER_FILE, lambda old: old + b"\n# changed\n")

    with pytest.raises(tacker_exceptions.InvalidCSAR, match="invalid value"):
        conductor(built.path)
    assert {f.where for f in csar.verify(built.path)} == {DRIVER_FILE}


# The VNF that Tacker makes of it


@pytest.mark.parametrize("shipped", range(len(sources._SHIPPED)))
def test_image_of_the_package_becomes_the_vm_of_a_tosca_only_vnf(
    shipped, variants, conductor, monkeypatch
):
    monkeypatch.setattr(sources, "_SHIPPED", sources._SHIPPED[shipped : shipped + 1])
    built = variants("tosca-all")
    _, flavours, _, root = conductor(built.path)
    vnfd = vnflcm_utils._get_flavour_based_vnfd(str(root), "simple")
    vnfd["topology_template"]["substitution_mappings"].pop("requirements")  # as Tacker does

    (uploaded,) = vnflcm_utils._create_grant_request(vnfd, root.name).values()
    assert uploaded.name == "jammy"
    assert uploaded.image_path == str(root / "Files/images/jammy.img")
    assert (
        uploaded.hash == hashlib.sha512((root / "Files/images/jammy.img").read_bytes()).hexdigest()
    )
    assert (uploaded.disk_format, uploaded.min_disk) == ("qcow2", 4)
    assert flavours[0]["sw_images"][0]["image_path"] == "Files/images/jammy.img"

    class AnyHeat:
        """Stands in for Heat's answer to what properties it has: all of them."""

        def resource_attr_support(self, resource, attribute):
            return True

    request = request_object(sample_request("instantiate_private_registry"))
    vnf = vnflcm_utils._make_final_vnf_dict(vnfd, "id", "name", {})
    translation = TOSCAToHOT(vnf, AnyHeat(), request, glance_image())
    translation.generate_hot()
    resources = yaml.safe_load(translation.fields["template"])["resources"]

    assert resources["CP1"]["properties"] == {"network": request.ext_virtual_links[0].resource_id}
    server = resources[VDU]["properties"]
    assert server["image"] == "id-of-image"
    assert server["networks"] == [{"port": {"get_resource": "CP1"}}]
    flavor = resources[server["flavor"]["get_resource"]]["properties"]
    assert flavor == {"ram": 2048, "vcpus": 1, "disk": 20}
    (vdu,) = vnflcm_utils._get_compute_nodes(vnfd, request).items()
    assert vdu == (VDU, {"CP": ["CP1"], "VIRTUAL_STORAGE": [], "COUNT": 1})


def user_data(root, body, grant=None):
    """Run the package's UserData as Tacker's OpenStack driver does, return nfv and the HOTs."""
    parameters, top, nested = hot_parameters(root, body, grant)
    return parameters["nfv"], top, nested


def hot_parameters(root, body, grant=None):
    """Run the package's UserData as Tacker's OpenStack driver does, return what it returns and the
    HOTs."""
    request = request_object(body)
    top = yaml.safe_load((root / "BaseHOT/simple/private_registry_hot_top.yaml").read_text())
    nested = yaml.safe_load((root / "BaseHOT/simple/nested" / NESTED).read_text())
    path = root / "UserData/private_registry_user_data.py"
    namespace = {"__file__": str(path)}
    exec(path.read_text(), namespace)
    klass = namespace[request.additional_params["lcm-operation-user-data-class"]]
    params = klass.instantiate({NESTED: nested, "heat_template": top}, {}, request, grant)
    return params, top, nested


@pytest.mark.parametrize(
    ("variant", "given", "image", "flavor"),
    [
        ("basehot", {}, "ubuntu-22.04", "m1.small"),
        ("basehot-all", {}, "debian-12", "m2.tiny"),
        ("basehot-all", {"vm_image": "x", "vm_flavor": "y"}, "x", "y"),
        ("basehot-file", {"vm_image": "x"}, "id-of-image", "m1.small"),
    ],
)
def test_user_data_names_image_and_flavor(variant, given, image, flavor, variants, conductor):
    root = conductor(variants(variant).path)[3]
    body = sample_request("instantiate_private_registry_basehot")
    body["additionalParams"].update(given)

    nfv, _, _ = user_data(root, body, glance_image() if variant == "basehot-file" else {})

    assert nfv["VDU"] == {VDU: {"image": image, "flavor": flavor}}
    network = body["extVirtualLinks"][0]["resourceId"]
    assert nfv["CP"] == {"CP1": {"network": network, "fixed_ips": []}}


def test_user_data_takes_addresses(variants, conductor):
    root = conductor(variants("basehot").path)[3]
    body = sample_request("instantiate_private_registry_basehot")
    body["extVirtualLinks"] = sample_request("instantiate_private_registry_all_options")[
        "extVirtualLinks"
    ]
    protocol = body["extVirtualLinks"][0]["extCps"][0]["cpConfig"][0]["cpProtocolData"][0]
    (address,) = protocol["ipOverEthernet"]["ipAddresses"]
    subnet = address["subnetId"]

    nfv, _, _ = user_data(root, body)
    assert address["fixedAddresses"] == ["10.10.0.10"]
    assert nfv["CP"]["CP1"]["fixed_ips"] == [{"subnet": subnet, "ip_address": "10.10.0.10"}]

    del address["fixedAddresses"]
    address["numDynamicAddresses"] = 1
    nfv, _, _ = user_data(root, body)
    assert nfv["CP"]["CP1"]["fixed_ips"] == [{"subnet": subnet}]


def test_user_data_fits_the_templates_and_survives_a_heal(variants, conductor):
    root = conductor(variants("basehot").path)[3]
    body = sample_request("instantiate_private_registry_basehot")
    parameters, top, nested = hot_parameters(root, body)

    assert set(parameters) == set(top["parameters"])
    unit = top["resources"]["private_registry_unit"]
    assert unit["type"] == NESTED
    assert set(unit["properties"]) == set(nested["parameters"])
    for value in unit["properties"].values():
        found = parameters
        for key in value["get_param"]:
            found = found[key]
    assert {"CP1", VDU} == set(nested["resources"])
    # Tacker overwrites what it finds in this way with values of the VNFD when it heals a VNFC.
    overwritten = user_data_utils.create_initial_param_server_port_dict(
        {NESTED: nested, "heat_template": top}
    )
    assert overwritten["nfv"]["VDU"] == {}


def test_tacker_finds_user_data_by_the_sample_request(variants, conductor, monkeypatch):
    root = conductor(variants("basehot").path)[3]
    infra = OpenStack.__new__(OpenStack)
    params = sample_request("instantiate_private_registry_basehot")["additionalParams"]
    module = os.path.splitext(params["lcm-operation-user-data"].lstrip("./"))[0].replace("/", ".")
    monkeypatch.syspath_prepend(str(root))
    try:
        found = __import__(module, fromlist=["x"])
        assert hasattr(found, params["lcm-operation-user-data-class"])
    finally:
        infra._delete_user_data_module(module)


# Requests


@pytest.mark.parametrize(
    ("name", "tacker_schema"),
    [
        ("instantiate_private_registry", tacker_schemas.instantiate),
        ("instantiate_private_registry_all_options", tacker_schemas.instantiate),
        ("instantiate_private_registry_basehot", tacker_schemas.instantiate),
        ("instantiate_private_registry_volume", tacker_schemas.instantiate),
        ("heal_vnf", tacker_schemas.heal),
        ("heal_vnfc", tacker_schemas.heal),
        ("terminate", tacker_schemas.terminate),
    ],
)
def test_tacker_accepts_the_sample_requests(name, tacker_schema):
    jsonschema.Draft7Validator(tacker_schema, format_checker=jsonschema.FormatChecker()).validate(
        sample_request(name)
    )


@pytest.mark.parametrize("suffix", ["", "_all_options", "_basehot", "_volume"])
def test_sample_requests_have_sound_parameters(suffix):
    body = sample_request(f"instantiate_private_registry{suffix}")
    params = body["additionalParams"][private_registry.KEY]

    assert schema.find_faults(params, private_registry.SCHEMA, private_registry.PATH) == []
    if suffix == "_all_options":
        # A volume is there only with a base HOT, contents are files of one's own, and a registry
        # that fetches another one's images collects nothing.
        elsewhere = {"data_volume", "contents", "proxy_of"}
        assert set(params) == set(private_registry.SCHEMA["properties"]) - elsewhere


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        ("", {}),
        ("_all_options", {}),
        ("_basehot", {"base_hot": True}),
        ("_volume", {"base_hot": True}),
    ],
)
def test_sample_requests_are_right_with_what_they_name(
    suffix, options, registry_image, disk_image, tmp_path, capsys
):
    """With ids of a site, and the image, key and keyring in the package."""
    (tmp_path / "id").write_text(private_key())
    (tmp_path / "docker.asc").write_text("-----BEGIN PGP PUBLIC KEY BLOCK-----\n")
    built = csar.build_private_registry(
        tmp_path / "a.zip",
        image=registry_image,
        vm_image_file=None if options else disk_image,
        files={
            "Files/keys/id_ed25519": tmp_path / "id",
            "Files/keys/docker.asc": tmp_path / "docker.asc",
        },
        **options,
    )
    text = json.dumps(sample_request(f"instantiate_private_registry{suffix}"))
    request = tmp_path / "request.json"
    request.write_text(re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", OTHER_ID, text))
    status = cli.main(["validate", str(request), "--csar", str(built.path)])
    assert (status, capsys.readouterr().out[:6]) == (cli.OK, "ok    ")


def private_key():
    """A new key in OpenSSH's format."""
    form = (Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    return Ed25519PrivateKey.generate().private_bytes(*form).decode()
