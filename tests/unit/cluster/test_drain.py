# SPDX-License-Identifier: Apache-2.0
"""A node's workload moves off it: which commands that takes, and what is told where it stays."""

from __future__ import annotations

import json

import pytest

from tacker_cir.cluster.drain import drain
from tacker_cir.cluster.kubectl import Kubectl
from tacker_cir.exceptions import HostError
from tacker_cir.ssh import Result
from tests.unit.answering import Answering

READ, DRAIN, UNCORDON = "read node node-1", "drain node node-1", "uncordon node node-1"
LATE = Result(1, "", 'error when evicting pods/"web-0": Cannot evict pod as it would violate the '
              "pod's disruption budget.\n")  # fmt: skip


def node(ready="True", *, cordoned=False) -> str:
    conditions = [{"type": "Ready", "status": ready}]
    return json.dumps(
        {
            "metadata": {"name": "node-1"},
            "spec": {"unschedulable": cordoned},
            "status": {"conditions": conditions},
        }
    )


def listed(*items) -> str:
    return json.dumps({"items": items})


WEB = {"metadata": {"name": "web-0", "namespace": "default", "labels": {"app": "web"}}}
BUDGET = {
    "metadata": {"name": "web", "namespace": "default"},
    "spec": {"selector": {"matchLabels": {"app": "web"}}},
    "status": {"disruptionsAllowed": 0},
}


def run(answers, **options) -> Answering:
    connection = Answering(answers)
    drain(Kubectl(connection, timeout=60), "node-1", timeout=60, **options)
    return connection


def test_a_node_that_is_not_there_is_no_error():
    assert run({READ: ""}).taken() == [READ]


@pytest.mark.parametrize(
    ("ready", "given", "forced"),
    [("True", None, False), ("Unknown", None, True), ("True", False, True)],
    ids=["it is alive", "it is not ready", "it is known to be dead"],
)
def test_budgets_are_respected_as_long_as_the_node_lives(ready, given, forced):
    connection = run({READ: node(ready)}, ready=given)
    assert connection.taken() == [READ, READ, DRAIN]
    assert ("--disable-eviction" in connection.asked[-1].argv) is forced
    assert "--delete-emptydir-data" in connection.asked[-1].argv


@pytest.mark.parametrize("cordoned", [False, True])
def test_pods_that_stay_are_named_and_the_node_takes_pods_again(cordoned):
    answers = {
        READ: node(cordoned=cordoned),
        DRAIN: LATE,
        "list poddisruptionbudgets": listed(BUDGET),
        "list pods": listed(WEB),
    }
    connection = Answering(answers)
    with pytest.raises(HostError) as caught:
        drain(Kubectl(connection, timeout=60), "node-1", timeout=0)
    assert "1 of its pods stay: default/web-0 (" in str(caught.value)
    assert "relax or delete what holds them" in caught.value.remedy
    told = [READ, READ, DRAIN, "list pods", "list poddisruptionbudgets"]
    assert connection.taken() == [*told, *([] if cordoned else [UNCORDON])]


def test_another_failure_is_told_as_it_is():
    answers = {READ: node(), DRAIN: Result(1, "", "error: forbidden\n"), "list pods": listed()}
    with pytest.raises(HostError, match="error: forbidden"):
        run(answers)
