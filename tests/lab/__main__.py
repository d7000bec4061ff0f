# SPDX-License-Identifier: Apache-2.0
"""The lab from the command line: ``tox -e lab -- up | status | down | shell | test | demo``.

``test`` and ``demo`` use a lab that is up and leave it so; otherwise they bring one up and take it
down again, also when interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

from tests.lab.machines import network
from tests.lab.machines.host import REPOSITORY, LabError, say
from tests.lab.stand import CloudStand

#: prctl(2): the signal to get when the parent dies.
PR_SET_PDEATHSIG = 1
NEEDS_ROOT = "lab not run: making machines and network namespaces needs root"


def main(argv: list[str] | None = None) -> int:
    """Run one command; return the exit status."""
    arguments = _parser().parse_args(argv)
    if os.geteuid() != 0:
        print(NEEDS_ROOT)
        # The test suite does what it can without root; tox's closing line repeats this.
        return 0 if arguments.command == "test" else 1
    # So that a plain kill, of this process or of tox above it, cleans up like Ctrl-C does.
    # Explicitly for Ctrl-C too: a shell's background job begins with it ignored, and its children.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    stand = CloudStand()
    try:
        return arguments.run(stand, arguments)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("lab: interrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tox -e lab --", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, run, text in (
        ("up", _up, "bring the lab up and leave it so"),
        ("status", _status, "say what is up"),
        ("down", _down, "take the lab down"),
    ):
        commands.add_parser(name, help=text).set_defaults(run=run)
    shell = commands.add_parser("shell", help="a command, or a shell, inside the lab's network")
    shell.add_argument("argv", nargs=argparse.REMAINDER, metavar="WORD")
    shell.set_defaults(run=_shell)
    test = commands.add_parser("test", help="run the lab tests")
    test.add_argument("argv", nargs=argparse.REMAINDER, metavar="PYTEST_WORD")
    test.set_defaults(run=_test)
    demo = commands.add_parser("demo", help="show the main job step by step")
    demo.set_defaults(run=_demo)
    return parser


def _up(stand: CloudStand, _arguments: argparse.Namespace) -> int:
    stand.up()
    return _status(stand, _arguments)


def _status(stand: CloudStand, _arguments: argparse.Namespace) -> int:
    if not stand.is_up():
        print("the lab is down")
        return 1
    for name, log in stand.cloud.logs.items():
        print(f"service {name:18} log {log}")
    for name in stand.lab.machines():
        state = stand.lab.state(name)
        print(f"machine {name:18} {state['state']}, {state['address']}, image {state['image']}")
    print(f"openstack client:  source {stand.cloud.rc}")
    print("a shell in the lab's network:  tox -e lab -- shell")
    return 0


def _down(stand: CloudStand, _arguments: argparse.Namespace) -> int:
    stand.down()
    return _check_clean(stand)


def _shell(stand: CloudStand, arguments: argparse.Namespace) -> int:
    if not stand.is_up():
        raise LabError("the lab is down; bring it up with: tox -e lab -- up")
    argv = arguments.argv or [os.environ.get("SHELL", "bash")]
    return subprocess.run([*network.inside(stand.lab.netns), *argv]).returncode


def _test(stand: CloudStand, arguments: argparse.Namespace) -> int:
    words = arguments.argv or ["tests/lab"]
    return _inside(stand, ["-m", "pytest", *words])


def _demo(stand: CloudStand, _arguments: argparse.Namespace) -> int:
    return _inside(stand, ["-m", "tests.lab.demo"])


def _inside(stand: CloudStand, words: list[str]) -> int:
    """Run Python inside the network of a lab that is up meanwhile."""
    with _lab_up(stand):
        command = [*network.inside(stand.lab.netns), sys.executable, *words]
        process = subprocess.Popen(command, cwd=REPOSITORY)
        try:
            status = process.wait()
        except KeyboardInterrupt:
            # From a terminal the child got the signal too; from kill(1) only we did.
            process.send_signal(signal.SIGINT)
            process.wait()
            raise
    return status or (_check_clean(stand) if not stand.is_up() else 0)


@contextlib.contextmanager
def _lab_up(stand: CloudStand) -> Iterator[None]:
    if stand.is_up():
        say("using the lab that is up")
        yield
        return
    try:
        stand.up()
        yield
    finally:
        # A second interrupt shall not leave machines behind.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        stand.down()


def _check_clean(stand: CloudStand) -> int:
    found = stand.leftovers()
    for line in found:
        print(f"lab: left behind: {line}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
