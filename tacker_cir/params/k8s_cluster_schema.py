# SPDX-License-Identifier: Apache-2.0
"""Shape of ``k8s_cluster_installation_param`` as JSON Schema (draft 2020-12)."""

from __future__ import annotations

from typing import Any

from tacker_cir.params import bounds, fields
from tacker_cir.params.fields import PACKAGE_PATH, PEM, string
from tacker_cir.runtimes import RUNTIMES, named

KEY = "k8s_cluster_installation_param"

#: Members that upstream's documents give to neighbouring features, and which these are.
UNSUPPORTED = {
    "helm_installation_script_path": "Helm on the cluster",
    "storage_server": "a storage server for persistent volumes",
    "pv_registration_params": "the registration of persistent volumes",
}

_ONE_LINE = r"^[^\x00-\x1f\x7f]+\Z"


def _path(description: str, **more: Any) -> dict[str, Any]:
    return string(f"{description}, {PACKAGE_PATH}", pattern=_ONE_LINE, **more)


def _pem(description: str, **more: Any) -> dict[str, Any]:
    return string(
        f"{description} in PEM: the text itself, or {PACKAGE_PATH}",
        maxLength=bounds.MAX_TEXT,
        pattern=rf"^[^\x00-\x1f\x7f]{{1,1024}}\Z|{PEM}",
        **more,
    )


def _cidr(description: str) -> dict[str, Any]:
    return string(f"{description}, e.g. 10.96.0.0/12")


def _cp(description: str) -> dict[str, Any]:
    return string(f"the name of {description}")


def _node(role: str, required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "writeOnly": True,
        "description": f"an object that describes the {role} nodes",
        "additionalProperties": False,
        "required": ["ssh_cp_name", "nic_cp_name", "username", *required],
        "properties": {
            "aspect_id": string(f"the name of the scaling aspect of the {role} nodes"),
            "ssh_cp_name": _cp("the CP used for SSH access to the VM"),
            "nic_cp_name": _cp("the CP whose address the node has in the cluster"),
            "username": fields.USERNAME,
            "password": fields.PASSWORD,
            "ssh_private_key": fields.PRIVATE_KEY,
            **properties,
        },
    }


_CONNECTION_TYPE = {"enum": ["0", "1", 0, 1], "description": '"0" for HTTP or "1" for HTTPS'}
_SERVER = string("host[:port] of the registry, e.g. 10.10.0.10:5000")

_REGISTRY = {
    "type": "object",
    "writeOnly": True,
    "description": "an object that describes a registry: connection_type, server, ...",
    "additionalProperties": False,
    "if": {"required": ["vnf_instance"]},
    "then": {},
    "else": {
        "required": ["connection_type", "server"],
        # For what is said where one is missing; they are judged below.
        "properties": {
            "connection_type": {"description": _CONNECTION_TYPE["description"]},
            "server": {"description": _SERVER["description"]},
        },
    },
    "properties": {
        "connection_type": _CONNECTION_TYPE,
        "server": _SERVER,
        "vnf_instance": string(
            "the name or id of the registry's VNF instance", pattern=r"^[^\x00-\x1f\x7f]{1,255}\Z"
        ),
        # A colon would end the name where it is sent (RFC 7617).
        "username": string("a user name without a colon", pattern=r"^[^:\x00-\x1f\x7f]+\Z"),
        "password": string("the user's password", writeOnly=True, pattern=_ONE_LINE),
        "certificate_path": _pem("the registry's CA certificate"),
        "client_certificate_path": _pem("the nodes' client certificate"),
        "client_key_path": _pem("the client certificate's key", writeOnly=True),
        "hosts_string": string("'<IP address> <FQDN>'", pattern=r"^[^\x00-\x08\x0a-\x1f\x7f]+\Z"),
        "skip_verify": {
            "type": "boolean",
            "description": "true to accept any certificate of the registry",
        },
        "token_server": string("host[:port] of the server for the registry's tokens"),
        "mirror_of": string("the registry that this one mirrors, e.g. docker.io"),
        "mirror_fallback": {
            "type": "boolean",
            "description": "false to never ask the registry that is mirrored",
        },
        "test_image": string(
            "an image of the registry to pull as a test, e.g. library/busybox:1.36",
            pattern=fields.IMAGE,
        ),
        "advertise": {
            "type": "boolean",
            "description": "true to tell the cluster's users of the registry",
        },
    },
}

_PACKAGE_REPOSITORY = fields.apt_repository(
    suite=string(
        "a suite of the repository, or a path in it that ends in a slash; default: /",
        pattern=r"^(/|[A-Za-z0-9][A-Za-z0-9./_-]*)\Z",
    )
) | {
    "type": ["string", "object"],
    "pattern": r"^(image|pkgs\.k8s\.io)\Z",
    "description": (
        '"pkgs.k8s.io", "image" (the VM\'s image has the programs), or an object with uri, '
        "keyring_path and optionally suite, components"
    ),
}

SCHEMA: dict[str, Any] = {
    "type": "object",
    "writeOnly": True,
    "description": f"an object with the members of {KEY}",
    "additionalProperties": False,
    "required": ["script_path", "master_node", "worker_node"],
    "properties": {
        "script_path": _path("the script that installs a node"),
        "vim_name": string(
            "a name for the cluster as a VIM, at most 255 characters",
            pattern=r"^[^\x00-\x1f\x7f]{1,255}\Z",
        ),
        "master_node": _node(
            "master",
            required=("cluster_cp_name",),
            pod_cidr=_cidr("the network of the pods"),
            cluster_cidr=_cidr("the network of the services"),
            cluster_cp_name=_cp("the CP that has the cluster's address"),
            cluster_fip_name=_cp("the floating IP of the cluster's address"),
        ),
        "worker_node": _node("worker"),
        "proxy": fields.proxy(k8s_node_cidr=_cidr("the network of the nodes")),
        "private_registry_connection_info": {
            "type": "array",
            "writeOnly": True,
            "description": "a list of registries, each an object",
            "items": _REGISTRY,
        },
        "kubernetes_version": string(
            "a full version of Kubernetes, e.g. 1.34.8",
            pattern=r"^1\.[1-9][0-9]{1,2}\.(0|[1-9][0-9]{0,2})\Z",
        ),
        "package_repository": _PACKAGE_REPOSITORY,
        "container_runtime": {
            "enum": [*RUNTIMES],
            "description": named([*RUNTIMES], quote='"'),
        },
        "image_repository": string(
            "host[:port][/path] that has the control plane's images, e.g. 10.10.0.10:5000/k8s"
        ),
        "cni_manifest_path": _path("a manifest (YAML) that gives the cluster its pod network"),
    },
}
