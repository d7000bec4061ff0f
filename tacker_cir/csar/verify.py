# SPDX-License-Identifier: Apache-2.0
"""Judges a VNF package by what Tacker will demand of it when it is uploaded and used."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tacker_cir.csar.archive import TOSCA_META, CsarError, Reader, load_yaml
from tacker_cir.csar.sources import installed_driver
from tacker_cir.csar.vnfd import Vnfd, entry_definitions, mapping, read_vnfd

#: Operations that must call the driver (spec cir-k8s-cluster, "VNFD for Docker private registry"
#: and "VNFD for Kubernetes cluster"). Tacker calls none for another one.
REQUIRED_OPERATIONS = {
    "mgmt-drivers-private-registry": ("instantiate_end", "heal_end"),
    "mgmt-drivers-kubernetes": (
        "instantiate_end",
        "scale_start",
        "scale_end",
        "heal_start",
        "heal_end",
        "terminate_end",
    ),
}

#: Operations that had better call it, and what goes wrong otherwise.
RECOMMENDED_OPERATIONS = {
    "mgmt-drivers-kubernetes": {
        "instantiate_start": "a faulty request is refused only after VMs were made",
        "terminate_start": "a cluster that a VNF is still on is destroyed",
        "modify_information_end": "registries changed in the metadata reach the nodes only with "
        "the next scale or heal operation",
    },
}


@dataclass(frozen=True)
class Finding:
    """Something that is wrong with a VNF package.

    :param level: ``error`` where Tacker refuses the package or an operation will fail, ``warning``
        where that depends on the conductor's host
    :param where: path in the package
    :param message: what is wrong, and what to do
    """

    level: Literal["error", "warning"]
    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


def verify(csar: Path) -> list[Finding]:
    """Check a VNF package against itself and against the drivers installed here.

    :param csar: the zip file; it is not unpacked
    :return: every finding, none for a valid package
    :raises CsarError: no zip file
    """
    with Reader(Path(csar)) as reader:
        return list(_findings(reader))


def _warning(where: str, message: str) -> Finding:
    return Finding("warning", where, message)


def _error(where: str, message: object) -> Finding:
    return Finding("error", where, str(message))


def _findings(reader: Reader) -> Iterator[Finding]:
    for name, problem in reader.unsafe():
        yield _error(name, problem)
    where = TOSCA_META
    try:
        meta = reader.text(TOSCA_META)
        if meta is None:
            yield _error(TOSCA_META, "is missing; the package cannot be read any further")
            return
        yield from _check_hashes(reader, meta)
        where = entry_definitions(meta)
        vnfd = read_vnfd(where, reader.text)
    except CsarError as error:
        yield _error(where, error)
        return
    yield from _check_imports(vnfd)
    yield from _check_flavours(vnfd)
    yield from _check_drivers(reader, vnfd)
    yield from _check_images(reader, vnfd)


def _check_hashes(reader: Reader, meta: str) -> Iterator[Finding]:
    for text in meta.replace("\r\n", "\n").split("\n\n"):
        block = load_yaml(TOSCA_META, text) if text.strip() else {}
        if not {"Algorithm", "Hash"} & block.keys():
            continue
        name, algorithm, given = (
            str(block.get("Name", block.get("Source", "")) or ""),
            str(block.get("Algorithm") or ""),
            str(block.get("Hash") or ""),
        )
        if not (name and algorithm and given):
            yield _error(TOSCA_META, f"a block lacks Name, Algorithm or Hash: {name[:60]!r}")
        elif "://" in name:
            yield Finding("warning", name, "is fetched by the conductor and was not checked here")
        elif name not in reader.members:
            yield _error(name, f"is listed in {TOSCA_META} but not in the package")
        else:
            try:
                actual = reader.digest(name, algorithm)
            except CsarError as error:
                yield _error(name, error)
                continue
            if actual != given:
                yield _error(
                    name, f"{algorithm} is {actual}, but {TOSCA_META} says {given}; build it again"
                )


def _check_imports(vnfd: Vnfd) -> Iterator[Finding]:
    for path, name in vnfd.missing:
        yield _error(path, f"imports {name}, which is not in the package")
    for path, name in vnfd.remote:
        yield Finding(
            "warning", path, f"imports {name}: the conductor needs access to it at each operation"
        )


def _check_flavours(vnfd: Vnfd) -> Iterator[Finding]:
    if vnfd.vnfd_id is None:
        yield _error(vnfd.entry, "gives no descriptor_id, which is the VNFD's identifier")
    if not vnfd.flavours():
        yield _error(vnfd.entry, "no imported file has substitution_mappings of a flavour")
    for path in vnfd.flavours():
        mappings = vnfd.documents[path]["topology_template"]["substitution_mappings"]
        if "requirements" not in mappings:
            yield _error(
                path, "substitution_mappings lacks requirements: Tacker fails at every operation"
            )


def _check_drivers(reader: Reader, vnfd: Vnfd) -> Iterator[Finding]:
    drivers = list(vnfd.drivers())
    if not drivers:
        yield _error(
            vnfd.entry, "no operation of the node template VNF (interface Vnflcm) calls a driver"
        )
    for path, driver, operations, file in drivers:
        missing = [o for o in REQUIRED_OPERATIONS.get(driver, ()) if o not in operations]
        if missing:
            yield _error(path, f"{driver} must also implement {', '.join(missing)}")
        for operation, otherwise in RECOMMENDED_OPERATIONS.get(driver, {}).items():
            if operation not in operations:
                yield _warning(path, f"{driver} does not implement {operation}: {otherwise}")
        if file is None:
            yield _error(path, f"the node template VNF has no artifact {driver!r} with a file")
        elif file not in reader.members:
            yield _error(path, f"the artifact {driver!r} names {file}, which is not in the package")
        else:
            yield from _compare_driver(reader, driver, file)


def _compare_driver(reader: Reader, driver: str, file: str) -> Iterator[Finding]:
    try:
        installed = installed_driver(driver)
        packaged = _tacker_digest(reader.read(file))
    except CsarError as error:
        yield _error(file, error)
        return
    if packaged != _tacker_digest(installed.read_bytes()):
        yield _error(
            file,
            f"differs from the installed driver {installed}: Tacker will refuse operations with "
            "MgmtDriverHashMatchFailure; build the package again with this installation",
        )


def _tacker_digest(content: bytes) -> str:
    """Return a file's hash as Tacker takes it: of the text, so that line ends do not count."""
    text = content.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
    return hashlib.sha256(text.encode()).hexdigest()


def _check_images(reader: Reader, vnfd: Vnfd) -> Iterator[Finding]:
    for path, node, file, data in vnfd.images():
        if file not in reader.members:
            yield _error(path, f"{node} has the image {file}, which is not in the package")
            continue
        checksum = mapping(data, "checksum")
        algorithm, given = str(checksum.get("algorithm")), str(checksum.get("hash"))
        try:
            actual = reader.digest(file, algorithm)
        except CsarError as error:
            yield _error(path, f"sw_image_data of {node}: {error}")
            continue
        if actual != given:
            yield _error(file, f"{algorithm} is {actual}, but sw_image_data of {node} says {given}")
        elif algorithm.lower() != "sha-512":
            yield Finding(
                "warning",
                path,
                f"sw_image_data of {node} has {algorithm}; Tacker compares it with "
                "Glance's hash, which is SHA-512 unless Glance is configured otherwise",
            )
