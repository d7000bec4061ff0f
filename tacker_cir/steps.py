# SPDX-License-Identifier: Apache-2.0
"""One log line for each step on a machine, as it ends::

    NODE: STEP: done in S s
    NODE: STEP: failed after S s

NODE is the machine as the user knows it, STEP what errors call the step, S has one decimal place.
The line is written at the end of the step, so its time less S is the step's beginning: the lines of
an operation make its timetable. A wait that asks again and again is one step; what it asks may be
there as well.

Steps of :data:`TOLD` seconds and more are told at level INFO, shorter ones at DEBUG.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from tacker_cir import log as logging

LOG = logging.getLogger(__name__)

#: Seconds from which a step is told at INFO.
TOLD = 1.0


@contextmanager
def timed(node: str, step: str) -> Iterator[None]:
    """Tell how long the block took, whatever came of it.

    :param node: the machine as the user knows it
    :param step: as errors name it
    """
    start, outcome = time.monotonic(), "failed after"
    try:
        yield
        outcome = "done in"
    finally:
        seconds = time.monotonic() - start
        level = logging.INFO if seconds >= TOLD else logging.DEBUG
        LOG.log(level, "%s: %s: %s %.1f s", node, step, outcome, seconds)
