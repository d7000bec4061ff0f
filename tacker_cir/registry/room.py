# SPDX-License-Identifier: Apache-2.0
"""How much room the registry's data have on their disk."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tacker_cir import log as logging
from tacker_cir.command import Command
from tacker_cir.exceptions import HostError
from tacker_cir.params.registry_upkeep import Upkeep
from tacker_cir.ssh import Connection

LOG = logging.getLogger(__name__)

_NUMBER = re.compile(r"[0-9]{1,19}", re.ASCII)
_STEP = "read the free space of the registry's disk"
_MEGABYTE = 1000 * 1000


@dataclass(frozen=True)
class Room:
    """A file system's bytes.

    :param size: all that it has
    :param free: that are free for who is not root
    :param kept: that shall stay free
    """

    size: int
    free: int
    kept: int = 0


def read_room(connection: Connection, directory: str, upkeep: Upkeep | None) -> Room:
    """Return what the file system of a directory has.

    :raises HostError: the machine does not tell
    """
    words = ("df", "--block-size=1", "--output=size,avail", "--", directory)
    told = connection.run(Command(words, _STEP)).stdout.split()[-2:]
    if len(told) != 2 or not all(map(_NUMBER.fullmatch, told)):
        remedy = f"look at 'df {directory}' of the VM"
        raise HostError(connection.node, _STEP, "df tells something else", remedy)
    size, free = (int(word) for word in told)
    return Room(size, free, upkeep.least_free(size) if upkeep else 0)


def warn_of_little(connection: Connection, directory: str, upkeep: Upkeep) -> None:
    """Say in the log if less is free than shall stay so.

    :raises HostError: the machine does not tell
    """
    room = read_room(connection, directory, upkeep)
    if room.free < room.kept:
        LOG.warning(
            "%s: %s has %d MB free, less than the %d MB of upkeep.min_free",
            connection.node,
            directory,
            room.free // _MEGABYTE,
            room.kept // _MEGABYTE,
        )


def require_room(
    connection: Connection, directory: str, upkeep: Upkeep | None, missing: int
) -> None:
    """Refuse to begin what would leave less free than shall stay so.

    :param missing: bytes that will come
    :raises HostError: there is not enough room; it names both numbers
    """
    room = read_room(connection, directory, upkeep)
    if room.free - missing >= room.kept:
        return
    cause = f"{directory} has {room.free // _MEGABYTE} MB free, and {_needed(missing, room.kept)}"
    remedy = "give the registry a larger disk or delete images, then retry the operation"
    raise HostError(connection.node, "make room for the contents", cause, remedy)


def _needed(missing: int, kept: int) -> str:
    needed = -(-(missing + kept) // _MEGABYTE)
    if not kept:
        return f"the images need {needed} MB"
    return f"the images need {needed} MB with the {kept // _MEGABYTE} MB of upkeep.min_free"
