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
from typing import Any

from tests.testbed.machines.host import NETNS, REPOSITORY, RUN, say
from tests.testbed.times import Times

#: What runs in the second lab.
FILES = ("tests/lab/test_cluster_vnf.py",)
#: Both labs with all of their machines, and the rest of a system.
GIGABYTES = 10
#: How a process is started whose lines stand among another lab's.
PIPED: dict[str, Any] = {
    "stdin": subprocess.DEVNULL,
    "stdout": subprocess.PIPE,
    "stderr": subprocess.STDOUT,
    "text": True,
}


def enough_memory() -> bool:
    """Whether two labs fit on this host."""
    with open("/proc/meminfo") as file:
        fields = dict(line.split(":") for line in file)
    return int(fields["MemAvailable"].split()[0]) * 1024 >= GIGABYTES * 10**9


def relay(process: subprocess.Popen[str], name: str) -> threading.Thread:
    """Show the lines of a process that was started with :data:`PIPED`, each whole and behind the
    name of its lab; the thread ends with the process's output."""

    def show() -> None:
        assert process.stdout
        for line in process.stdout:
            print(f"{name}: {line}", end="", flush=True)

    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    return thread


@contextlib.contextmanager
def second_lab(words: Sequence[str], times: Times) -> Iterator[Callable[[], int]]:
    """Run the tests of :data:`FILES` in a lab of their own while the block runs.

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
    words = [sys.executable, "-m", "tests.lab", "test", *FILES, *words]
    process = subprocess.Popen(words, cwd=REPOSITORY, env=environment, **PIPED)
    thread = relay(process, name)

    def wait() -> int:
        if process.poll() is None:
            say(f"waiting for the tests in {name}")
        thread.join()
        return process.wait()

    try:
        yield wait
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)  # it takes its lab down
            thread.join()
            process.wait()
