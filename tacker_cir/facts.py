# SPDX-License-Identifier: Apache-2.0
"""What a machine has now, read in one round trip."""

from __future__ import annotations

import base64
import hashlib
import re
import shlex
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from tacker_cir import guests, runtimes
from tacker_cir.command import Command
from tacker_cir.documents import load_json
from tacker_cir.exceptions import HostError
from tacker_cir.reading import answer_of, reader
from tacker_cir.ssh import Connection

# Each line: kind, tab, values. A missing program or file gives no line, never a failure.
# What stands between @ is put in below: the parts of guests' families and of container runtimes.
_SCRIPT = r"""
newline='
'
defaults='@DEFAULTS@'
file_fact() {
  [ -f "$1" ] || return
  printf 'file\t%s\t%s\t%s\n' "$1" "$(stat -L -c '%a %U %G' -- "$1")" "$(sha256sum <"$1")"
}
# All at once: a program is started for all of them, not for each. One may go meanwhile.
file_facts() {
  sums=$(sha256sum -- "$@" 2>/dev/null) && stats=$(stat -L -c '%a %U %G' -- "$@" 2>/dev/null) || {
    for file; do file_fact "$file"; done
    return
  }
  while IFS= read -r sum <&3 && IFS= read -r stat <&4; do
    sum=${sum#\\}
    printf 'file\t%s\t%s\t%s\n' "$1" "$stat" "${sum%% *}"
    shift
  done 3<<SUMS 4<<STATS
$sums
SUMS
$stats
STATS
}
printf 'clock\t%s\n' "$(date +%s)"
while IFS= read -r line || [ -n "$line" ]; do printf 'os\t%s\n' "$line"; done </etc/os-release
@STATE@
if command -v cloud-init >/dev/null 2>&1; then
  status=$(cloud-init status 2>/dev/null)
  case $status in *'status: '*) status=${status#*status: } ;; *) status= ;; esac
  printf 'cloud-init\t%s\n' "${status%%"$newline"*}"
fi
@RUNTIMES@
printf 'kubelet\t%s\n' "$(systemctl is-active kubelet)"
# There where cgroup version 2 is alone.
[ ! -e /sys/fs/cgroup/cgroup.controllers ] || printf 'cgroup\tcgroup2fs\n'
effective_fact() {
  command -v "$1" >/dev/null 2>&1 || return 0
  case $1 in
@SETTINGS@
  esac
}
# Of a kubeconfig the certificate alone: its key stays where it is.
certificate() {
  case $1 in
    *.conf) sed -n '/^ *client-certificate-data: */{s///p;q;}' "$1" ;;
    *) base64 -w 0 <"$1" ;;
  esac
}
wants=$# packages=
for want; do
  value=${want#*:}
  case $want in
    file:* | content:*)
      # What a write that was killed left, too.
      for file in "$value" "${value%/*}/.${value##*/}.tacker-cir-new"; do
        if [ -f "$file" ]; then set -- "$@" "$file"; fi
      done ;;
    tree:*)
      while IFS= read -r file; do
        if [ -n "$file" ]; then set -- "$@" "$file"; fi
      done <<FILES
$(find "$value" -type f 2>/dev/null)
FILES
      ;;
  esac
  case $want in
    package:*)
      packages="$packages $value" ;;
    path:*)
      if [ -e "$value" ]; then printf 'path\t%s\n' "$value"; fi ;;
    content:*)
      if [ -f "$value" ]; then
        printf 'content\t%s\t%s\n' "$value" "$(base64 -w 0 <"$value")"
      fi ;;
    certificate:*)
      if [ -f "$value" ]; then
        printf 'certificate\t%s\t%s\n' "$value" "$(certificate "$value")"
      fi ;;
    effective:*) effective_fact "$value" ;;
    image:*)
      printf 'image\t%s\t%s\n' "$value" \
        "$(docker image inspect --format '{{.Id}}' "$value" 2>/dev/null)" ;;
    container:*)
      printf 'container\t%s\t%s\n' "$value" \
        "$(docker container inspect --format '{{json .}}' "$value" 2>/dev/null)" ;;
  esac
done
shift "$wants"
if [ -n "$packages" ]; then
  @PACKAGES@
fi
if [ $# != 0 ]; then file_facts "$@"; fi
printf 'end\n'
"""
_RUNTIMES, _GUESTS = runtimes.RUNTIMES.values(), guests.GUESTS.values()
_PARTS = {
    "@DEFAULTS@": " ".join(guest.defaults for guest in _GUESTS),
    "@STATE@\n": "".join(guest.state.lstrip() for guest in _GUESTS),
    "  @PACKAGES@\n": "".join(guest.packages.lstrip("\n") for guest in _GUESTS),
    "@RUNTIMES@\n": "".join(
        f"if command -v {runtime.program} >/dev/null 2>&1; then{runtime.state}fi\n"
        for runtime in _RUNTIMES
    ),
    "@SETTINGS@\n": "".join(
        f"    {runtime.program}){runtime.settings}      ;;\n" for runtime in _RUNTIMES
    ),
}
for _mark, _part in _PARTS.items():
    _SCRIPT = _SCRIPT.replace(_mark, _part)


# Enough for 30,000 years, whatever a machine says.
_SECONDS = re.compile(r"[0-9]{1,12}", re.ASCII)
# Of whatever length a line is, this much is looked at.
_KEEP_LINE = 4096
_MODE = re.compile("[0-7]{1,5}")
_DIGEST = re.compile("[0-9a-f]{64}|")
#: Names that go into files of package managers.
_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,63}|")


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
class Facts(runtimes.RuntimeStates):
    """State of one machine: besides, what it tells of its services and container runtimes.

    :param clock: seconds since 1970 by the machine's clock, None where it did not tell
    :param clock_ahead: seconds that the machine's clock is ahead of ours, negative where behind
    :param os_release: content of /etc/os-release
    :param architecture: Debian's name, e.g. ``amd64``
    :param cloud_init: its status, e.g. ``running``; "" without cloud-init
    :param packages_interrupted: whether an installation of packages was cut off, or is at work
    :param cgroup2: whether the machine has cgroup version 2 only
    :param packages: installed version by name, of those asked for; "" for one that was installed
        since
    :param paths: of those asked for that exist, whatever they are
    :param files: of those asked for that exist
    :param contents: what is in the files whose content was asked for and that exist
    :param certificates: in PEM by the file that holds them, of those asked for that exist
    :param images: id by reference, of those asked for that exist
    :param containers: ``docker container inspect`` by name, of those asked for that exist
    """

    clock: float | None = None
    clock_ahead: float = 0.0
    os_release: dict[str, str] = field(default_factory=dict)
    architecture: str = ""
    cloud_init: str = ""
    packages_interrupted: bool = False
    cgroup2: bool = False
    packages: dict[str, str] = field(default_factory=dict)
    paths: set[str] = field(default_factory=set)
    files: dict[str, FileFact] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict, repr=False)
    certificates: dict[str, bytes] = field(default_factory=dict)
    images: dict[str, str] = field(default_factory=dict)
    containers: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def guest(self) -> guests.Guest:
        """The family of its system.

        :raises LookupError: of one that :func:`tacker_cir.host.system.check_supported` refuses
        """
        guest = guests.of(self.os_release)
        if guest is None:
            raise LookupError("the family of the machine's system is not known")
        return guest

    def text(self, path: str) -> str | None:
        """Return a file's content as text, None where the file is not there.

        :raises ValueError: it is not UTF-8
        """
        content = self.contents.get(path)
        return None if content is None else content.decode()

    def note_packages(self, packages: Iterable[str]) -> None:
        """Note that packages were installed since the machine was asked.

        :param packages: names, or name=version
        """
        for name, _, version in (package.partition("=") for package in packages):
            self.packages[name] = version
        self.packages_interrupted = False

    def renew(self, found: Facts) -> None:
        """Take over all that the machine was found to have since."""
        for each in fields(self):
            setattr(self, each.name, getattr(found, each.name))

    def take_file(self, path: str, found: Facts) -> None:
        """Take over what a file of a machine was found to be since.

        :param found: asked for the file's content
        """
        for name in (path, unfinished(path)):
            self.files.pop(name, None)
            if name in found.files:
                self.files[name] = found.files[name]
        self.contents.pop(path, None)
        if path in found.contents:
            self.contents[path] = found.contents[path]

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
    certificates: Iterable[str] = (),
    effective: Iterable[str] = (),
) -> Facts:
    """Ask a machine what it has.

    :param packages: names to look up
    :param paths: absolute paths to ask for, without looking into them
    :param files: absolute paths to look at
    :param contents: absolute paths to look at and to read; text of some kB
    :param trees: directories all of whose files to look at
    :param images: image references to look up
    :param containers: container names to inspect
    :param certificates: files in PEM, or kubeconfigs (``*.conf``), whose certificates to read
    :param effective: programs of runtimes whose settings in effect to ask for
    """
    wants = [f"package:{p}" for p in packages]
    wants += [f"path:{p}" for p in paths]
    wants += [f"file:{f}" for f in files]
    wants += [f"content:{c}" for c in contents]
    wants += [f"tree:{t}" for t in trees]
    wants += [f"image:{i}" for i in images]
    wants += [f"container:{c}" for c in containers]
    wants += [f"certificate:{c}" for c in certificates]
    wants += [f"effective:{e}" for e in effective]
    # The contents of files are among it, logins too.
    command = Command.script("read the machine's state", _SCRIPT, *wants, confidential=True)
    start = time.time()
    output = connection.run(command).stdout
    if not output.endswith("end\n"):
        raise _cut(connection, command, "its answer")
    with answer_of(connection.node, command.step):
        facts = parse(output)
    facts.clock_ahead = clock_ahead(facts.clock, start)
    for path, content in facts.contents.items():
        fact = facts.files.get(path)
        if fact is None or fact.sha256 != hashlib.sha256(content).hexdigest():
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


def seconds_of(text: str) -> float | None:
    """Return what date(1) says with ``+%s``, None where it is not that."""
    return float(text) if _SECONDS.fullmatch(text) else None


def clock_ahead(clock: float | None, asked: float) -> float:
    """Return the seconds that a machine's clock is ahead of ours, as far as that is certain.

    :param clock: what it said, in whole seconds
    :param asked: our clock when it was asked; its answer came just now
    """
    if clock is None:
        return 0.0
    return max(clock - time.time(), 0.0) + min(clock + 1 - asked, 0.0)


@reader("the state of a machine")
def parse(text: str) -> Facts:
    """Return the facts in the script's output.

    :raises Unreadable: a line of it is not what the script prints
    """
    facts = Facts()
    for line in text.split("\n"):
        kind, _, rest = line.partition("\t")
        note = _NOTES.get(kind)
        if note:
            note(facts, rest)
    return facts


def _note_os(facts: Facts, rest: str) -> None:
    key, equals, value = rest.partition("=")
    if not equals or key.startswith("#"):
        return
    facts.os_release[key] = " ".join(shlex.split(_bounded(value)))
    if key == "VERSION_CODENAME":
        _matched(_NAME, facts.os_release[key])


def _note_clock(facts: Facts, rest: str) -> None:
    facts.clock = float(_matched(_SECONDS, rest))


def _note_architecture(facts: Facts, rest: str) -> None:
    facts.architecture = _matched(_NAME, rest)


def _note_interrupted(facts: Facts, rest: str) -> None:
    facts.packages_interrupted = bool(rest)


def _note_cloud_init(facts: Facts, rest: str) -> None:
    facts.cloud_init = rest


def _note_kubelet(facts: Facts, rest: str) -> None:
    # Until kubeadm has configured it, it is about to run for ever.
    if rest == "active":
        facts.active.add("kubelet")


def _note_cgroup(facts: Facts, rest: str) -> None:
    facts.cgroup2 = rest == "cgroup2fs"


def _note_package(facts: Facts, rest: str) -> None:
    name, version, status = rest.split("\t")
    if status == "installed":
        facts.packages[name] = version


def _note_path(facts: Facts, rest: str) -> None:
    facts.paths.add(rest)


def _note_file(facts: Facts, rest: str) -> None:
    # From the end: a file's name may hold what it likes.
    path, status, digest = rest.rsplit("\t", 2)
    if not status:
        return  # It was removed in between.
    mode, owners = status.split(" ", 1)
    # Names of users from a directory service may hold blanks; root's do not.
    owner, _, group = owners.partition(" ")
    digest = _matched(_DIGEST, digest.partition(" ")[0])
    facts.files[path] = FileFact(int(_matched(_MODE, mode), 8), owner, group, digest)


def _note_content(facts: Facts, rest: str) -> None:
    path, content = rest.split("\t")
    facts.contents[path] = base64.b64decode(content, validate=True)


def _note_certificate(facts: Facts, rest: str) -> None:
    path, content = rest.split("\t")
    facts.certificates[path] = base64.b64decode(content, validate=True)


def _note_image(facts: Facts, rest: str) -> None:
    reference, identity = rest.split("\t")
    if identity:
        facts.images[reference] = identity


def _note_container(facts: Facts, rest: str) -> None:
    name, inspected = rest.split("\t")
    if inspected:
        facts.containers[name] = dict(load_json(inspected).items())


_NOTES: Mapping[str, Callable[[Facts, str], None]] = {
    "os": _note_os,
    "clock": _note_clock,
    "arch": _note_architecture,
    "interrupted": _note_interrupted,
    "cloud-init": _note_cloud_init,
    "kubelet": _note_kubelet,
    "cgroup": _note_cgroup,
    "package": _note_package,
    "path": _note_path,
    "file": _note_file,
    "content": _note_content,
    "certificate": _note_certificate,
    "image": _note_image,
    "container": _note_container,
    **{kind: note for runtime in _RUNTIMES for kind, note in runtime.notes.items()},
}


def _bounded(text: str) -> str:
    if len(text) > _KEEP_LINE:
        raise ValueError
    return text


def _matched(pattern: re.Pattern[str], text: str) -> str:
    if not pattern.fullmatch(text):
        raise ValueError
    return text
