# SPDX-License-Identifier: Apache-2.0
"""InstantiateVnfRequest against the package that it is for."""

import copy
import shutil

import pytest

from tacker_cir import csar
from tacker_cir.documents import load_json
from tacker_cir.package import VnfPackage
from tacker_cir.vnflcm import find_request_faults
from tests.unit.vnflcm.conftest import sample

CLUSTER = "additionalParams.k8s_cluster_installation_param"
SAMPLES = sorted(p.stem for p in (csar.samples_dir() / "requests").glob("*.json"))


def changed(body, path, value):
    """The body with another value at a path, None to take the member away."""
    body = copy.deepcopy(body)
    place = body
    for key in path[:-1]:
        place = place[key]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return body


def faults(body, package):
    return {fault.path: fault.problem for fault in find_request_faults(body, package)}


CLUSTERS = ("instantiate_kubernetes_simple", "instantiate_kubernetes_complex")


@pytest.mark.parametrize("name", CLUSTERS)
def test_the_samples_with_a_sites_ids_are_right(name, cluster_package):
    assert faults(sample(name), cluster_package) == {}


@pytest.mark.parametrize("name", SAMPLES)
def test_every_id_of_a_sample_is_named(name):
    untouched = csar.samples_dir() / "requests" / f"{name}.json"
    still = "still the sample's"
    body = load_json(untouched.read_text())
    found = {f.path for f in find_request_faults(body, None) if still in f.problem}
    expected = set()
    if name.startswith("instantiate"):
        expected = {"extVirtualLinks[0].resourceId", "vimConnectionInfo[0].vimId"}
    if name.endswith("all_options"):
        cp = "extVirtualLinks[0].extCps[0].cpConfig[0].cpProtocolData[0]"
        expected |= {f"{cp}.ipOverEthernet.ipAddresses[0].subnetId"}
    if name == "heal_vnfc":
        expected = {"vnfcInstanceId[0]"}
    assert found == expected
    assert all(
        "still the sample's" not in f.problem for f in find_request_faults(sample(name), None)
    )


def test_the_registrys_samples(registry_package, tosca_package):
    path = "additionalParams.private_registry_installation_param.image_path"
    missing = {path: "'Files/images/private_registry.tar' is not in the VNF package"}
    assert faults(sample("instantiate_private_registry_basehot"), registry_package) == missing
    assert faults(sample("instantiate_private_registry"), tosca_package) == missing


NODES = ("additionalParams", "k8s_cluster_installation_param")
MASTER = (*NODES, "master_node")
WORKER = (*NODES, "worker_node")
LINK = ("extVirtualLinks", 0)
CP = (*LINK, "extCps", 0)
IP = "cpConfig[0].cpProtocolData[0].ipOverEthernet.ipAddresses[0]"


def fixed(*addresses, kind="IPV4"):
    ethernet = {"ipAddresses": [{"type": kind, "fixedAddresses": list(addresses)}]}
    return [{"cpProtocolData": [{"layerProtocol": "IP_OVER_ETHERNET", "ipOverEthernet": ethernet}]}]


@pytest.mark.parametrize(
    ("path", "value", "where", "problem"),
    [
        (("flavourId",), "nosuch", "flavourId", "no flavour 'nosuch'; known: complex, simple"),
        (("flavourId",), "complx", "flavourId", "did you mean complex?"),
        (("flavourId",), None, "flavourId", "is missing"),
        (("flavorId",), "complex", "flavorId", "unknown key; did you mean flavourId?"),
        (
            ("instantiationLevelId",),
            "three_workers",
            "instantiationLevelId",
            "no instantiation level 'three_workers'; did you mean two_workers?",
        ),
        ((*CP, "cpdId"), "masterNode_CP2", "extVirtualLinks[0].extCps[0].cpdId", "masterNode_CP1?"),
        (
            (*CP, "cpdId"),
            "masterNode_CP2",
            "extVirtualLinks",
            "to the CP masterNode_CP1",
        ),
        ((*CP, "cpdId"), "vip_CP", "extVirtualLinks[0].extCps[2].cpdId", "extCps[0].cpdId as well"),
        (("extVirtualLinks",), None, "extVirtualLinks", "no network to the CP workerNode_CP2"),
        ((*CP, "cpConfig"), [], "extVirtualLinks[0].extCps[0].cpConfig", "a list with one entry"),
        ((*CP, "ports"), 1, "extVirtualLinks[0].extCps[0].ports", "unknown key"),
        (
            (*CP, "cpConfig"),
            fixed("192.0.2.7"),
            f"extVirtualLinks[0].extCps[0].{IP}.fixedAddresses",
            "a port of each of 3 VMs, which cannot share an address",
        ),
        (
            (*LINK, "extCps", 2, "cpConfig"),
            fixed("192.0.2.300"),
            f"extVirtualLinks[0].extCps[2].{IP}.fixedAddresses[0]",
            "expected an IP address",
        ),
        (
            (*LINK, "extCps", 2, "cpConfig"),
            fixed("192.0.2.3", kind="IPV6"),
            f"extVirtualLinks[0].extCps[2].{IP}.fixedAddresses[0]",
            "expected an address of type IPV6",
        ),
        (
            ("extManagedVirtualLinks",),
            [{"id": "a", "vnfVirtualLinkDescId": "net", "resourceId": "b"}],
            "extManagedVirtualLinks[0].vnfVirtualLinkDescId",
            "no virtual link 'net'; it has none",
        ),
        (
            ("vimConnectionInfo", 0, "vimType"),
            "kubernetes",
            "vimConnectionInfo[0].vimType",
            "openst",
        ),
        (("vimConnectionInfo", 0, "vimID"), "x", "vimConnectionInfo[0].vimID", "mean vimId?"),
        (
            ("additionalParams", "lcm-operation-user-data"),
            "./UserData/other.py",
            "additionalParams.lcm-operation-user-data",
            "is not in the VNF package",
        ),
        (
            ("additionalParams", "lcm-operation-user-data"),
            "./UserData/k8s.cluster/user_data.py",
            "additionalParams.lcm-operation-user-data",
            "without dots",
        ),
        (
            ("additionalParams", "lcm-operation-user-data"),
            None,
            "additionalParams.lcm-operation-user-data",
            "is missing",
        ),
        (
            ("additionalParams", "lcm-operation-user-data-class"),
            "KubernetesUserData",
            "additionalParams.lcm-operation-user-data-class",
            "did you mean KubernetesClusterUserData?",
        ),
        (
            ("additionalParams", "lcm-operation-user-data-class"),
            None,
            "additionalParams.lcm-operation-user-data-class",
            "is missing",
        ),
        (
            ("additionalParams", "vm_imge"),
            "x",
            "additionalParams.vm_imge",
            "did you mean vm_image?",
        ),
        (("additionalParams", "colour"), "x", "additionalParams.colour", "is read by nobody"),
        (
            ("additionalParams", "vm_image"),
            7,
            "additionalParams.vm_image",
            "expected the name or ID",
        ),
        (
            ("additionalParams", "vm_flavor"),
            {"masternode": "x"},
            "additionalParams.vm_flavor.masternode",
            "no VDU 'masternode'; did you mean masterNode?",
        ),
        (
            (*MASTER, "cluster_cp_name"),
            "masterNode_CP1",
            f"{CLUSTER}.master_node.cluster_cp_name",
            "is a port of each of 3 masters",
        ),
        (
            (*MASTER, "ssh_cp_name"),
            "vip_CP",
            f"{CLUSTER}.master_node.ssh_cp_name",
            "'vip_CP' is no port or floating IP of a member of the group master_instance",
        ),
        (
            (*WORKER, "nic_cp_name"),
            "masterNode_CP1",
            f"{CLUSTER}.worker_node.nic_cp_name",
            "is no port of a member of the group worker_instance",
        ),
        (
            (*MASTER, "cluster_fip_name"),
            "vip_CP",
            f"{CLUSTER}.master_node.cluster_fip_name",
            "is no floating IP",
        ),
    ],
)
def test_what_does_not_fit_the_package(path, value, where, problem, cluster_package):
    body = sample("instantiate_kubernetes_complex")
    found = faults(changed(body, path, value), cluster_package)
    assert problem in found.get(where, ""), found


def test_everything_is_said_at_once(cluster_package):
    body = sample("instantiate_kubernetes_complex")
    body |= {"colour": 1, "instantiationLevelId": "no"}
    body["extVirtualLinks"][0]["extCps"][0]["cpdId"] = "no"
    body["additionalParams"]["k8s_cluster_installation_param"]["script_path"] = "no"
    body["additionalParams"]["lcm-operation-user-data-class"] = "no"
    body["vimConnectionInfo"][0]["vimType"] = "no"
    assert set(faults(body, cluster_package)) == {
        "colour",
        "instantiationLevelId",
        "extVirtualLinks[0].extCps[0].cpdId",
        "extVirtualLinks",
        f"{CLUSTER}.script_path",
        "additionalParams.lcm-operation-user-data-class",
        "vimConnectionInfo[0].vimType",
    }


def test_one_master_may_have_its_own_port_as_the_clusters(cluster_package):
    body = sample("instantiate_kubernetes_simple")
    cluster = body["additionalParams"]["k8s_cluster_installation_param"]
    assert cluster["master_node"]["cluster_cp_name"] == "masterNode_CP1"
    assert faults(body, cluster_package) == {}
    body["extVirtualLinks"][0]["extCps"][0]["cpConfig"] = fixed("192.0.2.7")
    assert faults(body, cluster_package) == {}


@pytest.mark.parametrize("name", ["vm_image", "vm_flavor"])
def test_an_image_for_each_vdu(name, cluster_package):
    body = sample("instantiate_kubernetes_simple")
    body["additionalParams"][name] = {"masterNode": "a", "workerNode": "b"}
    assert faults(body, cluster_package) == {}


def test_a_package_of_tosca_alone_has_no_user_data(tosca_package):
    body = sample("instantiate_private_registry_basehot")
    body["additionalParams"]["vm_image"] = "x"
    found = faults(body, tosca_package)
    problem = found["additionalParams.lcm-operation-user-data"]
    assert problem == "is for a base HOT, and the flavour simple has none"
    assert found["additionalParams.vm_image"] == "is read by nobody"


@pytest.mark.parametrize("bad", [b"class X(:\n", b"\xff", b"(" * 5000, b"def instantiate(): pass"])
def test_user_data_that_is_no_such_thing(bad, cluster_package, tmp_path):
    own = shutil.copytree(cluster_package.root, tmp_path / "own")
    (own / "UserData/k8s_cluster_user_data.py").write_bytes(bad)
    found = faults(sample("instantiate_kubernetes_simple"), VnfPackage(own))
    assert any(path.startswith("additionalParams.lcm-operation-user-data") for path in found)


FLOATING = """
  masterNode_FIP:
    type: OS::Neutron::FloatingIP
    properties:
      floating_network: public
      port_id: { get_resource: masterNode_CP1 }
"""
CLUSTER_FIP = """
  vip_FIP:
    type: OS::Neutron::FloatingIP
    properties:
      floating_network: public
      port_id: { get_resource: vip_CP }
"""


@pytest.fixture
def floating_package(cluster_package, tmp_path):
    """The sample with floating IPs for the masters, and one before them."""
    own = shutil.copytree(cluster_package.root, tmp_path / "own")
    base = own / "BaseHOT/complex"
    nested = base / "nested/kubernetes_cluster_hot_nested_master.yaml"
    nested.write_text(nested.read_text() + FLOATING)
    top = base / "kubernetes_cluster_hot_top.yaml"
    top.write_text(top.read_text() + CLUSTER_FIP)
    return VnfPackage(own)


def test_masters_on_floating_ips_need_one_before_them(floating_package):
    body = sample("instantiate_kubernetes_complex")
    master = body["additionalParams"]["k8s_cluster_installation_param"]["master_node"]
    master["ssh_cp_name"] = "masterNode_FIP"
    path = f"{CLUSTER}.master_node.cluster_fip_name"
    found = faults(body, floating_package)
    assert set(found) == {path}
    assert "need one before all of them" in found[path] and "known: vip_FIP" in found[path]

    master["cluster_fip_name"] = "vip_FIP"
    assert faults(body, floating_package) == {}
    master["nic_cp_name"] = "masterNode_FIP"
    assert "is no port of a member" in faults(body, floating_package)[
        f"{CLUSTER}.master_node.nic_cp_name"
    ]  # fmt: skip
