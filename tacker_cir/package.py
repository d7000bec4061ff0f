# SPDX-License-Identifier: Apache-2.0
"""The VNF package on the conductor's disk, and the files in it that a request names.

A path in a request comes from a tenant. It is only ever resolved inside the package: Tacker checks
the members of the CSAR, but not such parameters.
"""

from __future__ import annotations

import posixpath
import stat
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from tacker_cir.documents import DocumentError, load_yaml
from tacker_cir.image_archive import (
    SMALL_FILE,
    ImageArchive,
    PackageFileError,
    read_image_archive,
)
from tacker_cir.image_contents import ImageContents, read_image_contents
from tacker_cir.templates.flavours import Flavour, read_flavours
from tacker_cir.templates.hot import ATTACHMENT, FLOATING_IP, GROUP, PORT, VOLUME

#: A template is never larger than this many bytes; the ETSI types have 80 kB.
MAX_TEMPLATE = 4 * 1024 * 1024
#: Templates that are looked into; a package has some ten.
MAX_TEMPLATES = 200

__all__ = ["SMALL_FILE", "ImageArchive", "PackageFileError", "VnfPackage", "read_image_archive"]


class VnfPackage:
    """An unpacked VNF package. It remembers its templates: an instance is for one check.

    :param root: its top directory
    """

    def __init__(self, root: Path):
        self.root = Path(root).resolve()
        self._templates: dict[tuple[Path, int, int], Any] = {}

    def file(self, path: str) -> Path:
        """Return the regular file that a package-relative path names.

        :raises PackageFileError: it is missing, no regular file, or outside the package
        """
        if not path or path.startswith("/") or "\\" in path or "\0" in path:
            raise PackageFileError("must be a path relative to the top of the VNF package")
        if ".." in posixpath.normpath(path).split("/"):
            raise PackageFileError("leads out of the VNF package")
        found = self._inside(path)
        if not found.exists():
            raise PackageFileError("is not in the VNF package")
        if not found.is_file():
            raise PackageFileError("is not a regular file")
        return found

    def _inside(self, path: str | Path) -> Path:
        """Return where a path leads, links followed."""
        try:
            found = (self.root / path).resolve()
            found.exists()
        # A name that is too long or no text, links in a circle (RuntimeError before Python 3.13).
        except (OSError, RuntimeError, ValueError):
            raise PackageFileError("is not in the VNF package") from None
        if not found.is_relative_to(self.root):
            raise PackageFileError("leads out of the VNF package")
        return found

    def text(self, path: str) -> str:
        """Return the content of a small text file.

        :raises PackageFileError: as :meth:`file`, or it is too large or not UTF-8
        """
        try:
            return self.read(path).decode()
        except UnicodeDecodeError:
            raise PackageFileError("is not a text file") from None

    def read(self, path: str) -> bytes:
        """Return the content of a small file.

        :raises PackageFileError: as :meth:`file`, or it is too large
        """
        try:
            with self.file(path).open("rb") as file:
                content = file.read(SMALL_FILE + 1)
        except OSError as error:
            raise PackageFileError(f"cannot be read ({error.strerror})") from None
        if len(content) > SMALL_FILE:
            raise PackageFileError(f"is larger than {SMALL_FILE} bytes")
        return content

    def image_archive(self, path: str) -> ImageArchive:
        """Read the index of a ``docker save`` archive.

        :raises PackageFileError: as :meth:`file`, or it is no such archive
        """
        return read_image_archive(self.file(path))

    def image_contents(self, path: str) -> ImageContents:
        """Read what images an archive holds, of ``docker save`` or of an OCI image layout.

        :raises PackageFileError: as :meth:`file`, or it is no such archive
        """
        return read_image_contents(self.file(path))

    def connection_points(self, flavour_id: str | None = None) -> frozenset[str]:
        """Return the names that a CP in a request may have: VduCp nodes of the VNFD and resources
        of the base HOT templates. Empty where none can be read.

        :param flavour_id: narrows the base HOT templates to one flavour
        """
        nodes = self._nodes("tosca.nodes.nfv.VduCp")
        return nodes | self._resources(flavour_id, PORT, FLOATING_IP)

    def volumes(self, flavour_id: str | None = None) -> frozenset[str]:
        """Return the names that a volume in a request may have: VirtualBlockStorage nodes of the
        VNFD, volumes and attachments of the base HOT templates.

        :param flavour_id: narrows the base HOT templates to one flavour
        """
        nodes = self._nodes("tosca.nodes.nfv.Vdu.VirtualBlockStorage")
        return nodes | self._resources(flavour_id, VOLUME, ATTACHMENT)

    def flavours(self) -> dict[str, Flavour]:
        """Return the deployment flavours by their ids; none where the VNFD cannot be read."""
        return read_flavours(self._documents("Definitions") | self._documents("BaseHOT"))

    def scaling_aspects(self, flavour_id: str | None = None) -> frozenset[str]:
        """Return the names that ``aspect_id`` may have: aspects of the VNFD, of which Tacker makes
        the auto-scaling group of that name in the base HOT grow and shrink. Empty where none can be
        read.

        :param flavour_id: narrows the base HOT templates to one flavour
        """
        aspects = {
            name
            for topology in self._topologies()
            for _, policy in _members(topology, "policies")
            if policy.get("type") == "tosca.policies.nfv.ScalingAspects"
            for name, _ in _members(policy.get("properties"), "aspects")
        }
        groups = self._resources(flavour_id, GROUP)
        return frozenset(aspects & groups if aspects and groups else aspects | groups)

    def _nodes(self, kind: str) -> frozenset[str]:
        return frozenset(
            name
            for topology in self._topologies()
            for name, node in _members(topology, "node_templates")
            if node.get("type") == kind
        )

    def _topologies(self) -> Iterator[Any]:
        for document in self._yaml_files("Definitions"):
            yield document.get("topology_template")

    def _resources(self, flavour_id: str | None, *types: str) -> frozenset[str]:
        base_hot = "BaseHOT" if flavour_id is None else f"BaseHOT/{flavour_id}"
        return frozenset(
            name
            for document in self._yaml_files(base_hot)
            for name, resource in _members(document, "resources")
            if resource.get("type") in types
        )

    def _yaml_files(self, directory: str) -> Iterator[dict[str, Any]]:
        yield from self._documents(directory).values()

    def _documents(self, directory: str) -> dict[str, dict[str, Any]]:
        """Return the templates below a directory by their paths in the package."""
        found = sorted(islice((self.root / directory).rglob("*.y*ml"), MAX_TEMPLATES))
        read = {path.relative_to(self.root).as_posix(): self._template(path) for path in found}
        return {path: document for path, document in read.items() if isinstance(document, dict)}

    def _template(self, path: Path) -> Any:
        """Return a template, read anew only where it has changed; None where it cannot be read.

        Tacker has read or refused it before; here it only helps to find typos.
        """
        try:
            path = self._inside(path)
            state = path.stat()
            if not stat.S_ISREG(state.st_mode):
                return None
            key = (path, state.st_mtime_ns, state.st_size)
            if key not in self._templates:
                small = state.st_size <= MAX_TEMPLATE
                self._templates[key] = _read_template(path) if small else None
            return self._templates[key]
        except (OSError, PackageFileError):
            return None


def _read_template(path: Path) -> Any:
    try:
        return load_yaml(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, DocumentError):
        return None


def _members(parent: Any, key: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the named objects of a part of a template; TOSCA's policies are a list of them."""
    part = parent.get(key) if isinstance(parent, dict) else None
    for members in part if isinstance(part, list) else [part]:
        for name, value in (members if isinstance(members, dict) else {}).items():
            if isinstance(value, dict):
                yield str(name), value
