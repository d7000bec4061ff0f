# SPDX-License-Identifier: Apache-2.0
"""Configuration files of the Docker daemon."""

from __future__ import annotations

import re


def proxy_environment(http: str | None, https: str | None, no_proxy: str = "") -> str:
    """Return the daemon's proxy variables as an environment file (systemd.exec(5)).

    A file of its own that only root reads: ``Environment=`` of a unit is shown to every user by
    ``systemctl show``, and key ``proxies`` of daemon.json is unknown to Docker before 23.0.

    :raises ValueError: a value has a character that no such file can hold
    """
    values = (("HTTP_PROXY", http), ("HTTPS_PROXY", https), ("NO_PROXY", no_proxy))
    return "".join(f'{name}="{_quoted(value)}"\n' for name, value in values if value)


def _quoted(value: str) -> str:
    if not value.isprintable():
        raise ValueError("a value of an environment file has a control character")
    # What systemd takes for special in double quotation marks, as a shell does.
    return re.sub(r'(["\\`$])', r"\\\1", value)


def environment_drop_in(environment_file: str) -> str:
    """Return a unit drop-in that makes the daemon read an environment file."""
    return f"[Service]\nEnvironmentFile={environment_file}\n"
