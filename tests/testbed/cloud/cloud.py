# SPDX-License-Identifier: Apache-2.0
"""The lab's cloud as one object: all services up, down, and faults for the conductor."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import sys
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from tests.testbed.cloud import daemons, identity, keys, orchestration, settings, vnfm
from tests.testbed.cloud.api import Tacker
from tests.testbed.cloud.process import Supervisor
from tests.testbed.cloud.records import Record, Records
from tests.testbed.cloud.tackers import OWN, Environment
from tests.testbed.machines import MachineLab, network
from tests.testbed.machines.host import REPOSITORY, say, step, wait_for

DRIVERS = ("vnflcm_noop", "mgmt-drivers-private-registry", "mgmt-drivers-kubernetes")

RC = """\
# For the openstack client by hand, in bash: source this, then "openstack vnflcm list".
{variables}
# The services listen inside the lab's network namespace only.
openstack() {{ nsenter --net={netns} {client} "$@"; }}
# kubectl on a master; and a wait for what Tacker is at, with what the drivers do.
kubectl() {{ (cd {repository} && {python} -m tests.lab kubectl "$@"); }}
watched() {{ (cd {repository} && {python} -m tests.lab watch); }}
"""


class Cloud:
    """Keystone, Heat, Barbican and Tacker in the network namespace of a machine lab that is up.

    :param run: directory for settings, data and logs; removed by down().
    :param lab: makes the machines that stand in for Nova's servers.
    :param drivers: VNF LCM management drivers to enable, as in tacker.conf.
    :param conductor: further options of tacker-conductor, by section.
    """

    def __init__(
        self,
        run: Path,
        lab: MachineLab,
        drivers: Sequence[str] = DRIVERS,
        conductor: settings.Sections | None = None,
    ) -> None:
        self.dir = Path(run)
        self._lab = lab
        self._drivers = drivers
        self._conductor_options = conductor or {}
        self._supervisor = Supervisor(lab.netns, self.dir / "logs")
        self._records = Records(self.dir / "records")

    def up(self) -> None:
        """Start everything from empty databases; a cloud that is up completely is kept.

        :raises LabError: when a service does not start; all that was started is ended then.
        """
        if self.is_up():
            say(f"the cloud is up already; logs: {self._supervisor.logs}")
            return
        self.down()
        with step(f"cloud up (logs: {self._supervisor.logs})"):
            self.dir.mkdir(parents=True)
            self.dir.chmod(0o700)
            tree = self._lab.prepared.cloud
            assert tree is not None  # the stage of preparation makes it for whoever has a cloud
            broker = daemons.rabbitmq(tree, self.dir / "rabbitmq")
            database = daemons.mariadb(tree, self.dir / "mariadb")
            with ThreadPoolExecutor() as pool:
                try:
                    self._start_all(pool, broker, database)
                except BaseException:
                    # Threads that wait for a service end with it.
                    pool.shutdown(wait=False, cancel_futures=True)
                    self._supervisor.kill_all()
                    pool.shutdown()
                    self._supervisor.kill_all()
                    raise
            self._write_rc()
            self._marker.touch()
        say(f"by hand: source {self.rc}")

    def is_up(self) -> bool:
        """Whether all services were started and still run."""
        return self._marker.exists() and all(map(self._supervisor.running, self.logs))

    def down(self) -> None:
        """End all services at once and remove their data, logs and machines."""
        self._supervisor.kill_all()
        for server in self._records.all("servers"):
            self._lab.delete(server["machine"])
        for volume in self.volumes():
            self._lab.delete_volume(volume["id"])
        shutil.rmtree(self.dir, ignore_errors=True)

    def stop_conductor(self) -> None:
        """End tacker-conductor as an operator does (SIGTERM): what it works on is finished."""
        # Its worker ends then. Its first process does not (a periodic task holds it); systemd
        # would kill that at last.
        self._supervisor.stop(vnfm.CONDUCTOR, seconds=60, leave=1)

    def start_conductor(self) -> None:
        """Start tacker-conductor (again) and wait until it takes work."""
        self._supervisor.start(vnfm.conductor(self.dir / "tacker", self.tacker_environment))

    def kill_conductor(self) -> None:
        """End tacker-conductor in the middle of its work (SIGKILL)."""
        self._supervisor.kill(vnfm.CONDUCTOR)

    def reopen_operation(self, operation: str, error_point: int) -> None:
        """Make an operation that a killed conductor left in PROCESSING one that can be retried.

        Tacker's v1 API refuses to retry, roll back or fail such an operation, for ever; this is
        what its operator has to change in the database, and no more.

        :param error_point: where a retry goes on (tacker.objects.fields.ErrorPoint): 4 waits for
            the stack that an instantiate has made, 6 runs the hook at the end only.
        :raises LabError: when there is no such operation in PROCESSING.
        """
        with network.entered(self._lab.netns):
            vnfm.reopen(operation, error_point)

    def wait_until_at_rest(self, instance: str) -> None:
        """Wait until Tacker takes another operation of a VNF instance: of a rollback it says a
        moment earlier that it is over.

        :raises LabError: it does not within a minute.
        """
        with network.entered(self._lab.netns):
            wait_for(lambda: vnfm.is_at_rest(instance), f"VNF instance {instance} is at rest", 60)

    def vim_credentials(self, vim: str) -> dict[str, str]:
        """Token ("bearer_token") and CA ("ssl_ca_cert") that Tacker has of a Kubernetes VIM.

        Its API never shows them.
        """
        with network.entered(self._lab.netns):
            return vnfm.vim_credentials(vim)

    @property
    def logs(self) -> dict[str, Path]:
        """Log file of each service."""
        names = ("epmd", "rabbitmq", "mariadb", "keystone", "images", "barbican", "heat-engine",
                 "heat-api", vnfm.SERVER, vnfm.CONDUCTOR)  # fmt: skip
        return {name: self._supervisor.log(name) for name in names}

    @property
    def conductor_config(self) -> list[Path]:
        """Configuration files of tacker-conductor, in their order."""
        return vnfm.conductor_config(self.dir / "tacker")

    @property
    def tacker_environment(self) -> Environment:
        """Where the Tacker is that the lab runs."""
        made = self._lab.prepared
        return Environment(made.tacker, made.tacker_package) if made.tacker else OWN

    @property
    def rc(self) -> Path:
        """Shell file for using the cloud by hand."""
        return self.dir / "openrc"

    def tacker(self) -> Tacker:
        """A client of Tacker; to be used inside the lab's network namespace."""
        return Tacker(settings.CREDENTIALS, self.logs[vnfm.CONDUCTOR])

    def servers(self) -> list[Record]:
        """The Nova servers there are; "machine" is the name of a server's machine in the lab."""
        return self._records.all("servers")

    def volumes(self) -> list[Record]:
        """The Cinder volumes there are."""
        return self._records.all("volumes")

    @contextlib.contextmanager
    def address_held(self) -> Iterator[None]:
        """Keep from others the address that the next port would have had; it is free again
        afterwards, and the next port has it."""
        holder = f"holder-{uuid.uuid4()}"
        self._records.add_with_address("ports", {"id": holder}, None)
        try:
            yield
        finally:
            self._records.delete("ports", holder)

    @property
    def _marker(self) -> Path:
        return self.dir / "complete"

    def _start_all(self, pool: ThreadPoolExecutor, broker, database) -> None:
        start, top = self._supervisor.start, self.dir
        broker_up = pool.submit(lambda: [start(service) for service in broker])
        database_up = pool.submit(start, database)
        images_up = pool.submit(start, orchestration.images(top / "records"))
        tacker = self.tacker_environment
        identity.prepare(top / "keystone", self._supervisor)
        orchestration.prepare(top / "heat")
        keys.prepare(top / "barbican")
        vnfm.prepare(top / "tacker", tacker, self._drivers, self._conductor_options)
        database_up.result()
        heat_tables = pool.submit(orchestration.migrate, top / "heat", self._supervisor)
        tacker_tables = pool.submit(vnfm.migrate, top / "tacker", tacker, self._supervisor)
        identity.migrate(top / "keystone", self._supervisor, tacker.keystone)
        start(identity.service(top / "keystone"))
        with network.entered(self._lab.netns):
            stack_domain = identity.add_accounts()
        orchestration.prepare(top / "heat", stack_domain)
        broker_up.result()
        engine_environment = {
            "TACKER_CIR_LAB_RECORDS": str(top / "records"),
            "TACKER_CIR_LAB_NETNS": self._lab.netns,
            "TACKER_CIR_LAB_RUN": str(self._lab.dir),
            "TACKER_CIR_LAB_CACHE": str(self._lab.cache),
        }
        _wait_all(heat_tables, tacker_tables)
        _wait_all(
            images_up,
            pool.submit(start, keys.service(top / "barbican")),
            pool.submit(start, orchestration.engine(top / "heat", engine_environment)),
            pool.submit(start, orchestration.api(top / "heat")),
            pool.submit(start, vnfm.server(top / "tacker", tacker)),
            pool.submit(start, vnfm.conductor(top / "tacker", tacker)),
        )
        with network.entered(self._lab.netns):
            self.tacker().register_vim("lab", settings.CREDENTIALS)

    def _write_rc(self) -> None:
        variables = {
            "OS_IDENTITY_API_VERSION": "3", "OS_REGION_NAME": settings.REGION,
            **{f"OS_{name.upper()}": value for name, value in settings.CREDENTIALS.items()},
        }  # fmt: skip
        self.rc.write_text(
            RC.format(
                variables="\n".join(
                    f"export {name}={shlex.quote(value)}" for name, value in variables.items()
                ),
                netns=network.NETNS_DIR / self._lab.netns,
                client=os.path.join(sys.prefix, "bin/openstack"),
                repository=shlex.quote(str(REPOSITORY)),
                python=sys.executable,
            )
        )


def _wait_all(*futures: Future[None]) -> None:
    for future in futures:
        future.result()
