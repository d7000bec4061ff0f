# SPDX-License-Identifier: Apache-2.0
"""Log lines of steps as they end."""

import logging

import pytest

from tacker_cir import steps
from tacker_cir.steps import timed


@pytest.fixture
def seconds(monkeypatch):
    """Let every step take a given time."""

    def take(duration: float) -> None:
        times = iter((100.0, 100.0 + duration))
        monkeypatch.setattr(steps.time, "monotonic", lambda: next(times))

    return take


@pytest.mark.parametrize(
    ("duration", "level", "told"),
    [(0.96, logging.DEBUG, "1.0 s"), (1.0, logging.INFO, "1.0 s"), (75.25, logging.INFO, "75.2 s")],
)
def test_a_step_that_took_its_time_is_told_at_info(seconds, caplog, duration, level, told):
    caplog.set_level(logging.DEBUG)
    seconds(duration)
    with timed("CP1 (192.0.2.1)", "kubeadm init"):
        pass
    assert caplog.record_tuples == [
        ("tacker_cir.steps", level, f"CP1 (192.0.2.1): kubeadm init: done in {told}")
    ]


def test_a_step_that_failed_is_told_and_its_error_goes_on(seconds, caplog):
    seconds(2)
    with caplog.at_level(logging.INFO), pytest.raises(ValueError, match="why"):
        with timed("CP1 (192.0.2.1)", "kubeadm init"):
            raise ValueError("why")
    assert caplog.messages == ["CP1 (192.0.2.1): kubeadm init: failed after 2.0 s"]
