# SPDX-License-Identifier: Apache-2.0
"""What a machine has now, read in one round trip."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shlex
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tacker_cir.command import Command
from tacker_cir.exceptions import HostError
from tacker_cir.ssh import Connection

# Each line: kind, tab, values. A missing program or file gives no line, never a failure.
_SCRIPT = r"""
tab=$(printf '\t')
file_fact() {
  [ -f "$1" ] || return
  printf 'file\t%s\t%s\t%s\n' "$1" "$(stat -L -c '%a %U %G' -- "$1")" "$(sha256sum <"$1")"
}
# What a write that was killed left.
unfinished_fact() { file_fact "${1%/*}/.${1##*/}.tacker-cir-new"; }
printf 'clock\t%s\n' "$(date +%s)"
sed 's/^/os\t/' /etc/os-release
printf 'arch\t%s\n' "$(dpkg --print-architecture)"
printf 'dpkg\t%s\n' "$(dpkg --audit | head -n 1)"
if command -v cloud-init >/dev/null 2>&1; then
  printf 'cloud-init\t%s\n' "$(cloud-init status 2>/dev/null | sed -n 's/^status: //p')"
fi
if command -v dockerd >/dev/null 2>&1; then
  format="{{.ServerVersion}}$tab{{.CgroupDriver}}$tab{{.LiveRestoreEnabled}}"
  printf 'docker\t%s\t%s\t%s\n' "$(systemctl is-active docker)" "$(systemctl is-enabled docker)" \
    "$(docker info --format "$format$tab{{json .RegistryConfig}}" 2>/dev/null)"
fi
if command -v containerd >/dev/null 2>&1; then
  printf 'containerd\t%s\t%s\t%s\n' "$(systemctl is-active containerd)" \
    "$(systemctl is-enabled containerd)" "$(containerd --version)"
fi
printf 'kubelet\t%s\n' "$(systemctl is-active kubelet)"
printf 'cgroup\t%s\n' "$(stat -f -c %T /sys/fs/cgroup)"
for want; do
  value=${want#*:}
  case $want in
    package:*)
      dpkg-query -W -f 'package\t${Package}\t${Version}\t${db:Status-Status}\n' "$value" \
        2>/dev/null ;;
    path:*)
      if [ -e "$value" ]; then printf 'path\t%s\n' "$value"; fi ;;
    file:*)
      file_fact "$value"
      unfinished_fact "$value" ;;
    content:*)
      unfinished_fact "$value"
      if file_fact "$value"; then
        printf 'content\t%s\t%s\n' "$value" "$(base64 -w 0 <"$value")"
      fi ;;
    tree:*)
      find "$value" -type f 2>/dev/null | while IFS= read -r found; do file_fact "$found"; done ;;
    image:*)
      printf 'image\t%s\t%s\n' "$value" \
        "$(docker image inspect --format '{{.Id}}' "$value" 2>/dev/null)" ;;
    container:*)
      printf 'container\t%s\t%s\n' "$value" \
        "$(docker container inspect --format '{{json .}}' "$value" 2>/dev/null)" ;;
  esac
done
printf 'end\n'
"""


# Enough for 30,000 years, whatever a machine says.
_SECONDS = re.compile(r"[0-9]{1,12}", re.ASCII)
_VERSION = re.compile(r"\d+\.\d+\.\d+")


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

    :param clock: seconds since 1970 by the machine's clock, None where it did not tell
    :param clock_ahead: seconds that the machine's clock is ahead of ours, negative where behind
    :param os_release: content of /etc/os-release
    :param architecture: Debian's name, e.g. ``amd64``
    :param cloud_init: its status, e.g. ``running``; "" without cloud-init
    :param dpkg_interrupted: whether an installation of packages was cut off, or is at work
    :param docker_installed: whether a ``dockerd`` is there
    :param docker_started: whether its unit is enabled and active, or about to be
    :param docker_serving: whether the daemon answers besides
    :param docker_cgroup_driver: ``systemd`` or ``cgroupfs``; "" where the daemon does not answer
    :param docker_live_restore: whether containers outlive a restart of the daemon
    :param docker_registries: the daemon's own view of its registries, ``docker info``'s
        RegistryConfig
    :param containerd: its version without what packagers add, e.g. ``1.6.20``; "" without one
    :param containerd_started: whether its unit is enabled and active, or about to be
    :param kubelet_active: whether the kubelet runs
    :param cgroup2: whether the machine has cgroup version 2 only
    :param packages: installed version by name, of those asked for
    :param paths: of those asked for that exist, whatever they are
    :param files: of those asked for that exist
    :param contents: what is in the files whose content was asked for and that exist
    :param images: id by reference, of those asked for that exist
    :param containers: ``docker container inspect`` by name, of those asked for that exist
    """

    clock: float | None = None
    clock_ahead: float = 0.0
    os_release: dict[str, str] = field(default_factory=dict)
    architecture: str = ""
    cloud_init: str = ""
    dpkg_interrupted: bool = False
    docker_installed: bool = False
    docker_started: bool = False
    docker_serving: bool = False
    docker_cgroup_driver: str = ""
    docker_live_restore: bool = False
    docker_registries: Mapping[str, Any] = field(default_factory=dict)
    containerd: str = ""
    containerd_started: bool = False
    kubelet_active: bool = False
    cgroup2: bool = False
    packages: dict[str, str] = field(default_factory=dict)
    paths: set[str] = field(default_factory=set)
    files: dict[str, FileFact] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict, repr=False)
    images: dict[str, str] = field(default_factory=dict)
    containers: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def text(self, path: str) -> str | None:
        """Return a file's content as text, None where the file is not there.

        :raises ValueError: it is not UTF-8
        """
        content = self.contents.get(path)
        return None if content is None else content.decode()

    def note_file(self, path: str, content: bytes | None, mode: int) -> None:
        """Note that a file of root was written, or with None removed, since the machine was asked.

        :param mode: permission bits
        """
        self.files.pop(unfinished(path), None)
        if content is None:
            self.files.pop(path, None)
            self.contents.pop(path, None)
            return
        digest = hashlib.sha256(content).hexdigest()
        self.files[path] = FileFact(mode, "root", "root", digest)
        self.contents[path] = content


def gather(
    connection: Connection,
    *,
    packages: Iterable[str] = (),
    paths: Iterable[str] = (),
    files: Iterable[str] = (),
    contents: Iterable[str] = (),
    trees: Iterable[str] = (),
    images: Iterable[str] = (),
    containers: Iterable[str] = (),
) -> Facts:
    """Ask a machine what it has.

    :param packages: names to look up
    :param paths: absolute paths to ask for, without looking into them
    :param files: absolute paths to look at
    :param contents: absolute paths to look at and to read; text of some kB
    :param trees: directories all of whose files to look at
    :param images: image references to look up
    :param containers: container names to inspect
    """
    wants = [f"package:{p}" for p in packages]
    wants += [f"path:{p}" for p in paths]
    wants += [f"file:{f}" for f in files]
    wants += [f"content:{c}" for c in contents]
    wants += [f"tree:{t}" for t in trees]
    wants += [f"image:{i}" for i in images]
    wants += [f"container:{c}" for c in containers]
    # The contents of files are among it, logins too.
    command = Command.script("read the machine's state", _SCRIPT, *wants, confidential=True)
    start = time.time()
    output = connection.run(command).stdout
    facts = parse(output)
    facts.clock_ahead = clock_ahead(facts.clock, start)
    if not output.endswith("end\n"):
        raise _cut(connection, command, "its answer")
    for path, content in facts.contents.items():
        if facts.files[path].sha256 != hashlib.sha256(content).hexdigest():
            raise _cut(connection, command, path)
    return facts


def unfinished(path: str) -> str:
    """Return the name that a file has on the machine until all of it was written."""
    directory, _, name = path.rpartition("/")
    return f"{directory}/.{name}.tacker-cir-new"


def _cut(connection: Connection, command: Command, what: str) -> HostError:
    """Return the error for what must not be taken for whole: a file would lose its rest."""
    return HostError(
        connection.node,
        command.step,
        f"{what} was not read to its end, or changed meanwhile",
        "retry the operation; if it fails again, see whether the file can be read on the machine",
    )


def clock_ahead(clock: float | None, asked: float) -> float:
    """Return the seconds that a machine's clock is ahead of ours, as far as that is certain.

    :param clock: what it said, in whole seconds
    :param asked: our clock when it was asked; its answer came just now
    """
    if clock is None:
        return 0.0
    return max(clock - time.time(), 0.0) + min(clock + 1 - asked, 0.0)


def parse(text: str) -> Facts:
    """Return the facts in the script's output."""
    facts = Facts()
    for line in text.splitlines():
        kind, _, rest = line.partition("\t")
        values = rest.split("\t")
        if kind == "os" and "=" in rest and not rest.startswith("#"):
            key, _, value = rest.partition("=")
            facts.os_release[key] = " ".join(shlex.split(value))
        elif kind == "clock" and _SECONDS.fullmatch(rest):
            facts.clock = float(rest)
        elif kind == "arch":
            facts.architecture = rest
        elif kind == "dpkg":
            facts.dpkg_interrupted = bool(rest)
        elif kind == "cloud-init":
            facts.cloud_init = rest
        elif kind == "docker":
            _note_docker(facts, values)
        elif kind == "containerd":
            facts.containerd_started = _is_started(*values[:2])
            found = _VERSION.search(values[2])
            facts.containerd = found.group() if found else ""
        elif kind == "kubelet":
            facts.kubelet_active = rest == "active"
        elif kind == "cgroup":
            facts.cgroup2 = rest == "cgroup2fs"
        elif kind == "package" and values[2] == "installed":
            facts.packages[values[0]] = values[1]
        elif kind == "path":
            facts.paths.add(rest)
        elif kind == "file":
            mode, owner, group = values[1].split(" ")
            digest = values[2].partition(" ")[0]
            facts.files[values[0]] = FileFact(int(mode, 8), owner, group, digest)
        elif kind == "content":
            facts.contents[values[0]] = base64.b64decode(values[1])
        elif kind == "image" and values[1]:
            facts.images[values[0]] = values[1]
        elif kind == "container":
            name, _, inspected = rest.partition("\t")
            if inspected:
                facts.containers[name] = json.loads(inspected)
    return facts


def _note_docker(facts: Facts, values: list[str]) -> None:
    facts.docker_installed = True
    facts.docker_started = _is_started(*values[:2])
    # A daemon that does not answer leaves them empty or out.
    version, driver, live_restore, registries = (values[2:] + [""] * 4)[:4]
    facts.docker_serving = facts.docker_started and bool(version)
    facts.docker_cgroup_driver = driver
    facts.docker_live_restore = live_restore == "true"
    facts.docker_registries = (json.loads(registries) if registries else None) or {}


def _is_started(active: str, enabled: str) -> bool:
    return enabled == "enabled" and active in ("active", "activating")
