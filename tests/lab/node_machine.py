# SPDX-License-Identifier: Apache-2.0
"""Runs the install script on a lab machine as the cluster driver does, without Tacker."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from ipaddress import IPv4Network

from tacker_cir.cluster import install
from tacker_cir.cluster.install import Installed, NodeScript
from tacker_cir.facts import gather
from tacker_cir.params.k8s_cluster import KubernetesPackages
from tacker_cir.params.proxy import Proxy
from tacker_cir.render import kubeadm
from tacker_cir.runtimes import RUNTIMES
from tacker_cir.ssh import Connection
from tests.lab.kubeadm import KUBECTL, load_images
from tests.lab.login import log_in
from tests.machine import machine
from tests.testbed.kubernetes import release
from tests.testbed.machines import MachineLab
from tests.testbed.machines.host import REPOSITORY

SCRIPT = (
    REPOSITORY / "samples/kubernetes_vnf_package/Scripts/install_k8s_cluster.sh"
).read_text()  # fmt: skip
MARKER = "/etc/kubernetes/tacker-cir-node"


@dataclass
class Node:
    """A machine that shall become a node.

    :param packages: where it gets Kubernetes from
    """

    lab: MachineLab
    name: str
    address: str
    packages: KubernetesPackages
    runtime: str = "docker"
    first_boot_timeout: float = 60
    connection: Connection | None = None

    def login(self) -> Connection:
        """Return a new connection; those that a test broke are closed."""
        if self.connection is not None:
            self.connection.close()
        self.connection = log_in(self.name, self.address, command_timeout=60)
        return self.connection

    @property
    def hostname(self) -> str:
        """Its name in the cluster, which is another than the cloud gave it."""
        return f"node-{self.address.rpartition('.')[2]}"

    @property
    def script(self) -> NodeScript:
        used = machine(
            self.connection,
            first_boot_timeout=self.first_boot_timeout,
            package_timeout=300,
            kubeadm_timeout=300,
        )
        return NodeScript(used, self.runtime)

    def sh(self, script: str) -> str:
        """Run a script as root past SSH and return what it printed."""
        return self.lab.sh(self.name, script)

    def prepare(self, proxy: Proxy | None = None) -> frozenset[str]:
        """Write the files that the script needs; return those that differed."""
        self.login()
        # As the driver does: sudo looks up the name that the script gives the machine.
        line = f"{self.address} {self.hostname}"
        self.sh(f"grep -qx '{line}' /etc/hosts || echo '{line}' >>/etc/hosts")
        facts = gather(self.connection, files=install.PATHS)
        files = install.desired_files(facts, SCRIPT, self.packages, proxy)
        return machine(self.connection, facts).ensure(*files)

    def install(self) -> Installed:
        return self.script.install(self.packages, self.hostname)

    def load_images(self) -> None:
        """Load all images of the control plane."""
        load_images(self.lab, self.name, self.runtime)

    def ready(self) -> None:
        """Install and load everything that kubeadm needs."""
        self.prepare()
        self.install()
        self.load_images()

    def kubeadm_node(self) -> kubeadm.KubeadmNode:
        socket = RUNTIMES[self.runtime].socket
        return kubeadm.KubeadmNode(release.VERSION, self.hostname, self.address, socket)

    def init_file(self) -> str:
        cluster = kubeadm.KubeadmCluster(
            endpoint=f"{self.address}:6443",
            pod_cidr=IPv4Network("10.244.0.0/16"),
            cluster_cidr=IPv4Network("10.96.0.0/12"),
            names=(self.address,),
            limits_connections=False,
        )
        return kubeadm.init(self.kubeadm_node(), cluster)

    def join_file(self, master: Node, certificate_key: str | None = None) -> str:
        words = master.sh("kubeadm token create --print-join-command").split()
        named = dict(zip(words, words[1:], strict=False))
        token, ca_hash = named["--token"], named["--discovery-token-ca-cert-hash"]
        endpoint = f"{master.address}:6443"
        return kubeadm.join(self.kubeadm_node(), endpoint, token, ca_hash, certificate_key)

    def wait_ready(self, *names: str) -> None:
        """Wait until nodes are ready, on a master."""
        self.sh(f"{KUBECTL} wait --for=condition=Ready --timeout=120s {' '.join(names)}")

    def started(self) -> dict[str, str]:
        """When each service was started; the kubelet starts in vain until kubeadm configured it."""
        units = ["docker", "containerd"]
        if self.sh(f"cat {MARKER} 2>/dev/null || true"):
            units.append("kubelet")
        shown = self.sh(f"systemctl show --property=Id,ActiveEnterTimestamp {' '.join(units)}")
        return dict(zip(units, shown.split("\n\n"), strict=True))

    def when(self, condition: str, action: str) -> threading.Thread:
        """Do something in the machine as soon as a condition holds there."""
        script = f"until {condition}; do sleep 0.02; done; {action}"
        argv = ["sh", "-c", script]
        thread = threading.Thread(target=self.lab.run, args=(self.name, argv, False))
        thread.start()
        return thread
