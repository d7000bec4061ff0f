# SPDX-License-Identifier: Apache-2.0
"""What a cluster is waited for, and what is told where it does not come. No time passes here: the
limits are 0, or the second answer is right."""

from __future__ import annotations

import json

import pytest

from tacker_cir.cluster.credentials import admin_token
from tacker_cir.cluster.etcd import Etcd
from tacker_cir.cluster.kubectl import Kubectl
from tacker_cir.cluster.load_balancer import wait_for_vip
from tacker_cir.exceptions import CommandFailed, HostError
from tacker_cir.ssh import Result
from tests.unit.answering import Answering

REFUSED = Result(1, "", "The connection to the server 198.51.100.10:6443 was refused - did you "
                 "specify the right host or port?\n")  # fmt: skip
FORBIDDEN = Result(1, "", "Error from server (Forbidden): nodes is forbidden\n")


def kubectl(answers, timeout=60.0) -> tuple[Kubectl, Answering]:
    connection = Answering(answers)
    return Kubectl(connection, timeout=timeout), connection


def nodes(ready="True", *names: str) -> str:
    condition = {"type": "Ready", "status": ready, "message": "the network is not ready"}
    items = [
        {"metadata": {"name": name}, "status": {"conditions": [condition]}}
        for name in names or ("node-1",)
    ]
    return json.dumps({"items": items})


def test_an_api_server_without_an_answer_is_asked_again():
    api, connection = kubectl({"list nodes": [REFUSED, nodes()]})
    assert [node.name for node in api.nodes()] == ["node-1"]
    assert connection.taken() == ["list nodes"] * 2


def test_an_api_server_that_never_answers_is_told_in_its_own_words():
    api, connection = kubectl({"list nodes": REFUSED}, timeout=0)
    with pytest.raises(CommandFailed, match="step 'list nodes': .* was refused"):
        api.nodes()
    assert connection.taken() == ["list nodes"]


def test_another_failure_is_told_at_once():
    api, connection = kubectl({"list nodes": FORBIDDEN})
    with pytest.raises(CommandFailed, match="nodes is forbidden"):
        api.nodes()
    assert connection.taken() == ["list nodes"]


def test_nodes_are_waited_for_until_they_are_ready():
    api, connection = kubectl({"list nodes": [nodes("False"), nodes()]})
    api.wait_ready(["node-1"], 60)
    assert connection.taken() == ["list nodes"] * 2


def test_nodes_that_do_not_come_are_named():
    api, _ = kubectl({"list nodes": nodes("False", "node-1")})
    with pytest.raises(HostError) as caught:
        api.wait_ready(["node-1", "node-2"], 0)
    told = "node-1: the network is not ready; node-2: it did not join"
    assert f"not ready after 0 seconds: {told}" in str(caught.value)


def etcd(*members: dict) -> dict:
    pods = {"items": [{"metadata": {"name": "etcd-m1"}}]}
    health = [{"endpoint": member["clientURLs"][0], "health": True} for member in members]
    return {
        "list the members of etcd": [json.dumps(pods), json.dumps({"members": members})],
        "ask etcd's members": json.dumps(health),
    }


def member(number: int, **others) -> dict:
    address = f"https://198.51.100.{number}"
    urls = {"peerURLs": [f"{address}:2380"], "clientURLs": [f"{address}:2379"]}
    return {"ID": number, "name": f"m{number}", **urls, **others}


def test_etcd_that_is_healthy():
    api, _ = kubectl(etcd(member(1), member(2)))
    assert [found.name for found in Etcd(api, "m1").wait_healthy(2, 60)] == ["m1", "m2"]


def test_etcd_that_does_not_become_healthy_is_told_member_by_member():
    api, _ = kubectl(etcd(member(1), member(2, isLearner=True)))
    with pytest.raises(HostError) as caught:
        Etcd(api, "m1").wait_healthy(3, 0)
    told = "2 members of 3, not healthy: m2 (198.51.100.2)"
    assert f"etcd has {told} after 0 seconds" in str(caught.value)


def test_a_token_that_kubernetes_does_not_make_is_told():
    api, connection = kubectl({"read secret": ""})
    with pytest.raises(HostError, match="Kubernetes did not make it within 0 seconds"):
        admin_token(api, 0)
    assert connection.taken() == [
        "make ServiceAccount tacker-cir-admin", "read secret tacker-cir-admin-token"
    ]  # fmt: skip


def test_a_vip_that_nobody_has_is_told():
    masters = [
        Answering({"read": "active enabled\nactive enabled\n[]\n"}, node=f"m{n}") for n in (1, 2)
    ]
    with pytest.raises(HostError) as caught:
        wait_for_vip(masters, "198.51.100.200", 0)
    assert "m1, m2" in str(caught.value) and "protocol 112" in caught.value.remedy
    assert "VIP 198.51.100.200 after 0 seconds: it is at none of them" in str(caught.value)
