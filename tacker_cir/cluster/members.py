# SPDX-License-Identifier: Apache-2.0
"""Taking nodes out of a cluster."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from tacker_cir import log as logging
from tacker_cir.cluster.drain import drain
from tacker_cir.cluster.etcd import Etcd, QuorumLoss, plan_removal
from tacker_cir.cluster.kubectl import Kubectl, KubeNode
from tacker_cir.cluster.topology import MASTER, WORKER, ClusterNode
from tacker_cir.exceptions import ClusterError

LOG = logging.getLogger(__name__)

#: Seconds to find out whether etcd can do without a master, before anything is touched: a cluster
#: that lives answers at once, and one that has lost its majority never does.
ANSWER_TIME = 25

_OUR_NAME = re.compile(rf"({MASTER}|{WORKER})-[0-9a-f]+(-[0-9a-f]+){{3,7}}")


def remove(
    kubectl: Kubectl, lead: str, doomed: Sequence[ClusterNode], *, drain_timeout: float
) -> None:
    """Take nodes out whose machines will be gone: what runs there moves first.

    Masters leave etcd before they leave the cluster, so that etcd never counts on one that is not
    there. Nothing is touched where etcd would lose its majority.

    :param kubectl: of a master that stays
    :param lead: name of that master
    :param drain_timeout: seconds for one node's pods to stop
    :raises QuorumLoss: the remaining masters would not be a majority
    :raises HostError: pods do not stop, or a step failed
    """
    etcd = Etcd(kubectl, lead)
    masters = [node for node in doomed if node.role == MASTER]
    leaving = []
    if masters:
        asked = Etcd(kubectl.within(ANSWER_TIME), lead)
        members = asked.members()
        leaving = plan_removal(members, asked.healthy(members), [m.address for m in masters])
    for node in doomed:
        drain(kubectl, node.name, timeout=drain_timeout)
    for member in leaving:
        etcd.remove(member)
    for node in doomed:
        kubectl.delete_node(node.name)


def remove_dead(kubectl: Kubectl, lead: str, node: ClusterNode) -> None:
    """Take out what is left of a node whose machine was replaced by a new one of the same name.

    :raises QuorumLoss: as for :func:`remove`
    """
    _forget(kubectl, lead, node.name, [node.address], node.role == MASTER)


def remove_vanished(
    kubectl: Kubectl, lead: str, known: Iterable[KubeNode], wanted: Iterable[str]
) -> None:
    """Take out nodes whose machines the stack no longer has, as after a rolled-back scale-out.

    Nodes that somebody else added, and nodes that still answer, stay.

    :param known: the cluster's nodes
    :param wanted: names of the nodes that the stack has
    """
    wanted = set(wanted)
    for node in known:
        if node.name in wanted or node.ready or not _OUR_NAME.fullmatch(node.name):
            continue
        LOG.info("%s: the machine of node %s is gone", kubectl.host, node.name)
        addresses = [node.internal_ip] if node.internal_ip else []
        try:
            _forget(kubectl, lead, node.name, addresses, node.control_plane)
        except QuorumLoss as error:
            LOG.warning("node %s is left in the cluster: %s", node.name, error)


def require_other_master(masters: Sequence[ClusterNode], doomed: Sequence[ClusterNode]) -> None:
    """Refuse to lose every master.

    :raises ClusterError: none would be left
    """
    if not set(masters) <= set(doomed):
        return
    which = "the only master" if len(masters) == 1 else f"all {len(masters)} masters"
    raise ClusterError(
        f"{which} ({', '.join(map(str, masters))}) cannot be healed: the cluster's state is there "
        "and nowhere else. To do: heal the entire VNF (no vnfcInstanceId), which makes a new "
        "cluster"
    )


def _forget(
    kubectl: Kubectl, lead: str, name: str, addresses: Sequence[str], is_master: bool
) -> None:
    if is_master:
        etcd = Etcd(kubectl.within(kubectl.timeout), lead)
        members = etcd.members()
        for member in plan_removal(members, etcd.healthy(members), addresses):
            etcd.remove(member)
    kubectl.delete_node(name)
