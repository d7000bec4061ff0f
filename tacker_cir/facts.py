# SPDX-License-Identifier: Apache-2.0
"""What a machine has now, read in one round trip."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tacker_cir.command import Command
from tacker_cir.ssh import Connection

# Each line: kind, tab, values. A missing program or file gives no line, never a failure.
_SCRIPT = r"""
sed 's/^/os\t/' /etc/os-release
printf 'arch\t%s\n' "$(dpkg --print-architecture)"
printf 'dpkg\t%s\n' "$(dpkg --audit | head -n 1)"
if command -v cloud-init >/dev/null 2>&1; then
  printf 'cloud-init\t%s\n' "$(cloud-init status 2>/dev/null | sed -n 's/^status: //p')"
fi
if command -v dockerd >/dev/null 2>&1; then
  printf 'docker\t%s\t%s\t%s\n' "$(systemctl is-active docker)" "$(systemctl is-enabled docker)" \
    "$(docker version --format '{{.Server.Version}}' 2>/dev/null)"
fi
for want; do
  value=${want#*:}
  case $want in
    package:*)
      dpkg-query -W -f 'package\t${Package}\t${Version}\t${db:Status-Status}\n' "$value" \
        2>/dev/null ;;
    file:*)
      if [ -f "$value" ]; then
        printf 'file\t%s\t%s\t%s\n' "$value" "$(stat -c '%a %U %G' -- "$value")" \
          "$(sha256sum <"$value")"
      fi ;;
    image:*)
      printf 'image\t%s\t%s\n' "$value" \
        "$(docker image inspect --format '{{.Id}}' "$value" 2>/dev/null)" ;;
    container:*)
      printf 'container\t%s\t%s\n' "$value" \
        "$(docker container inspect --format '{{json .}}' "$value" 2>/dev/null)" ;;
  esac
done
exit 0
"""


@dataclass(frozen=True)
class FileFact:
    """A regular file.

    :param mode: permission bits
    :param sha256: hex digest of its content
    """

    mode: int
    owner: str
    group: str
    sha256: str


@dataclass
class Facts:
    """State of one machine.

    :param os_release: content of /etc/os-release
    :param architecture: Debian's name, e.g. ``amd64``
    :param cloud_init: its status, e.g. ``running``; "" without cloud-init
    :param dpkg_interrupted: whether an installation of packages was cut off, or is at work
    :param docker_installed: whether a ``dockerd`` is there
    :param docker_started: whether its unit is enabled and active, or about to be
    :param docker_serving: whether the daemon answers besides
    :param packages: installed version by name, of those asked for
    :param files: of those asked for that exist
    :param images: id by reference, of those asked for that exist
    :param containers: ``docker container inspect`` by name, of those asked for that exist
    """

    os_release: dict[str, str] = field(default_factory=dict)
    architecture: str = ""
    cloud_init: str = ""
    dpkg_interrupted: bool = False
    docker_installed: bool = False
    docker_started: bool = False
    docker_serving: bool = False
    packages: dict[str, str] = field(default_factory=dict)
    files: dict[str, FileFact] = field(default_factory=dict)
    images: dict[str, str] = field(default_factory=dict)
    containers: dict[str, Mapping[str, Any]] = field(default_factory=dict)


def gather(
    connection: Connection,
    *,
    packages: Iterable[str] = (),
    files: Iterable[str] = (),
    images: Iterable[str] = (),
    containers: Iterable[str] = (),
) -> Facts:
    """Ask a machine what it has.

    :param packages: names to look up
    :param files: absolute paths to look at
    :param images: image references to look up
    :param containers: container names to inspect
    """
    wants = [f"package:{p}" for p in packages]
    wants += [f"file:{f}" for f in files]
    wants += [f"image:{i}" for i in images]
    wants += [f"container:{c}" for c in containers]
    result = connection.run(Command.script("read the machine's state", _SCRIPT, *wants))
    return parse(result.stdout)


def parse(text: str) -> Facts:
    """Return the facts in the script's output."""
    facts = Facts()
    for line in text.splitlines():
        kind, _, rest = line.partition("\t")
        values = rest.split("\t")
        if kind == "os" and "=" in rest and not rest.startswith("#"):
            key, _, value = rest.partition("=")
            facts.os_release[key] = " ".join(shlex.split(value))
        elif kind == "arch":
            facts.architecture = rest
        elif kind == "dpkg":
            facts.dpkg_interrupted = bool(rest)
        elif kind == "cloud-init":
            facts.cloud_init = rest
        elif kind == "docker":
            facts.docker_installed = True
            active, enabled, version = values
            facts.docker_started = enabled == "enabled" and active in ("active", "activating")
            facts.docker_serving = facts.docker_started and bool(version)
        elif kind == "package" and values[2] == "installed":
            facts.packages[values[0]] = values[1]
        elif kind == "file":
            mode, owner, group = values[1].split(" ")
            digest = values[2].partition(" ")[0]
            facts.files[values[0]] = FileFact(int(mode, 8), owner, group, digest)
        elif kind == "image" and values[1]:
            facts.images[values[0]] = values[1]
        elif kind == "container":
            name, _, inspected = rest.partition("\t")
            if inspected:
                facts.containers[name] = json.loads(inspected)
    return facts
