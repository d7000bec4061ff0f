# SPDX-License-Identifier: Apache-2.0
"""RabbitMQ and MariaDB: the distribution's programs, unpacked in the cache, with private data.

They are not installed: an installed server would start at the host's next boot, and MariaDB's
package would put an installed MySQL out. Both listen on the namespace's loopback only.
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.testbed.cloud.process import Service
from tests.testbed.machines import apt
from tests.testbed.machines.host import run
from tests.testbed.machines.parts import Part

EPMD_PORT = 4369
RABBIT_PORT = 5672
DATABASE_PORT = 3306
DATABASES = ("keystone", "heat", "barbican", "tacker")
DATABASE_USER = "openstack"
DATABASE_PASSWORD = "openstack"
# RabbitMQ's own default user, which may log in from the loopback only.
TRANSPORT_URL = f"rabbit://guest:guest@127.0.0.1:{RABBIT_PORT}//"

ERLANG = ("base", "asn1", "crypto", "eldap", "ftp", "inets", "mnesia", "os-mon", "parsetools",
          "public-key", "runtime-tools", "snmp", "ssl", "syntax-tools", "tftp", "tools",
          "xmerl")  # fmt: skip

# Debian's erl looks for the rest of Erlang in /usr/lib/erlang only.
ERL = """\
#!/bin/sh
export ROOTDIR={root} BINDIR={bin} EMU=beam PROGNAME=erl
exec {bin}/erlexec "$@"
"""

# It is a broker for a dozen connections: small, and no alarm on a small /run.
RABBIT_SETTINGS = """\
disk_free_limit.absolute = 1MB
log.console = true
log.file = false
"""

# Nothing has to survive a power failure here, so nothing is synced.
DATABASE_SETTINGS = """\
[mariadbd]
basedir = {tree}/usr
lc_messages_dir = {tree}/usr/share/mysql
datadir = {data}
socket = {directory}/mysqld.sock
pid_file = {directory}/mysqld.pid
tmpdir = {directory}
init_file = {directory}/init.sql
user = root
bind_address = 127.0.0.1
port = {port}
skip_name_resolve
performance_schema = off
innodb_buffer_pool_size = 32M
innodb_log_file_size = 32M
innodb_flush_log_at_trx_commit = 0
innodb_flush_method = nosync
innodb_doublewrite = 0
max_connections = 200
"""


def part(cache: Path, distribution: apt.Distribution) -> Part:
    """Both programs with all of Erlang, unpacked over each other."""
    names = [*(f"erlang-{name}" for name in ERLANG), "rabbitmq-server"]
    names.append(mariadb_package(distribution))
    return Part(
        "RabbitMQ and MariaDB",
        cache / "cloud" / apt.fingerprint(names, distribution.sources),
        lambda tree: distribution.unpack(tree, names),
        160,
        0.2,
    )


def mariadb_package(distribution: apt.Distribution) -> str:
    """Name of the package with MariaDB's server."""
    # Debian 12 and Ubuntu 24.04 have no version in the name, older releases have.
    return min(distribution.names("mariadb-server-core"), default="mariadb-server-core")


def rabbitmq(tree: Path, directory: Path) -> list[Service]:
    """RabbitMQ as services, to be started in this order; what they need is written.

    :param tree: with the unpacked packages.
    :param directory: an empty directory for its settings and data.
    """
    root = tree / "usr/lib/erlang"
    (programs,) = root.glob("erts-*/bin")
    (server,) = (tree / "usr/lib/rabbitmq/lib").iterdir()
    directory.mkdir(parents=True)
    (directory / "bin").mkdir()
    erl = directory / "bin/erl"
    erl.write_text(ERL.format(root=root, bin=programs))
    erl.chmod(0o755)
    (directory / "rabbitmq.conf").write_text(RABBIT_SETTINGS)
    (directory / "enabled_plugins").write_text("[].\n")
    environment = {
        "HOME": str(directory),  # of the Erlang cookie
        "ERL_LIBS": str(root / "lib"),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "PATH": f"{directory}/bin:{os.environ['PATH']}",
        "RABBITMQ_NODENAME": "rabbit@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(RABBIT_PORT),
        "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq.conf"),
        "RABBITMQ_CONF_ENV_FILE": str(directory / "none"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "enabled_plugins"),
        "RABBITMQ_MNESIA_BASE": str(directory / "data"),
        "RABBITMQ_LOG_BASE": str(directory),
        "RABBITMQ_GENERATED_CONFIG_DIR": str(directory),
        "RABBITMQ_PID_FILE": str(directory / "pid"),
        "ERL_CRASH_DUMP": str(directory / "erl_crash.dump"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS":
            "+S 1:1 -kernel inet_dist_use_interface {127,0,0,1}",
    }  # fmt: skip
    argv = ["sh", str(server / "sbin/rabbitmq-server")]
    return [
        # Debian's RabbitMQ expects Erlang's name server to be there, as its epmd.socket is.
        Service("epmd", [str(programs / "epmd")], environment, port=EPMD_PORT),
        Service("rabbitmq", argv, environment, port=RABBIT_PORT),
    ]


def mariadb(tree: Path, directory: Path) -> Service:
    """MariaDB as a service, with fresh system tables and the OpenStack services' databases.

    :param tree: with the unpacked packages; the host has the libraries that they need.
    :param directory: an empty directory for its settings and data.
    """
    directory.mkdir(parents=True)
    directory.chmod(0o700)
    settings = directory / "my.cnf"
    settings.write_text(
        DATABASE_SETTINGS.format(
            tree=tree, directory=directory, data=directory / "data", port=DATABASE_PORT
        )
    )
    account = f"{DATABASE_USER}@'127.0.0.1'"
    statements = [f"CREATE USER IF NOT EXISTS {account} IDENTIFIED BY '{DATABASE_PASSWORD}'"]
    for name in DATABASES:
        statements += [f"CREATE DATABASE IF NOT EXISTS {name} CHARACTER SET utf8mb3",
                       f"GRANT ALL ON {name}.* TO {account}"]  # fmt: skip
    (directory / "init.sql").write_text("".join(f"{line};\n" for line in statements))
    server = str(tree / "usr/sbin/mariadbd")
    _make_system_tables(tree, server, settings, directory / "data")
    return Service("mariadb", [server, f"--defaults-file={settings}"], {}, port=DATABASE_PORT)


def database_url(name: str) -> str:
    """SQLAlchemy's address of a database."""
    account = f"{DATABASE_USER}:{DATABASE_PASSWORD}"
    return f"mysql+pymysql://{account}@127.0.0.1:{DATABASE_PORT}/{name}?charset=utf8mb3"


def _make_system_tables(tree: Path, server: str, settings: Path, data: Path) -> None:
    # What mariadb-install-db does; that script finds its helpers only when installed.
    data.mkdir()
    scripts = tree / "usr/share/mysql"
    names = ("mysql_system_tables", "mysql_system_tables_data", "fill_help_tables",
             "maria_add_gis_sp_bootstrap")  # fmt: skip
    text = "CREATE DATABASE mysql;\nUSE mysql;\n"
    # The scripts take the root account's ways to log in from variables.
    text += "SET @auth_root_socket=NULL, @current_hostname='localhost', @skip_auth_anonymous=1;\n"
    text += "".join((scripts / f"{name}.sql").read_text() for name in names)
    run([server, f"--defaults-file={settings}", "--init-file=", "--bootstrap",
         "--skip-grant-tables", f"--log-error={settings.with_name('bootstrap.log')}"],
        stdin=text, env=dict(os.environ))  # fmt: skip
