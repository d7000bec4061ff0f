# SPDX-License-Identifier: Apache-2.0
"""What commands print: one line a fault for people, or JSON for programs."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from typing import Any

from tacker_cir.exceptions import SHOWN_FAULTS, Fault
from tacker_cir.text import printable, shown


class Help(argparse.HelpFormatter):
    """Adds the default to the help of each option that has one."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.option_strings and isinstance(action.default, str | int):
            if not isinstance(action.default, bool) and action.default != argparse.SUPPRESS:
                return f"{action.help} (default: %(default)s)"
        return action.help


def add_format(parser: argparse.ArgumentParser) -> None:
    """Add the option that chooses between text and JSON."""
    parser.add_argument(
        "-f", "--format", choices=("text", "json"), default="text", help="what is printed"
    )


def print_json(value: Any) -> None:
    """Print a value for a program."""
    print(json.dumps(value, indent=2))


def print_ok(text: object) -> None:
    """Print that something is right."""
    print(printable(f"ok     {text}"))


def print_fault(fault: object, where: str = "") -> None:
    """Print one fault.

    :param where: the file that it is in, if there are several
    """
    print(printable(f"FAULT  {where}{fault}"))


def print_faults(faults: Sequence[Fault], where: str = "") -> None:
    """Print faults of a request, not more than a person reads."""
    for fault in faults[:SHOWN_FAULTS]:
        print_fault(fault, where)
    if faults[SHOWN_FAULTS:]:
        print_fault(f"and {len(faults) - SHOWN_FAULTS} more", where)


def unasked(names: Sequence[str]) -> str:
    """Return what is to be said of VNF instances that a request names, and nobody was asked about.

    :param names: theirs, at least one
    """
    listed = ", ".join(shown(name) for name in names[:SHOWN_FAULTS])
    more = f" and {len(names) - SHOWN_FAULTS} more" if names[SHOWN_FAULTS:] else ""
    return f"what only Tacker knows was not checked: VNF instance {listed}{more}"


def as_data(faults: Iterable[Fault]) -> list[dict[str, str]]:
    """Return faults as JSON has them."""
    return [{"path": fault.path, "problem": fault.problem} for fault in faults]
