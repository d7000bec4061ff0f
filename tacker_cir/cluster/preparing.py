# SPDX-License-Identifier: Apache-2.0
"""A machine before it joins: everything that kubeadm needs, and every registry that it may pull
from."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network, ip_network

from oslo_utils import timeutils

from tacker_cir import log as logging
from tacker_cir.batch import Batch, batched
from tacker_cir.cluster import credentials, install, kubeadm_certificates, load_balancer
from tacker_cir.cluster.install import Installed, NodeScript
from tacker_cir.cluster.state import ClusterState, glance, parse
from tacker_cir.cluster.suitability import check_suits
from tacker_cir.cluster.topology import MASTER, ClusterNode, Topology
from tacker_cir.command import Command
from tacker_cir.config import TimeLimits
from tacker_cir.facts import Facts, gather
from tacker_cir.host import runtimes
from tacker_cir.host.machine import Machine
from tacker_cir.host.runtimes.base import NodeRuntime
from tacker_cir.host.system import check_clock, check_supported, wait_first_boot
from tacker_cir.params.k8s_cluster import ClusterParams, KubernetesPackages
from tacker_cir.params.names import split_server
from tacker_cir.registry import access
from tacker_cir.registry.node_files import hosts_files, plan
from tacker_cir.registry.verify import verify_access
from tacker_cir.render import hosts as render_hosts
from tacker_cir.render.kubeadm import KubeadmCluster, KubeadmNode
from tacker_cir.render.kubeadm import init as render_init
from tacker_cir.render.no_proxy import no_proxy
from tacker_cir.ssh import Connection, Result

LOG = logging.getLogger(__name__)

#: Written by the install script when kubeadm has done its work on the node.
MARKER = install.MARKER

_PAUSE_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,200}/pause:[A-Za-z0-9._-]{1,128}")

_LOCAL = ("localhost", "127.0.0.1", ".svc", ".cluster.local")
# Prefix length of the nodes' network where the request does not tell it (as upstream's).
_USUAL_NETWORK = 24


@dataclass
class Host:
    """A machine that is connected.

    :param version: of Kubernetes that the next two are for
    :param installed: what the install script found there, None where it has to be asked
    :param pause_image: the image that kubeadm wants for pods' sandboxes; None where it is not known
    :param cluster: what the cluster told there, None where it has to be asked
    :param spent: seconds by step, for the log
    """

    node: ClusterNode
    machine: Machine
    version: str = ""
    installed: Installed | None = None
    pause_image: str | None = None
    cluster: ClusterState | None = None
    spent: dict[str, float] = field(default_factory=dict)

    @property
    def has_joined(self) -> bool:
        """Whether kubeadm has done its work here once."""
        return MARKER in self.machine.facts.files

    def timed(self, step: str) -> _Timed:
        """Return a context whose duration is added to ``spent``."""
        return _Timed(self, step)


class _Timed:
    def __init__(self, host: Host, step: str):
        self._host, self._step, self._watch = host, step, timeutils.StopWatch()

    def __enter__(self) -> None:
        self._watch.start()

    def __exit__(self, *_exc_info: object) -> None:
        spent = self._host.spent
        spent[self._step] = spent.get(self._step, 0.0) + self._watch.elapsed()


@dataclass(frozen=True)
class Site:
    """What all nodes of a cluster have in common.

    :param version: of Kubernetes: the cluster's own once there is one
    """

    topology: Topology
    params: ClusterParams
    limits: TimeLimits
    version: str

    @property
    def runtime(self) -> NodeRuntime:
        """The container runtime of the nodes."""
        return runtimes.RUNTIMES[self.params.container_runtime]

    @property
    def packages(self) -> KubernetesPackages:
        return replace(self.params.packages, version=self.version)

    @property
    def host_lines(self) -> list[str]:
        """Lines of /etc/hosts for the nodes."""
        return [render_hosts.line(node.address, [node.name]) for node in self.topology.nodes]

    @property
    def no_proxy(self) -> str:
        """What the nodes ask without the proxy."""
        proxy = self.params.proxy
        hosts = [registry.host for registry in self.params.registries]
        if self.params.image_repository:
            hosts.append(split_server(self.params.image_repository.partition("/")[0])[0])
        addresses = [self.topology.virtual_address, self.topology.public_address]
        networks = (self.params.pod_cidr, self.params.cluster_cidr, self.node_network)
        inside = [a for a in addresses if a and ipaddress.ip_address(a) not in self.node_network]
        return no_proxy(
            proxy.no_proxy if proxy else "", networks, [*_LOCAL, *inside, *dict.fromkeys(hosts)]
        )

    @property
    def node_network(self) -> IPv4Network:
        """The network of the nodes."""
        if self.params.node_cidr is not None:
            return self.params.node_cidr
        address = self.topology.masters[0].address
        network = ip_network(f"{address}/{_USUAL_NETWORK}", strict=False)
        assert isinstance(network, IPv4Network)  # read_topology() lets nothing else through
        return network

    def kubeadm_node(self, node: ClusterNode) -> KubeadmNode:
        return KubeadmNode(self.version, node.name, node.address, self.runtime.kind.socket)

    def kubeadm_cluster(self, host: Host, *, in_container: bool) -> KubeadmCluster:
        """Return the cluster's settings as its first master has to know them."""
        return KubeadmCluster(
            endpoint=self.topology.endpoint,
            pod_cidr=self.params.pod_cidr,
            cluster_cidr=self.params.cluster_cidr,
            names=self.topology.api_addresses,
            image_repository=self.params.image_repository,
            cgroup_driver=self.runtime.cgroup_driver(host.machine.facts),
            limits_connections=not in_container,
        )


def read_facts(connection: Connection) -> Facts:
    """Ask a machine for all that any step below must know, in one round trip."""
    return gather(
        connection,
        packages=load_balancer.PACKAGES,
        paths=install.TRACES,
        files=(
            MARKER,
            install.BEGUN,
            *install.PATHS,
            *load_balancer.PATHS,
            *runtimes.PATHS,
            *access.FILES,
        ),
        contents=(*runtimes.CONTENTS, *access.CONTENTS, credentials.CA),
        trees=runtimes.TREES,
        certificates=kubeadm_certificates.FILES,
        effective=runtimes.EFFECTIVE,
    )


def look(node: ClusterNode, connection: Connection, site: Site) -> Host:
    """Learn all that can be known of a machine, in one round trip.

    On a member of a cluster, which is ours then, the install script sees to it that everything is
    there.
    """
    batch, params = Batch(connection), site.params
    install_again = batch.later(
        install.repeat_install(
            params.install_script or "",
            site.packages,
            params.container_runtime,
            node.name,
        ),
        timeout=site.limits.package_timeout,
        ok=None,
    )
    images = batch.later(_list_images(site), ok=None)
    cluster = batch.later(glance(MARKER), ok=None) if node.role == MASTER else None
    host = Host(node, Machine(connection, read_facts(batch), site.limits), site.version)
    kubeadm_certificates.tell(connection.node, host.machine.facts.certificates)
    host.installed = install.installed_by(install_again.result)
    host.pause_image = _pause_image(images.result)
    host.cluster = parse(cluster.result.stdout) if cluster else None
    return host


def script_of(host: Host, site: Site, batch: Batch | None = None) -> NodeScript:
    """Return the install script on a host.

    :param batch: what its first step may go with
    """

    def look_again(connection: Connection) -> None:
        """See what is new: the runtime, its files and its state."""
        images = None
        if host.pause_image is None or host.version != site.version:
            images = connection.later(_list_images(site), ok=None)
        host.machine.facts.renew(read_facts(connection))
        if images:
            host.pause_image, host.version = _pause_image(images.result), site.version

    return NodeScript(
        host.machine.over(batch or Batch(host.machine.connection)),
        site.params.container_runtime,
        look_again,
        _has_traces(host.machine.facts),
    )


def _has_traces(facts: Facts) -> bool:
    """Tell whether kubeadm was at work on a machine, as far as is known."""
    return bool(facts.paths) or not facts.files.keys().isdisjoint((MARKER, install.BEGUN))


def prepare(host: Host, site: Site) -> str:
    """Make a machine ready for kubeadm, and able to pull from every registry.

    :return: the configuration for ``kubeadm init`` on this machine
    :raises HostError: a step failed
    """
    node, machine = host.node, host.machine
    _await_suitable(host, site)
    batch = Batch(machine.connection)
    script = script_of(host, site, batch)
    with host.timed("packages"):
        installed = _install(batch, host, site, script)
    with host.timed("runtime and registries"):
        _ensure_runtime(batch, host, site)
        batch.flush()
        # It names the machine, each registry and what is wrong with it.
        verify_access(machine, site.params.registries, runtime=site.runtime)
    if node.role == MASTER and site.topology.virtual_address:
        with host.timed("load balancer"):
            _balance(host, site, site.topology.virtual_address)
    cluster = site.kubeadm_cluster(host, in_container=installed.in_container)
    config = render_init(site.kubeadm_node(node), cluster)
    if not host.has_joined:
        with host.timed("images"):
            script.pull(config, worker=node.role != MASTER)
    return config


def _await_suitable(host: Host, site: Site) -> None:
    """Wait for a machine's first boot, and refuse one that cannot become such a node, before
    anything is changed on it: a file that nobody can complete is told now."""
    name, machine = str(host.node), host.machine
    check_supported(name, machine.facts)
    _check_suits(host, site)
    wait_first_boot(machine)
    check_clock(machine)
    plan(name, machine.facts, site.params.registries, site.runtime, tuple(site.host_lines))


def _install(batch: Batch, host: Host, site: Site, script: NodeScript) -> Installed:
    """Have the install script do its step, unless nothing can have changed since it did."""
    node, machine, params = host.node, host.machine, site.params
    # First of all: sudo looks the machine's new name up at each command, and a name that is not
    # there costs it seconds.
    names = hosts_files(str(node), machine.facts, params.registries, site.host_lines)
    files = install.desired_files(
        machine.facts, params.install_script or "", site.packages, params.proxy
    )
    # Sources that cannot be used would hinder whoever uses it next.
    with machine.taken_back(install.SOURCES):
        changed = machine.over(batch).ensure(*names, *files)
        of_script = changed & {file.path for file in files}
        if host.installed and not of_script and host.version == site.version:
            return host.installed
        installed = script.install(site.packages, node.name)
        _check_suits(host, site)
        return installed


def _balance(host: Host, site: Site, vip: str) -> None:
    load_balancer.ensure_load_balancer(
        host.machine,
        vip=vip,
        own=host.node.address,
        masters=[(master.name, master.address) for master in site.topology.masters],
    )


def _check_suits(host: Host, site: Site) -> None:
    # A member runs, whatever its operator did to make it run.
    if not host.has_joined:
        check_suits(str(host.node), host.machine.facts, site.version, site.runtime)


def _ensure_runtime(batch: Batch, host: Host, site: Site) -> None:
    """Make the runtime serve, and know its registries."""
    runtime, params, image = site.runtime, site.params, None
    if runtime.pulls_sandboxes:
        image = host.pause_image or _pause_image(batch.run(_list_images(site)))
    if runtime.reads_registries_late:
        # It need not serve yet, and all goes in one round trip.
        connect_registries(batch, host, site)
    runtime.ensure(
        host.machine.over(batch),
        sandbox_image=image,
        proxy=params.proxy,
        no_proxy=site.no_proxy,
    )
    if not runtime.reads_registries_late:
        connect_registries(batch, host, site)


def connect_registries(connection: Connection, host: Host, site: Site) -> None:
    """Make a machine able to pull from every registry.

    :raises HostError: a step failed
    """
    access.ensure_access(
        host.machine.over(connection),
        site.params.registries,
        runtime=site.runtime,
        node_lines=site.host_lines,
    )


def restore_logins(host: Host, site: Site) -> None:
    """Bring back what kubeadm's undoing of an earlier attempt took away: the kubelet's logins at
    registries, as ``kubeadm reset`` empties /var/lib/kubelet."""
    with batched(host.machine.connection) as batch:
        connect_registries(batch, host, site)


def _list_images(site: Site) -> Command:
    words = ["kubeadm", "config", "images", "list", "--kubernetes-version", f"v{site.version}"]
    if site.params.image_repository:
        words += ["--image-repository", site.params.image_repository]
    return Command(tuple(words), "list the images of Kubernetes")


def _pause_image(images: Result) -> str | None:
    """Return the pause image that belongs to the version of Kubernetes, as kubeadm lists it."""
    found = images.stdout.split() if images.exit_status == 0 else []
    return next((image for image in found if _PAUSE_IMAGE.fullmatch(image)), None)
