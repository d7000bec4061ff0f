# SPDX-License-Identifier: Apache-2.0
"""Manifests of what the tests run on a cluster: JSON documents, as ``kubectl apply`` takes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

ECHO_PORT = 8080
#: A volume that a drain empties, as its pod's ``spec`` and its container's mount name it.
_SCRATCH = "scratch"


def echo(image: str, port: int = ECHO_PORT, *, name: str = "echo", **more: Any) -> dict[str, Any]:
    """Return a container of the lab's HTTP server.

    :param more: other members of the container
    """
    return {"name": name, "image": image, "args": ["serve", f":{port}"], **more}


def with_scratch(container: Mapping[str, Any], **spec: Any) -> dict[str, Any]:
    """Return the spec of a pod whose container has a volume of type emptyDir.

    :param spec: other members of the spec
    """
    mount = {"name": _SCRATCH, "mountPath": "/scratch"}
    return {
        "volumes": [{"name": _SCRATCH, "emptyDir": {}}],
        "containers": [{**container, "volumeMounts": [mount]}],
        **spec,
    }


def workload(kind: str, name: str, pod: Mapping[str, Any], **spec: Any) -> str:
    """Return a Deployment or a DaemonSet whose pods have the label ``app`` with its name.

    :param pod: spec of its pods
    :param spec: other members of its own spec, e.g. ``replicas``
    """
    labels = {"app": name}
    return document(
        "apps/v1",
        kind,
        name,
        selector={"matchLabels": labels},
        template={"metadata": {"labels": labels}, "spec": pod},
        **spec,
    )


def document(version: str, kind: str, name: str, **spec: Any) -> str:
    """Return an object of any kind."""
    metadata = {"name": name}
    return json.dumps({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec})
