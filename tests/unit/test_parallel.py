# SPDX-License-Identifier: Apache-2.0
"""What the errors of several machines come to."""

from __future__ import annotations

import pytest

from tacker_cir.exceptions import InventoryError, SeveralFailed
from tacker_cir.parallel import raise_errors


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
