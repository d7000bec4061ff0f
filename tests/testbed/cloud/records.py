# SPDX-License-Identifier: Apache-2.0
"""What the stand-ins for Nova, Neutron, Glance and Cinder know: one JSON file per object.

Files, because several processes share them: heat-engine (the resource plugin), the image
service, and the lab, which must find all machines again after any of those was killed.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.testbed.machines.host import locked

# Lower and higher addresses of the lab's network are for machines that tests make themselves.
ADDRESSES = tuple(f"198.51.100.{number}" for number in range(10, 251))

Record = dict[str, Any]


class AddressError(Exception):
    """The wanted address is taken, or none is left."""


class Records:
    """Objects by kind ("servers", "ports", "images" ...) and id.

    :param top: directory of the files; made when the first object is.
    """

    def __init__(self, top: Path) -> None:
        self._top = Path(top)

    def put(self, kind: str, record: Record) -> None:
        """Write an object; its key "id" names it."""
        directory = self._top / kind
        directory.mkdir(parents=True, exist_ok=True)
        part = directory / f".{record['id']}.{os.getpid()}"
        part.write_text(json.dumps(record, indent=1))
        part.rename(directory / f"{record['id']}.json")

    def get(self, kind: str, name: str) -> Record | None:
        """The object of that id, or None."""
        try:
            return json.loads((self._top / kind / f"{name}.json").read_text())
        except FileNotFoundError:
            return None

    def update(self, kind: str, name: str, **changes: Any) -> None:
        """Change some values of an object; one that is gone stays gone."""
        with self._lock():
            record = self.get(kind, name)
            if record is not None:
                self.put(kind, {**record, **changes})

    def delete(self, kind: str, name: str) -> None:
        """Remove an object; an absent one is no error."""
        (self._top / kind / f"{name}.json").unlink(missing_ok=True)

    def all(self, kind: str) -> list[Record]:
        """All objects of a kind."""
        names = sorted(path.stem for path in (self._top / kind).glob("[!.]*.json"))
        return [record for name in names if (record := self.get(kind, name))]

    def add_with_address(self, kind: str, record: Record, wanted: str | None) -> str:
        """Write a port or floating IP with an address of its own, under key "address".

        :param wanted: an address, or None for any free one.
        :raises AddressError: when it is taken, or none is free.
        """
        with self._lock():
            taken = {r["address"] for k in ("ports", "floating_ips") for r in self.all(k)}
            if wanted in taken:
                raise AddressError(f"address {wanted} is in use")
            free = [wanted] if wanted else [a for a in ADDRESSES if a not in taken]
            if not free:
                raise AddressError("no address is left in the lab's network")
            self.put(kind, {**record, "address": free[0]})
            return free[0]

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        with locked(self._top / "lock"):
            yield
