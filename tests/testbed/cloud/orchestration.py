# SPDX-License-Identifier: Apache-2.0
"""Heat: engine and API, with the resource plugin that stands in for the other services."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.testbed.cloud import settings
from tests.testbed.cloud.daemons import TRANSPORT_URL, database_url
from tests.testbed.cloud.process import Service, Supervisor

PLUGIN = Path(__file__).with_name("plugin")


def prepare(directory: Path, stack_domain: str | None = None) -> None:
    """Write Heat's settings.

    :param stack_domain: id of the Keystone domain for Heat's users, once it is known.
    """
    login = settings.service_login("heat")
    trustee = ("auth_type", "auth_url", "username", "password", "user_domain_id")
    (directory / "environment.d").mkdir(parents=True, exist_ok=True)
    (directory / "environment.d/default.yaml").write_text("resource_registry: {}\n")
    (directory / "templates").mkdir(exist_ok=True)
    settings.write(
        directory / "heat.conf",
        {
            "DEFAULT": {
                "transport_url": TRANSPORT_URL,
                "plugin_dirs": PLUGIN,
                "environment_dir": directory / "environment.d",
                "template_dir": directory / "templates",
                "num_engine_workers": 1,
                "auth_encryption_key": "0123456789abcdef0123456789abcdef",
                "region_name_for_services": settings.REGION,
                "stack_domain_admin": "heat_domain_admin",
                "stack_domain_admin_password": settings.STACK_ADMIN_PASSWORD,
                **({"stack_user_domain_id": stack_domain} if stack_domain else {}),
            },
            "database": {"connection": database_url("heat")},
            "paste_deploy": {"api_paste_config": settings.data_file("heat/api-paste.ini")},
            "keystone_authtoken": settings.token_check("heat"),
            "trustee": {name: login[name] for name in trustee},
            "clients_keystone": {"auth_uri": settings.AUTH_URL},
            "clients_heat": {
                "url": f"http://127.0.0.1:{settings.HEAT_PORT}/v1/%(tenant_id)s",
            },
            "oslo_messaging_notifications": {"driver": "noop"},
            "oslo_messaging_rabbit": {"heartbeat_in_pthread": False},
        },
    )


def migrate(directory: Path, supervisor: Supervisor) -> None:
    """Make Heat's tables."""
    supervisor.run("heat-engine", [settings.program("heat-manage"), "--config-file",
                                   str(directory / "heat.conf"), "db_sync"])  # fmt: skip


def engine(directory: Path, environment: dict[str, str]) -> Service:
    """heat-engine as a service.

    :param environment: what the resource plugin reads: the machine lab's variables and
        TACKER_CIR_LAB_RECORDS, the directory of the stand-ins' records.
    """
    argv = [settings.program("heat-engine"), "--config-file", str(directory / "heat.conf")]
    return Service("heat-engine", argv, environment, queue="engine")


def api(directory: Path) -> Service:
    """heat-api as a service."""
    argv = [sys.executable, "-m", "tests.testbed.cloud.wsgi", str(settings.HEAT_PORT),
            "8", "heat.wsgi.api:application",
            "--config-file", str(directory / "heat.conf")]  # fmt: skip
    return Service("heat-api", argv, port=settings.HEAT_PORT)


def images(records: Path) -> Service:
    """The stand-in for Glance as a service."""
    argv = [sys.executable, "-m", "tests.testbed.cloud.images", str(settings.IMAGES_PORT),
            str(records)]  # fmt: skip
    return Service("images", argv, port=settings.IMAGES_PORT)
