# SPDX-License-Identifier: Apache-2.0
"""Judges a VNF package by what Tacker will demand of it when it is uploaded and used."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from tacker_cir.csar.archive import TOSCA_META, CsarError, Reader, load_yaml
from tacker_cir.csar.contents import check_as_tacker, check_contents, check_yaml_files
from tacker_cir.csar.finding import Finding, error, warning
from tacker_cir.csar.sources import CLUSTER_DRIVER, REGISTRY_DRIVER, installed_driver
from tacker_cir.csar.vnfd import Vnfd, entry_definitions, read_vnfd
from tacker_cir.templates.trees import mapping

#: Findings of one package; who has more mends the first ones and asks again.
MAX_FINDINGS = 200

#: Operations that must call the driver (spec cir-k8s-cluster, "VNFD for Docker private registry"
#: and "VNFD for Kubernetes cluster"). Tacker calls none for another one.
REQUIRED_OPERATIONS = {
    REGISTRY_DRIVER: ("instantiate_end", "heal_end"),
    CLUSTER_DRIVER: (
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
    REGISTRY_DRIVER: {
        "modify_information_end": "users and certificates changed in the metadata reach the VM "
        "only with the next heal operation",
    },
    CLUSTER_DRIVER: {
        "instantiate_start": "a faulty request is refused only after VMs were made",
        "terminate_start": "a cluster that a VNF is still on is destroyed",
        "modify_information_end": "registries changed in the metadata reach the nodes only with "
        "the next scale or heal operation",
    },
}


def verify(csar: Path) -> list[Finding]:
    """Check a VNF package against itself and against the drivers installed here.

    :param csar: the zip file; it is not unpacked
    :return: every finding, none for a valid package
    :raises CsarError: no zip file
    """
    with Reader(Path(csar)) as reader:
        findings = list(islice(_findings(reader), MAX_FINDINGS))
        # What is wrong already, Tacker's own code would only say again, in its words.
        if not any(finding.level == "error" for finding in findings):
            meta = reader.text(TOSCA_META) or ""
            vnfd = read_vnfd(entry_definitions(meta), reader.text)
            findings += check_as_tacker(reader, vnfd)
        return findings


def _findings(reader: Reader) -> Iterator[Finding]:
    for name, problem in reader.unsafe():
        yield error(name, problem)
    where = TOSCA_META
    try:
        meta = reader.text(TOSCA_META)
        if meta is None:
            yield error(TOSCA_META, "is missing; the package cannot be read any further")
            return
        yield from _check_hashes(reader, meta)
        where = entry_definitions(meta)
        vnfd = read_vnfd(where, reader.text)
    except CsarError as failure:
        yield error(where, failure)
        return
    yield from _check_imports(vnfd)
    yield from _check_flavours(vnfd)
    yield from _check_drivers(reader, vnfd)
    yield from _check_images(reader, vnfd)
    yield from check_contents(reader, vnfd)
    yield from check_yaml_files(reader)


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
            yield error(TOSCA_META, f"a block lacks Name, Algorithm or Hash: {name[:60]!r}")
        elif "://" in name:
            yield warning(name, "is fetched by the conductor and was not checked here")
        elif name not in reader.members:
            yield error(name, f"is listed in {TOSCA_META} but not in the package")
        else:
            try:
                actual = reader.digest(name, algorithm)
            except CsarError as failure:
                yield error(name, failure)
                continue
            if actual != given:
                yield error(
                    name, f"{algorithm} is {actual}, but {TOSCA_META} says {given}; build it again"
                )


def _check_imports(vnfd: Vnfd) -> Iterator[Finding]:
    for path, name in vnfd.missing:
        yield error(path, f"imports {name}, which is not in the package")
    for path, name in vnfd.remote:
        yield warning(path, f"imports {name}: the conductor needs access to it at each operation")


def _check_flavours(vnfd: Vnfd) -> Iterator[Finding]:
    if vnfd.vnfd_id is None:
        yield error(vnfd.entry, "gives no descriptor_id, which is the VNFD's identifier")
    if not vnfd.flavours():
        yield error(vnfd.entry, "no imported file has substitution_mappings of a flavour")
    for path in vnfd.flavours():
        mappings = vnfd.documents[path]["topology_template"]["substitution_mappings"]
        if "requirements" not in mappings:
            yield error(
                path, "substitution_mappings lacks requirements: Tacker fails at every operation"
            )


def _check_drivers(reader: Reader, vnfd: Vnfd) -> Iterator[Finding]:
    drivers = list(vnfd.drivers())
    if not drivers:
        yield error(
            vnfd.entry, "no operation of the node template VNF (interface Vnflcm) calls a driver"
        )
    for path, driver, operations, file in drivers:
        missing = [o for o in REQUIRED_OPERATIONS.get(driver, ()) if o not in operations]
        if missing:
            yield error(path, f"{driver} must also implement {', '.join(missing)}")
        for operation, otherwise in RECOMMENDED_OPERATIONS.get(driver, {}).items():
            if operation not in operations:
                yield warning(path, f"{driver} does not implement {operation}: {otherwise}")
        if file is None:
            yield error(path, f"the node template VNF has no artifact {driver!r} with a file")
        elif file not in reader.members:
            yield error(path, f"the artifact {driver!r} names {file}, which is not in the package")
        else:
            yield from _compare_driver(reader, driver, file)


def _compare_driver(reader: Reader, driver: str, file: str) -> Iterator[Finding]:
    try:
        installed = installed_driver(driver)
        packaged = _tacker_digest(reader.read(file))
    except CsarError as failure:
        yield error(file, failure)
        return
    if packaged != _tacker_digest(installed.read_bytes()):
        yield error(
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
            yield error(path, f"{node} has the image {file}, which is not in the package")
            continue
        checksum = mapping(data, "checksum")
        algorithm, given = str(checksum.get("algorithm")), str(checksum.get("hash"))
        try:
            actual = reader.digest(file, algorithm)
        except CsarError as failure:
            yield error(path, f"sw_image_data of {node}: {failure}")
            continue
        if actual != given:
            yield error(file, f"{algorithm} is {actual}, but sw_image_data of {node} says {given}")
        elif algorithm.lower() != "sha-512":
            yield warning(
                path,
                f"sw_image_data of {node} has {algorithm}; Tacker compares it with "
                "Glance's hash, which is SHA-512 unless Glance is configured otherwise",
            )
