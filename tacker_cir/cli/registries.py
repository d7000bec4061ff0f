# SPDX-License-Identifier: Apache-2.0
"""``tacker-cir registries``: the update that gives a living cluster other registries, or changes a
living registry."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from tacker_cir.cli import output, status
from tacker_cir.cli.inputs import read_json_or_yaml, unpacked
from tacker_cir.exceptions import InvalidRequest, UnreadableInput
from tacker_cir.params import bounds
from tacker_cir.params.private_registry_schema import KEY as REGISTRY_KEY
from tacker_cir.params.registry_connection import KEY
from tacker_cir.vnflcm import named_vnf_instances
from tacker_cir.vnflcm.update import find_update_faults, update_body


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "registries",
        formatter_class=output.Help,
        help="write the update of a cluster's registries, or of a registry",
        description="Check a list of registries, the whole new list, or what is to change of a "
        "registry VNF, and write the body of the update (VnfInfoModificationRequest) that gives "
        "it to the VNF instance.",
    )
    parser.add_argument(
        "file",
        metavar="FILE",
        help=f"the list as {KEY} of a request has it, or an object with the member "
        f"{REGISTRY_KEY} and what is to change in it, in JSON, or in YAML if its name ends in "
        ".yaml; - for standard input",
    )
    parser.add_argument(
        "--csar", type=Path, metavar="FILE", help="the VNF package that the cluster is made from"
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="where to write the body, readable by its owner only; standard output if not given",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the body; return the exit status."""
    key, value = _parameter(arguments.file)
    oversize = bounds.find_excess(value, key)
    if oversize:
        raise InvalidRequest(oversize)
    body = update_body(key, value)
    with unpacked(arguments.csar, [value]) as package:
        faults = find_update_faults(body, package)
    if faults:
        raise InvalidRequest(faults)
    _write(json.dumps(body, indent=4) + "\n", arguments.output)
    names = named_vnf_instances(body)
    if names:
        # Not among the output, which may be the body.
        status.tell(output.unasked(names))
    return status.OK


def _parameter(file: str) -> tuple[str, Any]:
    """Return the parameter that a file has, and its key."""
    given = read_json_or_yaml(file)
    if isinstance(given, dict) and len(given) == 1:
        for key, kind in ((KEY, list), (REGISTRY_KEY, dict)):
            if isinstance(given.get(key), kind):
                return key, given[key]
    if not isinstance(given, list):
        raise UnreadableInput(f"{file} is no list of registries, and has no {REGISTRY_KEY} alone")
    return KEY, given


def _write(text: str, target: Path | None) -> None:
    if target is None:
        print(text, end="")
        return
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(name, target)
    except BaseException:
        os.unlink(name)
        raise
    output.print_ok(target)
