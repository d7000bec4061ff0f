# SPDX-License-Identifier: Apache-2.0
"""Shape of ``private_registry_installation_param`` as JSON Schema (draft 2020-12)."""

from __future__ import annotations

from typing import Any

KEY = "private_registry_installation_param"

# Grammar of distribution's reference package: [host[:port]/]name[:tag][@digest].
_IMAGE = (
    r"^(?=.{1,400}\Z)([a-zA-Z0-9.-]+(:[0-9]+)?/)?[a-z0-9]+([._-]+[a-z0-9]+)*"
    r"(/[a-z0-9]+([._-]+[a-z0-9]+)*)*(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?"
    r"(@sha256:[0-9a-f]{64})?\Z"
)
_PACKAGE_PATH = "a path relative to the top of the VNF package"
_URL = r"^https?://[^\s\"'\\]+\Z"
# apt keeps a repository's login in auth.conf(5); a sources file is read by everybody.
_URL_WITHOUT_LOGIN = r"^https?://[^\s\"'\\@]+\Z"
_APT_WORD = r"^[A-Za-z0-9][A-Za-z0-9./_-]*\Z"


def _string(description: str, **more: Any) -> dict[str, Any]:
    return {"type": "string", "minLength": 1, "description": description, **more}


_PROXY = {
    "type": "object",
    "writeOnly": True,
    "description": "an object with http_proxy, https_proxy, no_proxy",
    "additionalProperties": False,
    "properties": {
        # A proxy's URL may hold a password.
        name: {
            "type": "string",
            "pattern": rf"^\Z|{_URL}",
            "writeOnly": True,
            "description": "a URL http[s]://[user:password@]host[:port]",
        }
        for name in ("http_proxy", "https_proxy")
    }
    | {
        "no_proxy": {
            "type": "string",
            "pattern": r"^[^\s\"'\\]*\Z",
            "description": "hosts, domains and networks separated by commas",
        }
    },
}

_APT_REPOSITORY = {
    "type": "object",
    "writeOnly": True,
    "description": "an object with uri, keyring_path and optionally suite, components",
    "additionalProperties": False,
    "required": ["uri", "keyring_path"],
    "properties": {
        "uri": _string(
            "the URL of an apt repository, http:// or https://, without user and password",
            pattern=_URL_WITHOUT_LOGIN,
            writeOnly=True,
        ),
        "suite": _string(
            "a suite of the repository; default: the code name of the VM's distribution",
            pattern=_APT_WORD,
        ),
        "components": {
            "type": "array",
            "minItems": 1,
            "description": "a list of components; default: [stable]",
            "items": _string("a component of the repository", pattern=_APT_WORD),
        },
        "keyring_path": _string(f"the repository's OpenPGP public key, {_PACKAGE_PATH}"),
    },
}

# Patterns end in \Z: to Python, $ also means "before a last newline". What may hold a secret is
# writeOnly as a whole, as a user may write a string where an object belongs.
SCHEMA: dict[str, Any] = {
    "type": "object",
    "writeOnly": True,
    "description": f"an object with the members of {KEY}",
    "additionalProperties": False,
    "required": ["ssh_cp_name", "ssh_username"],
    "properties": {
        "ssh_cp_name": _string("the name of the CP used for SSH access to the VM"),
        "ssh_username": _string(
            "a login name of the VM", pattern=r"^[A-Za-z_][A-Za-z0-9_.@-]*\$?\Z"
        ),
        "ssh_password": _string("the login's password", writeOnly=True, pattern=r"^[^\r\n\x00]+\Z"),
        "ssh_private_key": _string(
            f"a private key without passphrase: the key itself, or {_PACKAGE_PATH}",
            writeOnly=True,
        ),
        "ssh_host_keys": {
            "type": "array",
            "minItems": 1,
            "description": "a list of the VM's public host keys, as in ssh_host_*_key.pub",
            "items": _string("a public key line, e.g. 'ssh-ed25519 AAAA...'"),
        },
        "image_path": _string(f"a file made with 'docker save', {_PACKAGE_PATH}"),
        "port_no": {
            "type": ["string", "integer"],
            "pattern": r"^[0-9]{1,5}\Z",
            "minimum": 1,
            "maximum": 65535,
            "description": "a TCP port number, 1 to 65535",
        },
        "proxy": _PROXY,
        "docker_package": {
            "type": ["string", "object"],
            "pattern": r"^[a-z0-9][a-z0-9+.-]+\Z",
            "description": "a package name, or an object with name, version, apt_repository",
            "additionalProperties": False,
            "required": ["name"],
            "properties": {
                "name": _string("a package name", pattern=r"^[a-z0-9][a-z0-9+.-]+\Z"),
                "version": _string(
                    "the package's full version", pattern=r"^[A-Za-z0-9][A-Za-z0-9.+:~-]*\Z"
                ),
                "apt_repository": _APT_REPOSITORY,
            },
        },
        "registry_image": _string("an image reference, e.g. registry:latest", pattern=_IMAGE),
        "data_path": _string(
            "an absolute directory of the VM for the registry's data, not a system directory",
            pattern=r"^(/[A-Za-z0-9._-]+){1,20}\Z",
        ),
    },
}
