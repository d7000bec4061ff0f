# SPDX-License-Identifier: Apache-2.0
"""Moving the workload off a node that will go."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tacker_cir import log as logging
from tacker_cir.cluster.kubectl import Kubectl
from tacker_cir.exceptions import CommandFailed, HostError
from tacker_cir.reading import reader
from tacker_cir.waiting import Deadline

LOG = logging.getLogger(__name__)

#: Seconds between two looks at whether the node is still alive.
_LOOK = 20
#: Seconds after the end of its grace period for which a pod of a living node is waited for. Then
#: its kubelet has stopped working, or a finalizer holds the object: neither is worth more waiting.
_OVERDUE = 60

#: Seconds to find out why pods stay, and to let the node take pods again.
_AFTERWARDS = 60

_ALIVE = (f"--skip-wait-for-delete-timeout={_OVERDUE}",)
_DEAD = ("--disable-eviction", "--grace-period=1", "--skip-wait-for-delete-timeout=1")

#: Pods of which it is told why they stay.
_TOLD = 20

_MIRROR = "kubernetes.io/config.mirror"


def drain(kubectl: Kubectl, name: str, *, timeout: float, ready: bool | None = None) -> None:
    """Cordon a node and have its pods stopped; they start elsewhere.

    Pods of DaemonSets and static pods stay. Volumes of type emptyDir go with their pod, and a pod
    that nothing would start again goes as well: the node will not come back. Disruption budgets
    are respected as long as the node is ready. When it is not, they protect nothing, and nobody
    confirms that a pod has stopped: its pods are deleted without waiting.

    If it fails, a node that was schedulable before is so again.

    :param name: of the node; one that is not there is no error
    :param timeout: seconds until all pods must have stopped
    :param ready: False where the node is known to be dead; None asks the API server, which takes a
        dead node for ready for about 40 seconds
    :raises HostError: pods stay; names them and tells why
    """
    bounded = kubectl.within(timeout)
    found = bounded.node(name)
    if found is None:
        return
    try:
        _stop_pods(bounded, name, Deadline(timeout), ready)
    except CommandFailed as error:
        kubectl = kubectl.within(_AFTERWARDS)
        cause = _why(kubectl, name, error)
        if not found.unschedulable:
            kubectl.call(["uncordon", name], f"uncordon node {name}")
        raise HostError(
            kubectl.host,
            error.step,
            cause,
            "give the pods room on other nodes, or relax or delete what holds them; then retry the "
            "operation",
        ) from None


def _stop_pods(kubectl: Kubectl, name: str, deadline: Deadline, ready: bool | None) -> None:
    """Drain, looking again and again whether the node has died meanwhile."""
    step = f"drain node {name}"
    while (found := kubectl.node(name)) is not None:
        alive = found.ready if ready is None else ready
        LOG.info("%s: %s%s", kubectl.host, step, "" if alive else ", which is not ready")
        seconds = max(1, round(min(deadline.remaining, _LOOK)))
        words = ["drain", name, "--ignore-daemonsets", "--delete-emptydir-data", "--force"]
        words += [f"--timeout={seconds}s"]
        words += _ALIVE if alive else _DEAD
        look = Deadline(seconds)
        try:
            kubectl.call(words, step, working_time=seconds, retry_for=seconds)
            return
        except CommandFailed:
            # One that is over before its time has failed for another reason than pods that stay.
            if deadline.expired or not look.expired:
                raise


def _why(kubectl: Kubectl, name: str, error: CommandFailed) -> str:
    selector = f"--field-selector=spec.nodeName={name}"
    objects = kubectl.objects("pods", "--all-namespaces", selector)
    pods = kubectl.read(error.step, lambda: remaining(objects))
    if not pods:
        return error.cause
    budgets = kubectl.objects("poddisruptionbudgets", "--all-namespaces")
    return kubectl.read(error.step, lambda: reasons(pods, budgets, error.stderr))


@reader("a list of pods")
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


@reader("a list of pods and of their disruption budgets")
def reasons(
    pods: Sequence[Mapping[str, Any]], budgets: Sequence[Mapping[str, Any]], stderr: str
) -> str:
    """Return which pods stay, and why."""
    told = [f"{_name(pod)} ({reason(pod, budgets, stderr)})" for pod in pods[:_TOLD]]
    more = len(pods) - len(told)
    return f"{len(pods)} of its pods stay: {'; '.join(told)}" + (f"; {more} more" if more else "")


@reader("a pod and disruption budgets")
def reason(pod: Mapping[str, Any], budgets: Sequence[Mapping[str, Any]], stderr: str) -> str:
    """Return why a drain left a pod where it is.

    :param budgets: all PodDisruptionBudget objects
    :param stderr: what kubectl drain printed
    """
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
            # An empty selector selects nothing in policy/v1beta1, everything in policy/v1.
            and status.get("expectedPods")
        ):
            return (
                f"disruption budget {_name(budget)} needs {status.get('desiredHealthy', '?')} "
                f"healthy pods and has {status.get('currentHealthy', '?')}"
            )
    # Lines like: error when evicting pods/"web-0" -n "default" (will retry after 5s): REASON
    told = [line for line in stderr.splitlines() if f'"{metadata["name"]}"' in line]
    return told[-1].rpartition("): ")[2].strip() if told else "not evicted yet"


@reader("a label selector")
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
