# SPDX-License-Identifier: Apache-2.0
"""kubectl on a master, with the administrator's credentials of kubeadm.

Whatever changes etcd's members or moves the VIP leaves the API without an answer for some seconds:
a call is tried again while the API server cannot be asked, until a deadline. All calls here may be
repeated.
"""

from __future__ import annotations

import base64
import copy
import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from tacker_cir import log as logging
from tacker_cir.command import Command, Secret
from tacker_cir.documents import load_json
from tacker_cir.exceptions import CommandFailed, HostError
from tacker_cir.reading import answer_of, reader
from tacker_cir.ssh import Connection, Result
from tacker_cir.steps import timed
from tacker_cir.waiting import Deadline, NotYet, poll, wait_until

LOG = logging.getLogger(__name__)

T = TypeVar("T")

ADMIN_CONF = "/etc/kubernetes/admin.conf"
#: Seconds for one request to the API server.
REQUEST_TIMEOUT = 20
#: Seconds between two looks at nodes that are about to be ready: an operation waits for them.
_READY_POLL = 1.5
#: Seconds that a question gets at least, though the time for several is over.
_LEAST_TIME = 5
#: A name of an object, which is a word of a command line: DNS subdomain (RFC 1123).
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,252}")

_CONTROL_PLANE_LABELS = (
    "node-role.kubernetes.io/control-plane",
    # The only one that a master of 1.19 has, which an operator may have upgraded since.
    "node-role.kubernetes.io/master",
)

# What kubectl prints while the API server, its etcd or the load balancer before it cannot serve:
# errors of Go's net, net/http and crypto/tls packages, of the API server and of etcd.
_TRANSIENT = re.compile(
    r"connection refused|was refused - did you specify|connection reset by peer|broken pipe"
    r"|no route to host|network is unreachable|connection timed out|i/o timeout"
    r"|TLS handshake timeout|\bEOF\b|http2: (client|server)"
    r"|Client\.Timeout|context deadline exceeded|request canceled|Timeout: request did not complete"
    r"|unable to handle the request|unable to return a response in the time allotted"
    r"|etcdserver: (request timed out|leader changed|no leader|server stopped|unhealthy cluster)"
    r"|Service ?Unavailable|too many requests|apiserver not ready|RBAC: [^\n]{0,500}not found",
    re.IGNORECASE,
)

_REMEDY = (
    "see what the API server lacks: 'kubectl get --raw /readyz?verbose' on the master, and its log "
    "in /var/log/pods; then retry the operation"
)

# Names of objects and addresses, which are none of those errors.
_NAMES = re.compile(r'"[a-z0-9][^"A-Z\s]*"')

# Whatever was printed is an answer, even if the program then ends with an error.
_PARTIAL = 'out=$("$@") || [ -n "$out" ] || exit 1; printf "%s\\n" "$out"'


@dataclass(frozen=True)
class KubeNode:
    """A node as the API server knows it.

    :param ready: its condition Ready is True
    :param reason: why it is not, in the words of its kubelet or the node controller; "" if it is
    :param unschedulable: it is cordoned
    :param control_plane: it is a master
    """

    name: str
    ready: bool
    reason: str
    unschedulable: bool
    internal_ip: str | None
    control_plane: bool


class Kubectl:
    """kubectl of one master.

    :param connection: to the master
    :param timeout: seconds during which a call is tried again while the API server cannot be asked
    """

    def __init__(self, connection: Connection, *, timeout: float):
        self._connection = connection
        self._timeout = timeout
        self._deadline: Deadline | None = None

    def within(self, seconds: float) -> Kubectl:
        """Return the same kubectl for calls that together have so many seconds from now: waits for
        an API server that cannot be asked do not add up."""
        bounded = copy.copy(self)
        bounded._deadline = Deadline(seconds)
        return bounded

    @property
    def timeout(self) -> float:
        """Seconds during which a call is tried again while the API server cannot be asked."""
        return self._timeout

    @property
    def host(self) -> str:
        """The machine on which kubectl runs, as the user knows it."""
        return self._connection.node

    def call(
        self,
        words: Sequence[str],
        step: str,
        *,
        stdin: bytes = b"",
        partial: bool = False,
        confidential: bool = False,
        working_time: float = 0,
        retry_for: float = math.inf,
        remedy: str = _REMEDY,
    ) -> Result:
        """Run kubectl, again and again while the API server cannot be asked.

        :param words: what follows ``kubectl``: something that may be repeated, and no secret
        :param partial: whatever is printed is a success, even with an exit status that is not 0
        :param confidential: what is printed may hold a secret
        :param working_time: seconds that the command may wait for something itself
        :param retry_for: seconds instead of this object's timeout, where they are less
        :raises CommandFailed: kubectl failed for another reason, or still did after that time
        """
        argv = ("kubectl", "--kubeconfig", ADMIN_CONF, f"--request-timeout={REQUEST_TIMEOUT}s")
        line = (*argv, *words)
        if partial:
            command = Command.script(step, _PARTIAL, *line, confidential=confidential)
        else:
            command = Command(line, step, confidential)
        limit = self._connection.command_timeout + working_time

        def attempt() -> Result:
            seconds = min(limit, max(_LEAST_TIME, self._left()) + working_time)
            return self._connection.run(command, stdin=stdin, timeout=seconds, remedy=remedy)

        def on_retry(error: BaseException, elapsed: float) -> None:
            said = _last_words(error)
            LOG.info("%s: %s: no answer for %.0f s yet (%s)", self.host, step, elapsed, said)

        deadline = Deadline(min(self._timeout, retry_for, self._left()))
        return poll(attempt, deadline, retry_on=_is_no_answer, on_retry=on_retry)

    def _left(self) -> float:
        """Seconds that there are for calls."""
        return math.inf if self._deadline is None else self._deadline.remaining

    def get(self, kind: str, name: str, namespace: str | None = None) -> dict[str, Any] | None:
        """Return an object, None if there is no such.

        :raises HostError: the answer is none
        """
        words = ["get", kind, name, "--ignore-not-found", "--output=json", *_in(namespace)]
        step = f"read {kind} {name}"
        text = self.call(words, step, confidential=True).stdout
        with answer_of(self.host, step):
            return parse_object(text) if text.strip() else None

    def objects(
        self, kind: str, *options: str, step: str | None = None, remedy: str = _REMEDY
    ) -> list[dict[str, Any]]:
        """Return the objects of a kind.

        :param options: of ``kubectl get``, e.g. ``--all-namespaces``, ``--selector=...``
        :raises HostError: the answer is no list of objects
        """
        step = step or f"list {kind}"
        words = ["get", kind, "--output=json", *options]
        text = self.call(words, step, confidential=True, remedy=remedy).stdout
        with answer_of(self.host, step):
            return parse_list(text)

    def read(self, step: str, read: Callable[[], T]) -> T:
        """Return what a reader makes of objects.

        :raises HostError: they are not what they should be
        """
        with answer_of(self.host, step):
            return read()

    def secret(self, name: str, namespace: str) -> Mapping[str, Secret] | None:
        """Return the values of a Secret object, None if there is no such.

        :raises HostError: a value is no text
        """
        found = self.get("secret", name, namespace)
        if found is None:
            return None
        values = decode_secret(found)
        if values is None:
            raise HostError(
                self.host,
                f"read secret {name}",
                f"secret {namespace}/{name} holds something else than text",
                "see what wrote it, delete it and retry the operation",
            )
        return values

    def apply(self, manifest: str, step: str) -> bool:
        """Apply YAML or JSON documents; tell whether any object was changed by it."""
        output = self.call(["apply", "--filename=-"], step, stdin=manifest.encode()).stdout
        return any(not line.endswith(" unchanged") for line in output.splitlines() if line.strip())

    def nodes(self) -> list[KubeNode]:
        """Return all nodes, by name."""
        with answer_of(self.host, "list nodes"):
            return sorted(map(parse_node, self.objects("nodes")), key=lambda node: node.name)

    def node(self, name: str) -> KubeNode | None:
        """Return a node, None if there is no such."""
        found = self.get("node", name)
        return None if found is None else self.read(f"read node {name}", lambda: parse_node(found))

    def wait_ready(self, names: Collection[str], timeout: float) -> None:
        """Wait until nodes are there and ready.

        :param timeout: seconds
        :raises HostError: they are not in time; names them and tells why
        """
        bounded = self.within(timeout)

        def attempt() -> None:
            found = {node.name: node for node in bounded.nodes()}
            missing = {name: "it did not join" for name in names if name not in found}
            unready = {n: found[n].reason for n in names if n in found and not found[n].ready}
            faults = sorted((missing | unready).items())
            if faults:
                raise NotYet("; ".join(f"{name}: {reason}" for name, reason in faults))

        def on_retry(error: BaseException, elapsed: float) -> None:
            LOG.info("%s: waiting for nodes since %.0f s: %s", self.host, elapsed, error)

        def otherwise(last: NotYet) -> HostError:
            return HostError(
                self.host,
                step,
                f"not ready after {timeout:.0f} seconds: {last}",
                "see 'journalctl -u kubelet' of the node, and whether the pod network's pods run "
                "('kubectl get pods --all-namespaces'); then retry the operation",
            )

        step, deadline = "wait until the nodes are ready", Deadline(timeout)
        with timed(self.host, step):
            wait_until(attempt, deadline, otherwise, max_wait=_READY_POLL, on_retry=on_retry)

    def delete_node(self, name: str) -> None:
        """Take a node out of the cluster; one that is not there is no error."""
        words = ["delete", "node", name, "--ignore-not-found"]
        self.call(words, f"delete node {name}")
        LOG.info("%s: node %s is no longer in the cluster", self.host, name)


def decode_secret(found: Mapping[str, Any]) -> dict[str, Secret] | None:
    """Return the values of a Secret object, None where one is no text.

    Without an error of its own: that of the decoder holds the value.
    """
    try:
        return {
            key: Secret(base64.b64decode(value, validate=True).decode())
            for key, value in (found.get("data") or {}).items()
        }
    except (ValueError, TypeError, AttributeError):
        return None


def _is_no_answer(error: BaseException) -> bool:
    """Tell whether a call failed as the API server cannot be asked now."""
    return isinstance(error, CommandFailed) and is_transient(error.stderr)


def _last_words(error: BaseException) -> str:
    lines = error.stderr.strip().splitlines() if isinstance(error, CommandFailed) else []
    return lines[-1] if lines else str(error)


def is_transient(stderr: str) -> bool:
    """Tell whether what kubectl printed means that the API server cannot be asked now."""
    return _TRANSIENT.search(_NAMES.sub("", stderr)) is not None


@reader("an object of Kubernetes")
def parse_object(text: str) -> dict[str, Any]:
    """Return the object in JSON.

    :raises Unreadable: it is none
    """
    return _named(load_json(text))


@reader("a list of objects of Kubernetes")
def parse_list(text: str) -> list[dict[str, Any]]:
    """Return the objects in the JSON of a list.

    :raises Unreadable: it is none
    """
    return [_named(item) for item in load_json(text)["items"]]


def _named(item: Any) -> dict[str, Any]:
    if not isinstance(item, dict) or not _NAME.fullmatch(item["metadata"]["name"]):
        raise ValueError
    return item


@reader("a node of Kubernetes")
def parse_node(item: Mapping[str, Any]) -> KubeNode:
    """Return what a Node object tells.

    :raises Unreadable: it is none
    """
    metadata, status = item["metadata"], item.get("status", {})
    conditions = {c["type"]: c for c in status.get("conditions") or ()}
    ready = conditions.get("Ready", {"status": "Unknown"})
    is_ready = ready["status"] == "True"
    reason = ready.get("message") or ready.get("reason") or "its kubelet has not reported yet"
    addresses = status.get("addresses") or ()
    return KubeNode(
        name=metadata["name"],
        ready=is_ready,
        reason="" if is_ready else str(reason),
        unschedulable=bool(item.get("spec", {}).get("unschedulable")),
        internal_ip=next((str(a["address"]) for a in addresses if a["type"] == "InternalIP"), None),
        control_plane=any(
            label in (metadata.get("labels") or {}) for label in _CONTROL_PLANE_LABELS
        ),
    )


def _in(namespace: str | None) -> tuple[str, ...]:
    return (f"--namespace={namespace}",) if namespace else ()
