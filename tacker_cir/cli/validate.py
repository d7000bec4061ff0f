# SPDX-License-Identifier: Apache-2.0
"""``tacker-cir validate``: every fault of requests, before they are sent."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tacker_cir.cli import output, status
from tacker_cir.cli.inputs import STANDARD_INPUT, read_json, unpacked
from tacker_cir.exceptions import Fault, UnreadableInput
from tacker_cir.vnflcm import KINDS, find_request_faults, named_vnf_instances

_WITHOUT_PACKAGE = "files and CPs of the VNF package were not checked (--csar)"


@dataclass
class _Request:
    """A request that is checked.

    :param name: of its file
    :param body: None if it cannot be read
    :param problem: why it cannot
    :param unasked: VNF instances that it names
    """

    name: str
    body: dict[str, Any] | None = None
    problem: str = ""
    faults: list[Fault] = field(default_factory=list)
    unasked: list[str] = field(default_factory=list)

    @property
    def is_right(self) -> bool:
        return not (self.problem or self.faults)


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "validate",
        formatter_class=output.Help,
        help="report every fault of a request without touching anything",
        description="Check bodies of VNF LCM requests (API version 1) the way Tacker and the "
        "drivers will: InstantiateVnfRequest, ScaleVnfRequest, HealVnfRequest, "
        "TerminateVnfRequest, VnfInfoModificationRequest.",
    )
    parser.add_argument(
        "requests", nargs="+", metavar="REQUEST.json", help="a body; - for standard input"
    )
    parser.add_argument(
        "--csar", type=Path, metavar="FILE", help="the VNF package that the requests are for"
    )
    parser.add_argument(
        "--as",
        dest="kind",
        choices=tuple(KINDS),
        help="which request it is; by default its members tell",
    )
    output.add_format(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Check the requests; return the exit status."""
    requests = [_read(name) for name in arguments.requests]
    readable = [request for request in requests if request.body is not None]
    with unpacked(arguments.csar, [request.body for request in readable]) as package:
        if package and not package.flavours():
            _tell_of_no_flavour(arguments.csar)
        for request in readable:
            body = request.body or {}
            request.faults = find_request_faults(body, package, arguments.kind)
            request.unasked = named_vnf_instances(body)
    if arguments.format == "json":
        output.print_json([_as_data(request, arguments.csar) for request in requests])
    else:
        _print(requests, arguments.csar)
    if any(request.problem for request in requests):
        return status.UNREADABLE
    return status.OK if all(request.is_right for request in requests) else status.FAULTS


def _read(name: str) -> _Request:
    try:
        body = read_json(name)
    except UnreadableInput as error:
        return _Request(name, problem=str(error))
    if not isinstance(body, dict):
        return _Request(name, problem=f"{name} is no JSON object")
    return _Request(name, body)


def _tell_of_no_flavour(path: Path) -> None:
    status.tell(
        f"{path} has no deployment flavour that can be read; what depends on it was not checked, "
        f"see tacker-cir doctor --csar {path}"
    )


def _print(requests: Sequence[_Request], package: Path | None) -> None:
    checked = f" with {package}" if package else f"; {_WITHOUT_PACKAGE}"
    for request in requests:
        name = "standard input" if request.name == STANDARD_INPUT else request.name
        where = f"{name}: " if len(requests) > 1 else ""
        if request.problem:
            status.tell(request.problem)
        elif request.is_right:
            unasked = f"; {output.unasked(request.unasked)}" if request.unasked else ""
            output.print_ok(f"{where}the request{checked}{unasked}")
        output.print_faults(request.faults, where)


def _as_data(request: _Request, package: Path | None) -> dict[str, Any]:
    unasked = {"unchecked_vnf_instances": request.unasked} if request.unasked else {}
    return {
        "file": request.name,
        "csar": str(package) if package else None,
        "unreadable": request.problem or None,
        "faults": output.as_data(request.faults),
        **unasked,
    }
