# SPDX-License-Identifier: Apache-2.0
"""The cloud's processes: each in a cgroup of its own, by which it is found and ended.

No process id is stored, so a cloud whose starter was killed is still known in full.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.testbed.machines import cgroups, network
from tests.testbed.machines.host import REPOSITORY, LabError, say, wait_for

TAIL_LINES = 25


@dataclass(frozen=True)
class Service:
    """How to run one service.

    :param port: TCP port on which it listens when it is ready.
    :param queue: RabbitMQ queue that it reads when it is ready, for services without a port.
    :param seconds: how long its start may take.
    """

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    port: int | None = None
    queue: str | None = None
    seconds: float = 120


class Supervisor:
    """Starts, watches and ends services in the lab's network namespace.

    :param netns: name of the namespace; the services' cgroups are NETNS/cloud/NAME.
    :param logs: directory of the log files, NAME.log.
    """

    def __init__(self, netns: str, logs: Path) -> None:
        self.netns = netns
        self.logs = logs

    def log(self, name: str) -> Path:
        """Log file of a service: all that it prints."""
        return self.logs / f"{name}.log"

    def running(self, name: str) -> bool:
        """Whether any process of the service lives."""
        return bool(cgroups.pids(self._group(name)))

    def start(self, service: Service) -> None:
        """Start a service and wait until it is ready.

        :raises LabError: when it ends or its deadline passes; with the end of its log.
        """
        begun = time.monotonic()
        queue = service.queue
        if queue:
            # RabbitMQ notices the end of a killed one a little later.
            wait_for(lambda: not self._has_reader(queue), f"{queue} free", 30)
        # Into the cgroup first, then fork: when this returns, the service is known by it.
        self._spawn(service.name, ["setsid", "--fork"], service.argv, service.environment)
        try:
            wait_for(lambda: self._ready_or_ended(service), f"start of {service.name}",
                     service.seconds, every=0.1)  # fmt: skip
        except LabError as error:
            raise LabError(f"{error}\n{self.tail(service.name)}") from None
        if not self.running(service.name):
            raise LabError(f"{service.name} ended at its start\n{self.tail(service.name)}")
        say(f"{service.name}: ready after {time.monotonic() - begun:.1f} s")

    def run(
        self, name: str, argv: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> None:
        """Run a command to its end as part of a service; its output is in the service's log.

        :raises LabError: when it fails; with the end of the log.
        """
        if self._spawn(name, [], argv, environment or {}).returncode != 0:
            raise LabError(f"failed: {shlex.join(argv)}\n{self.tail(name)}")

    def stop(self, name: str, seconds: float, leave: int = 0) -> None:
        """End a service as its operator would (SIGTERM); kill what is left at the deadline.

        :param leave: number of its processes that are known not to end on SIGTERM.
        """
        group = self._group(name)
        for pid in cgroups.pids(group):
            _signal(pid, signal.SIGTERM)
        try:
            wait_for(lambda: len(cgroups.pids(group)) <= leave, f"end of {name}", seconds)
        except LabError as error:
            say(f"{error}; killed")
        self.kill(name)

    def kill(self, name: str) -> None:
        """End a service at once (SIGKILL), as a crash or the kernel's OOM killer would."""
        cgroups.kill(self._group(name))

    def kill_all(self) -> None:
        """End all services at once and remove their cgroups."""
        cgroups.kill(f"{self.netns}/cloud")
        cgroups.remove(f"{self.netns}/cloud")

    def tail(self, name: str) -> str:
        """The last lines of a service's log, headed by its path."""
        lines = self.log(name).read_text(errors="replace").splitlines()[-TAIL_LINES:]
        return "\n".join([f"--- end of {self.log(name)}:", *lines])

    def _spawn(
        self, name: str, how: Sequence[str], argv: Sequence[str], environment: Mapping[str, str]
    ) -> subprocess.CompletedProcess[bytes]:
        directory = cgroups.create(self._group(name))[0]
        self.logs.mkdir(parents=True, exist_ok=True)
        with open(self.log(name), "a") as log:
            return subprocess.run(
                ["sh", "-c", 'echo $$ > "$0"; exec "$@"', directory / "cgroup.procs", *how,
                 *network.inside(self.netns), *argv],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=REPOSITORY,
                env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
            )  # fmt: skip

    def _group(self, name: str) -> str:
        return f"{self.netns}/cloud/{name}"

    def _ready_or_ended(self, service: Service) -> bool:
        return self._ready(service) or not self.running(service.name)

    def _ready(self, service: Service) -> bool:
        if service.queue:
            return self._has_reader(service.queue)
        argv = [*network.inside(self.netns), "ss", "-Hltn", "src", f"127.0.0.1:{service.port}"]
        return bool(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)

    def _has_reader(self, queue: str) -> bool:
        # Imported here: only the environment that runs the cloud has it (with oslo.messaging).
        import amqp

        with network.entered(self.netns):
            connection = amqp.Connection("127.0.0.1:5672", connect_timeout=5)
            try:
                connection.connect()
                declared = connection.channel().queue_declare(queue, passive=True)
                return declared.consumer_count > 0
            except amqp.exceptions.NotFound:
                return False
            finally:
                connection.collect()


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
