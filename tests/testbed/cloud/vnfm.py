# SPDX-License-Identifier: Apache-2.0
"""Tacker: server and conductor, with the management drivers under test enabled."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from cryptography.fernet import Fernet
from keystoneauth1 import session as keystone_session
from keystoneauth1.identity import v3

from tests.testbed.cloud import settings
from tests.testbed.cloud.daemons import (
    DATABASE_PASSWORD,
    DATABASE_PORT,
    DATABASE_USER,
    TRANSPORT_URL,
    database_url,
)
from tests.testbed.cloud.process import Service, Supervisor
from tests.testbed.cloud.tackers import Environment
from tests.testbed.machines.host import LabError

SERVER = "tacker-server"
CONDUCTOR = "tacker-conductor"
ENDPOINT = f"http://127.0.0.1:{settings.TACKER_PORT}"
# Seconds between Tacker's looks at a stack. With 1 s a scale-in ended with a stale VNFC list.
STACK_RETRY_WAIT = 4


def prepare(
    directory: Path,
    environment: Environment,
    drivers: Sequence[str],
    conductor: settings.Sections,
) -> None:
    """Write Tacker's settings.

    :param environment: where Tacker is.
    :param drivers: names of the VNF LCM management drivers, as in tacker.conf.
    :param conductor: further options of the conductor, by section.
    """
    for name in ("packages", "csar", "locks", "coordination", "vim-keys", "etc"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    settings.write(
        directory / "tacker.conf",
        {
            "DEFAULT": {
                "transport_url": TRANSPORT_URL,
                "bind_host": "127.0.0.1",
                "bind_port": settings.TACKER_PORT,
                "api_paste_config": environment.data_file("api-paste.ini"),
                "state_path": directory,
                "auth_strategy": "keystone",
            },
            "database": {"connection": database_url("tacker")},
            "keystone_authtoken": {
                **settings.token_check("tacker"),
                # With these Tacker logs in to Barbican; it does not know the ids.
                "user_domain_name": settings.DOMAIN_NAME,
                "project_domain_name": settings.DOMAIN_NAME,
            },
            "nfvo_vim": {"vim_drivers": "openstack,kubernetes"},
            "vim_keys": {"openstack": directory / "vim-keys", "use_barbican": False},
            "glance_store": {
                "default_backend": "file",
                "filesystem_store_datadir": directory / "csar",
            },
            "vnf_package": {"vnf_package_csar_path": directory / "packages"},
            "vnf_lcm": {"endpoint_url": ENDPOINT},
            "v2_vnfm": {"endpoint": ENDPOINT},
            "oslo_concurrency": {"lock_path": directory / "locks"},
            "coordination": {"backend_url": f"file://{directory / 'coordination'}"},
            "openstack_vim": {"stack_retry_wait": STACK_RETRY_WAIT, "stack_retries": 150},
            "tacker": {"vnflcm_mgmt_driver": drivers},
            "oslo_messaging_notifications": {"driver": "noop"},
        },
    )
    # Looked for in etc/ of the state path.
    shutil.copy(environment.data_file("prometheus-plugin.yaml"), directory / "etc")
    own = dict(conductor)
    own["DEFAULT"] = {"debug": True, **own.get("DEFAULT", {})}
    settings.write(directory / "conductor.conf", own)


def migrate(directory: Path, environment: Environment, supervisor: Supervisor) -> None:
    """Make Tacker's tables."""
    argv = [*environment.command("tacker-db-manage"), *_configured(directory), "upgrade", "head"]
    supervisor.run(SERVER, argv, environment.variables)


def server(directory: Path, environment: Environment) -> Service:
    """tacker-server as a service."""
    argv = [*environment.command(SERVER), *_configured(directory)]
    return Service(SERVER, argv, environment.variables, port=settings.TACKER_PORT)


def conductor(directory: Path, environment: Environment) -> Service:
    """tacker-conductor as a service."""
    argv = environment.command(CONDUCTOR)
    for path in conductor_config(directory):
        argv += ["--config-file", str(path)]
    return Service(CONDUCTOR, argv, environment.variables, queue="TACKER_CONDUCTOR")


def reopen(operation: str, error_point: int) -> None:
    """Change an operation in Tacker's database from PROCESSING to FAILED_TEMP.

    To be called inside the lab's network namespace. See Cloud.reopen_operation().
    """
    with _database() as db, db.cursor() as cursor:
        changed = cursor.execute(
            "UPDATE vnf_lcm_op_occs SET operation_state = 'FAILED_TEMP', error_point = %s"
            " WHERE id = %s AND operation_state = 'PROCESSING'",
            (error_point, operation),
        )
        if changed != 1:
            raise LabError(f"no operation {operation} is PROCESSING")
        of_instance = "WHERE id = (SELECT vnf_instance_id FROM vnf_lcm_op_occs WHERE id = %s)"
        cursor.execute(f"UPDATE vnf SET status = 'ERROR' {of_instance}", operation)
        cursor.execute(f"UPDATE vnf_instances SET task_state = NULL {of_instance}", operation)
        db.commit()


def is_at_rest(instance: str) -> bool:
    """Tell whether Tacker takes another operation of a VNF instance, which its API does not show.

    To be called inside the lab's network namespace.
    """
    with _database() as db, db.cursor() as cursor:
        cursor.execute("SELECT task_state FROM vnf_instances WHERE id = %s", (instance,))
        return cursor.fetchone() == (None,)


def vim_credentials(vim: str) -> dict[str, str]:
    """Read the secrets of a Kubernetes VIM from Tacker's database, with the key from Barbican.

    To be called inside the lab's network namespace. See Cloud.vim_credentials().
    """
    with _database() as db, db.cursor() as cursor:
        found = cursor.execute(
            "SELECT auth_cred FROM vimauths WHERE vim_id IN (%s, %s)", (vim, vim.replace("-", ""))
        )
        if not found:
            raise LabError(f"Tacker's database has no credentials of VIM {vim}")
        stored = json.loads(cursor.fetchone()[0])
    login = settings.service_login("tacker")
    login.pop("auth_type")
    session = keystone_session.Session(v3.Password(**login))
    url = f"{settings.KEYS_URL}/v1/secrets/{stored['secret_uuid']}/payload"
    key = session.get(url, headers={"Accept": "application/octet-stream"}).content
    names = ("bearer_token", "ssl_ca_cert")
    return {n: Fernet(key).decrypt(stored[n]).decode() for n in names if stored.get(n)}


def _database():
    # Imported here: only the environment that runs the cloud has it.
    import pymysql

    return pymysql.connect(
        host="127.0.0.1",
        port=DATABASE_PORT,
        database="tacker",
        user=DATABASE_USER,
        password=DATABASE_PASSWORD,
    )


def conductor_config(directory: Path) -> list[Path]:
    """Configuration files of tacker-conductor, in their order."""
    return [directory / "tacker.conf", directory / "conductor.conf"]


def _configured(directory: Path) -> list[str]:
    return ["--config-file", str(directory / "tacker.conf")]
