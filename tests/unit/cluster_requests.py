# SPDX-License-Identifier: Apache-2.0
"""A cluster's VNF package, certificates and request, for the tests of its parameters."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tacker_cir.exceptions import InvalidRequest
from tacker_cir.package import VnfPackage
from tacker_cir.params import k8s_cluster
from tacker_cir.params.k8s_cluster import ClusterParams
from tests.certificates import self_signed

P = "additionalParams.k8s_cluster_installation_param"

VNFD = """
topology_template:
  node_templates:
    masterNode_CP1: {type: tosca.nodes.nfv.VduCp}
    workerNode_CP2: {type: tosca.nodes.nfv.VduCp}
  policies:
    - scaling_aspects:
        type: tosca.policies.nfv.ScalingAspects
        properties: {aspects: {master_instance: {name: m}, worker_instance: {name: w}}}
"""
COMPLEX_HOT = """
resources:
  master_instance: {type: 'OS::Heat::AutoScalingGroup'}
  worker_instance: {type: 'OS::Heat::AutoScalingGroup'}
  vip_CP: {type: 'OS::Neutron::Port'}
  vip_CP_FIP: {type: 'OS::Neutron::FloatingIP'}
"""
SCRIPT = "#!/bin/bash\nreadonly NODE_SCRIPT_PROTOCOL=1\nexit 0\n"
CNI = "apiVersion: v1\nkind: ConfigMap\n---\napiVersion: apps/v1\nkind: DaemonSet\n---\n"

# Body of the spec, "Request parameters with Docker private registries". Its proxies' ports are the
# words port1 and port2.
SPEC: dict[str, Any] = {
    "script_path": "Scripts/install_k8s_cluster.sh",
    "vim_name": "kubernetes_vim",
    "master_node": {
        "aspect_id": "master_instance",
        "ssh_cp_name": "masterNode_CP1",
        "nic_cp_name": "masterNode_CP1",
        "username": "ubuntu",
        "password": "ubuntu",
        "pod_cidr": "192.168.3.0/24",
        "cluster_cidr": "10.199.187.0/24",
        "cluster_cp_name": "masterNode_CP1",
    },
    "worker_node": {
        "aspect_id": "worker_instance",
        "ssh_cp_name": "workerNode_CP2",
        "nic_cp_name": "workerNode_CP2",
        "username": "ubuntu",
        "password": "ubuntu",
    },
    "proxy": {
        "http_proxy": "http://user1:password1@host1:8081",
        "https_proxy": "https://user2:password2@host2:8082",
        "no_proxy": "192.168.246.0/24,10.0.0.1,registry.example.com",
        "k8s_node_cidr": "192.168.0.0/24",
    },
    "private_registry_connection_info": [
        {"connection_type": "0", "server": "192.168.0.10:5000"},
        {
            "connection_type": "1",
            "server": "registry.example.com",
            "username": "user01",
            "password": "user01",
            "certificate_path": "Files/registries/ca.crt",
            "hosts_string": "192.168.0.20 registry.example.com",
        },
    ],
}
MINIMUM: dict[str, Any] = {
    "script_path": "Scripts/install_k8s_cluster.sh",
    "master_node": {
        "ssh_cp_name": "masterNode_CP1",
        "nic_cp_name": "masterNode_CP1",
        "username": "ubuntu",
        "password": "MARK-master",
        "cluster_cp_name": "masterNode_CP1",
    },
    "worker_node": {
        "ssh_cp_name": "workerNode_CP2",
        "nic_cp_name": "workerNode_CP2",
        "username": "ubuntu",
        "password": "MARK-worker",
    },
}


def new_certificate() -> tuple[str, str]:
    """Return a self-signed certificate and its key in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = self_signed(key, start=datetime.datetime(2024, 1, 1), days=36500)
    return certificate.public_bytes(serialization.Encoding.PEM).decode(), key_pem(key)


def key_pem(key: ec.EllipticCurvePrivateKey, passphrase: bytes | None = None) -> str:
    """Return a private key in PEM, encrypted if there is a passphrase."""
    encryption = (
        serialization.BestAvailableEncryption(passphrase)
        if passphrase
        else serialization.NoEncryption()
    )
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    ).decode()


def write_package(root: Path) -> VnfPackage:
    """Write the unpacked VNF package of a cluster with flavours simple and complex."""
    certificate, key = new_certificate()
    files = {
        "Definitions/df.yaml": VNFD,
        "BaseHOT/simple/top.yaml": COMPLEX_HOT.replace("vip_CP", "other_CP"),
        "BaseHOT/complex/top.yaml": COMPLEX_HOT,
        "Scripts/install_k8s_cluster.sh": SCRIPT,
        "Files/registries/ca.crt": certificate + new_certificate()[0],
        "Files/registries/client.crt": certificate,
        "Files/registries/client.key": key,
        "Files/registries/other.key": new_certificate()[1],
        "Files/registries/locked.key": key_pem(ec.generate_private_key(ec.SECP256R1()), b"x"),
        "Files/registries/both.pem": certificate + key,
        "Files/registries/damaged.crt": certificate.replace("\n", "\nA", 2),
        "Files/cni.yaml": CNI,
        "Files/list.yaml": "- a\n",
        "Files/keys/k8s.asc": "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQ==\n",
    }
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return VnfPackage(root)


def parse(package: VnfPackage | None, given: Any, flavour: str = "complex") -> ClusterParams:
    """Return the checked parameters."""
    return k8s_cluster.parse({k8s_cluster.KEY: given}, package, flavour_id=flavour)


def faults_of(package: VnfPackage | None, given: Any, flavour: str = "complex") -> dict[str, str]:
    """Return the faults as path below the parameter -> problem."""
    with pytest.raises(InvalidRequest) as caught:
        parse(package, given, flavour)
    return {f.path.removeprefix(P).lstrip("."): f.problem for f in caught.value.faults}


def changed(base: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Return a copy of ``base`` with the member at a dotted path set."""
    first, _, rest = path.partition(".")
    return {**base, first: changed(base.get(first) or {}, rest, value) if rest else value}
