# SPDX-License-Identifier: Apache-2.0
"""What the errors of several machines come to."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tacker_cir.exceptions import InventoryError, SeveralFailed
from tacker_cir.parallel import Once, raise_errors


def test_no_error_is_none():
    raise_errors([])


def test_the_only_error_is_raised_as_it_is():
    with pytest.raises(InventoryError, match="^one is broken$"):
        raise_errors([InventoryError("one is broken")])


def test_all_failures_are_told():
    errors = [InventoryError("number 7"), InventoryError("number 8")]
    with pytest.raises(SeveralFailed, match=r"2 nodes failed: \(1\) number 7; \(2\) number 8"):
        raise_errors(errors)


def test_a_defect_is_not_hidden_behind_foreseen_errors():
    with pytest.raises(ZeroDivisionError):
        raise_errors([InventoryError("foreseen"), ZeroDivisionError("a defect")])


def test_a_value_is_made_once_and_others_are_not_waited_for():
    """64 threads want a slow value; another one is to be had meanwhile."""
    release, made = threading.Event(), []

    def make() -> str:
        made.append("slow")
        assert release.wait(20)
        return "value"

    slow, other = Once(make), Once(lambda: "other")
    with ThreadPoolExecutor(64) as pool:
        waiting = [pool.submit(slow) for _ in range(64)]
        assert other() == "other"
        release.set()
        assert {future.result(20) for future in waiting} == {"value"}
    assert made == ["slow"]


def test_a_value_that_could_not_be_made_is_tried_again():
    outcomes = [1, 0]
    value = Once(lambda: 7 // outcomes.pop())
    with pytest.raises(ZeroDivisionError):
        value()
    assert value() == value() == 7
