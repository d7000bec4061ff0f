# SPDX-License-Identifier: Apache-2.0
"""A machine that serves a Docker private registry (spec cir-k8s-cluster, "Sequence for
Instantiate Docker private registry VNF operation")."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from oslo_utils import timeutils

from tacker_cir import log as logging
from tacker_cir.config import TimeLimits
from tacker_cir.host import docker, system, volume
from tacker_cir.host.machine import Machine
from tacker_cir.host.volume import Volume
from tacker_cir.inventory import Node
from tacker_cir.params.private_registry import PrivateRegistryParams
from tacker_cir.registry import (
    collection,
    container,
    contents,
    image,
    own_files,
    room,
    running,
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
    machine = _prepared(connection, params, limits, _volume(params, places, volume_id), report)
    written = own_files.ensure(machine, params, places, (node.ssh_address, node.address))
    report.changes += written.changes
    report.ca = written.identity.ca if written.identity else None
    image_id, loaded = image.ensure_image(machine, params)
    report.changes += loaded
    files = upstream.ensure(machine, params.proxy_of, image_id)
    spec = _spec(params, places, image_id, files)
    report.changes += running.ensure_container(machine, spec)
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
    for change in report.changes or [f"no change, the registry serves at port {params.port_no}"]:
        LOG.info("%s: %s", machine.node, change)
    return report


def _prepared(
    connection: Connection,
    params: PrivateRegistryParams,
    limits: TimeLimits,
    wanted: Volume | None,
    report: Report,
) -> Machine:
    """Return the machine with Docker serving, and the volume mounted."""
    machine = _read(connection, params, limits)
    system.check_supported(machine.node, machine.facts)
    image.check_architecture(machine.node, machine.facts, params)
    system.wait_first_boot(machine)
    system.check_clock(machine)
    if wanted:
        # Before Docker, which does not start without it.
        report.changes += volume.ensure_volume(machine, wanted)
    served = machine.facts.docker_serving
    changed = docker.ensure_docker(machine, params.docker_package, params.proxy)
    if changed:
        report.changes.append("Docker set up")
    if served and not changed:
        return machine
    # Images and containers could not be seen while the daemon did not serve.
    return _read(connection, params, limits)


def _spec(
    params: PrivateRegistryParams,
    places: Places,
    image_id: str,
    files: Mapping[str, str] | None = None,
) -> ContainerSpec:
    """Return how the container shall be run.

    :param files: of the machine that it has in place of its image's
    """
    archive = image.archive_key(params.image, params.registry_image) if params.image else None
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


def _volume(params: PrivateRegistryParams, places: Places, volume_id: str | None) -> Volume | None:
    if params.data_volume is None or places.mount is None or volume_id is None:
        return None
    return Volume(volume_id, places.mount, params.data_volume.device)


def _ensure_certificate(machine: Machine, node: Node, access: Access, report: Report) -> None:
    """Have the registry show its certificate, which it reads only when it starts.

    It is asked, as an earlier operation may have been cut off after it wrote the certificate.
    """
    if access.certificate is None or not serving.shows_other_certificate(machine, node, access):
        return
    watch = timeutils.StopWatch()
    with watch:
        running.restart(machine)
        serving.wait_until_serving(machine, node, access)
    report.changes.append(
        f"registry restarted for its new certificate: it did not serve for {watch.elapsed():.1f} s"
    )
