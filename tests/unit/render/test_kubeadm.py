# SPDX-License-Identifier: Apache-2.0
"""kubeadm's configuration files, against tests/golden."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest

from tacker_cir.render import kubeadm
from tacker_cir.render.kubeadm import KubeadmCluster, KubeadmNode
from tacker_cir.runtimes import RUNTIMES

SIMPLE = KubeadmCluster(
    "198.51.100.10:6443",
    IPv4Network("192.168.0.0/16"),
    IPv4Network("10.96.0.0/12"),
    ("198.51.100.10",),
)
ALL = KubeadmCluster(
    "198.51.100.200:16443",
    IPv4Network("10.244.0.0/21"),
    IPv4Network("10.97.0.0/16"),
    ("198.51.100.200", "198.51.100.10", "203.0.113.7"),
    image_repository="198.51.100.5:5000/k8s",
    cgroup_driver="systemd",
    limits_connections=False,
)
TOKEN = "abcdef.0123456789abcdef"
CA_HASH = f"sha256:{'0' * 64}"


def node(version, runtime="containerd"):
    socket = RUNTIMES[runtime].socket
    return KubeadmNode(version, "master-198-51-100-10", "198.51.100.10", socket)


@pytest.mark.parametrize(
    ("name", "version", "runtime", "cluster"),
    [
        ("init_1_20_docker", "1.20.2", "docker", SIMPLE),
        ("init_1_20_containerd", "1.20.2", "containerd", ALL),
        ("init_1_28", "1.28.15", "containerd", SIMPLE),
        ("init_1_34", "1.34.8", "containerd", ALL),
        ("init_1_36", "1.36.0", "containerd", SIMPLE),
    ],
)
def test_init(golden, name, version, runtime, cluster):
    golden(f"kubeadm_{name}.yaml", kubeadm.init(node(version, runtime), cluster))


@pytest.mark.parametrize(
    ("name", "version", "certificate_key"),
    [
        ("join_worker_1_20", "1.20.2", None),
        ("join_worker_1_34", "1.34.8", None),
        ("join_master_1_20", "1.20.2", "0" * 64),
    ],
)
def test_join(golden, name, version, certificate_key):
    text = kubeadm.join(node(version), "198.51.100.200:16443", TOKEN, CA_HASH, certificate_key)
    golden(f"kubeadm_{name}.yaml", text)


def test_upload_certificates_keeps_the_clusters_configuration(golden):
    own = "apiVersion: kubeadm.k8s.io/v1beta2\nkind: ClusterConfiguration\nclusterName: mine\n"
    golden("kubeadm_upload.yaml", kubeadm.upload_certificates(own, "0" * 64, 20))


@pytest.mark.parametrize(
    ("pods", "mask"),
    [("10.0.0.0/8", 24), ("192.168.0.0/16", 24), ("10.0.0.0/20", 24), ("10.0.0.0/21", 25),
     ("10.0.0.0/24", 28)],
)  # fmt: skip
def test_a_small_network_of_pods_still_serves_sixteen_nodes(pods, mask):
    network = IPv4Network(pods)
    assert kubeadm.node_mask(network) == mask
    assert 2 ** (mask - network.prefixlen) >= 16
    # kubeadm refuses more than 16 bits between the two.
    assert mask - network.prefixlen <= 16
