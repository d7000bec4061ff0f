# SPDX-License-Identifier: Apache-2.0
"""The critical path of an operation, out of a log as oslo.log writes it."""

from __future__ import annotations

import pytest

from tests.bench.critical_path import last_operation, share, table

HEAD = "2026-11-26 21:00:{:06.3f} 7 INFO tacker_cir.{} [req-1 user project] "
M1, M2, W1 = "master-1 (10.0.0.1)", "master-2 (10.0.0.2)", "worker-1 (10.0.0.3)"


def log(*ended: tuple[float, str, str, float], hook: str = "instantiate_end", end: float = 59):
    name = f"mgmt-drivers-kubernetes: {hook} of VNF instance 1-2-3"
    steps = [
        HEAD.format(when, "steps") + f"{node}: {step}: done in {seconds:.1f} s"
        for when, node, step, seconds in ended
    ]
    return [
        HEAD.format(0, "tacker_bridge") + f"{name}: start",
        *steps,
        HEAD.format(end, "tacker_bridge") + f"{name}: done in {end:.1f} s",
    ]


LINES = log(
    (10, M1, "install Kubernetes 1.34.8", 9),
    (14, M2, "install Kubernetes 1.34.8", 13),
    (18, M1, "pull the images of Kubernetes", 7),
    (18.5, W1, "pull the images of Kubernetes", 12),
    (30, M1, "kubeadm init", 11.8),
    (20, M2, "pull the images of Kubernetes", 5),
    (42, M2, "kubeadm join", 11),
    (35, W1, "kubeadm join", 4),
    (52, M1, "list nodes", 1),
    (56, M1, "wait until the nodes are ready", 13.5),
    (58.9, f"{M1}, {M2}", "wait until one master has the VIP", 2.0),
)


def test_the_path_goes_from_machine_to_machine():
    path = last_operation(["noise", *LINES, "more"]).critical_path()
    assert [(s.node, s.name.split()[0], s.kind) for s in path] == [
        (M1, "install", "apt"),
        (M1, "pull", "pull"),
        (M1, "kubeadm", "kubeadm"),
        (M2, "kubeadm", "kubeadm"),
        (M1, "wait", "other"),
        (f"{M1}, {M2}", "wait", "other"),
    ]


def test_the_table_accounts_for_all_of_the_time():
    operation = last_operation(LINES)
    text = table(operation)
    seconds = [float(row.split()[1]) for row in text.splitlines()[1:-1]]
    assert sum(seconds) == pytest.approx(59, abs=1.5)
    assert share(operation) == pytest.approx((9 + 7 + 11.8 + 11) / 59, abs=0.01)
    assert text.endswith("instantiate_end: 59.0 s, of which apt, pulls and kubeadm 66 %")


def test_lines_of_level_debug_count_as_well():
    lines = [line.replace("INFO", "DEBUG") + " timed /usr/x/steps.py:42" for line in LINES[1:-1]]
    assert last_operation([LINES[0], *lines, LINES[-1]]) == last_operation(LINES)


def test_the_last_operation_counts():
    later = log((5, M1, "kubeadm reset", 4), hook="heal_end", end=6)
    assert last_operation([*LINES, *later]).name == "heal_end"
    assert last_operation([*LINES, *later], "instantiate_end").seconds == 59
    with pytest.raises(LookupError):
        last_operation(LINES[:-1])
