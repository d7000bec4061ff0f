# SPDX-License-Identifier: Apache-2.0
"""Which etcd members are removed, and when that is refused."""

from __future__ import annotations

import pytest

from tacker_cir.cluster.etcd import (
    Member,
    QuorumLoss,
    choose_pod,
    parse_health,
    parse_members,
    plan_removal,
)

# etcdctl 3.4's own output; the last member was added and never started.
MEMBER_LIST = """
{"header":{"cluster_id":10316109323310759371,"member_id":15168875803774599630,"raft_term":2},
 "members":[
  {"ID":15168875803774599630,"name":"master-198-51-100-21","peerURLs":["https://198.51.100.21:2380"],
   "clientURLs":["https://198.51.100.21:2379"]},
  {"ID":1,"name":"six","peerURLs":["https://[2001:db8::1]:2380"],
   "clientURLs":["https://[2001:db8::1]:2379"],"isLearner":true},
  {"ID":2,"peerURLs":["https://198.51.100.23:2380"]}]}
"""
HEALTH = """
[{"endpoint":"https://198.51.100.21:2379","health":true,"took":"12.8ms"},
 {"endpoint":"https://198.51.100.22:2379","health":false,"took":"5s",
  "error":"context deadline exceeded"}]
"""


def member(number, address=None, **more):
    address = address or f"10.0.0.{number}"
    return Member(number, f"m{number}", (address,), (f"https://{address}:2379",), **more)


THREE = [member(1), member(2), member(3)]
FIVE = [member(n) for n in range(1, 6)]


def pod(name, ready):
    status = {"conditions": [{"type": "Ready", "status": str(ready)}]} if ready is not None else {}
    return {"metadata": {"name": name}, "status": status}


@pytest.mark.parametrize(
    ("pods", "chosen"),
    [
        ([pod("etcd-a", True), pod("etcd-own", True)], "etcd-own"),
        ([pod("etcd-a", False), pod("etcd-b", True)], "etcd-b"),
        ([pod("etcd-b", True), pod("etcd-own", False)], "etcd-b"),
        ([pod("etcd-a", None)], "etcd-own"),
        ([], "etcd-own"),
    ],
)
def test_the_pod_that_is_asked(pods, chosen):
    assert choose_pod(pods, "etcd-own") == chosen


def test_members_are_read():
    first, learner, unstarted = parse_members(MEMBER_LIST)
    assert first.id == 15168875803774599630
    assert first.peer_addresses == ("198.51.100.21",) and first.started and not first.learner
    assert learner.peer_addresses == ("2001:db8::1",) and learner.learner
    assert (unstarted.name, unstarted.started) == ("", False)
    assert unstarted.peer_addresses == ("198.51.100.23",)


def test_healthy_endpoints_are_read():
    assert parse_health(HEALTH) == ["https://198.51.100.21:2379"]


@pytest.mark.parametrize(
    ("members", "healthy", "doomed", "removed"),
    [
        (THREE, {1, 2, 3}, [], []),
        (THREE, {1, 2, 3}, ["10.0.0.9"], []),
        (THREE, {1, 2, 3}, ["10.0.0.2"], [2]),
        (THREE, {1, 3}, ["10.0.0.2"], [2]),
        # A member that does not answer goes before one that does.
        (FIVE, {1, 2, 3, 4}, ["10.0.0.2", "10.0.0.5"], [5, 2]),
        # Two healthy ones of three: the third one alone is a majority of itself.
        (THREE, {1, 2, 3}, ["10.0.0.1", "10.0.0.2"], [1, 2]),
        # Addresses that begin alike.
        ([member(2), member(20), member(200)], {2, 20, 200}, ["10.0.0.20"], [20]),
        ([member(1, "2001:db8::1"), member(2), member(3)], {1, 2, 3}, ["2001:DB8:0::1"], [1]),
        # Never started: it has a vote that is never given.
        ([member(1), member(2), Member(9, "", ("10.0.0.3",))], {1, 2}, ["10.0.0.3"], [9]),
        ([member(1), member(9, "10.0.0.3", learner=True)], {1}, ["10.0.0.3"], [9]),
    ],
)
def test_removal(members, healthy, doomed, removed):
    assert [m.id for m in plan_removal(members, healthy, doomed)] == removed


@pytest.mark.parametrize(
    ("members", "healthy", "doomed", "words"),
    [
        (THREE, {1}, ["10.0.0.2", "10.0.0.3"], "as it is has 3 .* 2 must answer and 1 do .m1"),
        (THREE, {1, 2}, ["10.0.0.2"], r"without m2 \(10.0.0.2\) has 2 .* 2 must answer and 1 do"),
        (THREE, {1, 2, 3}, ["10.0.0.1", "10.0.0.2", "10.0.0.3"], "has 0 .* 1 must answer and 0"),
        ([member(1)], {1}, ["10.0.0.1"], "heal the entire VNF"),
        # A learner does not vote.
        ([member(1), member(2), member(3, learner=True)], {1, 3}, ["10.0.0.2"], "as it is has 2"),
        (FIVE, {1, 2}, ["10.0.0.3"], "must answer and 2 do"),
    ],
)
def test_refusal(members, healthy, doomed, words):
    with pytest.raises(QuorumLoss, match=words):
        plan_removal(members, healthy, doomed)
