# SPDX-License-Identifier: Apache-2.0
"""The collection of a registry's unused data: its script, and the units that run it.

While it runs a container that only reads serves in the registry's place: what is pushed meanwhile
would be damaged (distribution/distribution#3045). It has the registry's port, so that the registry
cannot be started beside it, whoever tries: Docker after a restart, or an operator. Afterwards the
registry is a new process, as an old one remembers blobs that are gone
(distribution/distribution#4569).

Manifests without a tag are untagged here and not with ``--delete-untagged``: before registry 3 that
takes those of an image index, which have no tags of their own, from a tagged one
(distribution/distribution#3178).
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

#: What makes a registry refuse to be written to. (``..._READONLY_ENABLED`` ends registry 2.8.)
READ_ONLY = {"REGISTRY_STORAGE_MAINTENANCE_READONLY": '{"enabled":true}'}
#: Seconds that a command of Docker may take, and that the registry may take to come back.
_DOCKER_SECONDS, _RETURN_SECONDS = 90, 300

_SCRIPT = r"""#!/bin/sh
# Written by tacker_cir: takes away what no tag of the registry leads to.
#
#   collect   does it, with the registry read only meanwhile
#   serve     has the registry serve, whatever was cut off
#   untag     takes away manifests that no tag leads to; nobody may push meanwhile
set -eu
export LC_ALL=C
registry=%(registry)s read_only=%(read_only)s collector=%(collector)s
data=%(data)s

call() { timeout %(seconds)d docker "$@"; }

containers() { call ps "$@" --quiet; }

runs() { [ -n "$(containers --filter "name=^/$1\$")" ]; }

# Docker refuses to remove what is being removed already, as by a call that took too long.
remove() {
  deadline=$(($(date +%%s) + 60))
  found=$(containers --all --filter "name=^/$1\$")
  while [ -n "$found" ]; do
    if ! call rm --force "$1" >/dev/null; then
      [ "$(date +%%s)" -lt "$deadline" ] || { echo "$1: cannot be removed" >&2; exit 75; }
      sleep 1
    fi
    found=$(containers --all --filter "name=^/$1\$")
  done
}

# The collector first: the other one keeps the registry from being started beside it.
remove_others() {
  remove "$collector"
  remove "$read_only"
}

serve() {
  remove_others
  runs "$registry" || call start "$registry" >/dev/null
}

# The last word of the image's command: 2.8 and 3 have their settings in different places.
settings() {
  call container inspect --format '{{range .Config.Cmd}}{{println .}}{{end}}' "$registry" |
    sed -n '/\.ya\{0,1\}ml$/p' | tail -n 1
}

begin() {
  remove_others
  file=$(settings)
  [ -n "$file" ] || { echo "the registry's image does not tell its settings" >&2; exit 78; }
  call stop "$registry" >/dev/null
  call run --detach %(serving)s >/dev/null
  if runs "$registry" || ! runs "$read_only"; then
    echo "the registry is not read only" >&2
    exit 75
  fi
}

digests() {
  status=0
  grep -ohE 'sha256:[0-9a-f]{64}' -- "$@" || status=$?
  # What cannot be read may lead to something that is needed.
  [ "$status" -le 1 ] || { echo "$*: cannot be read" >&2; exit 74; }
}

# What was found and is new. Nothing may get lost here: what is not kept is taken away.
take() {
  sort -u "$work/found" >"$work/sorted"
  comm -12 "$work/sorted" "$work/present" >"$work/manifests"
  comm -23 "$work/manifests" "$work/kept" >"$work/new"
}

# Whatever digest is in a manifest may be that of one that it needs.
untag_repository() {
  revisions=$1/revisions/sha256
  # Digests of another kind are not followed.
  [ "$(ls -- "$1/revisions")" = sha256 ] || return 0
  find "$revisions" -mindepth 1 -maxdepth 1 -printf 'sha256:%%f\n' | sort >"$work/present"
  : >"$work/kept"
  : >"$work/found"
  for link in "$1"/tags/*/current/link; do
    if [ -e "$link" ]; then digests "$link" >>"$work/found"; fi
  done
  take
  while [ -s "$work/new" ]; do
    sort -u "$work/new" "$work/kept" -o "$work/kept"
    : >"$work/found"
    while IFS=: read -r _ hex; do
      digests "$blobs/$(printf %%.2s "$hex")/$hex/data" >>"$work/found"
    done <"$work/new"
    take
  done
  comm -23 "$work/present" "$work/kept" >"$work/unused"
  while IFS=: read -r _ hex; do
    rm -rf -- "${revisions:?}/$hex" "$1"/tags/*/index/sha256/"$hex"
    echo "untagged ${1%%/_manifests} sha256:$hex"
  done <"$work/unused"
}

untag() {
  blobs=$data/docker/registry/v2/blobs/sha256
  [ -d "$data/docker/registry/v2/repositories" ] || return 0
  cd "$data/docker/registry/v2/repositories"
  work=$(mktemp -d)
  trap 'rm -rf -- "$work"' EXIT
  find . -type d -name _manifests -prune >"$work/repositories"
  while IFS= read -r repository; do
    if [ -d "$repository/revisions" ]; then untag_repository "$repository"; fi
  done <"$work/repositories"
}

collect() {
  begin
  untag
  docker run %(collecting)s garbage-collect "$file"
}

case ${1-} in
  collect | serve | untag) "$1" ;;
  *) echo "usage: $0 collect | serve | untag" >&2; exit 64 ;;
esac
"""

_SERVICE = """\
[Unit]
Description=Collection of unused data of the private registry
Requires=docker.service
After=docker.service

[Service]
Type=oneshot
PrivateTmp=yes
ExecStart=/bin/sh {script} collect
# What has it serve again may be killed as well.
ExecStopPost=-/bin/sh {script} serve
ExecStopPost=/bin/sh {script} serve
TimeoutStartSec={window}min
TimeoutStopSec={seconds}
"""

_TIMER = """\
[Unit]
Description=Collection of unused data of the private registry

[Timer]
OnCalendar={schedule}

[Install]
WantedBy=timers.target
"""


def script(
    *,
    registry: str,
    read_only: str,
    collector: str,
    data: str,
    serving: Sequence[str],
    collecting: Sequence[str],
) -> str:
    """Return the script.

    :param registry: name of the registry's container; likewise those of the next two
    :param read_only: that serves meanwhile
    :param collector: that collects
    :param data: directory of the machine with the registry's data
    :param serving: arguments of ``docker run`` for the one that serves
    :param collecting: likewise for the one that collects, up to the image
    """
    return _SCRIPT % {
        "registry": shlex.quote(registry),
        "read_only": shlex.quote(read_only),
        "collector": shlex.quote(collector),
        "data": shlex.quote(data),
        "seconds": _DOCKER_SECONDS,
        "serving": shlex.join(serving),
        "collecting": shlex.join(collecting),
    }


def service(script_path: str, window: int) -> str:
    """Return the unit that runs it.

    :param window: minutes after which it is given up
    """
    return _SERVICE.format(script=script_path, window=window, seconds=_RETURN_SECONDS)


def timer(schedule: str) -> str:
    """Return the unit that starts it.

    :param schedule: calendar expression (systemd.time(7))
    """
    return _TIMER.format(schedule=schedule)
