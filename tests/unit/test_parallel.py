# SPDX-License-Identifier: Apache-2.0
"""Work on several machines at once."""

from __future__ import annotations

import threading

import pytest

from tacker_cir.exceptions import InventoryError, SeveralFailed
from tacker_cir.parallel import in_parallel


def test_results_come_in_order_and_at_once():
    barrier = threading.Barrier(3, timeout=10)

    def work(number):
        barrier.wait()
        return number * 2

    assert in_parallel(work, [3, 1, 2]) == [6, 2, 4]
    assert in_parallel(work, []) == []


def test_one_failure_does_not_stop_the_others():
    done = []

    def work(number):
        if number == 1:
            raise InventoryError("one is broken")
        done.append(number)

    with pytest.raises(InventoryError, match="^one is broken$"):
        in_parallel(work, [0, 1, 2])
    assert sorted(done) == [0, 2]


def test_all_failures_are_told():
    def work(number):
        raise InventoryError(f"number {number}")

    with pytest.raises(SeveralFailed, match=r"2 nodes failed: \(1\) number 7; \(2\) number 8"):
        in_parallel(work, [7, 8])


def test_a_defect_is_not_hidden_behind_foreseen_errors():
    def work(number):
        raise InventoryError("foreseen") if number else ZeroDivisionError("a defect")

    with pytest.raises(ZeroDivisionError):
        in_parallel(work, [1, 0])
