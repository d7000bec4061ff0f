# SPDX-License-Identifier: Apache-2.0
"""The registry's own image, from the VNF package or from another registry."""

from __future__ import annotations

from tacker_cir import log as logging
from tacker_cir.command import Command
from tacker_cir.exceptions import HostError
from tacker_cir.facts import Facts, gather
from tacker_cir.host.machine import Machine
from tacker_cir.package import ImageArchive
from tacker_cir.params.private_registry import PrivateRegistryParams
from tacker_cir.reading import answer_of
from tacker_cir.registry import container

LOG = logging.getLogger(__name__)

_LOOK = "look at the registry's container"


def check_architecture(node: str, facts: Facts, params: PrivateRegistryParams) -> None:
    """Refuse an image of the package that is for other machines.

    :raises HostError: it is
    """
    if params.image is None:
        return
    architecture = params.image.architectures.get(params.registry_image)
    # Go and Debian name the server architectures alike (amd64, arm64, ppc64el differs).
    if architecture in ("amd64", "arm64") and architecture != facts.architecture:
        raise HostError(
            node,
            "check the image's architecture",
            f"the image of image_path is for {architecture}, the VM is {facts.architecture}",
            "put an image for the VM's architecture into the VNF package",
        )


def ensure_image(machine: Machine, params: PrivateRegistryParams) -> tuple[str, list[str]]:
    """Bring the image to the daemon, if it does not have it, or another one by its name.

    :param machine: read with the image and the registry's container
    :return: the image's id, and what was changed, one line each
    :raises HostError: it cannot be pulled or loaded
    """
    reference, facts = params.registry_image, machine.facts
    present = facts.images.get(reference)
    if params.image is None:
        if present:
            return present, []
        _pull(machine, reference)
        change = f"image {reference} pulled"
    else:
        if present:
            with answer_of(machine.node, _LOOK):
                is_current = _came_from(params.image, reference, present, facts)
            if is_current:
                return present, []
        _load(machine, params.image)
        change = f"image {reference} loaded from {params.image.path.name}"
    return _loaded(machine, reference), [change]


def _loaded(machine: Machine, reference: str) -> str:
    loaded = gather(machine.connection, images=[reference]).images.get(reference)
    if loaded is None:
        raise HostError(
            machine.node,
            f"find image {reference}",
            "the Docker daemon does not have it after loading",
            "check that the archive holds this image",
        )
    return loaded


def _pull(machine: Machine, reference: str) -> None:
    LOG.info("%s: pulling %s", machine.node, reference)
    machine.connection.run(
        Command(("docker", "pull", "--quiet", reference), f"pull {reference}"),
        timeout=machine.limits.image_timeout,
        remedy="check that the VM reaches the image's registry (proxy), or put the image "
        "into the VNF package and give image_path",
    )


def _came_from(archive: ImageArchive, reference: str, present: str, facts: Facts) -> bool:
    if present in archive.image_ids[reference]:
        return True
    # A daemon may give an image of an old archive format an id that the archive does not have;
    # the container that was made from it remembers.
    found = facts.containers.get(container.NAME, {})
    return container.came_from(found, present, archive_key(archive, reference))


def archive_key(archive: ImageArchive, reference: str) -> str:
    """Return what a container remembers of the archive that its image came from."""
    return min(archive.image_ids[reference])


def _load(machine: Machine, archive: ImageArchive) -> None:
    LOG.info("%s: sending image %s (%.0f MB)", machine.node, archive.path.name, archive.size / 1e6)
    with archive.path.open("rb") as source:
        machine.connection.run(
            Command(("docker", "load", "--quiet"), f"load image {archive.path.name}"),
            stdin=source,
            size=archive.size,
            timeout=machine.limits.image_timeout,
            remedy="check the free disk space of the VM; a slow network needs a higher "
            "[tacker_cir] image_timeout",
        )
