# SPDX-License-Identifier: Apache-2.0
"""What a cluster's operation costs by its number of nodes: 1 master and N-1 workers, new and again.

The machines are roots of their own behind one real sshd, where stand-ins answer at once
(machines.py, standins.sh); Heat is a local answerer. What is measured is the driver in a process of
its own, as tacker-conductor calls it, with two registries, one of them over HTTPS with a login.

Usage: python -m tests.bench.cluster [--nodes 1 10 50] [--latency 0 0.2] [--rounds 3]
       [--json FILE] [--keep DIR]

Needs root and no network. Prints medians and which goals are met; exits 1 if one is not.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import dataclasses
import json
import os
import shutil
import ssl
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.bench import machines
from tests.bench.heat import Heat
from tests.bench.machines import Machines
from tests.certificates import Authority
from tests.functional.server import wait_for

ROOT = Path(__file__).resolve().parents[2]
REGISTRY_HOST = "127.2.0.1"
LOGIN = ("user01", "secret01")
#: Seconds between two looks at the memory of the measured process.
SAMPLE = 0.02


@dataclass(frozen=True)
class Figures:
    """Of one run.

    :param cpu: seconds of our process
    :param commands: remote commands of all machines
    :param most: remote commands of the machine that had the most
    :param calls: of Heat
    :param rss: MB above the idle process, at most
    :param machines: CPU seconds of sshd and the stand-ins, which share this machine with us
    """

    wall: float
    cpu: float
    commands: int
    most: int
    calls: int
    rss: float
    machines: float


Key = tuple[int, float, str]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 10, 50])
    parser.add_argument("--latency", type=float, nargs="+", default=[0, 0.2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="file for the medians")
    parser.add_argument("--keep", type=Path, help="directory for logs and lists of commands")
    options = parser.parse_args()
    machines.isolate()
    found: dict[Key, list[Figures]] = {}
    with contextlib.ExitStack() as stack:
        site = Site(stack, max(options.nodes))
        for number in range(1, options.rounds + 1):
            for latency in options.latency:
                for nodes in options.nodes:
                    for run, figures in site.measure(nodes, latency, options.keep).items():
                        found.setdefault((nodes, latency, run), []).append(figures)
                        print(f"round {number}: N={nodes} latency {latency:g} {run}: {figures}")
                        sys.stdout.flush()
    medians = {key: median(values) for key, values in found.items()}
    if options.json:
        rows = [[*key, dataclasses.asdict(figures)] for key, figures in medians.items()]
        options.json.write_text(json.dumps(rows))
    return report(medians, options.rounds)


class Site:
    """What all runs share: machines, the package, two registries.

    :param nodes: machines at most
    """

    def __init__(self, stack: contextlib.ExitStack, nodes: int):
        self.machines = Machines(nodes)
        stack.callback(self.machines.sshd.stop)
        self.machines.sshd.start()
        self.package = machines.TOP / "package"
        shutil.copytree(ROOT / "samples/kubernetes_vnf_package", self.package)
        shutil.copy(
            ROOT / "tests/bench/standins.sh", self.package / "Scripts/install_k8s_cluster.sh"
        )
        authority = Authority("registries")
        (self.package / "Files/registries").mkdir(parents=True, exist_ok=True)
        (self.package / "Files/registries/ca.crt").write_text(authority.pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        pair = machines.TOP / "registry.pem"
        pair.write_text("".join(authority.issue("registry.example.com")))
        context.load_cert_chain(pair)
        self._plain = stack.enter_context(registry(None))
        self._secure = stack.enter_context(registry(context))

    def measure(self, nodes: int, latency: float, keep: Path | None) -> dict[str, Figures]:
        """Return the figures of the first and of a second run."""
        self.machines.make_blank(latency)
        addresses = self.machines.addresses[:nodes]
        heat = Heat(addresses[:1], addresses[1:])
        state = machines.TOP / "state"
        log = machines.TOP / "log"
        work = {
            "package": str(self.package),
            "state_path": str(state),
            "access_info": heat.access_info,
            "request": self.request(),
            "log": str(log),
        }
        try:
            with Measured(work) as process:
                return {run: process.run(self.machines, heat) for run in ("new", "again")}
        finally:
            if keep:
                _keep(keep, f"{nodes}-{latency:g}", self.machines, log)
            heat.stop()
            shutil.rmtree(state, ignore_errors=True)
            log.unlink(missing_ok=True)

    def request(self) -> dict[str, Any]:
        """Return ``additionalParams`` of the cluster."""
        login = {"username": "root", "ssh_private_key": self.machines.sshd.user_key}
        master = {"ssh_cp_name": "masterNode_CP1", "nic_cp_name": "masterNode_CP1", **login}
        worker = {"ssh_cp_name": "workerNode_CP2", "nic_cp_name": "workerNode_CP2", **login}
        installation = {
            "script_path": "Scripts/install_k8s_cluster.sh",
            "container_runtime": "containerd",
            "master_node": {
                **master,
                "aspect_id": "master_instance",
                "cluster_cp_name": "masterNode_CP1",
            },
            "worker_node": {**worker, "aspect_id": "worker_instance"},
            "private_registry_connection_info": [
                {"connection_type": "0", "server": f"{REGISTRY_HOST}:{self._plain}"},
                {
                    "connection_type": "1",
                    "server": f"registry.example.com:{self._secure}",
                    "username": LOGIN[0],
                    "password": LOGIN[1],
                    "certificate_path": "Files/registries/ca.crt",
                    "hosts_string": f"{REGISTRY_HOST} registry.example.com",
                },
            ],
        }
        return {"k8s_cluster_installation_param": installation}


class Measured:
    """The process that is measured.

    :param work: for tests.bench.operation
    """

    def __init__(self, work: dict[str, Any]):
        environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
        words = [sys.executable, "-m", "tests.bench.operation", json.dumps(work)]
        self._process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment,
        )
        self._answer()

    def __enter__(self) -> Measured:
        return self

    def __exit__(self, *_exc_info: object) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()

    def run(self, made: Machines, heat: Heat) -> Figures:
        assert self._process.stdin
        made.forget_commands()
        heat.calls, machines_cpu = 0, made.sshd.cpu()
        idle, peak = self._memory(), 0
        done = threading.Event()

        def watch() -> None:
            nonlocal peak
            while not done.wait(SAMPLE):
                peak = max(peak, self._memory())

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            self._process.stdin.write("\n")
            self._process.stdin.flush()
            answer = self._answer()
        finally:
            done.set()
            watcher.join()
        wait_for(lambda: not made.sshd.sessions(), "the connections are closed")
        machines_cpu = made.sshd.cpu() - machines_cpu
        commands = [len(noted) for noted in made.commands()]
        rss = max(0, peak - idle) / 1024
        return Figures(
            answer["wall"],
            answer["cpu"],
            sum(commands),
            max(commands),
            heat.calls,
            rss,
            machines_cpu,
        )

    def _answer(self) -> dict[str, float]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"the measured process ended: {self._process.wait()}")
        return json.loads(line)

    def _memory(self) -> int:
        """Return kB that the process has in memory."""
        text = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(text.partition("VmRSS:")[2].split()[0])


@contextlib.contextmanager
def registry(tls: ssl.SSLContext | None) -> Iterator[int]:
    """Run a registry's front door; give its port.

    :param tls: for HTTPS, where it wants a login as well
    """
    wanted = "Basic " + base64.b64encode(":".join(LOGIN).encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            may = tls is None or self.headers["Authorization"] == wanted
            self.send_response(200 if may else 401)
            if not may:
                self.send_header("WWW-Authenticate", 'Basic realm="registry"')
            self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_args: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 200

        def finish_request(self, request: Any, client_address: Any) -> None:
            if tls is not None:
                request = tls.wrap_socket(request, server_side=True)
            super().finish_request(request, client_address)

    server = Server((REGISTRY_HOST, 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


def median(values: Sequence[Figures]) -> Figures:
    def of(name: str) -> Any:
        return statistics.median(getattr(value, name) for value in values)

    return Figures(*(of(name) for name in Figures.__dataclass_fields__))


def report(found: dict[Key, Figures], rounds: int) -> int:
    """Print the table and the goals; return the exit status."""
    sizes = sorted({nodes for nodes, _, _ in found})
    print(f"\nmedians of {rounds}; machines, Heat and registries are stand-ins on loopback")
    print(f"{'run':6} {'latency':>7} {'N':>3} {'wall s':>7} {'to N=' + str(sizes[0]):>7}"
          f" {'CPU ms':>7} {'a node':>7} {'commands':>8} {'a node':>7} {'most':>5}"
          f" {'Heat':>4} {'RSS MB':>7} {'their CPU s':>11}")  # fmt: skip
    for (nodes, latency, run), f in sorted(found.items(), key=lambda i: (i[0][2] != "new", i[0])):
        ratio = f.wall / found[sizes[0], latency, run].wall
        print(f"{run:6} {latency:7.1f} {nodes:3} {f.wall:7.2f} {ratio:7.2f}"
              f" {f.cpu * 1000:7.0f} {f.cpu * 1000 / nodes:7.0f} {f.commands:8.0f}"
              f" {f.commands / nodes:7.1f} {f.most:5.0f} {f.calls:4.0f} {f.rss:7.1f}"
              f" {f.machines:11.2f}")  # fmt: skip
    met = [goal(found, sizes) for goal in GOALS]
    return 0 if all(met) else 1


def _wall(found: dict[Key, Figures], sizes: list[int]) -> bool:
    latency = max(latency for _, latency, _ in found)
    last, first = (found[n, latency, "new"].wall for n in (sizes[-1], sizes[0]))
    what = f"wall of N={sizes[-1]} to N={sizes[0]} at {latency:g} s"
    return _told(what, last / first, 1.6)


def _new(found: dict[Key, Figures], _sizes: list[int]) -> bool:
    worst = max(f.most for (_, _, run), f in found.items() if run == "new")
    return _told("commands of a new node, the most of any", worst, 14)


def _again(found: dict[Key, Figures], _sizes: list[int]) -> bool:
    worst = max(f.most for (_, _, run), f in found.items() if run == "again")
    return _told("commands of a node in a second run, the most of any", worst, 3)


def _cpu(found: dict[Key, Figures], sizes: list[int]) -> bool:
    worst = max(f.cpu for (n, _, _), f in found.items() if n == sizes[-1]) / sizes[-1]
    return _told(f"CPU of our process a node at N={sizes[-1]}, ms", worst * 1000, 60)


def _rss(found: dict[Key, Figures], sizes: list[int]) -> bool:
    worst = max(f.rss for (n, _, _), f in found.items() if n == sizes[-1])
    return _told(f"RSS at N={sizes[-1]} above idle, MB", worst, 15)


def _told(what: str, value: float, most: float) -> bool:
    print(f"{'met' if value <= most else 'NOT MET':8} {what}: {value:.2f}, at most {most:g}")
    return value <= most


GOALS: tuple[Callable[[dict[Key, Figures], list[int]], bool], ...] = (
    _wall, _new, _again, _cpu, _rss,
)  # fmt: skip


def _keep(directory: Path, name: str, made: Machines, log: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    if log.exists():
        shutil.copy(log, directory / f"{name}.log")
    with (directory / f"{name}.commands").open("w") as file:
        for number, commands in enumerate(made.commands(), 1):
            for command in commands:
                file.write(f"--- {number}\n{command}\n")


if __name__ == "__main__":
    begin = time.monotonic()
    status = main()
    print(f"took {time.monotonic() - begin:.0f} s")
    sys.exit(status)
