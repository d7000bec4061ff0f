# SPDX-License-Identifier: Apache-2.0
"""Configuration files of the Docker daemon."""

from __future__ import annotations


def proxy_environment(http: str | None, https: str | None, no_proxy: str = "") -> str:
    """Return the daemon's proxy variables as an environment file (systemd.exec(5)).

    A file of its own that only root reads: ``Environment=`` of a unit is shown to every user by
    ``systemctl show``, and key ``proxies`` of daemon.json is unknown to Docker before 23.0.
    """
    values = (("HTTP_PROXY", http), ("HTTPS_PROXY", https), ("NO_PROXY", no_proxy))
    return "".join(f'{name}="{value}"\n' for name, value in values if value)


def environment_drop_in(environment_file: str) -> str:
    """Return a unit drop-in that makes the daemon read an environment file."""
    return f"[Service]\nEnvironmentFile={environment_file}\n"
