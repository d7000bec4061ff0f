# SPDX-License-Identifier: Apache-2.0
"""The members of a cluster's etcd, one of which runs on each master (kubeadm's stacked etcd).

etcdctl is asked in the pod of etcd itself, through the API server: this is the same for every
container runtime, and the certificates do not leave the master.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tacker_cir import log as logging
from tacker_cir.cluster.kubectl import Kubectl
from tacker_cir.exceptions import CommandFailed, HostError, TackerCirError
from tacker_cir.reading import answer_of, reader
from tacker_cir.steps import timed
from tacker_cir.waiting import Deadline, NotYet, wait_until

LOG = logging.getLogger(__name__)

# Paths inside the pod, where kubeadm mounts the directory of the certificates at its own path.
_PKI = "/etc/kubernetes/pki/etcd"
_ETCDCTL = (
    "etcdctl",
    f"--cacert={_PKI}/ca.crt",
    f"--cert={_PKI}/healthcheck-client.crt",
    f"--key={_PKI}/healthcheck-client.key",
    "--write-out=json",
)
_LOCAL = "https://127.0.0.1:2379"
# The API server needs etcd for its answer, and etcd its majority.
_REMEDY = (
    "see which masters are down: bring back more than half of them, or heal the entire VNF, which "
    "makes a new cluster. If they run, see the logs of their API servers and etcd in /var/log/pods"
)
_URL = re.compile(r"(https?|unixs?)://[A-Za-z0-9._:\[\]%/-]{1,300}")
_NOT_FOUND = "member not found"
_LIST = "list the members of etcd"


class QuorumLoss(TackerCirError):
    """etcd would be left without a majority: the cluster would lose its state."""


@dataclass(frozen=True)
class Member:
    """A member of etcd.

    :param name: that of its node; "" for one that never started
    :param peer_addresses: IP addresses or host names at which the other members reach it
    :param client_urls: none for one that never started
    :param learner: it has no vote yet
    """

    id: int
    name: str
    peer_addresses: tuple[str, ...]
    client_urls: tuple[str, ...] = ()
    learner: bool = False

    @property
    def started(self) -> bool:
        return bool(self.client_urls)

    def has_address(self, addresses: Collection[str]) -> bool:
        """Tell whether one of its peer addresses is among the given ones."""
        return not {_canonical(a) for a in self.peer_addresses}.isdisjoint(
            map(_canonical, addresses)
        )

    def __str__(self) -> str:
        return f"{self.name or 'not started'} ({', '.join(self.peer_addresses)})"


class Etcd:
    """etcd, asked on one master.

    :param kubectl: of a master
    :param node: name of a node whose etcd runs, best that of the same master
    """

    def __init__(self, kubectl: Kubectl, node: str):
        self._kubectl, self._node = kubectl, node
        self._own_pod = f"etcd-{node}"
        self._found_pod: str | None = None

    def members(self) -> list[Member]:
        """Return the members, by name."""
        text = self._etcdctl(_LIST, "member", "list")
        with answer_of(self._kubectl.host, _LIST):
            members = parse_members(text)
        return sorted(members, key=lambda member: (member.name, member.id))

    def healthy(self, members: Iterable[Member]) -> frozenset[int]:
        """Return the ids of those members that answer, and through which etcd can write."""
        urls = {url: member.id for member in members for url in member.client_urls}
        if not urls:
            return frozenset()
        # It ends with an error if one of them is not healthy, and tells of all.
        step = "ask etcd's members how they are"
        text = self._etcdctl(step, "endpoint", "health", endpoints=urls, partial=True)
        with answer_of(self._kubectl.host, step):
            return frozenset(urls[url] for url in parse_health(text) if url in urls)

    def wait_healthy(self, count: int, timeout: float) -> list[Member]:
        """Wait until etcd has ``count`` members that vote and are healthy, and return them.

        :param timeout: seconds
        :raises HostError: it has not in time
        """

        bounded = Etcd(self._kubectl.within(timeout), self._node)

        def attempt() -> list[Member]:
            members = bounded.members()
            healthy = bounded.healthy(members)
            bad = [str(m) for m in members if m.id not in healthy or m.learner]
            if bad or len(members) != count:
                raise NotYet(
                    f"{len(members)} members of {count}"
                    + (f", not healthy: {', '.join(bad)}" if bad else "")
                )
            return members

        def otherwise(last: NotYet) -> HostError:
            return HostError(
                self._kubectl.host,
                step,
                f"etcd has {last} after {timeout:.0f} seconds",
                "see etcd's logs in /var/log/pods of the masters, then retry the operation",
            )

        step = "wait until etcd is healthy"
        with timed(self._kubectl.host, step):
            return wait_until(attempt, Deadline(timeout), otherwise)

    def remove(self, member: Member) -> None:
        """Remove a member; one that is not there is no error."""
        step = f"remove etcd member {member}"
        try:
            self._etcdctl(step, "member", "remove", f"{member.id:x}")
        except CommandFailed as error:
            if _NOT_FOUND not in error.stderr:
                raise
        LOG.info("%s: removed etcd member %s", self._kubectl.host, member)

    def _etcdctl(
        self, step: str, *words: str, endpoints: Iterable[str] = (_LOCAL,), partial: bool = False
    ) -> str:
        exec_words = ["--namespace=kube-system", "exec", self._pod(), "--container=etcd", "--"]
        exec_words += [*_ETCDCTL, f"--endpoints={','.join(endpoints)}", *words]
        return self._kubectl.call(exec_words, step, partial=partial, remedy=_REMEDY).stdout

    def _pod(self) -> str:
        """Return a pod of etcd that runs, the node's own where the API server knows it.

        The kubelet tells the API server of a static pod only some time after it has started it,
        up to a minute on a master that has just joined.
        """
        if self._found_pod is None:
            selector = ("--namespace=kube-system", "--selector=component=etcd")
            # Without a majority, it is here that the API does not answer.
            pods = self._kubectl.objects("pods", *selector, step=_LIST, remedy=_REMEDY)
            with answer_of(self._kubectl.host, _LIST):
                self._found_pod = choose_pod(pods, self._own_pod)
        return self._found_pod


@reader("a list of pods of etcd")
def choose_pod(pods: Iterable[Mapping[str, Any]], own: str) -> str:
    """Return the name of a pod to ask.

    :param pods: those of etcd
    :param own: name of the one that is best
    """
    ready = [
        pod["metadata"]["name"]
        for pod in pods
        if any(
            condition["type"] == "Ready" and condition["status"] == "True"
            for condition in pod.get("status", {}).get("conditions") or ()
        )
    ]
    return own if own in ready or not ready else ready[0]


@reader("etcdctl's list of members")
def parse_members(text: str) -> list[Member]:
    """Return the members in the JSON of ``etcdctl member list``.

    :raises Unreadable: it is none
    """
    return [_member(item) for item in json.loads(text)["members"]]


@reader("etcdctl's list of endpoints")
def parse_health(text: str) -> list[str]:
    """Return the healthy endpoints in the JSON of ``etcdctl endpoint health``.

    :raises Unreadable: it is none
    """
    return [_url(item["endpoint"]) for item in json.loads(text) if item["health"] is True]


def plan_removal(
    members: Sequence[Member], healthy: Collection[int], doomed: Collection[str]
) -> list[Member]:
    """Return the members to remove, in the order to remove them in.

    Each removal is a decision of the majority of the members that there are at that time, so those
    that do not answer go first. What remains must have a majority that answers.

    :param healthy: ids of the members that answer
    :param doomed: addresses of the masters that will be gone
    :raises QuorumLoss: etcd cannot do it, or would be left without a majority
    """
    leaving = [m for m in members if m.has_address(doomed)]
    if not leaving:
        return []
    voters = {m.id for m in members if not m.learner}
    staying = [m for m in members if m not in leaving]
    answering = [m for m in staying if m.id in voters & set(healthy)]
    _require_majority(
        "without " + ", ".join(map(str, leaving)),
        answering,
        [m for m in staying if m.id in voters],
    )
    _require_majority(
        "as it is", [m for m in members if m.id in voters & set(healthy)],
        [m for m in members if m.id in voters],
    )  # fmt: skip
    return sorted(leaving, key=lambda member: member.id in healthy)


def _require_majority(
    situation: str, answering: Sequence[Member], voting: Sequence[Member]
) -> None:
    needed = len(voting) // 2 + 1
    if len(answering) >= needed:
        return
    names = f" ({', '.join(map(str, answering))})" if answering else ""
    raise QuorumLoss(
        f"etcd {situation} has {len(voting)} voting members, of which {needed} must answer and "
        f"{len(answering)} do{names}. To do: bring back masters that are down, or heal the entire "
        "VNF, which makes a new cluster"
    )


def _member(item: Mapping[str, Any]) -> Member:
    hosts = [urlsplit(_url(url)).hostname or "" for url in item.get("peerURLs") or ()]
    number = item["ID"]
    if not isinstance(number, int) or not 0 <= number < 1 << 64:
        raise ValueError
    return Member(
        id=number,
        name=str(item.get("name", "")),
        peer_addresses=tuple(dict.fromkeys(filter(None, hosts))),
        client_urls=tuple(_url(url) for url in item.get("clientURLs") or ()),
        learner=bool(item.get("isLearner")),
    )


def _url(text: str) -> str:
    """Return a URL of etcd, which becomes one of several in a word of a command line."""
    if not _URL.fullmatch(text):
        raise ValueError
    return text


def _canonical(address: str) -> str:
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return address
