# SPDX-License-Identifier: Apache-2.0
"""``tacker-cir samples``: the sample packages and requests, to begin with."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any

from tacker_cir import csar
from tacker_cir.cli import output, status
from tacker_cir.exceptions import WrongUse


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "samples",
        formatter_class=output.Help,
        help="copy the sample packages and requests",
        description="Copy the sample VNF packages and the bodies of requests out of the installed "
        "package. Nothing that is there is replaced.",
    )
    parser.add_argument(
        "directory", type=Path, metavar="DIR", help="where to; a new or an empty directory"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Copy the samples; return the exit status."""
    target = arguments.directory
    if target.is_dir() and any(target.iterdir()):
        raise WrongUse(f"{target} is not empty; name a new directory")
    ignored = shutil.ignore_patterns("__pycache__", ".*")
    shutil.copytree(csar.samples_dir(), target, ignore=ignored, dirs_exist_ok=True)
    for path in sorted(target.iterdir()):
        print(path)
    return status.OK
