# SPDX-License-Identifier: Apache-2.0
"""The lab from the command line: ``tox -e lab -- prepare | up | status | down | shell | test``.

``prepare`` fetches and builds everything that the others need, which they do first. ``test`` and
``demo`` use a lab that is up and leave it so; otherwise they bring one up and take it down again,
also when interrupted. At their end they print how long everything took.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import functools
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping

from tests.lab import beside, tryout
from tests.testbed.cloud import tackers
from tests.testbed.kubernetes import fetch, standins
from tests.testbed.kubernetes_site import KubernetesSite
from tests.testbed.machines import network
from tests.testbed.machines.host import CACHE, REPOSITORY, LabError, os_release, say
from tests.testbed.machines.parts import Prepared, all_there
from tests.testbed.preparation import plan, prepare
from tests.testbed.stand import CloudStand
from tests.testbed.times import Times

#: prctl(2): the signal to get when the parent dies.
PR_SET_PDEATHSIG = 1
#: ID and VERSION_ID of the one system on which the lab was run.
SYSTEM = ("debian", "12")


def main(argv: list[str] | None = None) -> int:
    """Run one command; return the exit status."""
    arguments = _arguments(argv)
    if reason := cannot_run(os.geteuid(), os_release()):
        print(f"NOT RUN: lab: {reason}")
        # The other tests of the suite need none of this.
        return 0 if arguments.command == "test" else 1
    # So that a plain kill, of this process or of tox above it, cleans up like Ctrl-C does.
    # Explicitly for Ctrl-C too: a shell's background job begins with it ignored, and its children.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    try:
        with Times.of_this_run() as times:
            return arguments.run(CloudStand(), arguments, times)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("lab: interrupted", file=sys.stderr)
        return 130


def cannot_run(uid: int, system: Mapping[str, str]) -> str | None:
    """Say why this user cannot have a lab on this system; None if nothing is known against it.

    :param system: fields of os-release(5).
    """
    if uid != 0:
        return "making machines and network namespaces needs root"
    if (system["ID"], system.get("VERSION_ID")) != SYSTEM:
        return (
            f"it runs on Debian 12, whose sources have Kubernetes whole; this is "
            f"{system.get('PRETTY_NAME', system['ID'])}; any system runs: "
            f"tox -e lint,docs,unit,functional"
        )
    return None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tox -e lab --", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, run, text in (
        ("prepare", _prepare, "download and build what the other commands need, and no more"),
        ("up", _up, "bring the lab up and leave it so"),
        ("status", _status, "say what is up"),
        ("watch", _watch, "wait until Tacker rests, showing what the drivers do"),
        ("down", _down, "take the lab down"),
        ("test", _test, "run the lab tests; further words are pytest's"),
        ("demo", _demo, "show the main job step by step"),
    ):
        command = commands.add_parser(name, help=text)
        command.set_defaults(run=run)
        if name in ("prepare", "up", "test", "demo"):
            fetch.add_options(command)
            tackers.add_options(command)
        if name in ("prepare", "test"):
            command.add_argument(
                "--thorough", action="store_true", help="with what the longest tests need"
            )
    for name, run, text in (
        ("shell", _shell, "a command, or a shell, inside the lab's network"),
        ("kubectl", _kubectl, "kubectl on a master"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("argv", nargs=argparse.REMAINDER, metavar="WORD")
        command.set_defaults(run=run)
    return parser


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    arguments, others = _parser().parse_known_args(argv)
    if others and arguments.command != "test":
        _parser().parse_args(argv)  # refuses them
    arguments.others = others
    return arguments


def _prepared(arguments: argparse.Namespace, times: Times) -> Prepared:
    make = functools.partial(
        prepare,
        CACHE,
        times,
        thorough=getattr(arguments, "thorough", False),
        tacker=arguments.tacker,
    )
    if not arguments.stand_ins:
        return make(order=fetch.order(arguments))
    own, order = make(), standins.ORDER
    if all_there(plan(CACHE, order=order).parts):
        return make(order=order)
    with standins.serving(CACHE, own):
        return make(order=order)


def _prepare(_stand: CloudStand, arguments: argparse.Namespace, times: Times) -> int:
    _prepared(arguments, times)
    return 0


def _up(stand: CloudStand, arguments: argparse.Namespace, times: Times) -> int:
    prepared = _prepared(arguments, times)
    with times.taken("lab up", stand.lab.netns):
        stand.up(prepared)
        tryout.lay_out(stand)
    return _status(stand, arguments, times)


def _status(stand: CloudStand, _arguments: argparse.Namespace, _times: Times) -> int:
    if not stand.is_up():
        print("the lab is down")
        return 1
    for name, log in stand.cloud.logs.items():
        print(f"service {name:18} log {log}")
    for name in stand.lab.machines():
        state = stand.lab.state(name)
        print(f"machine {name:18} {state['state']}, {state['address']}, image {state['image']}")
    print("a shell in the lab's network:  tox -e lab -- shell")
    print(tryout.lay_out(stand))
    return 0


def _down(stand: CloudStand, _arguments: argparse.Namespace, times: Times) -> int:
    with times.taken("lab down", stand.lab.netns):
        stand.down()
    return _check_clean(stand)


def _watch(stand: CloudStand, _arguments: argparse.Namespace, _times: Times) -> int:
    _demand_up(stand)
    return tryout.watch(stand)


def _kubectl(stand: CloudStand, arguments: argparse.Namespace, _times: Times) -> int:
    _demand_up(stand)
    return tryout.kubectl(stand, arguments.argv)


def _demand_up(stand: CloudStand) -> None:
    if not stand.is_up():
        raise LabError("the lab is down; bring it up with: tox -e lab -- up")


def _shell(stand: CloudStand, arguments: argparse.Namespace, _times: Times) -> int:
    _demand_up(stand)
    argv = arguments.argv or [os.environ.get("SHELL", "bash")]
    return subprocess.run([*network.inside(stand.lab.netns), *argv]).returncode


def _test(stand: CloudStand, arguments: argparse.Namespace, times: Times) -> int:
    words = [word for word in arguments.others if word != "--"]
    options = ["--thorough"] if arguments.thorough else []
    if arguments.thorough and fetch.order(arguments) is None:
        # What is fetched from them is the same Kubernetes; so the longest run shows the fetching.
        arguments.stand_ins = True
    if words or stand.is_up():
        words = words or ["tests/lab"]
        return _inside(stand, arguments, times, ["-m", "pytest", *words, *options])
    status = _test_all(stand, arguments, times, options)
    if arguments.thorough and not arguments.tacker:
        status |= _demo_with_the_oldest_tacker(times)
    return status


def _test_all(
    stand: CloudStand, arguments: argparse.Namespace, times: Times, options: list[str]
) -> int:
    if not beside.enough_memory():
        return _inside(stand, arguments, times, ["-m", "pytest", "tests/lab", *options])
    _prepared(arguments, times)
    options.append("--verbose")  # a line for each test, as two labs print them
    rest = [f"--ignore={file}" for file in beside.FILES]
    choices = [*fetch.words(arguments), *tackers.words(arguments)]
    with beside.second_lab([*options, *choices], times) as other:
        words = ["-m", "pytest", "tests/lab", *rest, *options]
        return _inside(stand, arguments, times, words, beside_another=True) | other()


def _demo_with_the_oldest_tacker(times: Times) -> int:
    command = [sys.executable, "-m", "tests.lab", "demo", f"--tacker={tackers.OLDEST}"]
    say(f"the demo with Tacker {tackers.OLDEST}, the oldest that is promised")
    environment = {**os.environ, **times.environment}
    return subprocess.run(command, cwd=REPOSITORY, env=environment).returncode


def _demo(stand: CloudStand, arguments: argparse.Namespace, times: Times) -> int:
    return _inside(stand, arguments, times, ["-m", "tests.lab.demo"])


def _inside(
    stand: CloudStand,
    arguments: argparse.Namespace,
    times: Times,
    words: list[str],
    beside_another: bool = False,
) -> int:
    """Run Python inside the network of a lab that is up meanwhile.

    :param beside_another: its lines stand among those of another lab.
    """
    with _lab_up(stand, arguments, times):
        command = [*network.inside(stand.lab.netns), sys.executable, *words]
        environment = {**os.environ, **times.environment}
        how = beside.PIPED if beside_another else {}
        process = subprocess.Popen(command, cwd=REPOSITORY, env=environment, **how)
        try:
            if beside_another:
                beside.relay(process, stand.lab.netns).join()
            status = process.wait()
        except KeyboardInterrupt:
            # From a terminal the child got the signal too; from kill(1) only we did.
            process.send_signal(signal.SIGINT)
            process.wait()
            raise
    return status or (_check_clean(stand) if not stand.is_up() else 0)


@contextlib.contextmanager
def _lab_up(stand: CloudStand, arguments: argparse.Namespace, times: Times) -> Iterator[None]:
    if stand.is_up():
        _demand_as_ordered(stand, arguments)
        say("using the lab that is up")
        yield
        return
    prepared = _prepared(arguments, times)
    try:
        with times.taken("lab up", stand.lab.netns):
            stand.up(prepared)
        yield
    finally:
        # A second interrupt shall not leave machines behind.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        with times.taken("lab down", stand.lab.netns):
            stand.down()


def _demand_as_ordered(stand: CloudStand, arguments: argparse.Namespace) -> None:
    """Refuse to use a lab that has another Kubernetes or Tacker than is asked for."""
    ordered = fetch.order(arguments)
    for name, wanted, found in (
        ("Kubernetes", ordered and ordered.version, KubernetesSite(stand.lab).release.version),
        ("Tacker", arguments.tacker, stand.cloud.tacker_environment.version),
    ):
        if wanted and wanted != found:
            raise LabError(f"the lab that is up has {name} {found}; first: tox -e lab -- down")


def _check_clean(stand: CloudStand) -> int:
    found = stand.leftovers()
    for line in found:
        print(f"lab: left behind: {line}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
