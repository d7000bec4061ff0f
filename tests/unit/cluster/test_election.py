# SPDX-License-Identifier: Apache-2.0
"""Which master speaks for the cluster."""

from __future__ import annotations

import threading

import pytest

from tacker_cir.cluster.election import Election, NoLead


def test_a_living_master_decides_while_others_are_still_silent():
    election = Election(["m1", "m2", "m3"])
    election.blank("m1")
    election.living("m2", "lead")
    assert election.outcome().lead == "lead"
    election.living("m3", "too late")
    assert election.lead == "lead"


def test_all_blank_means_a_new_cluster():
    election = Election(["m1", "m2"])
    election.blank("m1")
    election.blank("m2")
    assert election.outcome().lead is None


def test_one_that_is_not_known_forbids_a_new_cluster():
    election = Election(["m1", "m2"])
    election.blank("m1")
    election.failed("m2")
    with pytest.raises(NoLead):
        election.outcome()


def test_a_failure_after_the_vote_changes_nothing():
    election = Election(["m1"])
    election.blank("m1")
    election.failed("m1")
    assert election.outcome().lead is None


def test_who_asks_early_waits():
    election = Election(["m1", "m2"])
    found = []
    asking = threading.Thread(target=lambda: found.append(election.outcome().lead))
    asking.start()
    election.blank("m1")
    assert asking.is_alive() and found == []
    election.living("m2", "lead")
    asking.join(5)
    assert found == ["lead"]
