# SPDX-License-Identifier: Apache-2.0
"""Makes the VNF packages of the registry VNF and the cluster VNF."""

from __future__ import annotations

import mimetypes
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from uuid import UUID

from tacker_cir import log as logging
from tacker_cir.csar import sources
from tacker_cir.csar.archive import (
    TOSCA_META,
    CsarUse,
    Entry,
    UnreadableCsar,
    Writer,
    check_name,
)
from tacker_cir.csar.finding import PackageFaults, error
from tacker_cir.csar.sources import CLUSTER_DRIVER, REGISTRY_DRIVER
from tacker_cir.csar.verify import verify
from tacker_cir.csar.vnfd import (
    Vnfd,
    entry_definitions,
    read_vnfd,
    set_hot_defaults,
    set_vm_image,
    set_vnfd_id,
)
from tacker_cir.exceptions import io_problem
from tacker_cir.package import PackageFileError, read_image_archive
from tacker_cir.params.registry_contents import read_checked

LOG = logging.getLogger(__name__)

IMAGES = "Files/images"
CONTENTS = "Files/contents"

#: Bytes from which on packing a file takes long enough to say so.
LARGE = 10_000_000

_KINDS = {REGISTRY_DRIVER: "private-registry", CLUSTER_DRIVER: "kubernetes"}

# Templates of a package directory are read and may be edited; the rest is only copied.
_TEMPLATES = (".yaml", ".yml", ".meta")


@dataclass(frozen=True)
class Csar:
    """A VNF package that was built.

    :param path: the zip file
    :param size: its size in bytes
    :param vnfd_id: identifier to create VNF instances with
    :param image_path: what ``image_path`` of a request must be to use the packed registry image;
        None where none is packed
    :param entries: the files in it
    :param contents: what ``contents`` of a request must be for the packed images
    """

    path: Path
    size: int
    vnfd_id: str | None
    image_path: str | None
    entries: tuple[Entry, ...]
    contents: tuple[str, ...] = ()


def build_private_registry(
    output: Path,
    *,
    image: Path | None = None,
    contents: Sequence[Path] = (),
    base_hot: bool = False,
    package: Path | None = None,
    vm_image: str | None = None,
    vm_image_file: Path | None = None,
    flavor: str | None = None,
    vnfd_id: str | None = None,
    files: Mapping[str, Path] | None = None,
    sol001_definitions: Path | None = None,
) -> Csar:
    """Build the VNF package of a Docker private registry.

    Equal input gives an equal file. ``output`` appears only when it is complete and has passed
    :func:`tacker_cir.csar.verify`.

    :param output: the zip file to write; an existing one is replaced
    :param image: a ``docker save`` archive of the registry image, for a VM without access to a
        public registry
    :param contents: archives of images that the registry shall have
    :param base_hot: take the sample with a base HOT instead of the TOSCA-only one
    :param package: a package directory of your own instead of a sample
    :param vm_image: name of the VM's image. With a base HOT an existing image of the VIM; with
        ``vm_image_file`` the name that the image gets in Glance (default: the file's name)
    :param vm_image_file: disk image of the VM, which Tacker uploads to Glance. The TOSCA-only
        sample needs it, for Tacker translates a TOSCA-only VNFD without a way to name an image
    :param flavor: name of an existing flavor of the VIM, only with a base HOT
    :param vnfd_id: identifier of the VNFD in place of the directory's; Tacker wants it unique
    :param files: more files, by path in the package, e.g. a key or a keyring
    :param sol001_definitions: directory of ETSI's type definitions; by default those
        that python-tackerclient installs
    :raises CsarError: something is missing, contradictory or unreadable
    """
    if package is not None and base_hot:
        raise CsarUse("give either base_hot or a package directory of your own, not both")
    sample = "private_registry_vnf_package" + ("_basehot" if base_hot else "")
    with _errors_of(output):
        plan = _plan(sample, package, vnfd_id, sol001_definitions)
        _require_driver(plan, REGISTRY_DRIVER)
        plan.set_vm(vm_image, vm_image_file and Path(vm_image_file), flavor, sample=not package)
        image_path = plan.add_image(Path(image)) if image else None
        packed = tuple(plan.add_contents(Path(archive)) for archive in contents)
        return replace(_finish(Path(output), plan, files or {}, image_path), contents=packed)


def build_kubernetes(
    output: Path,
    *,
    package: Path | None = None,
    vm_image: str | None = None,
    flavor: str | None = None,
    vnfd_id: str | None = None,
    files: Mapping[str, Path] | None = None,
    sol001_definitions: Path | None = None,
) -> Csar:
    """Build the VNF package of a Kubernetes cluster.

    Equal input gives an equal file. ``output`` appears only when it is complete and has passed
    :func:`tacker_cir.csar.verify`.

    :param output: the zip file to write; an existing one is replaced
    :param package: a package directory of your own instead of the sample
    :param vm_image: name of an existing image of the VIM, for all VMs
    :param flavor: name of an existing flavor of the VIM, for all VMs
    :param vnfd_id: identifier of the VNFD in place of the directory's; Tacker wants it unique
    :param files: more files, by path in the package, e.g. CA certificates of registries, the
        manifest of a pod network or the keyring of a package repository
    :param sol001_definitions: directory of ETSI's type definitions; by default those
        that python-tackerclient installs
    :raises CsarError: something is missing, contradictory or unreadable
    """
    with _errors_of(output):
        plan = _plan("kubernetes_vnf_package", package, vnfd_id, sol001_definitions)
        _require_driver(plan, CLUSTER_DRIVER)
        plan.set_vm(vm_image, None, flavor, sample=not package)
        return _finish(Path(output), plan, files or {})


@contextmanager
def _errors_of(output: Path) -> Iterator[None]:
    output = Path(output)
    try:
        yield
    except OSError as failure:
        # Of the file that is written first beside it, nobody knows.
        mine = failure.filename is None or Path(failure.filename).name.startswith(f".{output.name}")
        where = "" if mine else f"{failure.filename}: "
        raise UnreadableCsar(f"cannot build {output}: {where}{io_problem(failure)}") from failure


def _plan(
    sample: str, package: Path | None, vnfd_id: str | None, definitions: Path | None
) -> _Plan:
    plan = _Plan(Path(package) if package else sources.samples_dir() / sample)
    plan.add_definitions(sources.sol001_definitions(definitions))
    if vnfd_id is not None:
        plan.set_vnfd_id(vnfd_id)
    elif package is not None:
        _warn_of_sample_id(plan.vnfd())
    plan.add_drivers()
    return plan


def _require_driver(plan: _Plan, wanted: str) -> None:
    """Refuse a package of the other kind of VNF: its requests would have other parameters."""
    named = {driver for _, driver, _, _ in plan.vnfd().drivers()}
    other = next((kind for driver, kind in _KINDS.items() if driver in named), None)
    if wanted not in named and other is not None:
        raise PackageFaults(
            [
                error(
                    plan.entry,
                    f"its flavours call no {wanted}; build it with tacker-cir csar build {other}",
                )
            ]
        )


def _warn_of_sample_id(vnfd: Vnfd) -> None:
    if vnfd.vnfd_id in sample_vnfd_ids():
        LOG.warning(
            "%s: the VNFD has the identifier of a sample, %s, and Tacker takes each identifier "
            "once; give it one of its own with --vnfd-id UUID",
            vnfd.entry,
            vnfd.vnfd_id,
        )


def sample_vnfd_ids() -> frozenset[str]:
    """Return the identifiers of the samples' VNFDs."""
    plans = [_Plan(path.parents[1]) for path in sources.samples_dir().rglob(TOSCA_META)]
    return frozenset(filter(None, (plan.vnfd().vnfd_id for plan in plans)))


def _finish(
    output: Path, plan: _Plan, files: Mapping[str, Path], image_path: str | None = None
) -> Csar:
    for name, path in files.items():
        # May be a private key: nobody else on the conductor's host shall read it.
        plan.add(name, Path(path), mode=0o600)
    entries = _write(output, plan, private=bool(files))
    return Csar(output, output.stat().st_size, plan.vnfd().vnfd_id, image_path, entries)


@dataclass(frozen=True)
class _Source:
    """Where a file of the package comes from."""

    content: Path
    mode: int = 0o644
    pack: bool = True


class _Plan:
    """What goes into the package: texts that may be edited, and files to copy.

    :param directory: the package directory that everything else is added to
    """

    def __init__(self, directory: Path):
        self.texts: dict[str, str] = {}
        self.sources: dict[str, _Source] = {}
        for name, path in _package_files(directory):
            if name.endswith(_TEMPLATES) and not name.startswith("Files/"):
                self.texts[name] = _read_text(path)
            else:
                self.add(name, path)
        if TOSCA_META not in self.texts:
            raise UnreadableCsar(f"{directory} has no {TOSCA_META}; it is no package directory")
        self.entry = entry_definitions(self.texts[TOSCA_META])

    def vnfd(self) -> Vnfd:
        """Return the VNFD as it stands after the edits so far."""
        return read_vnfd(self.entry, self.texts.get)

    def add(self, name: str, path: Path, *, mode: int = 0o644, pack: bool = True) -> None:
        """Plan to copy a file.

        :raises CsarError: no file, or the name is taken or no path in a package
        """
        check_name(name)
        if name in self.sources or name in self.texts:
            raise CsarUse(f"two files for {name} in the VNF package; rename one of them")
        if not path.is_file():
            problem = "is not a file" if path.exists() else "is not a file: no such file"
            raise UnreadableCsar(f"{path}, for {name} in the VNF package, {problem}")
        self.sources[name] = _Source(path, mode, pack)

    def add_definitions(self, definitions: Mapping[str, Path]) -> None:
        """Add those of ETSI's type definitions that the directory does not bring itself."""
        for name, path in definitions.items():
            self.texts.setdefault(str(PurePosixPath(self.entry).with_name(name)), _read_text(path))

    def set_vnfd_id(self, vnfd_id: str) -> None:
        """Give the VNFD another identifier."""
        try:
            UUID(vnfd_id)
        except ValueError:
            raise CsarUse(f"the VNFD's identifier must be a UUID; got {vnfd_id!r}") from None
        set_vnfd_id(self.texts, self.vnfd(), vnfd_id)

    def set_vm(
        self, image: str | None, image_file: Path | None, flavor: str | None, *, sample: bool
    ) -> None:
        """Say what the VMs are made of."""
        has_base_hot = any(name.startswith("BaseHOT/") for name in self.texts)
        if not has_base_hot and flavor is not None:
            raise CsarUse(
                "with a TOSCA-only VNFD Tacker makes a flavor from the VDU's virtual_compute; "
                "an existing flavor can only be named in a package with a base HOT"
            )
        if not has_base_hot and image_file is None and (sample or image is not None):
            raise CsarUse(
                "with a TOSCA-only VNFD Tacker boots the VM from an image file of the package, "
                "an existing image cannot be named; give the VM's image file, or take the variant "
                "with a base HOT"
            )
        if image_file is not None:
            stored = f"{IMAGES}/{image_file.name}"
            self.add(stored, image_file, pack=False)
            set_vm_image(self.texts, self.vnfd(), image_file, stored, image or image_file.stem)
        named = {"image": None if image_file else image, "flavor": flavor}
        values = {key: value for key, value in named.items() if value is not None}
        if values:
            set_hot_defaults(self.texts, values)

    def add_drivers(self) -> None:
        """Add the installed file of each management driver that the VNFD names, in place of any
        copy that the directory has."""
        for _, driver, _, file in self.vnfd().drivers():
            if file is not None:
                self.sources.pop(file, None)
                self.add(file, sources.installed_driver(driver))

    def add_image(self, image: Path) -> str:
        """Add the archive of the registry image and return its path in the package."""
        return self._add_archive(image, IMAGES, read_image_archive)

    def add_contents(self, archive: Path) -> str:
        """Add an archive of images and return its path in the package."""
        return self._add_archive(archive, CONTENTS, read_checked)

    def _add_archive(self, archive: Path, directory: str, check: Callable[[Path], object]) -> str:
        try:
            check(archive)
        except PackageFileError as failure:
            raise UnreadableCsar(f"{archive} {failure}") from None
        name = f"{directory}/{archive.name}"
        self.add(name, archive)
        return name


def _package_files(directory: Path) -> list[tuple[str, Path]]:
    """Return the files of a package directory by path in the package, without hidden ones and
    Python's caches."""
    if not directory.is_dir():
        problem = "" if directory.exists() else ": no such directory"
        raise UnreadableCsar(f"{directory} is not a directory{problem}")
    found = []
    for path in sorted(directory.rglob("*")):
        relative = path.relative_to(directory)
        hidden = any(part.startswith(".") or part == "__pycache__" for part in relative.parts)
        if path.is_file() and not hidden:
            found.append((relative.as_posix(), path))
    return found


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UnreadableCsar(f"{path} is not UTF-8 text") from None


def _write(output: Path, plan: _Plan, *, private: bool) -> tuple[Entry, ...]:
    """Write the package beside its final place, check it and move it there."""
    handle, name = tempfile.mkstemp(prefix=f".{output.name}.", dir=output.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w+b") as target:
            entries = _write_members(target, plan)
            target.flush()
            os.fsync(target.fileno())
        findings = verify(temporary)
        errors = [finding for finding in findings if finding.level == "error"]
        if errors:
            raise PackageFaults(errors)
        for finding in findings:
            LOG.warning("%s", finding)
        temporary.chmod(0o600 if private else 0o644)
        temporary.replace(output)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return entries


def _write_members(target: BinaryIO, plan: _Plan) -> tuple[Entry, ...]:
    writer = Writer(target)
    listed: list[Entry] = []
    for name, source in sorted(plan.sources.items()):
        if (size := source.content.stat().st_size) >= LARGE:
            LOG.info("packing %s (%.0f MB)", name, size / 1e6)
        listed.append(writer.add(name, source.content, mode=source.mode, pack=source.pack))
    texts = dict(plan.texts)
    head = texts.pop(TOSCA_META).split("\n\n", 1)[0].strip()
    for name, text in sorted(texts.items()):
        entry = writer.add(name, text.encode())
        if not name.startswith("Definitions/"):
            listed.append(entry)
    meta = "\n\n".join([head, *map(_meta_block, sorted(listed, key=lambda e: e.path))]) + "\n"
    writer.add(TOSCA_META, meta.encode())
    writer.close()
    return tuple(writer.entries.values())


def _meta_block(entry: Entry) -> str:
    """Return the lines that describe a file in TOSCA.meta (ETSI GS NFV-SOL 004, 4.3.5)."""
    known = {".py": "text/x-python", ".yaml": "application/yaml", ".yml": "application/yaml"}
    suffix = PurePosixPath(entry.path).suffix
    content_type = known.get(suffix) or mimetypes.guess_type(entry.path)[0]
    return (
        f"Name: {entry.path}\n"
        f"Content-Type: {content_type or 'application/octet-stream'}\n"
        f"Algorithm: SHA-256\n"
        f"Hash: {entry.sha256}"
    )
