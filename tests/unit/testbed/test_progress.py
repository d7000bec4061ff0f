# SPDX-License-Identifier: Apache-2.0
"""The drivers' lines in a conductor's log."""

from __future__ import annotations

from tests.testbed import progress

LOG = """\
2026-11-26 21:00:01.123 4711 INFO tacker_cir.steps [None req-1 admin demo - - default default] \
worker (10.0.0.9): install containerd: done in 12.3 s
2026-11-26 21:00:02.000 4711 DEBUG tacker_cir.steps [-] worker: read facts: done in 0.2 s
2026-11-26 21:00:02.000 4711 INFO tacker_cir.ssh [-] worker: install containerd
2026-11-26 21:00:03.000 4711 INFO tacker.conductor [-] something of others
2026-11-26 21:00:04.500 4711 WARNING tacker_cir.cluster.members [-] node-9 does not answer
"""


def test_only_the_drivers_own_lines_are_shown_with_their_time():
    assert progress.steps(LOG) == [
        "21:00:01 worker (10.0.0.9): install containerd: done in 12.3 s",
        "21:00:04 node-9 does not answer",
    ]


def test_what_a_service_calls_an_error_is_shown_with_the_end_of_its_traceback():
    head = "2026-11-26 21:00:05.000 28 ERROR heat.engine.resource"
    log = (
        f"2026-11-26 21:00:04.000 28 INFO heat.engine.resource [-] signal\n"
        f"{head} [None req-1 - - ] Error in scaling\n"
        f'{head}   File "heat/engine/resource.py"\n{head} \n'
        f"{head} ResourceFailure: Stack UPDATE cancelled\nno line of oslo.log\n"
    )
    assert progress.errors(log) == [
        "21:00:05 Error in scaling",
        '21:00:05 File "heat/engine/resource.py"',
        "21:00:05 ResourceFailure: Stack UPDATE cancelled",
    ]


def test_a_follower_tells_each_line_once_and_none_in_part(tmp_path):
    log = tmp_path / "log"
    log.write_text(LOG)
    follower = progress.Follower(log)
    assert follower.new() == []
    with log.open("a") as more:
        more.write(LOG[:40])
    assert follower.new() == []
    with log.open("a") as more:
        more.write(LOG[40:])
    assert len(follower.new()) == 2
    assert follower.new() == []


def test_what_is_shown_is_all_that_came_while_the_block_ran(tmp_path):
    log, said = tmp_path / "log", []
    with progress.shown(log, said.append):
        log.write_text(LOG)
    assert said == progress.steps(LOG)
