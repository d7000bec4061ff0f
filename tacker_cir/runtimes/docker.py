# SPDX-License-Identifier: Apache-2.0
"""Docker: what requests may ask of it, and what a machine tells of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tacker_cir import docker_hub, kubernetes_versions
from tacker_cir.documents import load_json
from tacker_cir.reading import reader
from tacker_cir.runtimes.base import Mirror, Runtime, Services, decoded


@dataclass
class DockerState(Services):
    """What a machine tells of Docker.

    :param docker_installed: whether a ``dockerd`` is there
    :param docker_serving: whether the daemon is started (:meth:`is_started`) and answers
    :param docker_cgroup_driver: ``systemd`` or ``cgroupfs``; "" where the daemon does not answer
    :param docker_registries: the daemon's own view of its registries, ``docker info``'s
        RegistryConfig
    :param dockerd_words: how Docker's daemon is and will be started, if asked for
    """

    docker_installed: bool = False
    docker_serving: bool = False
    docker_cgroup_driver: str = ""
    docker_registries: Mapping[str, Any] = field(default_factory=dict)
    dockerd_words: str = field(default="", repr=False)


@reader("docker's RegistryConfig")
def registry_config(text: str) -> Mapping[str, Any]:
    """Return ``docker info``'s RegistryConfig: of its registries and mirrors, what we look at.

    :raises Unreadable: it is none
    """
    said = load_json(text) or {}
    for index in (said.get("IndexConfigs") or {}).values():
        index.keys()
    for url in said.get("Mirrors") or ():
        url.encode()
    return said


def _note_state(facts: DockerState, rest: str) -> None:
    # A daemon that does not answer leaves the last three empty or out.
    active, enabled, *said = rest.split("\t")
    version, driver, registries = (said + [""] * 3)[:3]
    facts.docker_installed = True
    facts.note_service("docker", active, enabled)
    facts.docker_serving = facts.is_started("docker") and bool(version)
    facts.docker_cgroup_driver = driver
    facts.docker_registries = registry_config(registries or "null")


def _note_settings(facts: DockerState, rest: str) -> None:
    facts.dockerd_words = decoded(rest)


class Docker(Runtime):
    """Docker, to which the kubelet itself speaks (dockershim)."""

    name, title = "docker", "Docker"
    socket = "/var/run/dockershim.sock"
    last_minor = kubernetes_versions.FIRST_WITHOUT_DOCKER - 1
    program = "dockerd"
    state = r"""
  tab=$(printf '\t')
  format="{{.ServerVersion}}$tab{{.CgroupDriver}}"
  printf 'docker\t%s\t%s\t%s\n' "$(systemctl is-active docker)" "$(systemctl is-enabled docker)" \
    "$(docker info --format "$format$tab{{json .RegistryConfig}}" 2>/dev/null)"
"""
    # How the daemon is and will be started: what it is told there stands against its file.
    settings = r"""
      words=$(
        {
          systemctl show --property=ExecStart,Environment docker.service
          for directory in $defaults; do grep -hs '^[^#]' "$directory/docker"; done
          pid=$(systemctl show --value --property=MainPID docker.service)
          [ -z "$pid" ] || [ ! -r "/proc/$pid/cmdline" ] || tr '\0' '\n' <"/proc/$pid/cmdline"
        } 2>/dev/null | base64 -w 0
      )
      printf 'dockerd\t%s\n' "$words"
"""
    notes = {"docker": _note_state, "dockerd": _note_settings}

    def mirror_faults(self, mirror: Mirror) -> Iterator[tuple[str, str]]:
        """Yield what Docker has nothing for (its guide "mirror")."""
        if mirror.of != docker_hub.NAME:
            yield (
                "mirror_of",
                f"Docker has mirrors of {docker_hub.NAME} only; got {mirror.of!r}. Expected "
                "container_runtime containerd for other mirrors",
            )
        if not mirror.fallback:
            yield (
                "mirror_fallback",
                f"Docker always falls back to {docker_hub.NAME}; "
                "expected container_runtime containerd",
            )
        if mirror.has_login:
            yield (
                "mirror_of",
                "Docker does not log in to mirrors; expected a mirror without username, or "
                "container_runtime containerd",
            )
