# SPDX-License-Identifier: Apache-2.0
"""What a lab is made of: parts that are downloaded, built or compiled once and kept in the cache.

Each layer of the lab names its parts; the stage of preparation makes them before anything is up.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from tests.testbed.machines.host import build_once, end_commands

#: Downloads wait for a network and a compiler does not: so many parts are made at a time.
AT_A_TIME = 3


@dataclass(frozen=True)
class Part:
    """Something that a lab needs.

    :param target: where it is kept; its name tells what it was made from.
    :param build: makes it at the path that it is given.
    :param megabytes: of disk that it keeps.
    :param minutes: that it takes on two idle cores.
    :param needs: parts that must be there before.
    """

    name: str
    target: Path
    build: Callable[[Path], object]
    megabytes: int
    minutes: float
    needs: tuple[Part, ...] = ()

    @property
    def is_there(self) -> bool:
        """Whether nothing has to be made."""
        return self.target.exists()

    def make(self) -> float:
        """Make it, unless it is there; the seconds that it took are returned."""
        begun = time.monotonic()
        build_once(self.target, self.name, self.build)
        return time.monotonic() - begun


def make_all(parts: Sequence[Part]) -> dict[str, float]:
    """Make parts, several at a time, each after those that it needs.

    When one fails or we are interrupted, the others are ended; none is left half made.

    :returns: seconds that each took, by its name.
    """
    waiting, times = list(parts), dict[str, float]()
    running: dict[Future[float], Part] = {}
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        try:
            while waiting or running:
                for part in [p for p in waiting if not any(n in p.needs for n in waiting)]:
                    if any(needed in part.needs for needed in running.values()):
                        continue
                    waiting.remove(part)
                    running[pool.submit(part.make)] = part
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    times[running.pop(future).name] = future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            end_commands()
            raise
    return times


@dataclass(frozen=True)
class Prepared:
    """Where everything is that a lab needs, found out once and handed on in a file.

    :param base: the tree that all machines lie over.
    :param repositories: directory of the machines' package repositories, by name.
    :param tacker: Python environment of another Tacker, which the cloud then runs.
    :param tacker_package: directory with this package, for that Tacker.
    :param newer: repositories of newer suites, by suite; only the longest tests have them.
    :param daemons: tree with docker-registry and tinyproxy.
    :param registry_image: archive of registry:latest.
    :param cloud: tree with RabbitMQ and MariaDB.
    :param programs: directory of the compiled programs.
    :param kubernetes: repository of Kubernetes' packages.
    :param images: directory of the archives of Kubernetes' images.
    :param fetched: directory of another Kubernetes, which clusters then have.
    """

    base: Path
    repositories: Path
    daemons: Path
    registry_image: Path
    cloud: Path | None = None
    programs: Path | None = None
    kubernetes: Path | None = None
    images: Path | None = None
    fetched: Path | None = None
    tacker: Path | None = None
    tacker_package: Path | None = None
    newer: dict[str, Path] = dataclasses.field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Write it to a file; readers never see half of it."""
        part = path.with_name(path.name + ".part")
        part.write_text(json.dumps(dataclasses.asdict(self), default=str))
        part.rename(path)

    @classmethod
    def read(cls, path: Path) -> Prepared:
        """Read it from a file."""
        values = json.loads(path.read_text())
        newer = {suite: Path(tree) for suite, tree in values.pop("newer").items()}
        paths = {name: Path(value) for name, value in values.items() if value is not None}
        return cls(**paths, newer=newer)


def all_there(parts: Iterable[Part]) -> bool:
    """Whether nothing has to be made."""
    return all(part.is_there for part in parts)
