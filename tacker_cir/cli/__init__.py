# SPDX-License-Identifier: Apache-2.0
"""``tacker-cir``: build VNF packages, check requests before they are sent, check a conductor."""

from __future__ import annotations

import argparse
import importlib.metadata
from collections.abc import Sequence

from tacker_cir.cli import build, doctor, images, registries, samples, validate
from tacker_cir.cli.process import own_log, unwound_by_signals
from tacker_cir.cli.status import FAULTS, INTERRUPTED, OK, UNREADABLE, USAGE, status_of

__all__ = ["FAULTS", "INTERRUPTED", "OK", "UNREADABLE", "USAGE", "main"]

#: Each module adds its command to the parser.
_COMMANDS = (build, validate, images, registries, samples, doctor)

_STATUSES = """\
exit status:
  0  everything is right
  1  faults were found
  2  the command was used wrongly
  3  a file cannot be read or written
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status.

    :param argv: words after the program's name; None for those of the process
    """
    arguments = _parser().parse_args(argv)
    try:
        with own_log(), unwound_by_signals():
            return int(arguments.run(arguments))
    except Exception as error:
        return status_of(error)
    except KeyboardInterrupt:
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tacker-cir",
        description=__doc__,
        epilog=_STATUSES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    version = importlib.metadata.version("tacker_cir")
    parser.add_argument("--version", action="version", version=f"tacker-cir {version}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in _COMMANDS:
        module.add(commands)
    return parser
