# SPDX-License-Identifier: Apache-2.0
"""What tells a cluster's users of its registry (KEP-1755, "Communicating a local registry")."""

from __future__ import annotations

from typing import Any

import yaml

NAME, NAMESPACE = "local-registry-hosting", "kube-public"
#: What tells our object from that of others.
OWNER = {"app.kubernetes.io/managed-by": "tacker-cir"}
DATA_KEY = "localRegistryHosting.v1"
#: What the registry is, for whoever finds it in the cluster.
HELP = "https://specs.openstack.org/openstack/tacker-specs/specs/xena/cir-k8s-cluster.html"


def hosting(server: str) -> str:
    """Return what the ConfigMap tells.

    :param server: ``host[:port]`` of the registry, by which everybody reaches it
    """
    told = {
        "host": server,
        "hostFromClusterNetwork": server,
        "hostFromContainerRuntime": server,
        "help": HELP,
    }
    text: str = yaml.safe_dump(told, sort_keys=False)
    return text


def config_map(server: str) -> dict[str, Any]:
    """Return the ConfigMap; parameters as for :func:`hosting`."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": OWNER},
        "data": {DATA_KEY: hosting(server)},
    }
