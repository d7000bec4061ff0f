# SPDX-License-Identifier: Apache-2.0
"""The stage of preparation: all that the lab downloads, builds, compiles and installs.

It comes before any namespace, machine or service, prints a plan first, and may be interrupted and
repeated. What it found out and made is handed on as :class:`Prepared`; later nothing is asked of
the host's package manager, and nothing is made.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.testbed.cloud import daemons, tackers
from tests.testbed.kubernetes import archives, fetch, programs, repository, source
from tests.testbed.kubernetes.fetch import Order
from tests.testbed.machines import apt, base, cgroups, images, packages, services
from tests.testbed.machines.host import LabError, locked, os_release, preparation, say
from tests.testbed.machines.parts import Part, Prepared, all_there, make_all
from tests.testbed.times import Times

#: Suites whose container runtimes the longest tests run, beside the host's own.
NEWER_SUITES = ("trixie", "forky")
#: Of the environment, package lists and disks of machines, beside the parts.
SPARE_MEGABYTES = 3000


@dataclass(frozen=True)
class Plan:
    """What a lab needs on this host.

    :param distribution: the host's, with its package lists.
    :param host_packages: what the host has to have installed.
    :param parts: what is kept in the cache, in the order in which it is made.
    :param prepared: where it will be.
    """

    distribution: apt.Distribution
    host_packages: Sequence[str]
    parts: Sequence[Part]
    prepared: Prepared

    @property
    def missing(self) -> list[Part]:
        """The parts that have to be made."""
        return [part for part in self.parts if not part.is_there]

    def show(self, cache: Path) -> None:
        """Print what is needed, what of it is there, and what the rest will take."""
        say(f"a lab needs the following, kept in {cache}:")
        for part in self.parts:
            what = "there" if part.is_there else f"to make, about {part.minutes:g} min"
            elsewhere = "" if part.target.is_relative_to(cache) else f", in {part.target.parent}"
            say(f"  {part.name:54} {part.megabytes:4} MB  {what}{elsewhere}")
        if missing := self.missing:
            minutes = sum(part.minutes for part in missing)
            megabytes = sum(part.megabytes for part in missing)
            say(f"to make: {len(missing)} parts, {megabytes} MB, about {minutes:.0f} minutes")


def plan(
    cache: Path, *, thorough: bool = False, order: Order | None = None, tacker: str | None = None
) -> Plan:
    """Find out what a lab needs.

    :param thorough: also what only the longest tests need.
    :param order: of another Kubernetes, which clusters shall have.
    :param tacker: version of another Tacker, which the cloud shall run.
    """
    distribution = apt.Distribution.find(cache)
    tree = base.part(cache, distribution)
    repositories = packages.part(cache, distribution, tree)
    daemon_programs = services.part(cache, distribution)
    registry_image = images.part(cache, daemon_programs)
    cloud = daemons.part(cache, distribution)
    compiled = programs.part(distribution)
    kubernetes = repository.part(cache, repositories, compiled)
    archived = archives.part(cache, distribution, compiled)
    suites = NEWER_SUITES if thorough and os_release()["ID"] == "debian" else ()
    fetched = fetch.parts(cache, distribution, tree, archived, order) if order else ()
    other = tackers.parts(cache, tacker) if tacker else ()
    newer = {suite: packages.newer_part(cache, distribution, suite) for suite in suites}
    libraries = distribution.libraries(daemons.mariadb_package(distribution))
    tools = fetch.HOST_PACKAGES if order else []
    return Plan(
        distribution,
        [*base.HOST_PACKAGES, *source.HOST_PACKAGES, *libraries, *tools],
        # The compiler goes first, as all else fits beside it.
        (compiled, tree, cloud, repositories, daemon_programs, registry_image, kubernetes,
         archived, *fetched, *other, *newer.values()),
        Prepared(
            base=tree.target,
            repositories=repositories.target,
            daemons=daemon_programs.target,
            registry_image=registry_image.target,
            cloud=cloud.target,
            programs=compiled.target,
            kubernetes=kubernetes.target,
            images=archived.target,
            fetched=fetched[-1].target if fetched else None,
            tacker=other[0].target if other else None,
            tacker_package=other[1].target if other else None,
            newer={suite: part.target for suite, part in newer.items()},
        ),
    )  # fmt: skip


def prepare(
    cache: Path,
    times: Times,
    *,
    thorough: bool = False,
    order: Order | None = None,
    tacker: str | None = None,
) -> Prepared:
    """Make everything that is not there yet.

    :param order: of another Kubernetes, which clusters shall have.
    :param tacker: version of another Tacker, which the cloud shall run.
    :raises LabError: a part cannot be made; those that were made stay.
    """
    if order:
        order.check(cgroups.is_unified())
    if tacker:
        tackers.check(tacker)
    with preparation(), locked(cache / "locks/preparation"):
        needed = plan(cache, thorough=thorough, order=order, tacker=tacker)
        needed.show(cache)
        absent = apt.missing(needed.host_packages)
        if absent or not all_there(needed.parts):
            _demand_disk(cache, needed.missing)
            _make(needed, times)
        for part in needed.parts:
            part.make()  # keeps those that are there from being tidied away
    return needed.prepared


def _make(needed: Plan, times: Times) -> None:
    begun = time.monotonic()
    needed.distribution.refresh()
    needed.distribution.install(needed.host_packages)
    times.add("preparation", "package lists and packages of the host", time.monotonic() - begun)
    for name, seconds in make_all(needed.missing).items():
        times.add("preparation", name, seconds)
    times.add("preparation", "all of it", time.monotonic() - begun)


def _demand_disk(cache: Path, missing: Sequence[Part]) -> None:
    needed = sum(part.megabytes for part in missing) + SPARE_MEGABYTES
    free = shutil.disk_usage(cache).free // 1_000_000
    if free < needed:
        raise LabError(f"{cache} has {free} MB free, {needed} are needed")
