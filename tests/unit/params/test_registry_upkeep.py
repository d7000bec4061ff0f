# SPDX-License-Identifier: Apache-2.0
"""upkeep of private_registry_installation_param."""

from __future__ import annotations

import pytest

from tacker_cir.params import registry_upkeep, schema
from tacker_cir.params.reader import Reader
from tacker_cir.params.registry_upkeep import KEY, Collection, Upkeep

SCHEMA = {"type": "object", "properties": {KEY: registry_upkeep.SCHEMA}}


def read(upkeep):
    given = {} if upkeep is None else {KEY: upkeep}
    reader = Reader(given, "p", None, schema.find_faults(given, SCHEMA, "p"))
    found = registry_upkeep.read(reader)
    reader.refuse_faults()
    return found


def faults_of(upkeep):
    given = {KEY: upkeep}
    return {f.path: f.problem for f in schema.find_faults(given, SCHEMA, "p")}


def test_without_it_nothing_is_kept_up():
    assert read(None) is None


def test_all_that_can_be_given():
    found = read(
        {
            "delete": True,
            "garbage_collection": {"schedule": "Sun *-*-* 03:00:00 Europe/Berlin", "window": 90},
            "log_size": "50m",
            "log_files": 2,
            "min_free": "10%",
        }
    )
    schedule = Collection("Sun *-*-* 03:00:00 Europe/Berlin", 90)
    assert found == Upkeep(True, schedule, "50m", 2, "10%")
    assert found.log_options == {"max-size": "50m", "max-file": "2"}


def test_logs_are_bounded_whatever_is_asked_for():
    assert read({"delete": False}).log_options == {"max-size": "10m", "max-file": "3"}
    assert read({"garbage_collection": {"schedule": "daily"}}).collection == Collection("daily", 60)


@pytest.mark.parametrize(
    ("given", "bytes_"),
    [("10%", 10_000_000), ("99%", 99_000_000), (20, 20_000_000), (20.0, 20_000_000), (None, 0)],
)
def test_space_that_stays_free(given, bytes_):
    upkeep = read({"delete": True} | ({} if given is None else {"min_free": given}))
    assert upkeep.least_free(100_000_000) == bytes_


@pytest.mark.parametrize(
    ("given", "path", "problem"),
    [
        ({}, "", "expected an object with delete, garbage_collection"),
        ({"delete": "yes"}, ".delete", "true to let users delete images; got 'yes'"),
        ({"garbage_collection": {}}, ".garbage_collection.schedule", "is missing; expected a cal"),
        ({"garbage_collection": {"schedule": "a\nb"}}, ".garbage_collection.schedule", "calendar"),
        ({"garbage_collection": {"schedule": "%i"}}, ".garbage_collection.schedule", "calendar"),
        ({"garbage_collection": {"schedule": "-x"}}, ".garbage_collection.schedule", "calendar"),
        ({"garbage_collection": {"schedule": "d" * 101}}, ".garbage_collection.schedule", "at mos"),
        (
            {"garbage_collection": {"schedule": "daily", "window": 721}},
            ".garbage_collection.window",
            "1 to 720; got 721",
        ),
        ({"log_size": "10"}, ".log_size", "e.g. 10m; got '10'"),
        ({"log_files": 0}, ".log_files", "1 to 100; got 0"),
        ({"log_files": True}, ".log_files", "got True"),
        ({"min_free": "100%"}, ".min_free", "megabytes, or e.g. 10%; got '100%'"),
        ({"min_free": 0}, ".min_free", "got 0"),
        ({"min_fre": 1}, ".min_fre", "did you mean min_free?"),
    ],
)
def test_each_fault_has_its_path(given, path, problem):
    faults = faults_of(given)
    assert list(faults) == [f"p.{KEY}{path}"]
    assert problem in faults[f"p.{KEY}{path}"]
