# SPDX-License-Identifier: Apache-2.0
"""Files of a machine: written where they differ, in one command, and the facts follow."""

from __future__ import annotations

from dataclasses import fields

import pytest

from tacker_cir import config
from tacker_cir.config import TimeLimits
from tacker_cir.exceptions import HostError
from tacker_cir.facts import Facts
from tacker_cir.host.files import ManagedFile
from tacker_cir.host.service import Service
from tests.machine import LIMITS, machine
from tests.unit.answering import Answering

HAPROXY = Service("haproxy")
MOTD, ISSUE = ManagedFile("/etc/motd", b"hello\n"), ManagedFile("/etc/issue", None)


def test_files_that_differ_are_written_in_one_command_and_then_none():
    connection, facts = Answering(), Facts()
    facts.note_file(ISSUE.path, b"old\n", 0o644)
    made = machine(connection, facts)
    assert made.ensure(MOTD, ISSUE) == {MOTD.path, ISSUE.path}
    assert made.ensure(MOTD, ISSUE) == frozenset()
    assert connection.taken() == ["write /etc/motd and 1 other file"]
    assert MOTD.is_current(facts) and ISSUE.path not in facts.files


def test_over_another_connection_it_is_the_same_machine():
    first, second = Answering(), Answering()
    made = machine(first)
    made.over(second).ensure(MOTD)
    assert made.ensure(MOTD) == frozenset()
    assert (first.taken(), second.taken()) == ([], ["write /etc/motd"])


def test_what_was_seen_since_is_seen_over_every_connection():
    made = machine(Answering())
    other = made.over(Answering())
    made.facts.renew(Facts(architecture="arm64"))
    assert other.facts.architecture == "arm64"


def test_a_file_whose_program_does_not_bear_it_is_taken_back():
    connection, facts = Answering({"restart": [1, 0]}), Facts()
    facts.note_file(MOTD.path, b"before\n", 0o600)
    made = machine(connection, facts)
    with (
        pytest.raises(HostError, match=r"exit status 1 \(/etc/motd is as before\)"),
        made.taken_back([MOTD.path], HAPROXY.restart),
    ):
        made.ensure(MOTD)
        HAPROXY.restart(made)
    assert connection.taken() == ["write /etc/motd", "restart haproxy.service"] * 2
    assert facts.files[MOTD.path].mode == 0o600 and facts.text(MOTD.path) == "before\n"


def test_the_time_limits_are_those_of_the_configuration():
    limits = {option.dest for option in config.OPTS if option.dest.endswith("_timeout")}
    assert {field.name for field in fields(TimeLimits)} == limits
    assert LIMITS.first_boot_timeout == 900 and LIMITS.service_timeout == 120


def test_a_files_content_is_shown_nowhere():
    assert "MARK" not in repr(ManagedFile("/etc/secret", b"MARK", 0o600))
