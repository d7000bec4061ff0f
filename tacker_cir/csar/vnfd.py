# SPDX-License-Identifier: Apache-2.0
"""The VNFD in a package: what it says of drivers and images, and the few edits of a build."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tacker_cir.csar.archive import TOSCA_META, CsarError, file_digest, load_yaml
from tacker_cir.templates.trees import mapping

#: Of Tacker's node types, those that may have a software image.
_IMAGE_NODES = ("tosca.nodes.nfv.Vdu.Compute", "tosca.nodes.nfv.Vdu.VirtualBlockStorage")

SW_IMAGE = "tosca.artifacts.nfv.SwImage"

#: Files that a VNFD consists of; those of the samples are five.
MAX_FILES = 100

_GIB = 1024**3


@dataclass
class Vnfd:
    """A VNFD: its entry file and everything that it imports.

    :param entry: path of the top-level template in the package
    :param documents: parsed files by path
    :param missing: importing file and import, for each import that is not in the package
    :param remote: the same for imports by URL
    """

    entry: str
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    missing: list[tuple[str, str]] = field(default_factory=list)
    remote: list[tuple[str, str]] = field(default_factory=list)

    def nodes(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Yield file, name and template of every node template."""
        for path, document in self.documents.items():
            for name, node in mapping(document, "topology_template", "node_templates").items():
                if isinstance(node, dict):
                    yield path, name, node

    def flavours(self) -> list[str]:
        """Return the files that define a deployment flavour."""
        return [p for p, d in self.documents.items() if mapping(d, *_SUBSTITUTION)]

    @property
    def vnfd_id(self) -> str | None:
        """The ``descriptor_id`` that the top-level template gives."""
        for path, _, node in self.nodes():
            value = mapping(node, "properties").get("descriptor_id")
            if path == self.entry and isinstance(value, str) and value:
                return value
        return None

    def drivers(self) -> Iterator[tuple[str, str, list[str], str | None]]:
        """Yield file, driver name, operations and packaged file of each management driver.

        Tacker reads them from the node template called VNF of the deployment flavour. The packaged
        file is None where the VNFD has no artifact of the driver's name.
        """
        for path, name, node in self.nodes():
            if name != "VNF":
                continue
            operations: dict[str, list[str]] = {}
            for operation, value in mapping(node, "interfaces", "Vnflcm").items():
                driver = value.get("implementation") if isinstance(value, dict) else None
                if isinstance(driver, dict):
                    driver = driver.get("primary")
                if isinstance(driver, str):
                    operations.setdefault(driver, []).append(operation)
            for driver, names in operations.items():
                file = mapping(node, "artifacts", driver).get("file")
                yield path, driver, names, file if isinstance(file, str) else None

    def images(self) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
        """Yield file, node name, image file and ``sw_image_data`` of each packaged VM image."""
        for path, name, node in self.nodes():
            if node.get("type") not in _IMAGE_NODES:
                continue
            for artifact in mapping(node, "artifacts").values():
                # Tacker takes an artifact in short notation for an image, too.
                file = artifact if isinstance(artifact, str) else None
                if mapping(artifact).get("type") == SW_IMAGE:
                    file = artifact.get("file")
                if isinstance(file, str) and "://" not in file:
                    # Tacker takes what follows the last "../" as a path from the package's top.
                    data = mapping(node, "properties", "sw_image_data")
                    yield path, name, file.split("../")[-1], data


_SUBSTITUTION = ("topology_template", "substitution_mappings")


def entry_definitions(meta: str) -> str:
    """Return the path of the top-level template that a TOSCA.meta names.

    :raises CsarError: it names none
    """
    entry = load_yaml(TOSCA_META, meta.split("\n\n", 1)[0]).get("Entry-Definitions")
    if not isinstance(entry, str):
        raise CsarError(f"{TOSCA_META} has no Entry-Definitions")
    return entry


def read_vnfd(entry: str, read: Callable[[str], str | None]) -> Vnfd:
    """Read a VNFD and its imports.

    :param entry: path of the top-level template
    :param read: returns a file's text by path in the package, None where there is none
    :raises CsarError: the entry is missing, or a file is no YAML
    """
    vnfd = Vnfd(entry)
    _read_into(vnfd, entry, read)
    if entry not in vnfd.documents:
        raise CsarError(f"{entry}, the top-level template, is not in the package")
    return vnfd


def _read_into(vnfd: Vnfd, path: str, read: Callable[[str], str | None]) -> bool:
    if path in vnfd.documents:
        return True
    text = read(path)
    if text is None:
        return False
    if len(vnfd.documents) >= MAX_FILES:
        raise CsarError(f"{vnfd.entry} imports more than {MAX_FILES} files")
    document = vnfd.documents[path] = load_yaml(path, text)
    imports = document.get("imports") or []
    if not isinstance(imports, list):
        raise CsarError(f"{path}: imports is not a list")
    for item in imports:
        name = _import_name(item)
        if "://" in name:
            vnfd.remote.append((path, name))
        elif not _read_into(
            vnfd, posixpath.normpath(posixpath.join(posixpath.dirname(path), name)), read
        ):
            vnfd.missing.append((path, name))
    return True


def _import_name(item: Any) -> str:
    """Return the file of an import in any of TOSCA's notations."""
    if isinstance(item, dict):
        item = item.get("file") or next(iter(item.values()), None)
        return _import_name(item)
    return str(item)


def set_vnfd_id(texts: dict[str, str], vnfd: Vnfd, vnfd_id: str) -> None:
    """Replace the VNFD's identifier wherever the VNFD's files say it.

    :param texts: files by path; changed in place
    :raises CsarError: the VNFD does not say its identifier as a plain value
    """
    old = vnfd.vnfd_id
    if old is None:
        raise CsarError(f"{vnfd.entry} has no plain descriptor_id that could be replaced")
    for path in vnfd.documents:
        if path in texts:
            texts[path] = texts[path].replace(old, vnfd_id)


def set_vm_image(texts: dict[str, str], vnfd: Vnfd, image: Path, stored: str, name: str) -> None:
    """Let Tacker make the VM's image out of a file of the package.

    Tacker uploads it to Glance at each instantiation and deletes it at termination.

    :param texts: files by path; changed in place
    :param image: the file
    :param stored: its path in the package
    :param name: name that the image gets in Glance
    :raises CsarError: the VNFD has not exactly one VDU
    """
    vdus = [(p, n) for p, n, node in vnfd.nodes() if node.get("type") == _IMAGE_NODES[0]]
    if len(vdus) != 1:
        raise CsarError(
            f"a VM image can be packed for a VNFD with one VDU, this one has {len(vdus)}; "
            "write sw_image_data and the SwImage artifact into the VNFD and pack the file as one "
            "of the additional files"
        )
    path, vdu = vdus[0]
    document = load_yaml(path, texts[path])
    node = document["topology_template"]["node_templates"][vdu]
    disk_format, disk_size = _disk_image(image)
    node["properties"] = properties = dict(mapping(node, "properties"))
    properties["sw_image_data"] = {
        "name": name,
        "version": "1.0",
        # Tacker compares this with what Glance computed, which is SHA-512 by default
        # (Glance's option hashing_algorithm).
        "checksum": {"algorithm": "sha-512", "hash": file_digest(image, "sha-512")},
        "container_format": "bare",
        "disk_format": disk_format,
        "min_disk": f"{-(-disk_size // _GIB)} GB",
        "size": f"{image.stat().st_size} B",
    }
    node["artifacts"] = artifacts = dict(mapping(node, "artifacts"))
    artifacts["sw_image"] = {
        "type": SW_IMAGE,
        "file": f"../{stored}",
    }
    texts[path] = _dump(document)


def _disk_image(path: Path) -> tuple[str, int]:
    """Return disk format and size in bytes of the disk that an image file holds."""
    with path.open("rb") as stream:
        head = stream.read(32)
    # QEMU's docs/interop/qcow2.txt: magic in bytes 0-3, virtual size in bytes 24-31.
    if head.startswith(b"QFI\xfb") and len(head) == 32:
        return "qcow2", int.from_bytes(head[24:32], "big")
    return "raw", path.stat().st_size


def set_hot_defaults(texts: dict[str, str], values: Mapping[str, str]) -> None:
    """Set what the VMs of the base HOTs are made of where the request does not say it.

    :param texts: files by path; changed in place
    :param values: ``image`` and ``flavor``
    :raises CsarError: no base HOT has defaults of this form
    """
    found = False
    for path, text in texts.items():
        if not path.startswith("BaseHOT/") or not path.endswith((".yaml", ".yml")):
            continue
        document = load_yaml(path, text)
        found_vdus = mapping(document, "parameters", "nfv", "default", "VDU").values()
        vdus = [vdu for vdu in found_vdus if isinstance(vdu, dict)]
        for vdu in vdus:
            vdu.update(values)
        if vdus:
            texts[path] = _dump(document)
            found = True
    if not found:
        raise CsarError(
            f"no base HOT has a default of the parameter nfv with VDU.<name>.{'/'.join(values)}; "
            "name the VM's image and flavor in your base HOT itself"
        )


def _dump(document: dict[str, Any]) -> str:
    """Return a document as YAML; comments are lost."""
    return yaml.safe_dump(document, sort_keys=False, width=100)
