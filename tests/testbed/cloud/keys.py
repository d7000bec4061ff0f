# SPDX-License-Identifier: Apache-2.0
"""Barbican: keeps the keys with which Tacker encrypts the credentials of Kubernetes VIMs.

Tacker's driver for such VIMs knows no other place, unlike the one for OpenStack.
"""

from __future__ import annotations

import sys
from pathlib import Path

from cryptography.fernet import Fernet

from tests.testbed.cloud import settings
from tests.testbed.cloud.daemons import database_url
from tests.testbed.cloud.process import Service


def prepare(directory: Path) -> None:
    """Write Barbican's settings."""
    settings.write(
        # Barbican takes no argument for it, but looks there.
        directory / ".barbican/barbican.conf",
        {
            "DEFAULT": {
                "host_href": settings.KEYS_URL,
                # Its tables, at its first start.
                "db_auto_create": True,
            },
            "database": {"connection": database_url("barbican")},
            "keystone_authtoken": settings.token_check("barbican"),
            "simple_crypto_plugin": {"kek": Fernet.generate_key().decode()},
        },
    )


def service(directory: Path) -> Service:
    """Barbican as a service."""
    argv = [sys.executable, "-m", "tests.testbed.cloud.wsgi", str(settings.KEYS_PORT),
            "8", settings.data_file("barbican/barbican-api-paste.ini")]  # fmt: skip
    return Service("barbican", argv, {"HOME": str(directory)}, port=settings.KEYS_PORT)
