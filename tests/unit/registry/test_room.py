# SPDX-License-Identifier: Apache-2.0
"""The room for the registry's data, asked of a real file system through a shell."""

from __future__ import annotations

import os
import subprocess

import pytest

from tacker_cir.exceptions import HostError
from tacker_cir.params.registry_upkeep import Upkeep
from tacker_cir.registry.room import Room, read_room, require_room, warn_of_little
from tests.unit.answering import Answering

STEP = "read the free space of the registry's disk"
TOLD = {STEP: "   1B-blocks      Avail\n10000000000 2000000000\n"}


def test_what_df_tells():
    room = read_room(Answering(TOLD), "/srv/registry", Upkeep(min_free="10%"))
    assert room == Room(10**10, 2 * 10**9, 10**9)
    assert read_room(Answering(TOLD), "/srv/registry", None).kept == 0


@pytest.mark.parametrize("told", ["", "x y", "1 -5", "df: no such file", "1 " + "9" * 5000])
def test_what_df_does_not_tell(told):
    with pytest.raises(HostError, match="df tells something else"):
        read_room(Answering({STEP: told}), "/srv/registry", None)


def test_the_command_is_one_that_df_takes(tmp_path):
    connection = Answering()
    with pytest.raises(HostError):
        read_room(connection, str(tmp_path), None)
    told = subprocess.run(connection.asked[0].argv, capture_output=True, text=True, check=True)
    room = read_room(Answering({STEP: told.stdout}), str(tmp_path), None)
    assert room.size == os.statvfs(tmp_path).f_blocks * os.statvfs(tmp_path).f_frsize


@pytest.mark.parametrize(
    ("free", "missing", "message"),
    [
        (None, 2 * 10**9, None),
        (None, 2 * 10**9 + 1, "has 2000 MB free, and the images need 2001 MB"),
        (1500, 500 * 10**6, None),
        (
            "15%",
            600 * 10**6,
            "2000 MB free, and the images need 2100 MB with the 1500 MB of upkeep",
        ),
        (2500, 0, "2000 MB free, and the images need 2500 MB with the 2500 MB of upkeep.min_free"),
    ],
)
def test_both_numbers_are_told_where_there_is_no_room(free, missing, message):
    upkeep = Upkeep(min_free=free) if free else None
    if message is None:
        require_room(Answering(TOLD), "/srv/registry", upkeep, missing)
        return
    with pytest.raises(HostError) as caught:
        require_room(Answering(TOLD), "/srv/registry", upkeep, missing)
    assert message in str(caught.value) and "larger disk" in str(caught.value)


@pytest.mark.parametrize(("free", "warned"), [(1000, False), ("30%", True)])
def test_the_log_warns(free, warned, caplog):
    warn_of_little(Answering(TOLD), "/srv/registry", Upkeep(min_free=free))
    told = "/srv/registry has 2000 MB free, less than the 3000 MB of upkeep.min_free"
    assert (told in caplog.text) == warned
