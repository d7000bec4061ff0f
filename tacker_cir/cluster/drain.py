# SPDX-License-Identifier: Apache-2.0
"""Moving the workload off a node that will go."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from oslo_log import log as logging

from tacker_cir.cluster.kubectl import Kubectl, parse_node
from tacker_cir.exceptions import CommandFailed, HostError

LOG = logging.getLogger(__name__)

#: Seconds after the end of its grace period for which a pod of a living node is waited for. Then
#: its kubelet has stopped working, or a finalizer holds the object: neither is worth more waiting.
_OVERDUE = 60

_MIRROR = "kubernetes.io/config.mirror"


def drain(kubectl: Kubectl, name: str, *, timeout: float, ready: bool | None = None) -> None:
    """Cordon a node and have its pods stopped; they start elsewhere.

    Pods of DaemonSets and static pods stay. Volumes of type emptyDir go with their pod, and a pod
    that nothing would start again goes as well: the node will not come back. Disruption budgets
    are respected where the node is ready. Where it is not, they protect nothing, and nobody
    confirms that a pod has stopped: its pods are deleted without waiting.

    If it fails, a node that was schedulable before is so again.

    :param name: of the node; one that is not there is no error
    :param timeout: seconds until all pods must have stopped
    :param ready: whether the node's kubelet can be counted on; None asks the API server, which
        takes a dead node for ready for about 40 seconds
    :raises HostError: pods stay; names them and tells why
    """
    found = kubectl.get("node", name)
    if found is None:
        return
    node = parse_node(found)
    if ready is None:
        ready = node.ready
    step = f"drain node {name}"
    LOG.info("%s: %s%s", kubectl.host, step, "" if ready else ", which is not ready")
    words = ["drain", name, "--ignore-daemonsets", "--delete-emptydir-data", "--force"]
    words += [f"--timeout={max(1, round(timeout))}s"]
    if ready:
        words += [f"--skip-wait-for-delete-timeout={_OVERDUE}"]
    else:
        words += ["--disable-eviction", "--grace-period=1", "--skip-wait-for-delete-timeout=1"]
    try:
        kubectl.call(words, step, working_time=timeout, retry_for=timeout)
    except CommandFailed as error:
        cause = _why(kubectl, name, error)
        if not node.unschedulable:
            kubectl.call(["uncordon", name], f"uncordon node {name}")
        raise HostError(
            kubectl.host,
            step,
            cause,
            "give the pods room on other nodes, or relax or delete what holds them; then retry the "
            "operation",
        ) from None


def _why(kubectl: Kubectl, name: str, error: CommandFailed) -> str:
    selector = f"--field-selector=spec.nodeName={name}"
    pods = remaining(kubectl.objects("pods", "--all-namespaces", selector))
    if not pods:
        return error.cause
    budgets = kubectl.objects("poddisruptionbudgets", "--all-namespaces")
    reasons = [f"{_name(pod)} ({_reason(pod, budgets, error.stderr)})" for pod in pods]
    return f"{len(reasons)} of its pods stay: {'; '.join(reasons)}"


def remaining(pods: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return those pods of a node that a drain has to stop."""
    return [
        pod
        for pod in pods
        if _MIRROR not in (pod["metadata"].get("annotations") or {})
        and pod.get("status", {}).get("phase") not in ("Succeeded", "Failed")
        and not any(
            owner["kind"] == "DaemonSet" and owner.get("controller")
            for owner in pod["metadata"].get("ownerReferences") or ()
        )
    ]


def _reason(pod: Mapping[str, Any], budgets: Sequence[Mapping[str, Any]], stderr: str) -> str:
    metadata = pod["metadata"]
    if metadata.get("deletionTimestamp"):
        grace = metadata.get("deletionGracePeriodSeconds", 0)
        held = metadata.get("finalizers")
        finalizers = f", finalizers {', '.join(held)}" if held else ""
        return f"still stopping, grace period {grace} s{finalizers}"
    for budget in budgets:
        status = budget.get("status", {})
        if (
            budget["metadata"]["namespace"] == metadata["namespace"]
            and selects(budget["spec"].get("selector"), metadata.get("labels") or {})
            and not status.get("disruptionsAllowed")
        ):
            return (
                f"disruption budget {_name(budget)} needs {status.get('desiredHealthy', '?')} "
                f"healthy pods and has {status.get('currentHealthy', '?')}"
            )
    # Lines like: error when evicting pods/"web-0" -n "default" (will retry after 5s): REASON
    told = [line for line in stderr.splitlines() if f'"{metadata["name"]}"' in line]
    return told[-1].rpartition("): ")[2].strip() if told else "not evicted yet"


def selects(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """Tell whether a label selector (meta/v1 LabelSelector) selects an object with these labels."""
    if selector is None:
        return False
    if any(labels.get(k) != v for k, v in (selector.get("matchLabels") or {}).items()):
        return False
    for expression in selector.get("matchExpressions") or ():
        present = expression["key"] in labels
        listed = labels.get(expression["key"]) in (expression.get("values") or ())
        holds = {
            "In": present and listed,
            "NotIn": not (present and listed),
            "Exists": present,
            "DoesNotExist": not present,
        }[expression["operator"]]
        if not holds:
            return False
    return True


def _name(item: Mapping[str, Any]) -> str:
    return f"{item['metadata']['namespace']}/{item['metadata']['name']}"
