# SPDX-License-Identifier: Apache-2.0
"""additionalParams of the cluster VNF, registries apart: what is right, and each fault."""

from __future__ import annotations

import copy
import json
from ipaddress import IPv4Network
from typing import Any

import pytest

from tacker_cir.command import Secret
from tacker_cir.exceptions import InvalidRequest
from tacker_cir.params import k8s_cluster
from tacker_cir.params.k8s_cluster import KubernetesPackages, NodeParams
from tacker_cir.params.proxy import Proxy
from tacker_cir.params.reader import AptRepository
from tacker_cir.params.registry_connection import HostsEntry
from tests.unit.cluster_requests import (
    CNI,
    MINIMUM,
    SCRIPT,
    SPEC,
    P,
    changed,
    faults_of,
    parse,
    write_package,
)

MIRROR = {"uri": "https://mirror.example/v1.34/deb/", "keyring_path": "Files/keys/k8s.asc"}


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return write_package(tmp_path_factory.mktemp("cluster"))


def test_the_least_that_must_be_given(package):
    params = parse(package, MINIMUM)
    assert (params.master.ssh_cp_name, params.master.aspect_id) == ("masterNode_CP1", None)
    assert params.worker.credentials.password == Secret("MARK-worker")
    assert params.install_script == SCRIPT
    assert (params.pod_cidr, params.cluster_cidr) == (
        IPv4Network("192.168.0.0/16"),
        IPv4Network("10.96.0.0/12"),
    )
    assert params.packages == KubernetesPackages("1.34.8")
    assert params.packages.default_uri == "https://pkgs.k8s.io/core:/stable:/v1.34/deb/"
    assert params.container_runtime == "containerd"
    assert params.registries == ()
    for name in ("vim_name", "proxy", "node_cidr", "image_repository", "cni_manifest"):
        assert getattr(params, name) is None
    assert params.secrets == (Secret("MARK-master"), Secret("MARK-worker"))


def test_a_runtime_that_the_package_does_not_install_is_refused(tmp_path):
    """Before there are machines, and whether it was asked for or is the usual one."""
    package = write_package(tmp_path)
    script = package.root / MINIMUM["script_path"]
    script.write_text(f"{SCRIPT}readonly NODE_SCRIPT_RUNTIMES=(docker)\n")
    old = {"kubernetes_version": "1.23.17", "package_repository": "image"}
    assert parse(package, {**MINIMUM, **old}).container_runtime == "docker"
    for given in ({}, {**old, "container_runtime": "containerd"}):
        (fault,) = faults_of(package, {**MINIMUM, **given}).items()
        assert fault == (
            "script_path",
            "the file does not install container_runtime containerd, only docker (its "
            "NODE_SCRIPT_RUNTIMES); take the one of tacker_cir's sample package",
        )


def test_the_body_of_the_spec(package):
    params = parse(package, SPEC, "simple")
    assert params.vim_name == "kubernetes_vim"
    assert params.master.aspect_id == "master_instance"
    assert params.cluster_cp_name == "masterNode_CP1"
    assert params.pod_cidr == IPv4Network("192.168.3.0/24")
    assert params.node_cidr == IPv4Network("192.168.0.0/24")
    assert params.proxy == Proxy(
        Secret("http://user1:password1@host1:8081"),
        Secret("https://user2:password2@host2:8082"),
        "192.168.246.0/24,10.0.0.1,registry.example.com",
    )
    plain, login = params.registries
    assert (plain.url, plain.host) == ("http://192.168.0.10:5000", "192.168.0.10")
    assert (login.url, login.username) == ("https://registry.example.com", "user01")
    assert login.hosts == HostsEntry("192.168.0.20", ("registry.example.com",))
    assert login.ca == (package.root / "Files/registries/ca.crt").read_text()
    assert set(params.secrets) == {
        Secret(value) for value in ("ubuntu", "password1", "password2", "user01")
    } | {login.login}


def test_the_placeholders_of_the_specs_proxies_are_no_ports(package):
    given = copy.deepcopy(SPEC)
    given["proxy"]["http_proxy"] = "http://user1:password1@host1:port1"
    given["proxy"]["https_proxy"] = "https://user2:password2@host2:port2"
    expected = "expected a URL http[s]://[user:password@]host[:port]"
    assert faults_of(package, given, "simple") == {
        "proxy.http_proxy": expected,
        "proxy.https_proxy": expected,
    }


def test_the_body_of_upstreams_guide(package):
    """Its flavour is simple, of which vip_CP is no CP: what the guide means is complex."""
    given = copy.deepcopy(SPEC)
    given["master_node"] |= {"pod_cidr": "192.168.0.0/16", "cluster_cp_name": "vip_CP"}
    given["proxy"] |= {"no_proxy": "192.168.246.0/24,10.0.0.1", "k8s_node_cidr": "10.10.0.0/24"}
    given["private_registry_connection_info"] = [
        {"connection_type": "0", "server": "192.168.246.10:5000"}
    ]
    assert parse(package, given).cluster_cp_name == "vip_CP"
    assert "the VNF package has no CP 'vip_CP'" in str(faults_of(package, given, "simple"))


def test_all_that_can_be_given(package):
    given = copy.deepcopy(SPEC) | {
        "kubernetes_version": "1.20.2",
        "package_repository": MIRROR | {"suite": "bookworm", "components": ["main"]},
        "container_runtime": "containerd",
        "image_repository": "[2001:db8::5]:5000/k8s/v1",
        "cni_manifest_path": "Files/cni.yaml",
    }
    given["master_node"]["cluster_fip_name"] = "vip_CP_FIP"
    params = parse(package, given)
    keyring = (package.root / "Files/keys/k8s.asc").read_bytes()
    assert params.packages.mirror == AptRepository(MIRROR["uri"], "bookworm", ("main",), keyring)
    assert (params.packages.minor, params.container_runtime) == (20, "containerd")
    assert params.image_repository == "[2001:db8::5]:5000/k8s/v1"
    assert params.cni_manifest == CNI
    assert params.cluster_fip_name == "vip_CP_FIP"


@pytest.mark.parametrize(
    ("given", "runtime", "in_image"),
    [
        ({}, "containerd", False),
        ({"package_repository": "pkgs.k8s.io", "kubernetes_version": "1.24.0"}, "containerd", 0),
        ({"package_repository": "image", "kubernetes_version": "1.23.17"}, "docker", True),
        ({"package_repository": "image", "kubernetes_version": "1.36.4"}, "containerd", True),
        ({"package_repository": MIRROR, "kubernetes_version": "1.20.2"}, "docker", False),
        (
            {
                "package_repository": MIRROR,
                "kubernetes_version": "1.20.2",
                "container_runtime": "containerd",
            },
            "containerd",
            False,
        ),
    ],
)
def test_the_runtime_follows_the_version(package, given, runtime, in_image):
    params = parse(package, MINIMUM | given)
    assert (params.container_runtime, params.packages.in_image) == (runtime, in_image)


def test_a_flat_mirror_has_no_components(package):
    mirror = parse(package, MINIMUM | {"package_repository": MIRROR}).packages.mirror
    assert (mirror.suite, mirror.components) == ("/", ())


# (path, value, what the problem says)
FAULTS = [
    ("script_path", "", "expected the script that installs a node, a path relative to the top"),
    ("script_path", "../x", "'../x' leads out of the VNF package"),
    ("script_path", "Scripts/gone.sh", "'Scripts/gone.sh' is not in the VNF package"),
    ("script_path", "Files/cni.yaml", "the file is not an install script of tacker_cir"),
    ("vim_name", "", "expected a name for the cluster as a VIM"),
    ("vim_name", "x" * 256, "expected a name for the cluster as a VIM"),
    ("master_node", "MARK", "expected an object that describes the master nodes; got a string"),
    ("worker_node", None, "expected an object that describes the worker nodes; got null"),
    ("master_node.aspect_id", "master_instanz", "did you mean master_instance?"),
    ("worker_node.aspect_id", "zzz", "no scaling aspect 'zzz'; known: master_instance, worker_in"),
    ("master_node.ssh_cp_name", "masterNode_CP2", "has no CP 'masterNode_CP2'; did you mean"),
    ("worker_node.nic_cp_name", "", "expected the name of the CP whose address"),
    ("master_node.cluster_cp_name", "zzz", "has no CP 'zzz'; known: masterNode_CP1"),
    ("master_node.cluster_fip_name", "vip_FIP", "did you mean vip_CP_FIP?"),
    ("master_node.username", "a b", "expected a login name of the VM; got 'a b'"),
    ("worker_node.password", "MARK\nx", "expected the login's password; got another string"),
    ("worker_node.ssh_private_key", "MARK", "the value is taken as a path and is not in the VNF"),
    ("worker_node.ssh_private_key", "-----BEGIN MARK", "not an Ed25519, ECDSA or RSA private key"),
    ("worker_node.pod_cidr", "10.0.0.0/16", "unknown key; known: aspect_id, nic_cp_name"),
    ("master_node.pod_cidr", "192.168.3.0/16", "192.168.3.0/16 begins at another address: 192.168."
     "0.0/16"),
    ("master_node.pod_cidr", "192.168.0.0/25", "expected a network between /8 and /24 (kubeadm's"),
    ("master_node.pod_cidr", "0.0.0.0/0", "expected a network between /8 and /24"),
    ("master_node.pod_cidr", "192.168.0.0", "expected a network between /8 and /24"),
    ("master_node.pod_cidr", "10.100.0.0/16", "10.100.0.0/16 overlaps cluster_cidr 10.96.0.0/12 ("
     "the default)"),
    ("master_node.pod_cidr", "2001:db8::/56", "IPv6 is not supported"),
    ("master_node.pod_cidr", "x", "expected an IPv4 network, e.g. 10.96.0.0/12; got 'x'"),
    ("master_node.pod_cidr", 10, "expected the network of the pods, e.g. 10.96.0.0/12; got 10"),
    ("master_node.cluster_cidr", "10.0.0.0/8", "expected a network between /12 and /28"),
    ("master_node.cluster_cidr", "10.0.0.0/29", "expected a network between /12 and /28"),
    ("master_node.cluster_cidr", "192.168.9.0/24", "192.168.9.0/24 overlaps pod_cidr 192.168.0.0/1"
     "6 (the default)"),
    ("proxy.k8s_node_cidr", "192.168.9.0/24", "192.168.9.0/24 overlaps pod_cidr 192.168.0.0/16 ("),
    ("proxy.k8s_node_cidr", "10.10.0.1/24", "begins at another address: 10.10.0.0/24"),
    ("proxy", "http://u:MARK@h", "expected an object with http_proxy, https_proxy, no_proxy, k8s"),
    ("proxy.http_proxy", "http://u:MARK@h:x", "expected a URL http[s]://"),
    ("proxy.node_cidr", "MARK", "unknown key; did you mean k8s_node_cidr?"),
    ("kubernetes_version", "v1.34.1", "expected a full version of Kubernetes, e.g. 1.34.8; got 'v"),
    ("kubernetes_version", "1.34", "expected a full version of Kubernetes"),
    ("kubernetes_version", 1.34, "expected a full version of Kubernetes, e.g. 1.34.8; got 1.34"),
    ("kubernetes_version", "1.19.16", "expected 1.20 or later; got '1.19.16'"),
    ("kubernetes_version", "1.37.0", "expected 1.36 or earlier, the newest that this release of t"),
    ("kubernetes_version", "1.40.2", "is not known; got '1.40.2'"),
    ("kubernetes_version", "1.99.0", "is not known; got '1.99.0'"),
    ("package_repository", "https://u:MARK@h/deb", "expected \"pkgs.k8s.io\", \"image\" (the VM's"),
    ("package_repository", {"uri": "https://h/"}, "keyring_path: is missing"),
    ("package_repository", MIRROR | {"keyring_path": "gone"}, "'gone' is not in the VNF package"),
    ("package_repository", MIRROR | {"keyring_path": "Files/cni.yaml"}, "not an OpenPGP public"),
    ("package_repository", MIRROR | {"uri": "https://u:MARK@h/"}, "without user and password"),
    ("package_repository", MIRROR | {"components": ["main"]}, "components: expected none, as the"),
    ("package_repository", MIRROR | {"suite": "bookworm"}, "components: is missing; expected a"),
    ("package_repository", "image", "kubernetes_version: is missing; expected the version that"),
    ("container_runtime", "podman", "expected \"docker\" or \"containerd\"; got 'podman'"),
    ("container_runtime", "docker", "Kubernetes 1.34.8 does not speak to Docker any more (since"),
    ("image_repository", "https://h.example/k8s", "without http:// or https://"),
    ("image_repository", "h.example/K8s", "expected host[:port][/path], the path in lower case"),
    ("image_repository", "h.example/", "expected host[:port][/path], the path in lower case"),
    ("image_repository", "u:MARK@h.example/k", "without a user and password"),
    ("cni_manifest_path", "Files/list.yaml", "the file is not a Kubernetes manifest in YAML"),
    ("cni_manifest_path", "Scripts/install_k8s_cluster.sh", "is not a Kubernetes manifest"),
    ("cni_manifest_path", "Files/keys/k8s.asc", "is not a Kubernetes manifest"),
    ("helm_installation_script_path", "x", "is not supported: Helm on the cluster is not part of"),
    ("storage_server", {"password": "MARK"}, "not supported: a storage server for persistent vol"),
    ("pv_registration_params", [], "is not supported: the registration of persistent volumes"),
    ("private_registry_connection_info", "MARK", "expected a list of registries, each an object"),
    ("private_registry_connection_inf", [], "did you mean private_registry_connection_info?"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "problem"), FAULTS)
def test_each_fault_is_found_at_its_place(package, path, value, problem):
    faults = faults_of(package, changed(MINIMUM, path, value))
    (found,) = faults.items()
    assert problem in ": ".join(found)
    assert found[0].startswith(path) or path == "package_repository"
    assert "MARK" not in str(faults)


@pytest.mark.parametrize(
    "path",
    [
        "script_path",
        "master_node",
        "worker_node",
        "master_node.ssh_cp_name",
        "master_node.cluster_cp_name",
        "worker_node.nic_cp_name",
        "worker_node.username",
        "worker_node.password",
    ],
)
def test_what_must_be_given(package, path):
    given = copy.deepcopy(MINIMUM)
    *parents, last = path.split(".")
    del (given[parents[0]] if parents else given)[last]
    (found,) = faults_of(package, given).items()
    assert found[0] == path and found[1].startswith("is missing; expected")


@pytest.mark.parametrize(
    "text", ["", "---\n", "a: [", "[" * 100_000, "kind: X\n", "apiVersion: 2024-99-99\nkind: X\n"]
)
def test_manifests_that_are_none(package, text):
    (package.root / "Files/odd.yaml").write_text(text)
    faults = faults_of(package, MINIMUM | {"cni_manifest_path": "Files/odd.yaml"})
    assert faults == {"cni_manifest_path": "the file is not a Kubernetes manifest in YAML"}


def test_old_kubernetes_is_not_on_pkgs_k8s_io(package):
    given = MINIMUM | {"kubernetes_version": "1.20.2"}
    problem = "pkgs.k8s.io begins with 1.24; expected an apt repository that has 1.20.2, or "
    assert faults_of(package, given) == {"package_repository": f'{problem}"image"'}
    assert list(faults_of(package, given | {"package_repository": "pkgs.k8s.io"})) == [
        "package_repository"
    ]


def test_both_roles_in_one_group(package):
    given = copy.deepcopy(SPEC)
    given["worker_node"]["aspect_id"] = "master_instance"
    assert faults_of(package, given) == {
        "worker_node.aspect_id": "expected another aspect than that of master_node"
    }


def test_three_networks_in_one_another(package):
    given = copy.deepcopy(MINIMUM)
    given["master_node"] |= {"pod_cidr": "10.0.0.0/12", "cluster_cidr": "10.0.0.0/16"}
    given["proxy"] = {"k8s_node_cidr": "10.0.0.0/24"}
    with pytest.raises(InvalidRequest) as caught:
        parse(package, given)
    assert [str(fault).removeprefix(f"{P}.") for fault in caught.value.faults] == [
        "master_node.cluster_cidr: 10.0.0.0/16 overlaps pod_cidr 10.0.0.0/12",
        "proxy.k8s_node_cidr: 10.0.0.0/24 overlaps cluster_cidr 10.0.0.0/16",
        "proxy.k8s_node_cidr: 10.0.0.0/24 overlaps pod_cidr 10.0.0.0/12",
    ]


def test_each_proxy_counts_alone(package):
    given = MINIMUM | {"proxy": {"http_proxy": "http://192.0.2.9:3128", "https_proxy": ""}}
    assert parse(package, given).proxy == Proxy(Secret("http://192.0.2.9:3128"))


def test_every_fault_is_found_at_once(package):
    given = {
        "script_path": "gone",
        "storage_server": {},
        "master_node": {"pod_cidr": "192.168.3.0/16", "aspect_id": "x", "username": "a b"},
        "worker_node": {**MINIMUM["worker_node"], "nic_cp_name": "x"},
        "proxy": {"http_proxy": "x", "k8s_node_cidr": "y"},
        "private_registry_connection_info": [{"server": "http://x"}, 5],
        "kubernetes_version": "1",
        "package_repository": "x",
        "container_runtime": "x",
        "image_repository": "x/X",
        "cni_manifest_path": "gone",
        "zzz": 1,
    }
    assert set(faults_of(package, given)) == {
        "script_path", "storage_server", "master_node.pod_cidr", "master_node.aspect_id",
        "master_node.username", "master_node.password", "master_node.ssh_cp_name",
        "master_node.nic_cp_name", "master_node.cluster_cp_name", "worker_node.nic_cp_name",
        "proxy.http_proxy", "proxy.k8s_node_cidr",
        "private_registry_connection_info[0].connection_type",
        "private_registry_connection_info[0].server", "private_registry_connection_info[1]",
        "kubernetes_version", "package_repository", "container_runtime", "image_repository",
        "cni_manifest_path", "zzz",
    }  # fmt: skip


def test_no_secret_is_shown_whatever_is_wrong_with_it(package):
    shapes = ["MARK", "MARK\n", ["MARK"], {"a": ["MARK"]}, "http://u:MARK@h:x", 7]
    places = ["master_node", "worker_node", "worker_node.password", "worker_node.ssh_private_key",
              "proxy", "proxy.http_proxy", "package_repository", "storage_server",
              "private_registry_connection_info"]  # fmt: skip
    for shape in shapes:
        for place in places:
            given: Any = changed(MINIMUM | {"kubernetes_version": "x"}, place, shape)
            assert "MARK" not in str(faults_of(package, given)), (place, shape)
        assert "MARK" not in str(faults_of(package, json.dumps(shape)))


@pytest.mark.parametrize("given", [None, {}, [], {"k8s_cluster_installation_params": MINIMUM}])
def test_the_parameter_is_missing(package, given):
    with pytest.raises(InvalidRequest) as caught:
        k8s_cluster.parse(given, package)
    (fault,) = caught.value.faults
    assert fault.path == P and "is missing; expected an object" in fault.problem
    assert ("found k8s_cluster_installation_params instead" in fault.problem) is bool(given)


def test_without_a_package_only_its_files_are_left_unchecked():
    params = parse(None, SPEC | {"cni_manifest_path": "x", "package_repository": MIRROR})
    assert (params.install_script, params.cni_manifest, params.registries[1].ca) == (None,) * 3
    assert list(faults_of(None, SPEC | {"vim_name": ""})) == ["vim_name"]


def test_nodes_show_no_password(package):
    assert isinstance(parse(package, MINIMUM).worker, NodeParams)
    assert "MARK" not in repr(parse(package, MINIMUM))
