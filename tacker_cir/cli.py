# SPDX-License-Identifier: Apache-2.0
"""``tacker-cir``: build VNF packages, check requests before they are sent, check a conductor."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tacker_cir import csar, doctor
from tacker_cir.documents import DocumentError, load_json
from tacker_cir.exceptions import SHOWN_FAULTS, Fault, InvalidRequest, TackerCirError
from tacker_cir.package import VnfPackage
from tacker_cir.params import boot_options, bounds, k8s_cluster, private_registry, schema
from tacker_cir.text import printable

#: Exit statuses: everything is right; faults were found; the command line was wrong (argparse).
OK, FAULTS = 0, 1

_PARSERS: dict[str, Callable[..., object]] = {
    private_registry.KEY: private_registry.parse,
    k8s_cluster.KEY: k8s_cluster.parse,
}

#: Characters of a whole request, with what is not for the drivers.
MAX_REQUEST = 4 * bounds.MAX_SIZE

TACKER_CONF = Path("/etc/tacker/tacker.conf")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status.

    :param argv: words after the program's name; None for those of the process
    """
    arguments = _parser().parse_args(argv)
    logging.basicConfig(format="%(message)s", level=logging.INFO, stream=sys.stderr)
    try:
        with _unwound_by_signals():
            status: int = arguments.run(arguments)
            return status
    except InvalidRequest as error:
        for fault in error.faults[:SHOWN_FAULTS]:
            print(f"FAULT  {fault}")
        if error.faults[SHOWN_FAULTS:]:
            print(f"FAULT  and {len(error.faults) - SHOWN_FAULTS} more")
        return FAULTS
    except TackerCirError as error:
        print(f"tacker-cir: {error}", file=sys.stderr)
        return FAULTS


@contextmanager
def _unwound_by_signals() -> Iterator[None]:
    """Let a signal leave every context on its way out: what was unpacked may hold keys."""

    def leave(number: int, _frame: object) -> None:
        sys.exit(128 + number)

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    ours = [number for number, handler in before.items() if handler is signal.SIG_DFL]
    try:
        for number in ours:
            signal.signal(number, leave)
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tacker-cir", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_csar(commands)

    validate = commands.add_parser(
        "validate",
        help="report every fault of a request without touching anything",
        description="Check the body of an Instantiate VNF request the way the driver will. "
        "Exit status 1 if it has faults.",
    )
    validate.add_argument("request", type=Path, metavar="REQUEST.json")
    validate.add_argument(
        "--csar", type=Path, metavar="FILE", help="the VNF package that the request's paths mean"
    )
    validate.set_defaults(run=_validate)

    check = commands.add_parser(
        "doctor",
        help="check whether this machine's tacker-conductor will run the drivers",
        description="Run it on the conductor's machine, in its Python environment and as its "
        "user. Exit status 1 if something is wrong.",
    )
    check.add_argument(
        "--config-file",
        type=Path,
        action="append",
        metavar="FILE",
        help=f"tacker-conductor's configuration; may be repeated; default {TACKER_CONF}",
    )
    check.add_argument(
        "--csar", type=Path, metavar="FILE", help="a VNF package to compare with what is installed"
    )
    check.set_defaults(run=_doctor)
    return parser


def _add_csar(commands: Any) -> None:
    package = commands.add_parser("csar", help="VNF packages")
    build = package.add_subparsers(required=True, metavar="COMMAND").add_parser(
        "build", help="build a VNF package that Tacker onboards"
    )
    kinds = build.add_subparsers(required=True, metavar="KIND")
    registry = _add_kind(
        kinds,
        "private-registry",
        help="the Docker private registry VNF",
        description="Build the VNF package of a Docker private registry.",
    )
    registry.add_argument(
        "--image", type=Path, metavar="TAR", help="registry image made with 'docker save'"
    )
    registry.add_argument(
        "--base-hot", action="store_true", help="the variant with a base HOT and UserData"
    )
    registry.add_argument("--vm-image", metavar="NAME", help="name of the VM's image in the VIM")
    registry.add_argument(
        "--vm-image-file",
        type=Path,
        metavar="FILE",
        help="disk image of the VM, put into the package; needed without --base-hot",
    )
    registry.add_argument("--flavor", metavar="NAME", help="flavor of the VM, with --base-hot")
    registry.set_defaults(run=_build_private_registry)
    cluster = _add_kind(
        kinds,
        "kubernetes",
        help="the Kubernetes cluster VNF",
        description="Build the VNF package of a Kubernetes cluster. Certificates of registries, "
        "keyrings and manifests that a request names go into it with --file.",
    )
    cluster.add_argument("--vm-image", metavar="NAME", help="image in the VIM for all VMs")
    cluster.add_argument("--flavor", metavar="NAME", help="flavor in the VIM for all VMs")
    cluster.set_defaults(run=_build_kubernetes)


def _add_kind(kinds: Any, name: str, **texts: str) -> argparse.ArgumentParser:
    kind: argparse.ArgumentParser = kinds.add_parser(name, **texts)
    kind.add_argument("--output", type=Path, required=True, metavar="FILE")
    kind.add_argument(
        "--package", type=Path, metavar="DIR", help="your own package directory, not a sample"
    )
    kind.add_argument("--vnfd-id", metavar="UUID", help="another identifier for the VNFD")
    kind.add_argument(
        "--file",
        action="append",
        default=[],
        type=_file_pair,
        metavar="PATH=FILE",
        help="one more file and its path in the package; may be repeated",
    )
    kind.add_argument(
        "--sol001-definitions",
        type=Path,
        metavar="DIR",
        help="ETSI SOL001 2.6.1 type definitions; default: those of python-tackerclient",
    )
    return kind


def _file_pair(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise argparse.ArgumentTypeError(f"expected PATH=FILE, got {text!r}")
    return name, Path(path)


def _build_private_registry(arguments: argparse.Namespace) -> int:
    built = csar.build_private_registry(
        arguments.output,
        image=arguments.image,
        base_hot=arguments.base_hot,
        vm_image_file=arguments.vm_image_file,
        **_build_options(arguments),
    )
    _print_built(built)
    if built.image_path:
        print(f"image_path: {built.image_path}")
    return OK


def _build_kubernetes(arguments: argparse.Namespace) -> int:
    _print_built(csar.build_kubernetes(arguments.output, **_build_options(arguments)))
    return OK


def _build_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what all kinds have in common."""
    return {
        "package": arguments.package,
        "vm_image": arguments.vm_image,
        "flavor": arguments.flavor,
        "vnfd_id": arguments.vnfd_id,
        "files": _named_once(arguments.file),
        "sol001_definitions": arguments.sol001_definitions,
    }


def _named_once(pairs: Sequence[tuple[str, Path]]) -> dict[str, Path]:
    files = dict(pairs)
    if len(files) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise TackerCirError(f"--file {twice}=... is given more than once")
    return files


def _print_built(built: csar.Csar) -> None:
    print(f"{built.path}: {built.size / 1e6:.1f} MB, {len(built.entries)} files")
    print(f"vnfd id:    {built.vnfd_id}")


def _validate(arguments: argparse.Namespace) -> int:
    request = _read_request(arguments.request)
    additional_params, flavour_id = request.get("additionalParams"), request.get("flavourId")
    if arguments.csar is None:
        _parse(additional_params, None, flavour_id)
        print("ok     the request; files and CPs of the VNF package were not checked (--csar)")
        return OK
    oversize = bounds.find_oversize(additional_params, "additionalParams")
    if oversize:
        raise InvalidRequest(oversize)
    with tempfile.TemporaryDirectory(prefix="tacker-cir-") as directory:
        package = csar.unpack(arguments.csar, Path(directory), _texts(additional_params))
        _parse(additional_params, package, flavour_id)
    print(f"ok     the request with {arguments.csar}")
    return OK


def _read_request(path: Path) -> dict[str, Any]:
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(MAX_REQUEST + 1)
        if len(text) > MAX_REQUEST:
            raise DocumentError(f"it has more than {MAX_REQUEST} characters")
        request = load_json(text, unique=True)
    except (OSError, ValueError) as error:
        raise TackerCirError(f"{path} cannot be read as JSON: {error}") from None
    if not isinstance(request, dict):
        raise TackerCirError(f"{path} is no JSON object")
    return request


def _texts(value: Any) -> Iterator[str]:
    """Yield every text of a request: some are paths into the package."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for member in value.values() if isinstance(value, dict) else value:
            yield from _texts(member)


def _parse(additional_params: Any, package: VnfPackage | None, flavour_id: str | None) -> None:
    """Check the parameter of each driver that the request has one for."""
    given = additional_params if isinstance(additional_params, dict) else {}
    faults = boot_options.find_faults(given, package)
    for key in _PARSERS.keys() & given.keys():
        try:
            _PARSERS[key](given, package, flavour_id=flavour_id)
        except InvalidRequest as error:
            faults += error.faults
    if not _PARSERS.keys() & given.keys():
        names = [str(name)[: bounds.MAX_NAME] for name in given][: bounds.MAX_MEMBERS]
        hints = [f"{name}: {schema.did_you_mean(name, list(_PARSERS))}" for name in names]
        near = "".join(f"; {hint}" for hint in hints if ": did" in hint)
        faults.append(Fault("additionalParams", f"expected {' or '.join(_PARSERS)}{near}"))
    if faults:
        raise InvalidRequest(faults)


def _doctor(arguments: argparse.Namespace) -> int:
    checks = list(doctor.check_conductor(arguments.config_file or [TACKER_CONF]))
    if arguments.csar:
        findings = csar.verify(arguments.csar)
        checks += [
            doctor.Check(
                f"{arguments.csar}: {f.where}",
                f.message if f.level == "error" else None,
                "" if f.level == "error" else f"warning: {f.message}",
            )
            for f in findings
        ]
        if not any(f.level == "error" for f in findings):
            checks.append(doctor.Check(str(arguments.csar), detail="its hashes and drivers match"))
    for check in checks:
        text = check.fault or check.detail
        line = f"{'FAULT' if check.fault else 'ok':6} {check.subject}{': ' + text if text else ''}"
        print(printable(line))
    return FAULTS if any(check.fault for check in checks) else OK


if __name__ == "__main__":
    sys.exit(main())
