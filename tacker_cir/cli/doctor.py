# SPDX-License-Identifier: Apache-2.0
"""``tacker-cir doctor``: whether a conductor will run the drivers."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tacker_cir import csar, doctor
from tacker_cir.cli import output, status

TACKER_CONF = Path("/etc/tacker/tacker.conf")


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "doctor",
        formatter_class=output.Help,
        help="check whether this machine's tacker-conductor will run the drivers",
        description="Run it on the conductor's machine, in its Python environment and as its user.",
    )
    parser.add_argument(
        "--config-file",
        type=Path,
        action="append",
        metavar="FILE",
        help=f"tacker-conductor's configuration; may be repeated (default: {TACKER_CONF})",
    )
    parser.add_argument(
        "--csar",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="a VNF package to check and to compare with what is installed; may be repeated",
    )
    output.add_format(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Check the conductor; return the exit status."""
    checks = list(doctor.check_conductor(arguments.config_file or [TACKER_CONF]))
    for package in arguments.csar:
        checks += _check_package(package)
    if arguments.format == "json":
        output.print_json([_as_data(check) for check in checks])
    else:
        for check in checks:
            text = check.fault or check.detail
            line = f"{check.subject}{': ' + text if text else ''}"
            output.print_fault(line) if check.fault else output.print_ok(line)
    return status.FAULTS if any(check.fault for check in checks) else status.OK


def _check_package(package: Path) -> Iterator[doctor.Check]:
    findings = csar.verify(package)
    for finding in findings:
        subject = f"{package}: {finding.where}"
        if finding.level == "error":
            yield doctor.Check(subject, finding.message)
        else:
            yield doctor.Check(subject, detail=f"warning: {finding.message}")
    if not any(finding.level == "error" for finding in findings):
        yield doctor.Check(str(package), detail="its hashes, templates and drivers match")


def _as_data(check: doctor.Check) -> dict[str, str | bool | None]:
    return {
        "subject": check.subject,
        "ok": check.fault is None,
        "fault": check.fault,
        "detail": check.detail or None,
    }
