# SPDX-License-Identifier: Apache-2.0
"""What a machine says of a volume, and which steps follow; real volumes are in the functional
tests."""

from __future__ import annotations

import pytest

from tacker_cir.exceptions import CommandFailed, HostError
from tacker_cir.host.volume import Volume, ensure_volume
from tacker_cir.ssh import Result
from tests.machine import machine
from tests.unit.answering import Answering

ID = "9c8b1d2e-3f4a-4b5c-8d6e-7f8091a2b3c4"
VOLUME = Volume(ID, "/srv/registry")
FIND, LOOK, FORMAT, MOUNT = (
    "find the volume's device",
    "look at the volume",
    "format the volume",
    "mount the volume",
)
FILES = "write /etc/tacker-cir/registry-volume.sh and 2 other files"
START = "start tacker-cir-registry-volume.service"
FOUND = "found\t254:16\t/dev/vdb\nthere\tvda vdb \nend\n"


def said(probe="0 0 1024 80", kind="ext4", label="tacker-cir", **others: str) -> str:
    """Return what the machine says of the device."""
    tags = {"TYPE": kind, "LABEL": label, "UUID": "77398ccd-e5dd-41ca-ad91-546e697b7a6a"}
    lines = [f"probe\t{probe}"]
    lines += [f"tag\t{name}\t{value}" for name, value in (tags | {"PTTYPE": ""}).items()]
    lines += [f"signatures\t{others.pop('signatures', kind)}", f"users\t{others.pop('users', '')}"]
    unit = others.pop("unit", "inactive\tdisabled")
    lines += [f"{name}\t{value}" for name, value in others.items()]
    return "\n".join([*lines, f"unit\t{unit}", "end\n"])


BLANK = said("2 0 1024 0", "", "")
MOUNTED = said(there="254:16", writable="yes", unit="active\tenabled")


def run(answers) -> tuple[list[str], list[str]]:
    connection = Answering({FIND: FOUND, **answers})
    changes = ensure_volume(machine(connection, service_timeout=0), VOLUME)
    return changes, connection.taken()


def test_only_what_is_missing_is_done():
    changes, steps = run({LOOK: [BLANK, said()]})
    assert changes == [f"volume {ID} formatted", f"volume {ID} mounted at /srv/registry"]
    assert steps == [FIND, LOOK, FORMAT, LOOK, FILES, MOUNT, START]
    assert run({LOOK: said()})[1] == [FIND, LOOK, FILES, MOUNT, START]
    assert run({LOOK: MOUNTED}) == ([], [FIND, LOOK, FILES, START])


def test_a_second_run_changes_nothing():
    connection = Answering({FIND: FOUND, LOOK: MOUNTED})
    made = machine(connection)
    assert ensure_volume(made, VOLUME) == [] and connection.taken()[2:] == [FILES, START]
    assert ensure_volume(made, VOLUME) == [] and connection.taken() == [FIND, LOOK]


@pytest.mark.parametrize(
    "blank",
    [
        said("0 0 1024 0", "", ""),  # a probe found something that has no type
        said("8 0 1024 0", "", ""),  # several things at once
        said("2 1 1024 0", "", ""),  # the other one failed
        said("2 0 512 0", "", ""),  # the device is not read to where a file system begins
        said("2 0 1024 1", "", ""),
        said("2 0 1024 0", "", "", signatures="dos"),
    ],
)
def test_nothing_but_a_proof_makes_a_volume_blank(blank):
    connection = Answering({FIND: FOUND, LOOK: blank})
    with pytest.raises(HostError, match="which is not the registry's; nothing on it was changed"):
        ensure_volume(machine(connection), VOLUME)
    assert connection.taken() == [FIND, LOOK]


@pytest.mark.parametrize(
    ("find", "look"),
    [
        ("", ""),
        ("found\t254:16\t/dev/vdb\nthere\tvda", ""),
        ("found\t254:16\t/etc/passwd\nthere\tvda\nend\n", ""),
        ("found\t254:16\t/dev/v b\nthere\tvda\nend\n", ""),
        ("found\t254\t/dev/vdb\nthere\tvda\nend\n", ""),
        ("found\tx:y\t/dev/vdb\nthere\tvda\nend\n", ""),
        ("found\t254:16\t/dev/vdb\nend\n", ""),
        (FOUND, ""),
        (FOUND, said().removesuffix("end\n")),
        (FOUND, said("0 0")),
        (FOUND, said() + "more\n"),
        (FOUND, f"odd\tline\n{said()}"),
        (FOUND, said().replace("\t", " ")),
    ],
)
def test_an_answer_that_is_none_is_told_and_nothing_is_done(find, look):
    connection = Answering({FIND: find, LOOK: look})
    with pytest.raises(HostError, match="the answer cannot be used"):
        ensure_volume(machine(connection, service_timeout=0), VOLUME)
    assert not {FORMAT, MOUNT, FILES, START} & set(connection.taken())


def test_what_a_volume_says_of_itself_is_shown_on_one_line():
    connection = Answering({FIND: FOUND, LOOK: said(kind="x\x1b[2J", label="y\u202e" * 99)})
    with pytest.raises(HostError) as caught:
        ensure_volume(machine(connection), VOLUME)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 800


@pytest.mark.parametrize("uuid", ["", "$(reboot)", "a b", "../x"])
def test_a_uuid_that_is_none_gets_into_no_file(uuid):
    look = said().replace("77398ccd-e5dd-41ca-ad91-546e697b7a6a", uuid)
    connection = Answering({FIND: FOUND, LOOK: look})
    with pytest.raises(HostError, match="has no UUID"):
        ensure_volume(machine(connection), VOLUME)
    assert connection.taken() == [FIND, LOOK]


def test_other_failures_of_a_step_keep_their_own_words():
    connection = Answering({FIND: FOUND, LOOK: BLANK, FORMAT: Result(1, "", "out of inodes")})
    with pytest.raises(CommandFailed, match="out of inodes"):
        ensure_volume(machine(connection), VOLUME)
    connection = Answering({FIND: FOUND, LOOK: said(), MOUNT: Result(32, "", "bad superblock")})
    with pytest.raises(CommandFailed, match="bad superblock"):
        ensure_volume(machine(connection), VOLUME)
