# SPDX-License-Identifier: Apache-2.0
"""Life cycle of the cluster VNF: what each hook of its MgmtDriver does.

Every ``*_end`` hook brings the machines that Heat has to the cluster that the instantiate request
describes (:mod:`tacker_cir.cluster.build`); every ``*_start`` hook that loses machines first takes
them out of the cluster (:mod:`tacker_cir.cluster.members`). So any operation also completes what an
earlier one left undone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from tacker_cir import log as logging
from tacker_cir.cluster import members
from tacker_cir.cluster.build import ClusterBuild
from tacker_cir.cluster.kubectl import Kubectl
from tacker_cir.cluster.topology import ClusterNode, Topology, read_topology
from tacker_cir.command import Redactor
from tacker_cir.config import TimeLimits
from tacker_cir.connections import Connector, pins
from tacker_cir.exceptions import (
    ClusterError,
    Fault,
    InvalidRequest,
    OperationNotSupported,
    TackerCirError,
)
from tacker_cir.instance import Instance, Leaving, Vim
from tacker_cir.params import k8s_cluster
from tacker_cir.params.cluster_names import find_name_faults
from tacker_cir.params.k8s_cluster import ClusterParams
from tacker_cir.registry import access as registry_access
from tacker_cir.ssh import Connection

LOG = logging.getLogger(__name__)

#: Seconds to wait for a master when machines are to be taken out: those that live answer at once.
_MASTER_WAIT = 30


def check(instance: Instance) -> ClusterParams:
    """Refuse a faulty request before any VM is made or destroyed.

    Registries in the VNF instance's metadata stand in for those of the request: this is how they
    are changed while the cluster lives. What the VNF instances of registries show is read anew for
    each operation: one that was healed may be at another address.

    :raises InvalidRequest: with every fault found
    """
    return k8s_cluster.parse(
        instance.parameters,
        instance.package(),
        flavour_id=instance.flavour_id,
        metadata=instance.metadata,
        find_vnf=instance.registry_vnf,
    )


def check_new(instance: Instance) -> ClusterParams:
    """:func:`check`, and what matters to new VMs alone: that the CPs are where they are looked for,
    that the name for the cluster's VIM is free, and that the nodes' networks are none of the
    cluster's own.

    :raises InvalidRequest: with every fault found
    """
    faults = k8s_cluster.find_unsupported_flavour(instance.flavour_id)
    params: ClusterParams | None = None
    try:
        params = check(instance)
    except InvalidRequest as error:
        faults += error.faults
    flavour = instance.package().flavours().get(instance.flavour_id or "")
    if flavour is not None:
        faults += find_name_faults(instance.parameters, flavour, instance.level_id)
    vim = _vim(instance)
    if vim.is_taken():
        problem = f"another VIM is named {vim.name!r}; expected a name that is not taken"
        faults.append(Fault(f"{k8s_cluster.PATH}.vim_name", problem))
    if params:
        for network, subnets in instance.subnets().items():
            faults += params.overlaps(network, subnets)
    if faults or params is None:
        raise InvalidRequest(faults)
    return params


@dataclass
class Cluster:
    """The cluster of one VNF instance during one operation."""

    instance: Instance
    params: ClusterParams
    topology: Topology
    connector: Connector

    @classmethod
    def read(cls, instance: Instance, params: ClusterParams) -> Cluster:
        """Read from Heat which machines there are, with one list call.

        :raises InventoryError: the stack does not make a cluster
        """
        heat, stack_id = instance.heat(), instance.stack_id
        topology = read_topology(heat.resources(stack_id), params)
        redactor = Redactor(params.secrets)
        connector = Connector(instance.conf, heat, stack_id, instance.id, redactor=redactor)
        connector.forget_all_but([node.machine for node in topology.nodes])
        return cls(instance, params, topology, connector)

    def ensure(self) -> None:
        """Bring all machines to their state, and let Tacker know the cluster.

        :raises TackerCirError: a step failed; a retry goes on where this one stopped
        """
        registry_access.tell_expiry(self.params.registries)
        access = self._build(self.topology).run()
        self.instance.vim(self.params.vim_name).register(access)

    def remove(self, doomed: Sequence[ClusterNode]) -> None:
        """Take nodes out of the cluster, which go on being machines.

        :raises ClusterError: no master would be left, or none can be reached
        :raises QuorumLoss: etcd would lose its majority
        :raises HostError: pods of a node do not stop, or a step failed
        """
        if not doomed:
            return
        members.require_other_master(self.topology.masters, doomed)
        with self._lead(doomed) as (lead, connection):
            kubectl = Kubectl(connection, timeout=self._limits.api_timeout)
            members.remove(kubectl, lead.name, doomed, drain_timeout=self._limits.drain_timeout)

    def forget(self, doomed: Sequence[ClusterNode]) -> None:
        """Bring the other machines to a state without these nodes.

        That they are gone must not depend on the others: what fails there is only logged, and the
        next operation completes it.
        """
        gone = set(doomed)
        rest = replace(
            self.topology,
            masters=tuple(n for n in self.topology.masters if n not in gone),
            workers=tuple(n for n in self.topology.workers if n not in gone),
        )
        try:
            self._build(rest).run()
        except TackerCirError as error:
            LOG.warning("VNF instance %s: %s", self.instance.id, error)

    @property
    def _limits(self) -> TimeLimits:
        return TimeLimits.of(self.instance.conf)

    def _build(self, topology: Topology) -> ClusterBuild:
        return ClusterBuild(topology, self.params, self.connector, self._limits)

    @contextmanager
    def _lead(self, doomed: Collection[ClusterNode]) -> Iterator[tuple[ClusterNode, Connection]]:
        """Connect to the first master that answers and stays."""
        staying = [master for master in self.topology.masters if master not in doomed]
        pool = ThreadPoolExecutor(max_workers=len(staying))
        futures = {pool.submit(self._open, master): master for master in staying}
        errors: list[str] = []
        try:
            for future in as_completed(futures):
                try:
                    connection = future.result()
                except TackerCirError as error:
                    errors.append(str(error))
                    continue
                with connection:
                    yield futures[future], connection
                return
            raise ClusterError(f"no master of the cluster can be reached: {'; '.join(errors)}")
        finally:
            pool.shutdown(wait=False)
            for future in futures:
                future.add_done_callback(_close)

    def _open(self, master: ClusterNode) -> Connection:
        return self.connector.open(
            master.machine, master.credentials, name=str(master), wait_timeout=_MASTER_WAIT
        )


def build(instance: Instance, params: ClusterParams) -> None:
    """Make the VNF's machines the cluster that the parameters describe; do only what is missing."""
    Cluster.read(instance, params).ensure()


def build_new(instance: Instance, params: ClusterParams) -> None:
    """:func:`build` for a new VNF instance."""
    instance.keep()
    build(instance, params)


def before_heal(instance: Instance, params: ClusterParams, leaving: Leaving | None) -> None:
    """Take out of the cluster what will be made anew: some nodes, or the cluster as a whole.

    :param leaving: None where the entire VNF is to be healed
    :raises VimError: the entire VNF is to be healed, and a VNF is still on the cluster
    :raises TackerCirError: as for :meth:`Cluster.remove`
    """
    if leaving is None:
        vim = instance.vim(params.vim_name)
        vim.remove()
        vim.remove_from_instance()
        return
    cluster = Cluster.read(instance, params)
    cluster.remove([n for n in cluster.topology.nodes if n.machine in leaving])


def before_scale_in(
    instance: Instance, params: ClusterParams, aspect_id: str, leaving: Leaving
) -> None:
    """Take the workers out of the cluster that Tacker is about to remove.

    Tacker calls this for SCALE_OUT as well, while it rolls one back.

    :param aspect_id: the aspect that is scaled
    :raises OperationNotSupported: the aspect is that of the masters
    :raises TackerCirError: as for :meth:`Cluster.remove`
    """
    refuse_other_aspects(params, aspect_id)
    cluster = Cluster.read(instance, params)
    doomed = [n for n in cluster.topology.workers if n.machine in leaving]
    cluster.remove(doomed)
    cluster.forget(doomed)


def refuse_other_aspects(params: ClusterParams, aspect_id: str) -> None:
    """Refuse to scale anything but the workers, as the spec says.

    :param aspect_id: the aspect that is scaled
    :raises OperationNotSupported: another aspect is to be scaled
    """
    if aspect_id != params.worker.aspect_id:
        raise OperationNotSupported(
            f"scaling aspect {aspect_id!r} is not supported: only the workers of a cluster "
            f"are scaled, with aspect {params.worker.aspect_id!r}"
        )


def before_terminate(instance: Instance) -> None:
    """Refuse to destroy a cluster that a VNF is on.

    :raises VimError: one is
    """
    _vim(instance).check_unused()


def after_terminate(instance: Instance) -> None:
    """Remove what is kept of a cluster whose machines are gone.

    :raises VimError: a VNF is still on it
    """
    _vim(instance).remove()
    pins(instance.conf, instance.id).clear()


def _vim(instance: Instance) -> Vim:
    return instance.vim(k8s_cluster.read_vim_name(instance.parameters))


def _close(future: Any) -> None:
    if not future.cancelled() and future.exception() is None:
        future.result().close()
