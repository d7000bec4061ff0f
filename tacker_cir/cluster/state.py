# SPDX-License-Identifier: Apache-2.0
"""What a cluster knows of itself, read on a master together with the machine's own state.

It is a glance: where the API does not answer at once, nothing is known, and whoever needs something
asks for it with patience (:mod:`tacker_cir.cluster.kubectl`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tacker_cir.cluster import credentials
from tacker_cir.cluster.kubectl import ADMIN_CONF, KubeNode, parse_node
from tacker_cir.command import Command
from tacker_cir.reading import Unreadable, reader
from tacker_cir.render import local_registry

#: ConfigMap in which we keep what was done to the cluster as a whole.
NOTES = "tacker-cir"

#: Seconds for one request to the API server.
_REQUEST_TIMEOUT = 5

# Arguments: the marker of a member, the administrator's credentials, seconds for a request, the
# object of others and its namespace, and the objects of the cluster and their namespace.
_GLANCE = r"""
[ -s "$1" ] || exit 3
shift
kube() {
  kubectl --kubeconfig "$config" --request-timeout="$seconds" get --output=json "$@"
}
config=$1 seconds=$2 public=$3 advertised=$4 namespace=$5
shift 5
kube nodes && kube --namespace="$public" --ignore-not-found "$advertised" &&
  kube --namespace="$namespace" --ignore-not-found "$@"
"""


@dataclass(frozen=True)
class ClusterState:
    """What a cluster has.

    :param nodes: by name
    :param objects: those asked for that exist, by kind and name, e.g. ``ConfigMap/tacker-cir``
    """

    nodes: Mapping[str, KubeNode]
    objects: Mapping[str, Mapping[str, Any]] = field(repr=False)


def glance(marker: str) -> Command:
    """Return the command that reads it; its output is for :func:`parse`.

    :param marker: file that a member of a cluster has
    """
    return Command.script(
        "read the cluster's state",
        _GLANCE,
        marker,
        ADMIN_CONF,
        f"{_REQUEST_TIMEOUT}s",
        local_registry.NAMESPACE,
        f"configmap/{local_registry.NAME}",
        credentials.NAMESPACE,
        f"configmap/{credentials.KUBEADM_CONFIG}",
        f"configmap/{NOTES}",
        *credentials.ADMIN_OBJECTS,
        confidential=True,
    )


def parse(text: str) -> ClusterState | None:
    """Return what the command printed; None where it is not all there."""
    try:
        return _state(text)
    except Unreadable:
        return None


@reader("a cluster's state")
def _state(text: str) -> ClusterState:
    nodes, *documents = _documents(text)
    found = [parse_node(item) for item in nodes["items"]]
    # A cluster has its own configuration at least.
    objects = [item for document in documents for item in _items(document)]
    assert objects
    named = {f"{item['kind']}/{item['metadata']['name']}": item for item in objects}
    return ClusterState({node.name: node for node in found}, named)


@reader("our notes in the cluster")
def network_in(notes: Mapping[str, Any]) -> str | None:
    """Return the hash of the network's manifest that was applied, None where none was.

    :param notes: ConfigMap :data:`NOTES`, empty where it is not there
    :raises Unreadable: it has another form
    """
    return (notes.get("data") or {}).get("network")


def _documents(text: str) -> Iterator[Any]:
    decoder = json.JSONDecoder()
    while text := text.lstrip():
        document, end = decoder.raw_decode(text)
        yield document
        text = text[end:]


def _items(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the objects of a List, or the only one."""
    return document["items"] if document.get("kind") == "List" else [document]
