# SPDX-License-Identifier: Apache-2.0
"""Machines that say something of their own: before a command's output, or instead of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tacker_cir import exceptions as exc
from tacker_cir import facts, ssh
from tacker_cir.command import Command, Secret
from tests.functional.server import USER
from tests.functional.test_core import run

# What profiles and PAM modules print: a greeting, colours, half a line, and what looks like data.
NOISE = {
    "greeting": "echo 'Welcome to Ubuntu 22.04'; echo 'warning: setlocale' >&2",
    "no line's end": "printf 'Last login: today'; printf 'x' >&2",
    "the command line": 'echo "$SSH_ORIGINAL_COMMAND"; echo "$SSH_ORIGINAL_COMMAND" >&2',
    "facts": "printf 'arch\\tpdp11\\nfile\\t/x\\t644 a b c\\n'; echo '{\"items\": []}'",
    "more than is kept": "head -c 5000000 /dev/zero | tr '\\0' x; seq 100000 >&2",
}
RUN = 'sh -c "$SSH_ORIGINAL_COMMAND"'


@pytest.fixture
def machine(make_sshd, dial):
    """Connect to a machine that begins each session with a script of its own."""

    def start(script: str) -> ssh.Connection:
        sshd = make_sshd()
        (sshd.directory / "force").write_text(f"#!/bin/sh\n{script}\n")
        return dial(sshd.start())

    return start


@pytest.mark.parametrize("noise", NOISE.values(), ids=NOISE)
def test_what_the_login_shell_prints_is_no_output(machine, noise):
    connection = machine(f"{noise}\n{RUN}")
    result = run(connection, "echo out; echo err >&2")
    assert (result.exit_status, result.stdout, result.stderr) == (0, "out\n", "err\n")
    with pytest.raises(exc.CommandFailed) as caught:
        run(connection, "echo out; exit 3")
    assert re.search("exit status 3: out. To do", str(caught.value))
    assert connection.home == str(Path("~").expanduser())
    assert connection.run(Command(("id", "-u"), "test"), root=False).stdout.strip().isdecimal()
    found = facts.gather(connection) if connection.identity().sudo == () else facts.Facts()
    assert found.architecture != "pdp11" and "/x" not in found.files


def test_only_two_modules_begin_commands():
    """So that this is in one place; the other one speaks a protocol of its own."""
    package = Path(ssh.__file__).parent
    begins = re.compile(r"\.(exec_command|session)\(")
    users = {file.name for file in package.rglob("*.py") if begins.search(file.read_text())}
    assert users == {"ssh.py", "from_node.py"}


REFUSALS = {
    # cloud-init's authorized_keys of root.
    "another user": (
        'echo \'Please login as the user "ubuntu" rather than the user "root".\'; echo; exit 142',
        'exit status 142 and said: Please login as the user "ubuntu" rather than the user "root"',
    ),
    "nologin": (
        "echo 'This account is currently not available.'; exit 1",
        "exit status 1 and said: This account is currently not available",
    ),
    "sftp only": ("echo 'This service allows sftp connections only.'; exit 0", "sftp connections"),
    "on both": ("echo out; echo err >&2; exit 1", "said: err; standard output: out"),
    "in silence": ("exit 1", "said: nothing"),
}


@pytest.mark.parametrize(("script", "told"), REFUSALS.values(), ids=REFUSALS)
def test_a_machine_that_runs_no_command_is_quoted(machine, script, told):
    connection = machine(script)
    with pytest.raises(exc.CommandFailed, match=f"ran no command for user {USER}") as caught:
        run(connection, "true", ok=None)
    assert told in str(caught.value)
    assert "a user with a POSIX shell" in str(caught.value)


def test_what_it_says_instead_holds_no_secret(make_sshd, dial):
    sshd = make_sshd()
    (sshd.directory / "force").write_text("#!/bin/sh\necho it is MARK, is it; exit 1\n")
    connection = dial(sshd.start(), redactor=ssh.Redactor([Secret("MARK")]))
    with pytest.raises(exc.CommandFailed, match=r"said: it is \*\*\*, is it"):
        run(connection, "true")


@settings(max_examples=200, derandomize=True, deadline=None)
@given(
    st.lists(st.sampled_from([b"tacker-cir ", b"begins", b"\n", b"tacker-cir begin\n", b"x"])),
    st.binary(max_size=50),
    st.lists(st.integers(1, 40), min_size=1),
)
def test_the_beginning_is_found_however_the_stream_is_cut(noise, output, sizes):
    """200 kinds of noise, outputs and packets, by a fixed seed."""
    before = b"".join(noise).replace(ssh._BEGINS, b"")
    data, position, turn = before + b"\n" + ssh._BEGINS + output, 0, 0
    if (before + b"\n").find(ssh._BEGINS) != -1:
        return
    stream = ssh._Stream(ssh._Head(1000))
    while position < len(data):
        size = sizes[turn % len(sizes)]
        stream.add(data[position : position + size])
        position, turn = position + size, turn + 1
    assert stream.begun
    assert stream.text() == output.decode("utf-8", "replace")
