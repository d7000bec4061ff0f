# SPDX-License-Identifier: Apache-2.0
"""The VNF package on the conductor's disk, and the files in it that a request names.

A path in a request comes from a tenant. It is only ever resolved inside the package: Tacker checks
the members of the CSAR, but not such parameters.
"""

from __future__ import annotations

import io
import json
import posixpath
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

#: A key, certificate or keyring is never larger than this many bytes.
SMALL_FILE = 1024 * 1024


class PackageFileError(ValueError):
    """A file of the package is missing, outside of it or not what it should be."""


@dataclass(frozen=True)
class ImageArchive:
    """What a ``docker save`` archive says of itself, read without unpacking it.

    :param path: the archive
    :param size: bytes
    :param tags: image references in it, e.g. ``registry:latest``
    :param image_ids: per tag, the ids that a Docker daemon may give the loaded image: the digest
        of the config (graph drivers) or of a manifest (containerd image store)
    :param architectures: per tag, the architecture in Go's terms, e.g. ``amd64``
    """

    path: Path
    size: int
    tags: tuple[str, ...]
    image_ids: dict[str, frozenset[str]]
    architectures: dict[str, str]


class VnfPackage:
    """An unpacked VNF package.

    :param root: its top directory
    """

    def __init__(self, root: Path):
        self.root = Path(root).resolve()

    def file(self, path: str) -> Path:
        """Return the regular file that a package-relative path names.

        :raises PackageFileError: it is missing, no regular file, or outside the package
        """
        if not path or path.startswith("/") or "\\" in path or "\0" in path:
            raise PackageFileError("must be a path relative to the top of the VNF package")
        if ".." in posixpath.normpath(path).split("/"):
            raise PackageFileError("leads out of the VNF package")
        found = (self.root / path).resolve()
        if not found.is_relative_to(self.root):
            raise PackageFileError("leads out of the VNF package")
        if not found.exists():
            raise PackageFileError("is not in the VNF package")
        if not found.is_file():
            raise PackageFileError("is not a regular file")
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
        found = self.file(path)
        if found.stat().st_size > SMALL_FILE:
            raise PackageFileError(f"is larger than {SMALL_FILE} bytes")
        return found.read_bytes()

    def image_archive(self, path: str) -> ImageArchive:
        """Read the index of a ``docker save`` archive.

        :raises PackageFileError: as :meth:`file`, or it is no such archive
        """
        return read_image_archive(self.file(path))

    def connection_points(self, flavour_id: str | None = None) -> frozenset[str]:
        """Return the names that a CP in a request may have: VduCp nodes of the VNFD and resources
        of the base HOT templates. Empty where none can be read.

        :param flavour_id: narrows the base HOT templates to one flavour
        """
        nodes = {
            name
            for topology in self._topologies()
            for name, node in _members(topology, "node_templates")
            if node.get("type") == "tosca.nodes.nfv.VduCp"
        }
        return frozenset(nodes) | self._resources(
            flavour_id, "OS::Neutron::Port", "OS::Neutron::FloatingIP"
        )

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
        groups = self._resources(flavour_id, "OS::Heat::AutoScalingGroup")
        return frozenset(aspects & groups if aspects and groups else aspects | groups)

    def _topologies(self) -> Iterator[Any]:
        for document in self._yaml_files("Definitions"):
            yield document.get("topology_template")

    def _resources(self, flavour_id: str | None, *types: str) -> frozenset[str]:
        base_hot = "BaseHOT" if flavour_id is None else f"BaseHOT/{flavour_id}"
        return frozenset(
            name
            for document in self._yaml_files(base_hot)
            for name, resource in _members(document, "resources")
            if str(resource.get("type", "")).startswith(types)
        )

    def _yaml_files(self, directory: str) -> Iterator[dict]:
        for path in sorted((self.root / directory).rglob("*.y*ml")):
            if not path.resolve().is_relative_to(self.root):
                continue
            try:
                document = yaml.load(path.read_text(), Loader=YamlLoader)
            except (OSError, UnicodeDecodeError, yaml.YAMLError):
                # Tacker has read or refused the file before; here it only helps to find typos.
                continue
            if isinstance(document, dict):
                yield document


def _members(parent: Any, key: str) -> Iterator[tuple[str, dict]]:
    """Yield the named objects of a part of a template; TOSCA's policies are a list of them."""
    part = parent.get(key) if isinstance(parent, dict) else None
    for members in part if isinstance(part, list) else [part]:
        for name, value in (members if isinstance(members, dict) else {}).items():
            if isinstance(value, dict):
                yield str(name), value


# The ETSI type definitions are large: the C loader reads them some ten times faster.
YamlLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_image_archive(path: Path) -> ImageArchive:
    """Read what a ``docker save`` archive holds (Docker image specification v1.2 and OCI layout).

    Plain archives are only seeked through; compressed ones are read once.

    :raises PackageFileError: not such an archive
    """
    members: dict[str, bytes] = {}
    try:
        with tarfile.open(path, "r:*") as archive:
            for member in archive:
                if member.isfile() and member.size <= SMALL_FILE:
                    source = archive.extractfile(member) or io.BytesIO()
                    content = source.read()
                    if content[:1] in (b"{", b"["):
                        members[posixpath.normpath(member.name)] = content
        manifest = json.loads(members["manifest.json"])
        tags: list[str] = []
        image_ids: dict[str, frozenset[str]] = {}
        architectures: dict[str, str] = {}
        for image in manifest:
            config_name = posixpath.normpath(image["Config"])
            config_digest = posixpath.basename(config_name).removesuffix(".json")
            manifests = _manifest_digests(members, config_digest)
            for tag in image.get("RepoTags") or ():
                tags.append(tag)
                image_ids[tag] = frozenset(f"sha256:{d}" for d in {config_digest, *manifests})
                architectures[tag] = str(json.loads(members[config_name]).get("architecture", ""))
    except (tarfile.TarError, EOFError, OSError) as error:
        raise PackageFileError(f"is not a readable tar archive ({error})") from None
    except (KeyError, TypeError, AttributeError, ValueError):
        raise PackageFileError("is not an archive made with 'docker save'") from None
    if not tags:
        raise PackageFileError("holds no tagged image; save it by name, not by id")
    return ImageArchive(path, path.stat().st_size, tuple(tags), image_ids, architectures)


def _manifest_digests(members: dict[str, bytes], config_digest: str) -> set[str]:
    """Return the digests of the OCI manifests and indexes that lead to a config."""
    digests: set[str] = set()
    wanted = {config_digest}
    # An index may point to an index: two rounds reach what docker save writes.
    for _ in range(3):
        for name, content in members.items():
            if name.startswith("blobs/sha256/") and any(d.encode() in content for d in wanted):
                digests.add(posixpath.basename(name))
        wanted |= digests
    return digests - {config_digest}
