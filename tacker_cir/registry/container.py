# SPDX-License-Identifier: Apache-2.0
"""The registry's container: how it shall be run, and what a present one has other than that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tacker_cir.reading import reader

NAME = "private_registry"
#: Where the registry's image listens and keeps its data, whatever the VM's side looks like.
PORT = 5000
DATA = "/var/lib/registry"
#: Label of the container: the image archive that it was made from.
ARCHIVE_LABEL = "tacker_cir.image-archive"
#: Label of the container: names of the settings that were given to it beyond the spec's, so that
#: one which is no longer wanted is told from one that the image or the daemon brings.
SETTINGS_LABEL = "tacker_cir.settings"

_WHAT_DOCKER_TELLS = "what docker tells of a container"


@dataclass(frozen=True)
class ContainerSpec:
    """How the registry's container shall be run.

    :param image: reference of its image
    :param image_id: id of that image on this machine
    :param port: TCP port of the machine that the registry serves at
    :param data: directory of the machine for the registry's data
    :param archive: what tells the image's archive from others, None for a pulled image
    :param environment: variables of the registry's configuration; nothing secret, as ``docker
        inspect`` shows them
    :param directories: further directories of the machine, by where the registry reads them
    :param log_options: of the container's log (``docker run --log-opt``)
    :param name: of the container
    :param restarts: whether Docker starts it again whenever it ends
    """

    image: str
    image_id: str
    port: int
    data: str
    archive: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    directories: Mapping[str, str] = field(default_factory=dict)
    log_options: Mapping[str, str] = field(default_factory=dict)
    name: str = NAME
    restarts: bool = True

    @property
    def labels(self) -> dict[str, str]:
        """Labels of the container by name."""
        labels = {}
        if self.archive:
            labels[ARCHIVE_LABEL] = self.archive
        if self._settings:
            labels[SETTINGS_LABEL] = ",".join(sorted(self._settings))
        return labels

    @property
    def _settings(self) -> set[str]:
        return {*self.environment, *self.directories, *self.log_options}

    def run_arguments(self) -> tuple[str, ...]:
        """Return the arguments of ``docker run``, as in the spec's command where nothing else is
        asked for."""
        return (
            *_options("--label", self.labels),
            "-p",
            f"{self.port}:{PORT}",
            *self._common_arguments(),
            *(("--restart=always",) if self.restarts else ()),
            "--name",
            self.name,
            self.image,
        )

    def job_arguments(self, name: str) -> tuple[str, ...]:
        """Return the arguments of ``docker run`` for another command of the registry's program on
        the same data, which nobody reaches.

        :param name: of its container, which whoever runs it removes
        """
        return (
            "--network=none",
            *self._common_arguments(),
            "--entrypoint=registry",
            "--name",
            name,
            self.image,
        )

    def _common_arguments(self) -> Iterator[str]:
        yield from ("-v", f"{self.data}:{DATA}")
        yield from self._directory_options()
        yield from _options("--env", self.environment)
        yield from _options("--log-opt", self.log_options)

    def _directory_options(self) -> Iterator[str]:
        for target, source in self.directories.items():
            yield from ("-v", f"{source}:{target}:ro")

    @reader(_WHAT_DOCKER_TELLS)
    def find_differences(self, container: Mapping[str, Any]) -> list[str]:
        """Return what a container has other than it shall, in words.

        :param container: ``docker container inspect``
        :raises ValueError: it is not what Docker tells
        """
        judged = {
            "another image": container["Image"] == self.image_id,
            "another port": _ports(container) == {f"{PORT}/tcp": [str(self.port)]},
            "another volume": data_source(container) == self.data,
            "another restart policy": _restart_policy(container) == "always",
            "other settings": self._has_settings(container),
        }
        return [difference for difference, is_right in judged.items() if not is_right]

    def _has_settings(self, container: Mapping[str, Any]) -> bool:
        given = (_labels(container).get(SETTINGS_LABEL) or "").split(",")
        logging = (container["HostConfig"].get("LogConfig") or {}).get("Config") or {}
        return (
            {name for name in given if name} == self._settings
            and self.environment.items() <= _environment(container).items()
            and self.directories.items() <= _directories(container).items()
            and self.log_options.items() <= logging.items()
        )


def _options(option: str, values: Mapping[str, str]) -> Iterator[str]:
    for name, value in values.items():
        yield from (option, f"{name}={value}")


@reader(_WHAT_DOCKER_TELLS)
def is_running(container: Mapping[str, Any]) -> bool:
    """Return whether a container runs.

    :raises ValueError: it is not what Docker tells
    """
    return container["State"]["Running"] is True


@reader(_WHAT_DOCKER_TELLS)
def came_from(container: Mapping[str, Any], image_id: str, archive: str) -> bool:
    """Return whether a container was made from an image that an archive brought.

    :param archive: as in :class:`ContainerSpec`
    :raises ValueError: it is not what Docker tells
    """
    return container.get("Image") == image_id and _labels(container).get(ARCHIVE_LABEL) == archive


def data_source(container: Mapping[str, Any]) -> str | None:
    """Return the machine's directory that holds the container's registry data."""
    for mount in container.get("Mounts") or ():
        if mount.get("Destination") == DATA:
            source: str | None = mount.get("Source")
            return source
    return None


def _ports(container: Mapping[str, Any]) -> dict[str, list[str]]:
    return {
        inner: [binding["HostPort"] for binding in bindings or ()]
        for inner, bindings in (container["HostConfig"].get("PortBindings") or {}).items()
    }


def _restart_policy(container: Mapping[str, Any]) -> str | None:
    name: str | None = container["HostConfig"].get("RestartPolicy", {}).get("Name")
    return name


def _directories(container: Mapping[str, Any]) -> dict[str, str]:
    """Return the machine's directories that a container may only read, by where it does."""
    return {
        mount["Destination"]: mount["Source"]
        for mount in container.get("Mounts") or ()
        if mount.get("RW") is False
    }


def _environment(container: Mapping[str, Any]) -> dict[str, str]:
    config = container.get("Config") or {}
    lines = (line.partition("=") for line in config.get("Env") or ())
    return {name: value for name, _, value in lines}


def _labels(container: Mapping[str, Any]) -> Mapping[str, str]:
    return (container.get("Config") or {}).get("Labels") or {}
