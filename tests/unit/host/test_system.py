# SPDX-License-Identifier: Apache-2.0
"""A machine that has just booted: it is waited for as long as needed, then not again."""

from __future__ import annotations

import time

import pytest

from tacker_cir.exceptions import HostError
from tacker_cir.facts import Facts
from tacker_cir.host.system import check_clock, wait_first_boot
from tacker_cir.ssh import Result
from tests.machine import machine
from tests.unit.answering import Answering

CLOUD_INIT, CLOCK = "wait for cloud-init", "compare the clocks"


@pytest.mark.parametrize("status", ["", "done", "disabled", "error"])
def test_a_first_boot_that_is_over_is_not_asked_for(status):
    connection = Answering()
    wait_first_boot(machine(connection, Facts(cloud_init=status)))
    assert connection.taken() == []


def test_a_first_boot_is_waited_for_once():
    # Done, with errors that it got over (since cloud-init 23.4).
    connection = Answering({CLOUD_INIT: ["status: running\n", Result(2, "status: done\n", "")]})
    made = machine(connection, Facts(cloud_init="running"))
    wait_first_boot(made)
    assert connection.taken() == [CLOUD_INIT] * 2
    wait_first_boot(made)
    assert connection.taken() == []


def test_a_first_boot_without_an_end_is_told():
    made = machine(
        Answering({CLOUD_INIT: "status: running\n"}),
        Facts(cloud_init="running"),
        first_boot_timeout=0,
    )
    with pytest.raises(HostError, match="cloud-init was not done after 0 seconds.*first_boot_time"):
        wait_first_boot(made)
    assert made.facts.cloud_init == "running"


def test_a_clock_that_is_set_meanwhile_is_right_from_then_on():
    connection = Answering({CLOCK: ["12345\n", f"{time.time():.0f}\n"]})
    made = machine(connection, Facts(clock=12345.0, clock_ahead=-1e9))
    check_clock(made)
    assert connection.taken() == [CLOCK] * 2 and abs(made.facts.clock_ahead) < 60
    check_clock(made)
    assert connection.taken() == []


def test_a_clock_that_stays_wrong_is_told():
    made = machine(Answering({CLOCK: "12345\n"}), Facts(clock=12345.0, clock_ahead=-1e9))
    with pytest.raises(HostError, match="the VM's clock is .* years behind the conductor's"):
        check_clock(made, 0)
