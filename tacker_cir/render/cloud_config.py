# SPDX-License-Identifier: Apache-2.0
"""User data for cloud-init (cloudinit.readthedocs.io, module "Users and Groups")."""

from __future__ import annotations

from typing import Any

import yaml


def render_login(
    username: str, *, public_key: str | None = None, password_hash: str | None = None
) -> str:
    """Return the user data that make a login that may do everything with sudo.

    :param public_key: a line as in authorized_keys
    :param password_hash: as in /etc/shadow; without a key, sshd is told to take passwords
    """
    user: dict[str, Any] = {
        "name": username,
        "shell": "/bin/bash",
        "sudo": "ALL=(ALL) NOPASSWD:ALL",
        "lock_passwd": password_hash is None,
    }
    settings: dict[str, Any] = {"users": [user]}
    if public_key is not None:
        user["ssh_authorized_keys"] = [public_key]
    if password_hash is not None:
        # Unlike passwd it counts for a user whom the image has already.
        user["hashed_passwd"] = password_hash
    if public_key is None:
        settings["ssh_pwauth"] = True
    if username == "root":
        settings["disable_root"] = False
    return "#cloud-config\n" + yaml.safe_dump(settings, sort_keys=False, width=4096)
