# SPDX-License-Identifier: Apache-2.0
"""Kubernetes for the lab: ``python -m tests.lab.kubernetes build``.

Makes what the cache has not yet, with progress on stderr, and prints where everything is.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from tests.lab.kubernetes import archives, programs, repository
from tests.lab.machines import apt, base
from tests.lab.machines.host import CACHE, LabError, step


def main(argv: list[str] | None = None) -> int:
    """Run one command; the exit status is returned."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab.kubernetes", description=__doc__)
    parser.add_argument("--cache", type=Path, default=CACHE, help="default: %(default)s")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("build", help="programs, packages and images, unless they are there")
    options = parser.parse_args(argv)
    if os.geteuid() != 0:
        print("kubernetes not built: the packages' repository needs root", file=sys.stderr)
        return 1
    # As Ctrl-C does: what has begun is undone on the way out.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        _build(options.cache)
    except LabError as error:
        print(f"kubernetes not built: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _build(cache: Path) -> None:
    with step("Kubernetes for the lab"):
        apt.ensure(base.HOST_PACKAGES)
        compiled = programs.ensure(cache)
        packages = repository.ensure(cache, base.ensure(cache))
        images = archives.ensure(cache)
    print(f"programs    {compiled}")
    print(f"repository  {packages}")
    for reference, archive in images.items():
        print(f"image       {reference} {archive}")


if __name__ == "__main__":
    sys.exit(main())
