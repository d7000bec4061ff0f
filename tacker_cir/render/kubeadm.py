# SPDX-License-Identifier: Apache-2.0
"""Configuration files of kubeadm (its reference "kubeadm Configuration", v1beta2 to v1beta4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Any

import yaml

from tacker_cir.documents import load_yaml
from tacker_cir.kubernetes_versions import (
    FIRST_WITH_SOCKET_URLS,
    FIRST_WITH_V1BETA3,
    FIRST_WITH_V1BETA4,
)
from tacker_cir.kubernetes_versions import minor as minor_of
from tacker_cir.render.haproxy import API_SERVER_PORT

#: How long what lets nodes join is valid, in case nobody removes it.
JOIN_LIFE = "2h0m0s"


@dataclass(frozen=True)
class KubeadmNode:
    """What kubeadm must know of the node that it runs on.

    :param version: of Kubernetes, ``1.NN.P``
    :param name: of the node
    :param address: of the node in the cluster
    :param socket: path of the container runtime's socket
    """

    version: str
    name: str
    address: str
    socket: str

    @property
    def minor(self) -> int:
        return minor_of(self.version)

    def registration(self) -> dict[str, Any]:
        """Return ``nodeRegistration``."""
        is_url = self.minor >= FIRST_WITH_SOCKET_URLS
        return {
            "name": self.name,
            "criSocket": f"unix://{self.socket}" if is_url else self.socket,
            "kubeletExtraArgs": _arguments(self.minor, {"node-ip": self.address}),
        }


@dataclass(frozen=True)
class KubeadmCluster:
    """The cluster's own settings.

    :param endpoint: ``host:port`` of the API inside the cluster
    :param names: addresses that the API server's certificate names
    :param image_repository: of the control plane's images, None for kubeadm's default
    :param cgroup_driver: of the kubelets, None for what kubeadm finds
    :param limits_connections: whether kube-proxy sets the kernel's limit of tracked connections:
        not where the node is a container, whose kernel settings are read-only
    """

    endpoint: str
    pod_cidr: IPv4Network
    cluster_cidr: IPv4Network
    names: tuple[str, ...]
    image_repository: str | None = None
    cgroup_driver: str | None = None
    limits_connections: bool = True


def init(node: KubeadmNode, cluster: KubeadmCluster) -> str:
    """Return the file for ``kubeadm init`` and ``kubeadm config images pull``."""
    documents = [
        {
            "apiVersion": _api_version(node.minor),
            "kind": "InitConfiguration",
            # Else kubeadm makes one that is valid for a day. Nobody is told it: nodes join with
            # tokens of their own.
            "bootstrapTokens": [{"ttl": JOIN_LIFE}],
            "nodeRegistration": node.registration(),
            "localAPIEndpoint": {"advertiseAddress": node.address, "bindPort": API_SERVER_PORT},
        },
        _cluster(node, cluster),
    ]
    if cluster.cgroup_driver:
        documents.append(
            {
                "apiVersion": "kubelet.config.k8s.io/v1beta1",
                "kind": "KubeletConfiguration",
                "cgroupDriver": cluster.cgroup_driver,
            }
        )
    if not cluster.limits_connections:
        documents.append(
            {
                "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
                "kind": "KubeProxyConfiguration",
                "conntrack": {"maxPerCore": 0},
            }
        )
    return _dump(documents)


def upload_certificates(cluster_configuration: str, certificate_key: str, minor: int) -> str:
    """Return the file for ``kubeadm init phase upload-certs``.

    :param cluster_configuration: as the cluster's ConfigMap ``kubeadm-config`` has it
    :param certificate_key: 32 bytes in hexadecimal; the file is as secret as it is
    :param minor: of the cluster's version 1.NN
    """
    own = {
        "apiVersion": _api_version(minor),
        "kind": "InitConfiguration",
        "certificateKey": certificate_key,
    }
    return _dump([own, load_yaml(cluster_configuration)])


def join(
    node: KubeadmNode,
    endpoint: str,
    token: str,
    ca_hash: str,
    certificate_key: str | None = None,
) -> str:
    """Return the file for ``kubeadm join``. It holds a secret, the token.

    :param endpoint: ``host:port`` of the API
    :param ca_hash: ``sha256:...`` of the cluster's CA
    :param certificate_key: for a master, what its certificates are encrypted with
    """
    document: dict[str, Any] = {
        "apiVersion": _api_version(node.minor),
        "kind": "JoinConfiguration",
        "discovery": {
            "bootstrapToken": {
                "apiServerEndpoint": endpoint,
                "token": token,
                "caCertHashes": [ca_hash],
            },
        },
        "nodeRegistration": node.registration(),
    }
    if certificate_key:
        document["controlPlane"] = {
            "localAPIEndpoint": {"advertiseAddress": node.address, "bindPort": API_SERVER_PORT},
            "certificateKey": certificate_key,
        }
    return _dump([document])


def node_mask(pods: IPv4Network) -> int:
    """Return the prefix length of one node's share of the pods' network: /24, the usual one, where
    at least sixteen nodes get one, and less for each where the network is small."""
    return 24 if pods.prefixlen <= 20 else min(pods.prefixlen + 4, 28)


def _cluster(node: KubeadmNode, cluster: KubeadmCluster) -> dict[str, Any]:
    document: dict[str, Any] = {
        "apiVersion": _api_version(node.minor),
        "kind": "ClusterConfiguration",
        "kubernetesVersion": f"v{node.version}",
        "controlPlaneEndpoint": cluster.endpoint,
        "networking": {
            "podSubnet": str(cluster.pod_cidr),
            "serviceSubnet": str(cluster.cluster_cidr),
        },
        "apiServer": {"certSANs": list(cluster.names)},
        "controllerManager": {
            "extraArgs": _arguments(
                node.minor, {"node-cidr-mask-size": str(node_mask(cluster.pod_cidr))}
            )
        },
    }
    if cluster.image_repository:
        document["imageRepository"] = cluster.image_repository
    return document


def _api_version(minor: int) -> str:
    """Return the newest configuration format of a version."""
    number = 4 if minor >= FIRST_WITH_V1BETA4 else 3 if minor >= FIRST_WITH_V1BETA3 else 2
    return f"kubeadm.k8s.io/v1beta{number}"


def _arguments(minor: int, arguments: Mapping[str, str]) -> Any:
    """Return command line arguments: a list since v1beta4, a map before."""
    if minor >= FIRST_WITH_V1BETA4:
        return [{"name": name, "value": value} for name, value in arguments.items()]
    return dict(arguments)


def _dump(documents: Sequence[Mapping[str, Any]]) -> str:
    text: str = yaml.safe_dump_all(documents, explicit_start=True, sort_keys=False)
    return text
