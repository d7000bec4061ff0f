# SPDX-License-Identifier: Apache-2.0
"""What kubectl's answers mean."""

from __future__ import annotations

import pytest

from tacker_cir.cluster.drain import reason, remaining, selects
from tacker_cir.cluster.kubectl import is_transient, parse_node


def node(status, **more):
    condition = {"type": "Ready", "status": status, "reason": "KubeletNotReady", "message": "why"}
    return {
        "metadata": {"name": "m", "labels": more.get("labels", {})},
        "spec": more.get("spec", {}),
        "status": {
            "conditions": [{"type": "MemoryPressure", "status": "False"}, condition],
            "addresses": [
                {"type": "Hostname", "address": "m"},
                {"type": "InternalIP", "address": "198.51.100.21"},
            ],
            "nodeInfo": {"kubeletVersion": "v1.20.2"},
        },
    }


def test_a_ready_node():
    found = parse_node(node("True", labels={"node-role.kubernetes.io/control-plane": ""}))
    assert (found.name, found.ready, found.reason) == ("m", True, "")
    assert found.internal_ip == "198.51.100.21"
    assert found.control_plane and not found.unschedulable


@pytest.mark.parametrize("status", ["False", "Unknown"])
def test_a_node_that_is_not_ready(status):
    found = parse_node(node(status, spec={"unschedulable": True}))
    assert (found.ready, found.reason, found.unschedulable) == (False, "why", True)
    assert not found.control_plane


def test_a_node_whose_kubelet_never_reported():
    found = parse_node({"metadata": {"name": "new"}, "spec": {}, "status": {}})
    assert not found.ready and "not reported" in found.reason and found.internal_ip is None


@pytest.mark.parametrize(
    "stderr",
    [
        "The connection to the server 198.51.100.200:16443 was refused - did you specify the "
        "right host or port?",
        "Unable to connect to the server: net/http: TLS handshake timeout",
        "Unable to connect to the server: dial tcp 198.51.100.200:16443: connect: no route to host",
        "Unable to connect to the server: EOF",
        "Error from server: etcdserver: request timed out",
        "Error from server: rpc error: code = Unknown desc = etcdserver: leader changed",
        "Error from server (Timeout): the server was unable to return a response in the time "
        "allotted, but may still be processing the request (get nodes)",
        "Error from server (ServiceUnavailable): the server is currently unable to handle the "
        "request (get nodes)",
        "Get https://198.51.100.200:16443/api: net/http: request canceled (Client.Timeout "
        "exceeded while awaiting headers)",
        "error: http2: client connection lost",
        "dial tcp 198.51.100.21:6443: connect: connection timed out",
        "dial tcp 198.51.100.21:6443: connect: network is unreachable",
        'Get "https://198.51.100.21:6443/api/v1/nodes": EOF',
    ],
)
def test_errors_that_pass(stderr):
    assert is_transient(stderr)


@pytest.mark.parametrize(
    "stderr",
    [
        'Error from server (NotFound): nodes "geofence" not found',
        "Error from server (Forbidden): nodes is forbidden",
        "error: unable to drain node w1, aborting command: drain did not complete within 20s",
        "Unable to connect to the server: x509: certificate signed by unknown authority",
        "error: You must be logged in to the server (Unauthorized)",
        "Error: etcdserver: member not found",
        'error: error parsing STDIN: error converting YAML to JSON: yaml: line 1: "EOFX"',
        # Names are no errors.
        'Error from server (NotFound): pods "eof" not found',
        'Error from server (NotFound): configmaps "i/o-timeout.serviceunavailable" not found',
        'Error from server (Forbidden): nodes "too-many.eof" is forbidden: User "eof" cannot get',
        'Error from server (NotFound): namespaces "broken-pipe.eof.http2" not found',
    ],
)
def test_errors_that_stay(stderr):
    assert not is_transient(stderr)


@pytest.mark.parametrize(
    ("selector", "selected"),
    [
        (None, False),
        ({}, True),
        ({"matchLabels": {"app": "web"}}, True),
        ({"matchLabels": {"app": "web", "tier": "x"}}, False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["a", "web"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["a"]}]}, False),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}, False),
        ({"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["web"]}]}, True),
        ({"matchExpressions": [{"key": "tier", "operator": "Exists"}]}, False),
        ({"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}, True),
    ],
)
def test_label_selector(selector, selected):
    assert selects(selector, {"app": "web"}) is selected


def pod(name, phase="Running", owner=None, **annotations):
    owners = [{"kind": owner, "name": "o", "controller": True}] if owner else []
    return {
        "metadata": {"name": name, "ownerReferences": owners, "annotations": annotations},
        "status": {"phase": phase},
    }


def test_what_a_drain_has_to_stop():
    pods = [
        pod("app", owner="ReplicaSet"),
        pod("bare"),
        pod("pending", "Pending"),
        pod("done", "Succeeded", owner="Job"),
        pod("agent", owner="DaemonSet"),
        pod("etcd", owner="Node", **{"kubernetes.io/config.mirror": "abc"}),
    ]
    assert [p["metadata"]["name"] for p in remaining(pods)] == ["app", "bare", "pending"]


BUDGET = {
    "metadata": {"namespace": "default", "name": "two"},
    "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "web"}}},
    "status": {
        "disruptionsAllowed": 0, "desiredHealthy": 2, "currentHealthy": 1, "expectedPods": 2,
    },
}  # fmt: skip
GENEROUS = {**BUDGET, "status": {**BUDGET["status"], "disruptionsAllowed": 1}}
# As policy/v1beta1 reads an empty selector.
OF_NOTHING = {
    **BUDGET, "spec": {"selector": {}}, "status": {"disruptionsAllowed": 0, "expectedPods": 0},
}  # fmt: skip
# kubectl 1.20's own words.
EVICTING = (
    'error when evicting pods/"web-0" -n "default" (will retry after 5s): Cannot evict pod as it '
    "would violate the pod's disruption budget.\n"
    'error when evicting pods/"web" -n "default" (will retry after 5s): admission webhook "x" '
    "denied the request\n"
)
HELD = "disruption budget default/two needs 2 healthy pods and has 1"


@pytest.mark.parametrize(
    ("metadata", "budgets", "why"),
    [
        ({}, [], 'admission webhook "x" denied the request'),
        ({"name": "other"}, [], "not evicted yet"),
        ({}, [BUDGET], HELD),
        ({}, [GENEROUS, BUDGET], HELD),
        ({"name": "other"}, [GENEROUS], "not evicted yet"),
        ({}, [OF_NOTHING, BUDGET], HELD),
        ({"name": "other", "namespace": "elsewhere"}, [BUDGET], "not evicted yet"),
        ({"name": "other", "labels": {"app": "web2"}}, [BUDGET], "not evicted yet"),
        ({"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 30}, [BUDGET],
         "still stopping, grace period 30 s"),
        ({"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 0,
          "finalizers": ["a/b"]}, [], "still stopping, grace period 0 s, finalizers a/b"),
    ],
)  # fmt: skip
def test_why_a_pod_stays(metadata, budgets, why):
    labelled = {"name": "web", "namespace": "default", "labels": {"app": "web"}}
    assert reason({"metadata": {**labelled, **metadata}}, budgets, EVICTING) == why
