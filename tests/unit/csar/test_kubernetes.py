# SPDX-License-Identifier: Apache-2.0
"""The cluster's VNF package and requests, judged by the code of Tacker, tosca-parser and ours."""

import copy
import json
import shutil
import zipfile

import jsonschema
import pytest
import yaml
from tacker import objects
from tacker.api.schemas import vnf_lcm as tacker_schemas
from tacker.tosca import utils as tosca_utils
from tacker.vnflcm import utils as vnflcm_utils
from tacker.vnflcm.vnflcm_driver import VnfLcmDriver
from tacker.vnfm.lcm_user_data import utils as user_data_utils
from toscaparser import tosca_template

from tacker_cir import cli, csar
from tacker_cir.package import VnfPackage
from tests.unit.csar.common import OTHER_ID, request_object, sample_request

DRIVER = "mgmt-drivers-kubernetes"
TOP = "kubernetes_cluster_hot_top.yaml"
MASTER, WORKER = (f"kubernetes_cluster_hot_nested_{role}.yaml" for role in ("master", "worker"))
FLAVOURS = ("simple", "complex")
MASTERS = {"simple": 1, "complex": 3}


@pytest.fixture
def build(tmp_path, key_file):
    """Builds the sample package with options and the key that the sample requests name."""

    def build(*, files=None, **options):
        if "package" not in options:
            files = {**key_file, **(files or {})}
        return csar.build_kubernetes(tmp_path / "cluster.zip", files=files, **options)

    return build


@pytest.fixture(scope="module")
def root(tmp_path_factory, key_file):
    """The unpacked package; not to be changed."""
    directory = tmp_path_factory.mktemp("cluster")
    with zipfile.ZipFile(
        csar.build_kubernetes(directory / "cluster.zip", files=key_file).path
    ) as package:
        package.extractall(directory / "unpacked")
    return directory / "unpacked"


def base_hot(root, flavour):
    """The base HOT under heat_template and its nested templates by file name."""
    directory = root / "BaseHOT" / flavour
    nested = {p.name: yaml.safe_load(p.read_text()) for p in (directory / "nested").iterdir()}
    return nested | {"heat_template": yaml.safe_load((directory / TOP).read_text())}


def user_data_class(root):
    """The class that the sample requests name."""
    path = root / "UserData/k8s_cluster_user_data.py"
    namespace = {"__file__": str(path)}
    exec(path.read_text(), namespace)
    params = sample_request("instantiate_kubernetes_simple")["additionalParams"]
    return namespace[params["lcm-operation-user-data-class"]]


def user_data(root, body, grant=None):
    """Run the package's UserData as Tacker's OpenStack driver does and return nfv."""
    request = request_object(body)
    hots = base_hot(root, request.flavour_id)
    return user_data_class(root).instantiate(hots, {}, request, grant)["nfv"]


# Package


def test_tacker_onboards(build, conductor):
    built = build(vnfd_id=OTHER_ID)

    vnf_data, flavours, artifacts, _ = conductor(built.path)

    assert vnf_data["descriptor_id"] == built.vnfd_id == OTHER_ID
    assert sorted(f["flavour_id"] for f in flavours) == sorted(FLAVOURS)
    listed = {e.path for e in built.entries if not e.path.startswith(("Definitions/", "TOSCA-"))}
    assert artifacts == listed
    assert csar.verify(built.path) == []


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_every_hook_goes_to_the_packaged_driver(flavour, root):
    tacker = VnfLcmDriver.__new__(VnfLcmDriver)  # its __init__ needs a message queue
    tacker._mgmt_driver_hash = {DRIVER: tacker._get_file_hash(csar.installed_driver(DRIVER))}
    vnfd = vnflcm_utils._get_flavour_based_vnfd(str(root), flavour)
    vnf = vnfd["topology_template"]["node_templates"]["VNF"]

    operations = vnf["interfaces"]["Vnflcm"]

    names = ("instantiate", "scale", "heal", "terminate", "modify_information")
    assert set(operations) == {f"{name}_{when}" for name in names for when in ("start", "end")}
    for operation in operations.values():
        name = operation["implementation"]
        assert tacker._check_mgmt_driver(name, vnf["artifacts"], str(root)) == DRIVER


def test_missing_hooks_are_found(build, root, tmp_path):
    own = shutil.copytree(root, tmp_path / "own")
    path = own / "Definitions/kubernetes_cluster_df_simple.yaml"
    hook = f"          scale_end:\n            implementation: {DRIVER}\n"
    assert hook in path.read_text()
    path.write_text(path.read_text().replace(hook, ""))

    with pytest.raises(csar.CsarError, match="must also implement scale_end"):
        build(package=own)


def test_names_of_image_and_flavor_are_for_all_vms_of_all_flavours(build, conductor):
    root = conductor(build(vm_image="debian-12", flavor="m2.tiny").path)[3]
    for flavour in FLAVOURS:
        nfv = user_data(root, sample_request(f"instantiate_kubernetes_{flavour}"))
        vm = {"image": "debian-12", "flavor": "m2.tiny"}
        assert nfv["VDU"] == {"masterNode": vm, "workerNode": vm}


def test_additional_files(build, conductor, tmp_path):
    (tmp_path / "ca").write_text("-----BEGIN CERTIFICATE-----\n")
    root = conductor(build(files={"Files/registries/ca.crt": tmp_path / "ca"}).path)[3]
    assert (root / "Files/registries/ca.crt").read_bytes() == (tmp_path / "ca").read_bytes()


def test_command_line(tmp_path, capsys):
    output, extra = tmp_path / "x.zip", tmp_path / "extra"
    extra.write_text("x")
    words = ["csar", "build", "kubernetes", "--output", str(output), "--vm-image", "i"]
    words += ["--flavor", "f", "--vnfd-id", OTHER_ID, "--file", f"Files/extra={extra}"]
    assert cli.main(words) == cli.OK
    assert f"vnfd id:    {OTHER_ID}" in capsys.readouterr().out
    with zipfile.ZipFile(output) as package:
        assert package.read("Files/extra") == b"x"


# Scaling


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize(("level", "workers"), [(None, 2), ("one_worker", 1), ("two_workers", 2)])
def test_tacker_makes_as_many_nodes_as_the_level_says(flavour, level, workers, root):
    vnfd = vnflcm_utils._get_flavour_based_vnfd(str(root), flavour)
    body = sample_request(f"instantiate_kubernetes_{flavour}")
    if level:
        body["instantiationLevelId"] = level

    capacity = user_data_utils.create_desired_capacity_dict(
        base_hot(root, flavour), vnfd, request_object(body)
    )

    assert capacity == {"master_instance": MASTERS[flavour], "worker_instance": workers}
    top = base_hot(root, flavour)["heat_template"]
    for name, number in capacity.items():
        group = top["resources"][name]["properties"]
        # By this name Tacker hands the number over, where the template has such a parameter.
        assert group["desired_capacity"] == {"get_param": f"{name}_desired_capacity"}
        assert f"{name}_desired_capacity" in top["parameters"]
        assert group["min_size"] <= number <= group["max_size"]


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_only_workers_scale(flavour, root):
    vnfd = vnflcm_utils._get_flavour_based_vnfd(str(root), flavour)
    vnfd["topology_template"]["substitution_mappings"].pop("requirements")  # as Tacker does
    tosca = tosca_template.ToscaTemplate(parsed_params={}, a_file=False, yaml_dict_tpl=vnfd)
    policies = vnflcm_utils.get_extract_policy_infos(tosca)
    top = base_hot(root, flavour)["heat_template"]

    assert policies["aspect_max_level_dict"] == {"master_instance": 0, "worker_instance": 9}
    assert policies["aspect_vdu_dict"]["worker_instance"] == ["workerNode"]
    assert vnflcm_utils.get_scale_delta_num(policies, "worker_instance") == 1
    resources = top["resources"]
    assert resources["worker_instance"]["properties"]["max_size"] == 10
    # Signalled by Tacker under these names; it takes the numbers of workers from them.
    for action, step in (("out", 1), ("in", -1)):
        policy = resources[f"worker_instance_scale_{action}"]["properties"]
        assert policy["scaling_adjustment"] == step
        assert policy["auto_scaling_group_id"] == {"get_resource": "worker_instance"}
    assert not [name for name in resources if name.startswith("master_instance_scale")]
    groups = tosca_utils.get_policies_from_dict(vnfd, "tosca.policies.nfv.ScalingAspects")
    (aspects,) = (policy["properties"]["aspects"] for policy in groups.values())
    assert VnfPackage(root).scaling_aspects(flavour) == set(aspects)


# UserData and base HOT


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_user_data_fits_the_templates_and_survives_a_heal(flavour, root):
    nfv = user_data(root, sample_request(f"instantiate_kubernetes_{flavour}"))
    hots = base_hot(root, flavour)
    resources = hots["heat_template"]["resources"]

    for group, name, vdu, cp in (
        ("master_instance", MASTER, "masterNode", "masterNode_CP1"),
        ("worker_instance", WORKER, "workerNode", "workerNode_CP2"),
    ):
        member = resources[group]["properties"]["resource"]
        assert member["type"] == name
        assert set(member["properties"]) == set(hots[name]["parameters"])
        assert set(hots[name]["resources"]) == {vdu, cp}
        for parameter, known in (("vm", {"image", "flavor"}), ("cp", {"network", "fixed_ips"})):
            _, kind, key = member["properties"][parameter]["get_param"]
            assert set(nfv[kind][key]) == known
    # Tacker overwrites what it finds in this way with values of the VNFD when it heals a VNFC.
    assert user_data_utils.create_initial_param_server_port_dict(hots)["nfv"]["VDU"] == {}


def test_masters_may_send_from_the_address_of_the_cluster(root):
    hots = base_hot(root, "complex")
    member = hots["heat_template"]["resources"]["master_instance"]["properties"]["resource"]
    assert member["properties"]["virtual_ip"]["get_attr"][0] == "vip_CP"
    port = hots[MASTER]["resources"]["masterNode_CP1"]["properties"]
    assert port["allowed_address_pairs"] == [{"ip_address": {"get_param": "virtual_ip"}}]


@pytest.mark.parametrize(
    ("given", "master", "worker"),
    [
        ({}, ("ubuntu-22.04", "m1.medium"), ("ubuntu-22.04", "m1.medium")),
        ({"vm_image": "x", "vm_flavor": "y"}, ("x", "y"), ("x", "y")),
        (
            {"vm_image": "x", "vm_flavor": {"workerNode": "large"}},
            ("x", "m1.medium"),
            ("x", "large"),
        ),
    ],
)
def test_user_data_names_images_and_flavors(given, master, worker, root):
    body = sample_request("instantiate_kubernetes_simple")
    body["additionalParams"].update(given)
    vdus = user_data(root, body)["VDU"]
    assert tuple(vdus["masterNode"].values()) == master
    assert tuple(vdus["workerNode"].values()) == worker


def test_the_cluster_has_an_address_wherever_the_masters_have_one(root):
    body = sample_request("instantiate_kubernetes_complex")
    (link,) = body["extVirtualLinks"]
    *others, vip = link["extCps"]
    assert vip["cpdId"] == "vip_CP"
    network = link["resourceId"]
    assert user_data(root, body)["CP"]["vip_CP"] == {"network": network, "fixed_ips": []}
    link["extCps"] = others
    assert user_data(root, body)["CP"]["vip_CP"] == {"network": network, "fixed_ips": []}

    other = copy.deepcopy(link) | {"id": "net1", "resourceId": "net1", "extCps": [vip]}
    address = {"type": "IPV4", "fixedAddresses": ["192.168.0.200"]}
    (protocol,) = vip["cpConfig"][0]["cpProtocolData"]
    protocol["ipOverEthernet"] = {"ipAddresses": [address]}
    body["extVirtualLinks"].append(other)
    expected = {"network": "net1", "fixed_ips": [{"ip_address": "192.168.0.200"}]}
    assert user_data(root, body)["CP"]["vip_CP"] == expected


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_an_update_that_scales_sets_the_groups_capacity(flavour, root):
    hots = base_hot(root, flavour)
    request = objects.ScaleVnfRequest(type="SCALE_OUT", aspect_id="worker_instance")
    before = {"nfv": {}, "worker_instance_desired_capacity": 2}

    # With Tacker's arguments (OpenStack._stack_param_update).
    parameters = user_data_class(root).scale(hots, {}, request, None, None, before, 3)

    assert parameters == {"nfv": {}, "worker_instance_desired_capacity": 3}
    assert set(parameters) <= set(hots["heat_template"]["parameters"])
    assert before["worker_instance_desired_capacity"] == 2


def test_user_data_wants_networks_of_all_nodes(root):
    body = sample_request("instantiate_kubernetes_simple")
    del body["extVirtualLinks"][0]["extCps"][1]
    with pytest.raises(ValueError, match="no extCps for workerNode_CP2"):
        user_data(root, body)


# Requests


@pytest.mark.parametrize(
    ("name", "tacker_schema"),
    [
        ("instantiate_kubernetes_simple", tacker_schemas.instantiate),
        ("instantiate_kubernetes_complex", tacker_schemas.instantiate),
        ("scale_out_workers", tacker_schemas.scale),
        ("scale_in_workers", tacker_schemas.scale),
        ("heal_vnf", tacker_schemas.heal),
        ("heal_vnfc", tacker_schemas.heal),
        ("terminate", tacker_schemas.terminate),
    ],
)
def test_tacker_accepts_the_sample_requests(name, tacker_schema):
    jsonschema.Draft7Validator(tacker_schema, format_checker=jsonschema.FormatChecker()).validate(
        sample_request(name)
    )


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_validate_finds_the_sample_requests_right(flavour, build, tmp_path, capsys):
    body = sample_request(f"instantiate_kubernetes_{flavour}")
    # The sample's own ids are a fault.
    body["vimConnectionInfo"][0]["vimId"] = body["extVirtualLinks"][0]["resourceId"] = OTHER_ID
    request = tmp_path / "request.json"
    request.write_text(json.dumps(body))
    status = cli.main(["validate", str(request), "--csar", str(build().path)])
    assert (status, capsys.readouterr().out[:6]) == (cli.OK, "ok    ")


def test_verify_warns_of_hooks_without_which_harm_is_done(root, build, tmp_path):
    """A package of one's own may leave out what upstream's has not."""
    package = tmp_path / "package"
    shutil.copytree(csar.samples_dir() / "kubernetes_vnf_package", package)
    file = package / "Definitions/kubernetes_cluster_df_simple.yaml"
    text = file.read_text()
    for hook in ("terminate_start", "modify_information_end"):
        text = text.replace(f"          {hook}:\n            implementation: {DRIVER}\n", "")
    file.write_text(text)
    built = build(package=package)
    found = [f for f in csar.verify(built.path) if "does not implement" in f.message]
    assert {f.level for f in found} == {"warning"}
    assert [f.message.split("implement ")[1] for f in found] == [
        "terminate_start: a cluster that a VNF is still on is destroyed",
        "modify_information_end: registries changed in the metadata reach the nodes only with the "
        "next scale or heal operation",
    ]
