# SPDX-License-Identifier: Apache-2.0
"""A second lab beside the first: the tests of clusters take as long as all others together, and
both mostly wait for something else than a processor."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence

from tests.lab.machines.host import NETNS, REPOSITORY, RUN, say
from tests.lab.times import Times

#: What runs in the second lab.
FILES = ("tests/lab/test_cluster_vnf.py",)
#: Both labs with all of their machines, and the rest of a system.
GIGABYTES = 10


def enough_memory() -> bool:
    """Whether two labs fit on this host."""
    with open("/proc/meminfo") as file:
        fields = dict(line.split(":") for line in file)
    return int(fields["MemAvailable"].split()[0]) * 1024 >= GIGABYTES * 10**9


@contextlib.contextmanager
def second_lab(words: Sequence[str], times: Times) -> Iterator[Callable[[], int]]:
    """Run the tests of :data:`FILES` in a lab of their own while the block runs.

    Its lines are shown as they come, each behind the name of the lab.

    :param words: for pytest.
    :returns: a function that waits for the end and returns the exit status.
    """
    name = f"{NETNS}-2"
    environment = {
        **os.environ,
        **times.environment,
        "TACKER_CIR_LAB_NETNS": name,
        "TACKER_CIR_LAB_RUN": f"{RUN}-2",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.lab", "test", *FILES, *words],
        cwd=REPOSITORY,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )

    def relay() -> None:
        assert process.stdout
        for line in process.stdout:
            print(f"{name}: {line}", end="", flush=True)

    def wait() -> int:
        if process.poll() is None:
            say(f"waiting for the tests in {name}")
        thread.join()
        return process.wait()

    thread = threading.Thread(target=relay, daemon=True)
    thread.start()
    try:
        yield wait
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)  # it takes its lab down
            thread.join()
            process.wait()
