# SPDX-License-Identifier: Apache-2.0
"""``upkeep`` of ``private_registry_installation_param``: what keeps a registry going for years."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tacker_cir.params.fields import string
from tacker_cir.params.reader import Reader

KEY = "upkeep"

#: Characters of a calendar expression (systemd.time(7)); the longest sensible one has some forty.
MAX_SCHEDULE = 100
#: Minutes that a collection may take: half a day, as many start daily.
MAX_WINDOW = 12 * 60
DEFAULT_WINDOW = 60
DEFAULT_LOG_SIZE = "10m"
DEFAULT_LOG_FILES = 3

_MEGABYTE = 1000 * 1000

SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "an object with delete, garbage_collection, log_size, log_files, min_free",
    "additionalProperties": False,
    "minProperties": 1,
    "properties": {
        "delete": {
            "type": "boolean",
            "description": "true to let users delete images",
        },
        "garbage_collection": {
            "type": "object",
            "description": "an object with schedule and optionally window",
            "additionalProperties": False,
            "required": ["schedule"],
            "properties": {
                "schedule": string(
                    "a calendar expression of systemd, e.g. Sun 03:00",
                    maxLength=MAX_SCHEDULE,
                    # What systemd.time(7) needs. No %, which a unit's file gives a meaning.
                    pattern=r"^[A-Za-z0-9*][A-Za-z0-9 *:,./~_+-]*\Z",
                ),
                "window": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": MAX_WINDOW,
                    "description": f"minutes that a collection may take, 1 to {MAX_WINDOW}",
                },
            },
        },
        "log_size": string(
            "the size of a file of the container's log, e.g. 10m",
            pattern=r"^[1-9][0-9]{0,5}[kmg]\Z",
        ),
        "log_files": {
            "type": "integer",
            "minimum": 1,
            "maximum": 100,
            "description": "the number of files of the container's log, 1 to 100",
        },
        "min_free": {
            "type": ["string", "integer"],
            "pattern": r"^[1-9][0-9]?%\Z",
            "minimum": 1,
            "maximum": 1_000_000_000,
            "description": "the disk space that shall stay free: megabytes, or e.g. 10%",
        },
    },
}


@dataclass(frozen=True)
class Collection:
    """When unused data are taken away.

    :param schedule: calendar expression (systemd.time(7))
    :param window: minutes that it may take
    """

    schedule: str
    window: int = DEFAULT_WINDOW


@dataclass(frozen=True)
class Upkeep:
    """What is done for a registry that lives long.

    :param delete: whether users may delete images
    :param collection: None where unused data stay
    :param log_size: of one file of the container's log, as Docker takes it
    :param log_files: how many there are at most
    :param min_free: megabytes that shall stay free, or text with the percentage of the disk
    """

    delete: bool = False
    collection: Collection | None = None
    log_size: str = DEFAULT_LOG_SIZE
    log_files: int = DEFAULT_LOG_FILES
    min_free: int | str | None = None

    @property
    def log_options(self) -> dict[str, str]:
        """Options of the container's log (``docker run --log-opt``)."""
        return {"max-size": self.log_size, "max-file": str(self.log_files)}

    def least_free(self, size: int) -> int:
        """Return how many bytes of a file system shall stay free.

        :param size: bytes that the file system has
        """
        if isinstance(self.min_free, str):
            return size * int(self.min_free.removesuffix("%")) // 100
        return (self.min_free or 0) * _MEGABYTE


def read(reader: Reader) -> Upkeep | None:
    """Return the upkeep, None where none is asked for; the schema has found every fault."""
    if reader.valid(KEY) is None:
        return None
    log_files, free = reader.valid(KEY, "log_files"), reader.valid(KEY, "min_free")
    return Upkeep(
        delete=reader.valid(KEY, "delete") is True,
        collection=_collection(reader),
        log_size=reader.valid(KEY, "log_size") or DEFAULT_LOG_SIZE,
        log_files=int(log_files or DEFAULT_LOG_FILES),
        min_free=int(free) if isinstance(free, float) else free,
    )


def _collection(reader: Reader) -> Collection | None:
    schedule = reader.valid(KEY, "garbage_collection", "schedule")
    if schedule is None:
        return None
    window = reader.valid(KEY, "garbage_collection", "window")
    return Collection(schedule, int(window or DEFAULT_WINDOW))
