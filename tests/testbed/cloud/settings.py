# SPDX-License-Identifier: Apache-2.0
"""Ports, accounts and configuration files that the cloud's services have in common."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

KEYSTONE_PORT = 5000
HEAT_PORT = 8004
IMAGES_PORT = 9292
TACKER_PORT = 9890
KEYS_PORT = 9311
AUTH_URL = f"http://127.0.0.1:{KEYSTONE_PORT}/v3"
KEYS_URL = f"http://127.0.0.1:{KEYS_PORT}"
REGION = "RegionOne"

# Accounts of a lab without a way out of its network: their passwords are no secrets.
ADMIN_PASSWORD = "admin"
SERVICE_PASSWORD = "service"
STACK_ADMIN_PASSWORD = "stack"
USER = "nfv_user"
USER_PASSWORD = "nfv_user"
PROJECT = "nfv"
DOMAIN = "default"
DOMAIN_NAME = "Default"

#: What keystoneauth1's v3.Password, and so the tests' client, needs to log in.
CREDENTIALS = {
    "auth_url": AUTH_URL,
    "username": USER,
    "password": USER_PASSWORD,
    "project_name": PROJECT,
    "user_domain_id": DOMAIN,
    "project_domain_id": DOMAIN,
}

Sections = Mapping[str, Mapping[str, object]]


def write(path: Path, sections: Sections) -> None:
    """Write an oslo.config file, readable by its owner only."""
    lines = []
    for section, options in sections.items():
        lines.append(f"[{section}]")
        lines += [f"{name} = {_text(value)}" for name, value in options.items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(0o600)
    path.write_text("\n".join(lines) + "\n")


def program(name: str) -> str:
    """A console script of the Python environment that runs this code."""
    return str(Path(sys.prefix, "bin", name))


def data_file(name: str) -> str:
    """A file that a service's package has installed under etc/ of the environment."""
    return str(Path(sys.prefix, "etc", name))


def service_login(user: str) -> dict[str, Any]:
    """Options with which a service logs in to Keystone as its own user."""
    return {
        "auth_type": "password",
        "auth_url": AUTH_URL,
        "username": user,
        "password": SERVICE_PASSWORD,
        "user_domain_id": DOMAIN,
        "project_name": "service",
        "project_domain_id": DOMAIN,
    }


def token_check(user: str) -> dict[str, object]:
    """Options of keystonemiddleware for a service that checks its callers' tokens."""
    return {**service_login(user), "www_authenticate_uri": AUTH_URL,
            "service_token_roles_required": True, "region_name": REGION}  # fmt: skip


def _text(value: object) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return str(value)
