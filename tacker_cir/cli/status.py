# SPDX-License-Identifier: Apache-2.0
"""Exit statuses, and how errors are told."""

from __future__ import annotations

import sys

from tacker_cir.cli.output import print_fault, print_faults
from tacker_cir.csar import PackageFaults
from tacker_cir.exceptions import (
    InvalidRequest,
    TackerCirError,
    UnreadableInput,
    WrongUse,
    io_problem,
)

#: Everything is right; faults were found; the command was used wrongly (argparse's); something that
#: had to be read or written cannot be.
OK, FAULTS, USAGE, UNREADABLE = 0, 1, 2, 3
#: As a shell says it of a program that SIGINT ended.
INTERRUPTED = 130


def status_of(error: Exception) -> int:
    """Tell an error and return the exit status for it.

    :raises Exception: the error itself, if nobody foresaw it
    """
    if isinstance(error, InvalidRequest):
        print_faults(error.faults)
        return FAULTS
    if isinstance(error, PackageFaults):
        for finding in error.findings:
            print_fault(finding)
        return FAULTS
    if isinstance(error, OSError):
        tell(f"{error.filename}: {io_problem(error)}" if error.filename else io_problem(error))
        return UNREADABLE
    if not isinstance(error, TackerCirError):
        raise error
    tell(error)
    if isinstance(error, WrongUse):
        return USAGE
    return UNREADABLE if isinstance(error, UnreadableInput) else FAULTS


def tell(error: object) -> None:
    """Write why a command cannot be done."""
    print(f"tacker-cir: {error}", file=sys.stderr)
