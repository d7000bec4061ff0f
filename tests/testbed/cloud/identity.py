# SPDX-License-Identifier: Apache-2.0
"""Keystone: settings, keys, and the accounts and endpoints of the other services."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from tests.testbed.cloud import settings
from tests.testbed.cloud.daemons import database_url
from tests.testbed.cloud.process import Service, Supervisor

#: URL by type and name. Tacker looks for Barbican by its name, too.
ENDPOINTS = {
    ("orchestration", "heat"): f"http://127.0.0.1:{settings.HEAT_PORT}/v1/%(tenant_id)s",
    ("nfv-orchestration", "tacker"): f"http://127.0.0.1:{settings.TACKER_PORT}/",
    ("image", "glance"): f"http://127.0.0.1:{settings.IMAGES_PORT}",
    ("network", "neutron"): f"http://127.0.0.1:{settings.IMAGES_PORT}",
    ("key-manager", "barbican"): settings.KEYS_URL,
}


def prepare(directory: Path, supervisor: Supervisor) -> None:
    """Write Keystone's settings and make its keys; needs no database."""
    settings.write(
        directory / "keystone.conf",
        {
            "database": {"connection": database_url("keystone")},
            "token": {"provider": "fernet", "expiration": 86400},
            "fernet_tokens": {"key_repository": directory / "fernet-keys"},
            "credential": {"key_repository": directory / "credential-keys"},
            # Keystone hashes each login's password; a lab's need not withstand an attack.
            "identity": {"password_hash_rounds": 4},
            "oslo_messaging_notifications": {"driver": "noop"},
        },
    )
    owner = ["--keystone-user", "root", "--keystone-group", "root"]
    for command in ("fernet_setup", "credential_setup"):
        _manage(directory, supervisor, command, *owner)


def migrate(directory: Path, supervisor: Supervisor, endpoint: str) -> None:
    """Make Keystone's tables and its own account and endpoint.

    :param endpoint: its address in the catalog.
    """
    _manage(directory, supervisor, "db_sync")
    _manage(directory, supervisor, "bootstrap", "--bootstrap-password", settings.ADMIN_PASSWORD,
            "--bootstrap-region-id", settings.REGION,
            "--bootstrap-public-url", endpoint,
            "--bootstrap-internal-url", endpoint)  # fmt: skip


def service(directory: Path) -> Service:
    """Keystone as a service, which works on one request at a time: its AuthContextMiddleware keeps
    the token of a request in itself, where with threads the next request finds it and is answered
    with the rights of another user."""
    argv = [sys.executable, "-m", "tests.testbed.cloud.wsgi", str(settings.KEYSTONE_PORT),
            "1", "keystone.wsgi.api:application"]  # fmt: skip
    environment = {"OS_KEYSTONE_CONFIG_FILES": str(directory / "keystone.conf")}
    return Service("keystone", argv, environment, port=settings.KEYSTONE_PORT)


def add_accounts() -> str:
    """Make users, roles, projects and endpoints of the services, and the tests' own user.

    To be called inside the lab's network namespace.

    :returns: id of the domain for the users that Heat makes.
    """
    # Imported here: only the environment that runs the cloud has them.
    from keystoneauth1 import session
    from keystoneauth1.identity import v3
    from keystoneclient.v3 import client

    admin: dict[str, Any] = {**settings.CREDENTIALS, "username": "admin", "project_name": "admin",
             "password": settings.ADMIN_PASSWORD}  # fmt: skip
    keystone = client.Client(session=session.Session(v3.Password(**admin)))
    roles = {role.name: role for role in keystone.roles.list()}
    for name in ("heat_stack_owner", "heat_stack_user"):
        roles[name] = keystone.roles.create(name)

    def add_user(name: str, password: str, project: object, *granted: str) -> None:
        user = keystone.users.create(name, domain=settings.DOMAIN, password=password)
        for role in granted:
            keystone.roles.grant(roles[role], user=user, project=project)

    services = keystone.projects.create("service", settings.DOMAIN)
    for name in ("heat", "barbican", "tacker"):
        add_user(name, settings.SERVICE_PASSWORD, services, "admin", "service")
    project = keystone.projects.create(settings.PROJECT, settings.DOMAIN)
    add_user(settings.USER, settings.USER_PASSWORD, project, "admin", "heat_stack_owner")

    domain = keystone.domains.create("heat")
    stack_admin = keystone.users.create(
        "heat_domain_admin", domain=domain, password=settings.STACK_ADMIN_PASSWORD
    )
    keystone.roles.grant(roles["admin"], user=stack_admin, domain=domain)

    for (kind, name), url in ENDPOINTS.items():
        made = keystone.services.create(name, kind)
        for interface in ("public", "internal", "admin"):
            keystone.endpoints.create(made, url, interface, settings.REGION)
    return domain.id


def _manage(directory: Path, supervisor: Supervisor, *argv: str) -> None:
    configured = ["--config-file", str(directory / "keystone.conf")]
    supervisor.run("keystone", [settings.program("keystone-manage"), *configured, *argv])
