# SPDX-License-Identifier: Apache-2.0
"""Judges what a package's flavours are made of: templates, UserData, install script."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tacker_cir.csar.agreement import check_flavour
from tacker_cir.csar.archive import CsarError, Reader, load_yaml
from tacker_cir.csar.base_hots import check_base_hot
from tacker_cir.csar.finding import Finding, error
from tacker_cir.csar.sources import CLUSTER_DRIVER
from tacker_cir.csar.translation import check_by_tacker
from tacker_cir.csar.vnfd import Vnfd
from tacker_cir.image_archive import MAX_UNPACKED
from tacker_cir.package import MAX_TEMPLATES
from tacker_cir.params.install_script import find_script_fault
from tacker_cir.templates.flavours import Flavour, read_flavours
from tacker_cir.templates.hot import DIRECTORY, SUFFIXES, read_base_hots
from tacker_cir.templates.user_data import read_user_data

#: Bytes of a script, and how many are looked into; those of the samples have 30 kB, and are two.
MAX_SCRIPT = 256 * 1024
MAX_SCRIPTS = 50


def check_contents(reader: Reader, vnfd: Vnfd) -> Iterator[Finding]:
    """Check each flavour's templates against each other, and the files that they need."""
    hots: dict[str, dict[str, Any]] = {}
    names = [n for n in reader.members if n.startswith(f"{DIRECTORY}/") and n.endswith(SUFFIXES)]
    if len(names) > MAX_TEMPLATES:
        yield error(DIRECTORY, f"has more than {MAX_TEMPLATES} templates")
    for name in names[:MAX_TEMPLATES]:
        yield from _read(reader, name, hots)
    flavours = read_flavours(vnfd.documents | hots)
    for flavour in flavours.values():
        yield from check_flavour(flavour)
    yield from _check_directories(hots, flavours)
    if hots:
        yield from _check_user_data(reader)
    if any(driver == CLUSTER_DRIVER for _, driver, _, _ in vnfd.drivers()):
        yield from _check_install_script(reader)


def check_as_tacker(reader: Reader, vnfd: Vnfd) -> Iterator[Finding]:
    """Have Tacker's own code read the package.

    :param reader: of a package in which nothing else is wrong
    """
    if vnfd.remote:
        return
    hots: dict[str, dict[str, Any]] = {
        name: {} for name in reader.members if name.startswith(f"{DIRECTORY}/")
    }
    flavours = read_flavours(vnfd.documents | hots)
    with tempfile.TemporaryDirectory(prefix="tacker-cir-") as directory:
        reader.unpack(Path(directory), (), MAX_UNPACKED)
        yield from check_by_tacker(Path(directory), vnfd.entry, flavours)


def check_yaml_files(reader: Reader) -> Iterator[Finding]:
    """Tacker looks for the flavour in every YAML file in a directory of the top, whatever it is."""
    for name in reader.members:
        if name.count("/") < 2 and name.endswith(SUFFIXES) and not name.startswith("Definitions/"):
            try:
                load_yaml(name, reader.text(name) or "")
            except CsarError as failure:
                yield error(
                    name,
                    f"Tacker reads each YAML file here when it instantiates, and fails: {failure}; "
                    "put it into a directory below, e.g. Files/manifests, or call it otherwise",
                )


def _read(reader: Reader, name: str, documents: dict[str, dict[str, Any]]) -> Iterator[Finding]:
    documents[name] = {}
    try:
        documents[name] = load_yaml(name, reader.text(name) or "")
    except CsarError as failure:
        yield error(name, failure)


def _check_directories(
    hots: dict[str, dict[str, Any]], flavours: dict[str, Flavour]
) -> Iterator[Finding]:
    found = read_base_hots(hots)
    for name, hot in found.items():
        if name in flavours:
            yield from check_base_hot(hot)
        else:
            known = ", ".join(sorted(flavours)) or "none"
            yield error(hot.directory, f"is the base HOT of no flavour; flavours: {known}")
    for name, flavour in flavours.items():
        if found and name not in found:
            yield error(
                flavour.vnfd.path,
                f"the flavour {name} has no base HOT: expected {DIRECTORY}/{name}, as the package "
                "has base HOTs",
            )


def _check_user_data(reader: Reader) -> Iterator[Finding]:
    classes: set[str] = set()
    names = [name for name in reader.members if name.endswith(".py")]
    # Where they usually are, first.
    names.sort(key=lambda name: not name.startswith("UserData/"))
    for name in names[:MAX_SCRIPTS]:
        try:
            classes |= read_user_data(_script(reader, name)).classes
        except ValueError as problem:
            yield error(name, problem)
    if not classes:
        yield error(
            DIRECTORY,
            "no Python file of the package has a class with a method instantiate, the UserData "
            "without which Tacker takes no base HOT",
        )


def _check_install_script(reader: Reader) -> Iterator[Finding]:
    """A cluster's nodes are installed by a script of the package that the driver knows how to
    call; with none, an operation ends after VMs were made."""
    faults: dict[str, str] = {}
    names = [name for name in reader.members if name.endswith(".sh")][:MAX_SCRIPTS]
    for name in names:
        try:
            problem = find_script_fault(_script(reader, name))
        except ValueError as unreadable:
            problem = str(unreadable)
        if problem is None:
            return
        faults[name] = problem
    for name, problem in faults.items():
        yield error(name, problem)
    if not faults:
        yield error(
            "Scripts",
            "has no install script (*.sh), which script_path of a request names; take the one of "
            "the sample package",
        )


def _script(reader: Reader, name: str) -> str:
    """Return the text of a script.

    :raises ValueError: it cannot be read as one
    """
    if reader.members[name].file_size > MAX_SCRIPT:
        raise ValueError(f"is larger than {MAX_SCRIPT} bytes")
    try:
        return reader.text(name) or ""
    except CsarError as failure:
        raise ValueError(str(failure)) from None
