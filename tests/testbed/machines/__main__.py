# SPDX-License-Identifier: Apache-2.0
"""The machines by hand: python -m tests.testbed.machines up | create | state | shell | ... | down.

create, delete, state and attach answer with JSON on stdout; a failure is {"error": ...} and exit 1.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from pathlib import Path

from tests.testbed.machines.guests import Boot
from tests.testbed.machines.host import CACHE, RUN, LabError
from tests.testbed.machines.lab import MachineLab
from tests.testbed.machines.parts import Prepared


def main(argv: list[str] | None = None) -> int:
    """Run one command; the exit status is returned."""
    options = _parser().parse_args(argv)
    lab = MachineLab(options.cache, options.run)
    # As Ctrl-C does: what has begun is undone on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        answer = _do(lab, options)
    except LabError as error:
        print(json.dumps({"error": str(error)}))
        return 1
    except KeyboardInterrupt:
        return 130
    if isinstance(answer, int):
        return answer
    if answer is not None:
        print(json.dumps(answer))
    return 0


def _do(lab: MachineLab, options: argparse.Namespace) -> dict[str, object] | int | None:
    match options.command:
        case "up":
            lab.up(Prepared.read(options.prepared), os.environ.get("TACKER_CIR_LAB_PROXY_PASSWORD"))
        case "down":
            lab.down()
        case "create":
            key = options.ssh_host_key.read_text() if options.ssh_host_key else None
            boot = Boot(**json.load(sys.stdin)) if options.boot else None
            lab.create(options.name, options.address, options.image, key, boot)
            return lab.state(options.name)
        case "delete":
            lab.delete(options.name)
            return lab.state(options.name)
        case "state":
            if options.name:
                return lab.state(options.name)
            return {name: lab.state(name) for name in lab.machines()}
        case "create-volume":
            lab.create_volume(options.id, options.gigabytes)
            return {}
        case "delete-volume":
            lab.delete_volume(options.id)
            return {}
        case "attach":
            return {"device": lab.attach(options.name, options.id)}
        case "detach":
            lab.detach(options.name, options.id)
            return {}
        case "shell":
            return lab.shell(options.name, options.argv or ("bash", "-l"))
    return None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.testbed.machines", description=__doc__)
    parser.add_argument("--cache", type=Path, default=CACHE, help="default: %(default)s")
    parser.add_argument("--run", type=Path, default=RUN, help="default: %(default)s")
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="network, package server, registry mirror, proxy")
    up.add_argument("--prepared", type=Path, required=True, help="what it is made of")
    commands.add_parser("down", help="remove all of it, with all machines")
    create = commands.add_parser("create", help="make and start a machine")
    create.add_argument("name")
    create.add_argument("--address", required=True)
    create.add_argument("--image", default="debian-12")
    create.add_argument("--ssh-host-key", type=Path, help="file with a private host key")
    create.add_argument(
        "--boot",
        action="store_true",
        help="standard input is JSON with user_data and public_keys, which make the only login",
    )
    commands.add_parser("delete", help="destroy a machine").add_argument("name")
    state = commands.add_parser("state", help="state of one machine, or of all")
    state.add_argument("name", nargs="?")
    made = commands.add_parser("create-volume", help="make a blank volume")
    made.add_argument("id")
    made.add_argument("--gigabytes", type=int, default=1)
    commands.add_parser("delete-volume", help="remove a volume").add_argument("id")
    for verb, what in (("attach", "give a volume to a machine"), ("detach", "take one from it")):
        command = commands.add_parser(verb, help=what)
        command.add_argument("name")
        command.add_argument("id")
    shell = commands.add_parser("shell", help="a root shell, or a command, inside a machine")
    shell.add_argument("name")
    shell.add_argument("argv", nargs=argparse.REMAINDER)
    return parser


if __name__ == "__main__":
    sys.exit(main())
