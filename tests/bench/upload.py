# SPDX-License-Identifier: Apache-2.0
"""How fast a file goes to a command's stdin, beside OpenSSH's scp to the same sshd in the same run.

Usage: python -m tests.bench.upload [--megabytes 300] [--rounds 5] [--directory DIR]

Prints MB/s (minimum, median, maximum) of each way and the ratio to scp; exits 1 below 0.9.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tacker_cir.command import Command
from tests.functional import program
from tests.functional.conftest import connect
from tests.functional.server import ADDRESS, USER, Sshd

LEAST_RATIO = 0.9
MB = 1_000_000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--directory", type=Path, help="where both files are; default: $TMPDIR")
    options = parser.parse_args()
    if shutil.which("scp") is None:
        parser.error("scp is not there: install openssh-client")
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=options.directory)))
        sshd = Sshd(program.find(), directory / "sshd")
        stack.callback(sshd.stop)
        sshd.start()
        rates = measure(sshd, directory, options.megabytes, options.rounds)
    return report(rates)


def measure(sshd: Sshd, directory: Path, megabytes: int, rounds: int) -> dict[str, list[float]]:
    """Return MB/s of every round of each way; the ways take turns, so that all meet the same load.

    Logging in is a part of scp's time; so it is of ours.
    """
    source, target = directory / "source", directory / "target"
    print(f"{megabytes} MB of random data, {rounds} rounds", flush=True)
    with source.open("wb") as file:
        for _ in range(megabytes):
            file.write(os.urandom(MB))
    ways: dict[str, Callable[[], None]] = {
        "scp": lambda: scp(sshd, source, target),
        "stream into a file": lambda: stream(sshd, source, 'cat >"$1"', str(target)),
        "stream into /dev/null": lambda: stream(sshd, source, "cat >/dev/null"),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(1, rounds + 1):
        for name, send in ways.items():
            target.unlink(missing_ok=True)
            start = time.monotonic()
            send()
            rates[name].append(megabytes / (time.monotonic() - start))
            print(f"round {number}: {name}: {rates[name][-1]:.0f} MB/s", flush=True)
    return rates


def scp(sshd: Sshd, source: Path, target: Path) -> None:
    key = sshd.directory / "user_key"
    key.touch(mode=0o600)
    key.write_text(sshd.user_key)
    settings = ("BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null")
    options = [word for setting in settings for word in ("-o", setting)]
    copy = ["-i", str(key), "-P", str(sshd.port), str(source), f"{USER}@{ADDRESS}:{target}"]
    subprocess.run(["scp", "-q", "-F", "/dev/null", "-O", *options, *copy], check=True)


def stream(sshd: Sshd, source: Path, script: str, *args: str) -> None:
    with connect(sshd) as connection, source.open("rb") as file:
        command = Command.script("load image", script, *args)
        connection.run(command, stdin=file, size=source.stat().st_size, root=False, timeout=600)


def report(rates: dict[str, list[float]]) -> int:
    scp_rate = statistics.median(rates["scp"])
    print(f"{'MB/s':24} {'min':>6} {'median':>6} {'max':>6} {'to scp':>7}")
    for name, found in rates.items():
        median = statistics.median(found)
        row = f"{min(found):6.0f} {median:6.0f} {max(found):6.0f} {median / scp_rate:6.2f}x"
        print(f"{name:24} {row}")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory of this process: {memory:.0f} MiB")
    ratio = statistics.median(rates["stream into a file"]) / scp_rate
    print(f"ratio {ratio:.2f}, at least {LEAST_RATIO} is wanted")
    return 0 if ratio >= LEAST_RATIO else 1


if __name__ == "__main__":
    sys.exit(main())
