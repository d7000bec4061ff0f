# SPDX-License-Identifier: Apache-2.0
"""Members that the schemas of several parameters share.

Patterns end in \\Z: to Python, $ also means "before a last newline". What may hold a secret is
writeOnly as a whole, as a user may write a string where an object belongs.
"""

from __future__ import annotations

from typing import Any

from tacker_cir.params import bounds
from tacker_cir.params.names import IMAGE_PATTERN

PACKAGE_PATH = "a path relative to the top of the VNF package"
#: What a text in PEM has, and no path of a file.
PEM = "-----BEGIN "

# Whether what stands before the first slash is a registry, names.split_image() judges.
IMAGE = (
    r"^(?=.{1,400}\Z)(([A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:]+\])(:[0-9]+)?/)?"
    rf"{IMAGE_PATTERN}\Z"
)

_URL = r"^https?://[^\s\"'\\]+\Z"
# apt keeps a repository's login in auth.conf(5); a sources file is read by everybody.
_URL_WITHOUT_LOGIN = r"^https?://[^\s\"'\\@]+\Z"
_APT_WORD = r"^[A-Za-z0-9][A-Za-z0-9./_-]*\Z"


def string(description: str, **more: Any) -> dict[str, Any]:
    """Return the schema of a string that is not empty and, unless ``more`` says so, no longer than
    any name, path or address."""
    bounded = {"type": "string", "minLength": 1, "maxLength": 1024}
    return {**bounded, "description": description, **more}


USERNAME = string("a login name of the VM", pattern=r"^[A-Za-z_][A-Za-z0-9_.@-]*\$?\Z")
PASSWORD = string("the login's password", writeOnly=True, pattern=r"^[^\r\n\x00]+\Z")
PRIVATE_KEY = string(
    f"a private key without passphrase: the key itself, or {PACKAGE_PATH}",
    writeOnly=True,
    maxLength=bounds.MAX_TEXT,
)


def proxy(**more: Any) -> dict[str, Any]:
    """Return the schema of ``proxy``.

    :param more: further members with their schemas
    """
    return {
        "type": "object",
        "writeOnly": True,
        "description": f"an object with {', '.join(['http_proxy, https_proxy, no_proxy', *more])}",
        "additionalProperties": False,
        "properties": {
            # A proxy's URL may hold a password.
            name: {
                "type": "string",
                "maxLength": 1024,
                "pattern": rf"^\Z|{_URL}",
                "writeOnly": True,
                "description": "a URL http[s]://[user:password@]host[:port]",
            }
            for name in ("http_proxy", "https_proxy")
        }
        | {
            "no_proxy": {
                "type": "string",
                "maxLength": 8192,
                "pattern": r"^[^\s\"'\\]*\Z",
                "description": "hosts, domains and networks separated by commas",
            }
        }
        | more,
    }


def apt_repository(**properties: Any) -> dict[str, Any]:
    """Return the schema of an apt repository.

    :param properties: members whose schemas differ from the usual ones
    """
    return {
        "type": "object",
        "writeOnly": True,
        "description": "an object with uri, keyring_path and optionally suite, components",
        "additionalProperties": False,
        "required": ["uri", "keyring_path"],
        "properties": {
            "uri": string(
                "the URL of an apt repository, http:// or https://, without user and password",
                pattern=_URL_WITHOUT_LOGIN,
                writeOnly=True,
            ),
            "suite": string(
                "a suite of the repository; default: the code name of the VM's distribution",
                pattern=_APT_WORD,
            ),
            "components": {
                "type": "array",
                "minItems": 1,
                "description": "a list of components; default: [stable]",
                "items": string("a component of the repository", pattern=_APT_WORD),
            },
            "keyring_path": string(f"the repository's OpenPGP public key, {PACKAGE_PATH}"),
            **properties,
        },
    }
