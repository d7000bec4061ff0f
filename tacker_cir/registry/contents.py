# SPDX-License-Identifier: Apache-2.0
"""The images of the package's archives in the registry: what is missing is sent, nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from tacker_cir import log as logging
from tacker_cir.command import Command
from tacker_cir.exceptions import HostError
from tacker_cir.host.machine import Machine
from tacker_cir.image_contents import Blob, ImageContents, Manifest, SavedImage, read_blobs
from tacker_cir.inventory import Node
from tacker_cir.package import PackageFileError
from tacker_cir.params.names import places_in_registry
from tacker_cir.params.private_registry import PrivateRegistryParams
from tacker_cir.registry import from_node
from tacker_cir.registry.places import Places
from tacker_cir.registry.push import Body, Place, Registry
from tacker_cir.registry.room import require_room
from tacker_cir.registry.serving import Access
from tacker_cir.ssh import Connection
from tacker_cir.waiting import PROGRESS, Deadline

LOG = logging.getLogger(__name__)

#: Seconds to connect to the registry, which has just been found to serve.
CONNECT = 10


# Of an upload that nobody will end. Its directory is the registry's own and named by chance.
_TAKE_AWAY = r"""
set -eu
rm -rf -- "$1/docker/registry/v2/repositories/$2/_uploads/$3"
"""


@dataclass(frozen=True)
class _Target:
    """An image and a repository that shall have it.

    :param tags: none where the image is named by its digest only
    """

    repository: str
    tags: tuple[str, ...]
    image: SavedImage


@dataclass
class _Known:
    """Which repositories have which blobs, as far as they were asked."""

    having: dict[str, set[str]] = field(default_factory=dict)

    def note(self, digest: str, repository: str) -> None:
        self.having.setdefault(digest, set()).add(repository)

    def source(self, digest: str) -> str | None:
        """Return a repository that has a blob."""
        return min(self.having.get(digest, ()), default=None)


def ensure(
    machine: Machine,
    node: Node,
    params: PrivateRegistryParams,
    places: Places,
    access: Access,
) -> list[str]:
    """Make the registry on a machine have what the request's archives hold, and look at the free
    space; return what was done, a line each.

    :param node: the same machine, as Heat knows it
    :param access: how the registry is asked
    :raises HostError: a step failed; a later call goes on where this one stopped
    """
    if not params.contents:
        return []
    seconds = machine.limits.image_timeout
    room = partial(require_room, machine.connection, places.data, params.upkeep)
    place = _place(machine, node, access, places)
    return ensure_contents(place, params.contents, seconds, room)


def _place(machine: Machine, node: Node, access: Access, places: Places) -> Place:
    connection, port = machine.connection, access.port
    # Through the VM, whose registry may not be reached from here, at the address that it serves.
    line = partial(
        from_node.dial, connection, node.address, port, CONNECT, machine.limits.image_timeout
    )
    return Place(
        machine.node,
        node.address,
        port,
        line,
        tls=access.tls(),
        authorization=access.authorization,
        masked=connection.redactor,
        take_away=partial(take_upload_away, connection, places.data),
        prove_alive=connection.prove_alive,
    )


def ensure_contents(
    place: Place,
    archives: Sequence[ImageContents],
    seconds: float,
    check_room: Callable[[int], None],
) -> list[str]:
    """Make a registry have the images of archives, and return what was done, a line each.

    :param seconds: that each archive may take
    :param check_room: told the bytes that are missing, before anything is sent; raises where there
        is no room for them
    :raises HostError: a step failed; a later call goes on where this one stopped
    """
    known = _Known()
    pushes = [_Push(place, archive, Deadline(seconds), known) for archive in archives]
    missing: dict[str, int] = {}
    for push in pushes:
        missing.update(push.look())
    if missing:
        check_room(sum(missing.values()))
    changes = []
    for push in pushes:
        push.deadline = Deadline(seconds)
        changes += push.send()
    return changes


def take_upload_away(connection: Connection, data: str, repository: str, upload: str) -> None:
    """Take away what is there of an upload that has failed.

    :param data: the registry's directory of the machine
    :param upload: its identifier
    """
    step = f"take the rest of an upload of {repository} away"
    connection.run(Command.script(step, _TAKE_AWAY, data, repository, upload))


class _Push:
    """One archive on its way into a registry."""

    def __init__(self, place: Place, archive: ImageContents, deadline: Deadline, known: _Known):
        self._place, self._archive, self._known = place, archive, known
        self.deadline = deadline
        self._targets = list(_targets(archive))
        self._missing: dict[str, set[str]] = {}

    def look(self) -> dict[str, int]:
        """Find out what is missing; return the sizes of the blobs that no repository has."""
        with Registry(self._place, self.deadline) as registry:
            for target in self._targets:
                for blob in target.image.manifest.all_blobs().values():
                    self._look_for(registry, target.repository, blob)
        blobs = self._archive.blobs()
        return {
            digest: blobs[digest].size
            for digest in self._missing
            if self._known.source(digest) is None
        }

    def _look_for(self, registry: Registry, repository: str, blob: Blob) -> None:
        if repository in self._known.having.get(blob.digest, ()):
            return
        size = registry.blob_size(repository, blob.digest)
        if size is None:
            self._missing.setdefault(blob.digest, set()).add(repository)
            return
        if size != blob.size:
            raise HostError(
                self._place.node,
                f"look for {blob.digest[:19]} in {repository}",
                f"the registry has {size} bytes of a blob of {blob.size}: its data are damaged",
                "take the file of this blob away below docker/registry/v2/blobs of the registry's "
                "data, restart the container and retry the operation",
            )
        self._known.note(blob.digest, repository)

    def send(self) -> list[str]:
        """Send what is missing; return what was done, a line each."""
        with Registry(self._place, self.deadline) as registry:
            sent = self._send_blobs(registry)
            tags = [tag for target in self._targets for tag in self._tag(registry, target)]
        if not tags and not sent:
            return []
        name = self._archive.path.name
        LOG.info("%s: %s: %d MB sent, %d tags", self._place.node, name, sent // 10**6, len(tags))
        return [f"{name}: {', '.join(tags) or 'blobs'} pushed"]

    def _send_blobs(self, registry: Registry) -> int:
        sent = _Progress(self._place.node, self._archive, self._missing)
        while self._missing:
            self._mount(registry)
            # In the archive's order: it may be one that can only be read from its beginning.
            with self._archive_errors():
                for blob, portions in read_blobs(self._archive, list(self._missing)):
                    repository = min(self._missing[blob.digest])
                    body = Body(sent.counted(portions), blob.size)
                    registry.upload(repository, blob.digest, body)
                    self._arrived(blob.digest, repository)
        return sent.done

    @contextmanager
    def _archive_errors(self) -> Iterator[None]:
        name = self._archive.path.name
        try:
            yield
        except PackageFileError as error:
            step, remedy = f"read {name}", "save the images again and build the package anew"
            raise HostError(self._place.node, step, f"{name} {error}", remedy) from None

    def _mount(self, registry: Registry) -> None:
        for digest, repositories in list(self._missing.items()):
            source = self._known.source(digest)
            for repository in sorted(repositories) if source else ():
                # Another archive may have brought it there.
                has_it = repository in self._known.having[digest]
                if has_it or registry.mount(repository, digest, source or ""):
                    self._arrived(digest, repository)

    def _arrived(self, digest: str, repository: str) -> None:
        self._known.note(digest, repository)
        self._missing[digest].discard(repository)
        if not self._missing[digest]:
            del self._missing[digest]

    def _tag(self, registry: Registry, target: _Target) -> Iterator[str]:
        manifest = target.image.manifest
        references = target.tags or (manifest.digest,)
        for reference in references:
            if registry.manifest_digest(target.repository, reference) != manifest.digest:
                _put(registry, target.repository, reference, manifest)
                yield f"{target.repository}:{reference}"


def _put(registry: Registry, repository: str, reference: str, manifest: Manifest) -> None:
    # A registry takes an index only after what it names.
    for child in manifest.children:
        if registry.manifest_digest(repository, child.digest) != child.digest:
            _put(registry, repository, child.digest, child)
    registry.put_manifest(repository, reference, manifest)


def _targets(archive: ImageContents) -> Iterator[_Target]:
    for image in archive.images:
        tags: dict[str, list[str]] = {}
        for name in image.names:
            for repository, tag in places_in_registry(name):
                tags.setdefault(repository, []).extend([tag] if tag else [])
        for repository, found in tags.items():
            yield _Target(repository, tuple(dict.fromkeys(found)), image)


class _Progress:
    """Tells in the log how far an archive is, now and then."""

    def __init__(self, node: str, archive: ImageContents, missing: dict[str, set[str]]):
        self._node, self._name = node, archive.path.name
        blobs = archive.blobs()
        self._total = sum(blobs[digest].size for digest in missing)
        self.done, self._told = 0, time.monotonic()

    def counted(self, portions: Iterator[bytes]) -> Iterator[bytes]:
        for portion in portions:
            yield portion
            self.done += len(portion)
            if time.monotonic() - self._told >= PROGRESS:
                self._told = time.monotonic()
                self._tell()

    def _tell(self) -> None:
        LOG.info(
            "%s: pushing %s: %d of %d MB",
            self._node,
            self._name,
            self.done // 10**6,
            self._total // 10**6,
        )
