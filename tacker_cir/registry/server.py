# SPDX-License-Identifier: Apache-2.0
"""A machine that serves a Docker private registry (spec cir-k8s-cluster, "Sequence for
Instantiate Docker private registry VNF operation")."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from oslo_utils import timeutils

from tacker_cir import log as logging
from tacker_cir.command import Command
from tacker_cir.config import TimeLimits
from tacker_cir.exceptions import HostError
from tacker_cir.facts import Facts, gather
from tacker_cir.host import docker, system, volume
from tacker_cir.host.machine import Machine
from tacker_cir.host.volume import Volume
from tacker_cir.inventory import Node
from tacker_cir.package import ImageArchive
from tacker_cir.params.private_registry import PrivateRegistryParams
from tacker_cir.reading import answer_of
from tacker_cir.registry import (
    collection,
    container,
    contents,
    own_files,
    room,
    serving,
    upstream,
)
from tacker_cir.registry.container import ContainerSpec
from tacker_cir.registry.own_files import Identity
from tacker_cir.registry.places import Places
from tacker_cir.registry.serving import Access
from tacker_cir.render import registry_proxy, registry_settings
from tacker_cir.ssh import Connection

LOG = logging.getLogger(__name__)

_LOOK = "look at the registry's container"

# The registry keeps all of its data below "docker". The old data stay where they are; a copy that
# was cut off is made anew, and what is complete appears with one rename.
_COPY_DATA = r"""
set -eu
[ -d "$1/docker" ] || exit 0
[ ! -e "$2/docker" ] || exit 0
part=$2/.tacker-cir-copy
# Half a copy would keep a full disk full.
trap 'rm -rf -- "$part"' EXIT
rm -rf -- "$part"
mkdir -p -- "$part"
cp -a --reflink=auto -- "$1/docker" "$part/"
# A power cut would leave names of files whose data are not there.
sync -f -- "$part"
mv -- "$part/docker" "$2/docker"
sync -- "$2"
"""


@dataclass
class Report:
    """What :func:`ensure_registry` did.

    :param changes: one line each; empty where everything was as it shall be
    :param ca: in PEM, the certificate that clients are to trust; None with HTTP
    """

    changes: list[str] = field(default_factory=list)
    ca: str | None = None


def ensure_registry(
    connection: Connection,
    node: Node,
    params: PrivateRegistryParams,
    limits: TimeLimits,
    volume_id: str | None = None,
) -> Report:
    """Make a machine serve the registry as the parameters say; do only what is missing.

    :param volume_id: of the volume that ``data_volume`` names, None without one
    :raises HostError: a step failed; a later call goes on where this one stopped
    """
    report = Report()
    places = Places.of(params, connection.home)
    collects = params.upkeep.collection if params.upkeep else None
    if collects:
        collection.pause(connection)
    machine = _read(connection, params, limits)
    system.check_supported(machine.node, machine.facts)
    _check_architecture(machine.node, machine.facts, params)
    system.wait_first_boot(machine)
    system.check_clock(machine)
    # Before Docker, which does not start without it.
    report.changes += _ensure_volume(machine, params, places, volume_id)
    served = machine.facts.docker_serving
    changed = docker.ensure_docker(machine, params.docker_package, params.proxy)
    if changed:
        report.changes.append("Docker set up")
    if changed or not served:
        # Images and containers could not be seen while the daemon did not serve.
        machine = _read(connection, params, limits)
    written = own_files.ensure(machine, params, places, (node.ssh_address, node.address))
    report.changes += written.changes
    report.ca = written.identity.ca if written.identity else None
    image_id = _ensure_image(machine, params, report)
    files = upstream.ensure(machine, params.proxy_of, image_id)
    spec = _spec(params, places, image_id, files)
    _ensure_container(machine, spec, report)
    own_files.remove_unused(machine, params)
    upstream.remove_unused(machine, params.proxy_of)
    access = _access(params, written.identity)
    _ensure_certificate(machine, node, access, report)
    serving.wait_until_serving(machine, node, access)
    if params.upkeep and params.upkeep.min_free:
        room.warn_of_little(connection, places.data, params.upkeep)
    report.changes += contents.ensure(machine, node, params, places, access)
    if collects and collection.ensure_collection(machine, collects, spec):
        report.changes.append("collection of unused data set up")
    for change in report.changes:
        LOG.info("%s: %s", machine.node, change)
    if not report.changes:
        LOG.info("%s: no change, the registry serves at port %d", machine.node, params.port_no)
    return report


def _spec(
    params: PrivateRegistryParams,
    places: Places,
    image_id: str,
    files: Mapping[str, str] | None = None,
) -> ContainerSpec:
    """Return how the container shall be run.

    :param files: of the machine that it has in place of its image's
    """
    archive = _archive_key(params.image, params.registry_image) if params.image else None
    return ContainerSpec(
        image=params.registry_image,
        image_id=image_id,
        port=params.port_no,
        data=places.data,
        archive=archive,
        environment=_environment(params),
        directories={**_directories(params), **(files or {})},
        log_options=params.upkeep.log_options if params.upkeep else {},
    )


def _environment(params: PrivateRegistryParams) -> dict[str, str]:
    found = registry_settings.environment(
        tls=params.tls is not None,
        users=bool(params.users),
        delete=params.upkeep is not None and params.upkeep.delete,
    )
    if params.proxy_of:
        found.update(registry_proxy.environment(params.proxy_of, params.proxy))
    return found


def _directories(params: PrivateRegistryParams) -> dict[str, str]:
    """Return the directory with what the registry reads: not its files, as a new one is not seen
    where an old one was mounted."""
    if not params.tls and not params.users:
        return {}
    return {registry_settings.DIRECTORY: own_files.DIRECTORY}


def _access(params: PrivateRegistryParams, identity: Identity | None) -> Access:
    return Access(
        params.port_no,
        identity.certificate if identity else None,
        params.users[0].login if params.users else None,
    )


def _read(connection: Connection, params: PrivateRegistryParams, limits: TimeLimits) -> Machine:
    return Machine.read(
        connection,
        limits,
        packages=[params.docker_package.name],
        files=(
            *docker.PATHS,
            *collection.PATHS,
            *(volume.PATHS if params.data_volume else ()),
        ),
        contents=(*own_files.CONTENTS, upstream.PATH),
        images=[params.registry_image],
        containers=[container.NAME],
    )


def _ensure_volume(
    machine: Machine, params: PrivateRegistryParams, places: Places, volume_id: str | None
) -> list[str]:
    if params.data_volume is None or places.mount is None or volume_id is None:
        return []
    wanted = Volume(volume_id, places.mount, params.data_volume.device)
    return volume.ensure_volume(machine, wanted)


def _check_architecture(node: str, facts: Facts, params: PrivateRegistryParams) -> None:
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


def _ensure_image(machine: Machine, params: PrivateRegistryParams, report: Report) -> str:
    """Bring the image to the daemon and return its id."""
    reference, facts = params.registry_image, machine.facts
    present = facts.images.get(reference)
    if params.image is None:
        if present:
            return present
        _pull(machine, reference)
        report.changes.append(f"image {reference} pulled")
    else:
        if present:
            with answer_of(machine.node, _LOOK):
                is_current = _came_from(params.image, reference, present, facts)
            if is_current:
                return present
        _load(machine, params.image)
        report.changes.append(f"image {reference} loaded from {params.image.path.name}")
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
    return container.came_from(found, present, _archive_key(archive, reference))


def _archive_key(archive: ImageArchive, reference: str) -> str:
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


def _ensure_container(machine: Machine, wanted: ContainerSpec, report: Report) -> None:
    connection = machine.connection
    present = machine.facts.containers.get(container.NAME)
    if present is not None:
        with answer_of(machine.node, _LOOK):
            differences = wanted.find_differences(present)
            running = container.is_running(present)
        if not differences:
            if not running:
                _docker(connection, "start", container.NAME)
                report.changes.append("registry container started")
            return
        LOG.info("%s: the registry container has %s", machine.node, ", ".join(differences))
        _docker(connection, "stop", container.NAME)
        _keep_data(machine, present, wanted.data)
        # Never with --volumes: the data outlive the container.
        _docker(connection, "rm", "--force", container.NAME)
    _docker(connection, "run", "--detach", *wanted.run_arguments())
    report.changes.append("registry container " + ("replaced" if present else "started"))


def _ensure_certificate(machine: Machine, node: Node, access: Access, report: Report) -> None:
    """Have the registry show its certificate, which it reads only when it starts.

    It is asked, as an earlier operation may have been cut off after it wrote the certificate.
    """
    if access.certificate is None or not serving.shows_other_certificate(machine, node, access):
        return
    watch = timeutils.StopWatch()
    with watch:
        _docker(machine.connection, "restart", container.NAME)
        serving.wait_until_serving(machine, node, access)
    report.changes.append(
        f"registry restarted for its new certificate: it did not serve for {watch.elapsed():.1f} s"
    )


def _keep_data(machine: Machine, present: Mapping[str, Any], data_path: str) -> None:
    source = container.data_source(present)
    if source is None or source == data_path:
        return
    step = f"copy the registry's data from {source} to {data_path}"
    machine.connection.run(
        Command.script(step, _COPY_DATA, source, data_path),
        timeout=machine.limits.image_timeout,
        remedy="check the free disk space of the VM",
    )


def _docker(connection: Connection, *words: str) -> None:
    connection.run(
        Command(("docker", *words), f"docker {words[0]} {container.NAME}"),
        remedy="look at 'docker logs private_registry' and 'journalctl -u docker' of the VM; "
        "another program may use the port",
    )
