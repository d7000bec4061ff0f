# SPDX-License-Identifier: Apache-2.0
"""Shape of ``private_registry_installation_param`` as JSON Schema (draft 2020-12)."""

from __future__ import annotations

from typing import Any

from tacker_cir.params import (
    fields,
    registry_contents,
    registry_proxy_of,
    registry_tls,
    registry_upkeep,
    registry_users,
    registry_volume,
)
from tacker_cir.params.fields import PACKAGE_PATH, string

KEY = "private_registry_installation_param"

SCHEMA: dict[str, Any] = {
    "type": "object",
    "writeOnly": True,
    "description": f"an object with the members of {KEY}",
    "additionalProperties": False,
    "required": ["ssh_cp_name", "ssh_username"],
    "properties": {
        "ssh_cp_name": string("the name of the CP used for SSH access to the VM"),
        "ssh_username": fields.USERNAME,
        "ssh_password": fields.PASSWORD,
        "ssh_private_key": fields.PRIVATE_KEY,
        "ssh_host_keys": {
            "type": "array",
            "minItems": 1,
            "description": "a list of the VM's public host keys, as in ssh_host_*_key.pub",
            "items": string("a public key line, e.g. 'ssh-ed25519 AAAA...'", maxLength=4096),
        },
        "image_path": string(f"a file made with 'docker save', {PACKAGE_PATH}"),
        "port_no": {
            "type": ["string", "integer"],
            "pattern": r"^[0-9]{1,5}\Z",
            "minimum": 1,
            "maximum": 65535,
            "description": "a TCP port number, 1 to 65535",
        },
        "proxy": fields.proxy(),
        "docker_package": {
            "type": ["string", "object"],
            "pattern": r"^[a-z0-9][a-z0-9+.-]+\Z",
            "description": "a package name, or an object with name, version, apt_repository",
            "additionalProperties": False,
            "required": ["name"],
            "properties": {
                "name": string("a package name", pattern=r"^[a-z0-9][a-z0-9+.-]+\Z"),
                "version": string(
                    "the package's full version", pattern=r"^[A-Za-z0-9][A-Za-z0-9.+:~-]*\Z"
                ),
                "apt_repository": fields.apt_repository(),
            },
        },
        "registry_image": string("an image reference, e.g. registry:latest", pattern=fields.IMAGE),
        "data_path": string(
            "an absolute directory of the VM for the registry's data, not a system directory",
            pattern=r"^(/[A-Za-z0-9._-]+){1,20}\Z",
        ),
        registry_contents.KEY: registry_contents.SCHEMA,
        registry_volume.KEY: registry_volume.SCHEMA,
        registry_proxy_of.KEY: registry_proxy_of.SCHEMA,
        registry_tls.KEY: registry_tls.SCHEMA,
        registry_users.KEY: registry_users.SCHEMA,
        registry_users.ANONYMOUS_KEY: registry_users.ANONYMOUS_SCHEMA,
        registry_upkeep.KEY: registry_upkeep.SCHEMA,
    },
}
