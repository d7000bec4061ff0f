# SPDX-License-Identifier: Apache-2.0
"""Brings the machines of a VNF instance to the cluster that they shall be, doing only what is
missing.

Each machine goes its own way in a thread of its own: it is reached, prepared, and joins. Two things
are waited for: which master speaks for the cluster (:mod:`tacker_cir.cluster.election`), and, where
there is no cluster yet, that the first master has made one.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tacker_cir import exceptions as exc
from tacker_cir import kubernetes_versions
from tacker_cir import log as logging
from tacker_cir.cluster import credentials, members
from tacker_cir.cluster.advertising import ensure_advertised
from tacker_cir.cluster.credentials import version_in
from tacker_cir.cluster.election import Election, NoLead
from tacker_cir.cluster.etcd import Etcd
from tacker_cir.cluster.install import refuse_foreign_cluster
from tacker_cir.cluster.kubectl import Kubectl, KubeNode
from tacker_cir.cluster.load_balancer import wait_for_vip
from tacker_cir.cluster.preparing import Host, Site, look, prepare, restore_logins, script_of
from tacker_cir.cluster.state import NOTES, network_in
from tacker_cir.cluster.topology import MASTER, ClusterNode, Topology
from tacker_cir.command import Secret
from tacker_cir.config import TimeLimits
from tacker_cir.connections import Connector
from tacker_cir.instance import ClusterAccess
from tacker_cir.parallel import LIMIT, Once, raise_errors
from tacker_cir.params.k8s_cluster import ClusterParams
from tacker_cir.reading import answer_of
from tacker_cir.render import kubeadm as render_kubeadm
from tacker_cir.waiting import Deadline

LOG = logging.getLogger(__name__)

#: Seconds after which it is asked whether a machine that does not answer matters.
_PATIENCE = 20


@dataclass(frozen=True)
class Lead:
    """A master that speaks for the cluster.

    :param version: of the cluster's Kubernetes, ``1.NN.P``
    :param nodes: the cluster's nodes by name, as they were when it was asked
    :param objects: what was seen of the cluster's objects then, by kind and name; None where it
        has to be asked for
    """

    host: Host
    kubectl: Kubectl
    version: str
    nodes: Mapping[str, KubeNode]
    objects: Mapping[str, Mapping[str, Any]] | None = field(default=None, repr=False)


class _Joining:
    """The secrets with which nodes join, made when the first one needs them.

    :param lead: where they are made
    :param stack: what removes them in the end
    """

    def __init__(self, lead: Lead, stack: ExitStack):
        self._lead, self._stack = lead, stack
        self.token = Once(self._make_token)
        self.ca_hash = Once(self._read_ca_hash)
        self.certificate_key = Once(self._upload_certificates)
        #: Masters join one after another: each changes the members of etcd.
        self.one_master = threading.Lock()

    def _make_token(self) -> Secret:
        return self._stack.enter_context(credentials.join_token(self._lead.host.machine.connection))

    def _read_ca_hash(self) -> str:
        host = self._lead.host
        pem = host.machine.facts.contents.get(credentials.CA)
        if not pem:
            return credentials.read_ca_hash(host.machine.connection)
        with answer_of(host.machine.node, "read the cluster's CA certificate"):
            return credentials.ca_hash(pem.decode("ascii", "replace"))

    def _upload_certificates(self) -> Secret:
        minor = kubernetes_versions.minor(self._lead.version)
        return credentials.upload_certificates(
            self._lead.host.machine.connection, self._lead.kubectl, minor
        )


class ClusterBuild:
    """One run over all machines of a cluster.

    :param topology: the machines
    """

    def __init__(
        self,
        topology: Topology,
        params: ClusterParams,
        connector: Connector,
        limits: TimeLimits,
    ):
        self._topology, self._params = topology, params
        self._connector, self._limits = connector, limits
        self._election: Election[Lead] = Election(m.name for m in topology.masters)
        self._cluster: Future[tuple[Lead, _Joining]] = Future()
        self._lock = threading.Lock()
        self._joined: list[Host] = []
        self._hosts: list[Host] = []

    def run(self) -> ClusterAccess:
        """Bring all machines to their state and return how to get at the cluster.

        A machine that fails does not stop the others. A node that is in the cluster already and
        does not answer is left alone, with a warning.

        :raises TackerCirError: one or more machines failed
        """
        # The stack is left last first: the token is removed before its master's connection closes.
        with ExitStack() as connections, ExitStack() as secrets:
            self._connections, self._secrets = connections, secrets
            nodes = self._topology.nodes
            # Masters first: they get threads even where there are more machines than threads.
            with ThreadPoolExecutor(max_workers=min(LIMIT, len(nodes))) as pool:
                futures = [pool.submit(self._bring, node) for node in nodes]
            errors = [e for e in map(Future.exception, futures) if e is not None]
            told = [e for e in errors if not isinstance(e, NoLead)]
            raise_errors(told or errors)
            lead, _ = self._cluster.result()
            return self._finish(lead)

    def _bring(self, node: ClusterNode) -> None:
        host: Host | None = None
        try:
            host = self._reach(node)
            if host is None:
                return
            if node.role == MASTER:
                self._vote(host)
        except BaseException:
            if node.role == MASTER:
                self._election.failed(node.name)
            raise
        lead = self._election.outcome().lead
        if lead is None and node == self._topology.masters[0]:
            self._make_certain(partial(self._found, host))
            return
        if lead is not None and lead.host is host:
            self._make_certain(partial(self._take_over, lead))
        site = self._site(lead.version if lead else self._params.packages.version)
        prepare(host, site)
        lead, joining = self._cluster.result()
        if not (host.has_joined and node.name in lead.nodes):
            self._join(host, site, lead, joining)

    def _make_certain(self, work: Callable[[], tuple[Lead, _Joining]]) -> None:
        """Let those who wait for the cluster know what came of it, whatever it was."""
        try:
            self._cluster.set_result(work())
        except BaseException:
            self._cluster.set_exception(NoLead("the cluster's master failed"))
            raise

    def _reach(self, node: ClusterNode) -> Host | None:
        """Connect to a machine; None for a node of the cluster that does not answer."""
        deadline = Deadline(self._limits.ssh_wait_timeout)
        while True:
            try:
                connection = self._connector.open(
                    node.machine,
                    node.credentials,
                    name=str(node),
                    wait_timeout=min(_PATIENCE, deadline.remaining),
                )
                break
            except (exc.AuthenticationFailed, exc.HostKeyError):
                raise
            except exc.ConnectError as error:
                lead = self._election.lead
                if lead is not None and node.name in lead.nodes:
                    LOG.warning("%s: left alone, as it does not answer: %s", node, error)
                    return None
                if deadline.expired:
                    raise
        with self._lock:
            self._connections.enter_context(connection)
        host = look(node, connection, self._site(self._params.packages.version))
        refuse_foreign_cluster(str(node), host.machine.facts)
        with self._lock:
            self._hosts.append(host)
        return host

    def _vote(self, host: Host) -> None:
        """Tell what a master is."""
        if not host.has_joined:
            self._election.blank(host.node.name)
            return
        kubectl = Kubectl(host.machine.connection, timeout=self._limits.api_timeout)
        state, objects, step = host.cluster, None, "read the cluster's configuration"
        with answer_of(str(host.node), step):
            text = credentials.configuration_in(state.objects) if state else None
        if state and text:
            nodes, objects = state.nodes, state.objects
        else:
            text = credentials.cluster_configuration(kubectl)
            nodes = {node.name: node for node in kubectl.nodes()}
        with answer_of(str(host.node), step):
            version = version_in(text)
        self._election.living(host.node.name, Lead(host, kubectl, version, nodes, objects))

    def _site(self, version: str) -> Site:
        return Site(self._topology, self._params, self._limits, version)

    def _take_over(self, lead: Lead) -> tuple[Lead, _Joining]:
        """Begin with the cluster that is there."""
        if kubernetes_versions.minor(lead.version) > kubernetes_versions.NEWEST:
            LOG.warning(
                "%s: the cluster was upgraded to Kubernetes %s; this release knows 1.%d at most",
                lead.host.node,
                lead.version,
                kubernetes_versions.NEWEST,
            )
        self._ensure_network(lead)
        name = lead.host.node.name
        wanted = [node.name for node in self._topology.nodes]
        members.remove_vanished(lead.kubectl, name, lead.nodes.values(), wanted)
        return lead, _Joining(lead, self._secrets)

    def _found(self, host: Host) -> tuple[Lead, _Joining]:
        """Make the cluster on its first master."""
        site = self._site(self._params.packages.version)
        config = prepare(host, site)
        with host.timed("kubeadm"):
            script_of(host, site).init(config)
        restore_logins(host, site)
        with self._lock:
            self._joined.append(host)
        kubectl = Kubectl(host.machine.connection, timeout=self._limits.api_timeout)
        # It is new: nothing has to be asked for.
        lead = Lead(host, kubectl, site.version, {}, {})
        self._ensure_network(lead)
        return lead, _Joining(lead, self._secrets)

    def _join(self, host: Host, site: Site, lead: Lead, joining: _Joining) -> None:
        node, script = host.node, script_of(host, site)
        if host.has_joined:
            # Its cluster has removed it: kubeadm would refuse what is left of it.
            script.reset()
        is_master = node.role == MASTER
        arguments = (self._topology.endpoint, joining.token().reveal(), joining.ca_hash())
        with joining.one_master if is_master else nullcontext():
            if node.name in lead.nodes:
                members.remove_dead(lead.kubectl, lead.host.node.name, node)
            key = joining.certificate_key().reveal() if is_master else None
            config = render_kubeadm.join(site.kubeadm_node(node), *arguments, key)
            with host.timed("kubeadm"):
                script.join(config)
        restore_logins(host, site)
        with self._lock:
            self._joined.append(host)

    def _finish(self, lead: Lead) -> ClusterAccess:
        """What concerns the cluster as a whole."""
        limits = self._limits
        # While the nodes become ready.
        known = credentials.known_admin_token(lead.objects) if lead.objects else None
        token, ca = known or credentials.admin_token(lead.kubectl, limits.api_timeout)
        ensure_advertised(lead.kubectl, self._params.registries, lead.objects)
        with lead.host.timed("ready"):
            names = [host.node.name for host in self._joined]
            if names:
                lead.kubectl.wait_ready(names, limits.node_ready_timeout)
            if any(host.node.role == MASTER for host in self._joined):
                self._wait_for_masters(lead)
        for host in self._hosts:
            steps = ", ".join(f"{step} {seconds:.1f} s" for step, seconds in host.spent.items())
            LOG.info(
                "%s: %d remote commands; %s", host.node, host.machine.connection.commands, steps
            )
        return ClusterAccess(self._topology.public_url, token, ca)

    def _wait_for_masters(self, lead: Lead) -> None:
        """See that new masters share the state and the virtual address with the others, unless one
        of these is known to be away."""
        limits = self._limits
        masters = self._topology.masters
        hosts = [host for host in self._hosts if host.node.role == MASTER]
        if len(hosts) != len(masters):
            return
        if self._topology.virtual_address:
            connections = [host.machine.connection for host in hosts]
            wait_for_vip(connections, self._topology.virtual_address, limits.service_timeout)
        if len(masters) > 1:
            etcd = Etcd(lead.kubectl, lead.host.node.name)
            etcd.wait_healthy(len(masters), limits.node_ready_timeout)

    def _ensure_network(self, lead: Lead) -> None:
        """Apply the manifest of the pods' network, once for each content."""
        manifest = self._params.cni_manifest
        wanted = hashlib.sha256((manifest or "").encode()).hexdigest()
        if lead.objects is not None:
            notes = lead.objects.get(f"ConfigMap/{NOTES}") or {}
        else:
            notes = lead.kubectl.get("configmap", NOTES, credentials.NAMESPACE) or {}
        with answer_of(str(lead.host.node), "read our notes in the cluster"):
            if network_in(notes) == wanted:
                return
        with lead.host.timed("network"):
            script_of(lead.host, self._site(lead.version)).network(manifest)
        note = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": NOTES, "namespace": credentials.NAMESPACE},
            "data": {"network": wanted},
        }
        lead.kubectl.apply(json.dumps(note), "note the network of pods")
