# SPDX-License-Identifier: Apache-2.0
"""A cluster of three masters and a worker, for tests of what keeps it alive.

The load balancer is the package's own; kubeadm is driven here by hand, so that a fault is found
where it is.
"""

from __future__ import annotations

import itertools
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from tacker_cir.cluster import load_balancer
from tacker_cir.cluster.etcd import Etcd
from tacker_cir.cluster.kubectl import ADMIN_CONF, Kubectl
from tacker_cir.host.machine import Machine
from tacker_cir.hostkeys import PinStore
from tacker_cir.ssh import Connection
from tests.lab import kubeadm
from tests.lab.login import log_in
from tests.machine import LIMITS
from tests.testbed.machines import MachineLab
from tests.testbed.machines.host import wait_for

#: Addresses that the lab's Neutron does not give away.
MASTERS = {f"ha-master{n}": f"198.51.100.{3 + n}" for n in range(1, 4)}
WORKER, WORKER_ADDRESS = "ha-worker1", "198.51.100.7"
VIP = "198.51.100.9"
ADDRESSES = {**MASTERS, WORKER: WORKER_ADDRESS}
ENDPOINT = f"{VIP}:{load_balancer.PORT}"


@dataclass(frozen=True)
class HaCluster:
    """The machines of the cluster.

    :param runtime: ``docker`` or ``containerd``
    :param state: directory of the pinned host keys
    """

    lab: MachineLab
    runtime: str
    state: Path
    _opened: list[Connection] = field(default_factory=list)

    def sh(self, machine: str, script: str) -> str:
        """Run a script as root and return what it printed."""
        return self.lab.sh(machine, script)

    def connect(self, machine: str) -> Connection:
        """Open a connection as the driver does; :meth:`down` closes it."""
        # A machine made anew under the same name has another host key.
        server_id = f"{machine}-{self.lab.state(machine)['leader']}"
        key = PinStore(self.state).key_of(server_id)
        connection = log_in(machine, ADDRESSES[machine], key, command_timeout=60)
        self._opened.append(connection)
        return connection

    def kubectl(self, master: str, timeout: float = 60) -> Kubectl:
        """Return kubectl of a master, over a connection of its own."""
        return Kubectl(self.connect(master), timeout=timeout)

    def etcd(self, master: str, timeout: float = 60) -> Etcd:
        """Return etcd as one master's member sees it."""
        return Etcd(self.kubectl(master, timeout), master)

    def create(self, machine: str) -> None:
        """Make a machine and wait for SSH."""
        self.lab.create(machine, ADDRESSES[machine], "debian-12-k8s")
        self.connect(machine)

    def delete(self, machine: str) -> None:
        """Destroy a machine as a host that loses its power does."""
        self.lab.delete(machine)

    def down(self) -> None:
        """Close all connections and destroy all machines."""
        for connection in self._opened:
            connection.close()
        for machine in ADDRESSES:
            self.lab.delete(machine)

    def balance(self, machine: str, masters: Sequence[str] = tuple(MASTERS)) -> bool:
        """Ensure a master's load balancer; tell whether anything changed."""
        found = Machine.read(
            self.connect(machine),
            replace(LIMITS, first_boot_timeout=60, package_timeout=300, service_timeout=30),
            packages=load_balancer.PACKAGES,
            files=load_balancer.PATHS,
        )
        return load_balancer.ensure_load_balancer(
            found,
            vip=VIP,
            own=MASTERS[machine],
            masters=[(name, MASTERS[name]) for name in masters],
        )

    def vip_holders(self) -> list[str]:
        """Masters that are there and have the VIP."""
        return [
            name
            for name in self.lab.machines()
            if name in MASTERS
            and f" {VIP}/" in self.lab.run(name, ["ip", "-br", "address"], check=False).stdout
        ]

    def outage(self, act: Callable[[], object], watch: float) -> float:
        """Return the longest time in seconds without an answer of the API at the VIP.

        :param act: what may break it; its end is waited for
        :param watch: seconds to go on watching
        """
        times: list[float] = []
        over = threading.Event()

        def ask() -> None:
            while not over.is_set():
                if serves(VIP):
                    times.append(time.monotonic())
                over.wait(0.1)

        with ThreadPoolExecutor() as pool:
            asking = pool.submit(ask)
            try:
                wait_for(lambda: times, "an answer at the VIP", 30)
                act()
                end = time.monotonic() + watch
                wait_for(lambda: time.monotonic() > end, "the watch", watch + 1)
                wait_for(lambda: times[-1] > end, "an answer at the VIP", 60)
            finally:
                over.set()
            asking.result()
        return max(after - before for before, after in itertools.pairwise(times))

    def prepare(self, machine: str) -> None:
        """Install what kubeadm turns into a node, with all images."""
        kubeadm.prepare(self.lab, machine, self.runtime)

    def init(self, machine: str) -> None:
        """Make the first master."""
        kubeadm.init(self.lab, machine, ENDPOINT)

    def join(self, machine: str, master: str) -> None:
        """Join a machine as what its name says."""
        script = "kubeadm token create --print-join-command"
        if machine in MASTERS:
            # The key is the last line that uploading the certificates prints.
            script = (
                f"kubectl --kubeconfig {ADMIN_CONF} -n kube-system get configmap kubeadm-config"
                " -o jsonpath='{.data.ClusterConfiguration}' > /root/cluster.yaml\n"
                "key=$(kubeadm init phase upload-certs --upload-certs --config /root/cluster.yaml"
                f' | tail -n 1)\n{script} --certificate-key "$key"'
            )
        self.sh(machine, self.sh(master, script))


def serves(address: str) -> bool:
    """Tell whether an API server answers at a load balancer's port."""
    url = f"https://{address}:{load_balancer.PORT}/readyz"
    # Whose certificate it is does not matter here.
    context = ssl._create_unverified_context()
    try:
        with urllib.request.urlopen(url, timeout=1, context=context) as answer:
            return answer.status == 200
    except OSError:
        return False
