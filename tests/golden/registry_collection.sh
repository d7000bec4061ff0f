#!/bin/sh
# Written by tacker_cir: takes away what no tag of the registry leads to.
#
#   collect   does it, with the registry read only meanwhile
#   serve     has the registry serve, whatever was cut off
#   untag     takes away manifests that no tag leads to; nobody may push meanwhile
set -eu
export LC_ALL=C
registry=private_registry read_only=private_registry_read_only collector=private_registry_collector
data='/srv/it'"'"'s a registry/data'

call() { timeout 90 docker "$@"; }

containers() { call ps "$@" --quiet; }

runs() { [ -n "$(containers --filter "name=^/$1\$")" ]; }

# Docker refuses to remove what is being removed already, as by a call that took too long.
remove() {
  deadline=$(($(date +%s) + 60))
  found=$(containers --all --filter "name=^/$1\$")
  while [ -n "$found" ]; do
    if ! call rm --force "$1" >/dev/null; then
      [ "$(date +%s)" -lt "$deadline" ] || { echo "$1: cannot be removed" >&2; exit 75; }
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
  call run --detach --label tacker_cir.settings=/etc/tacker-cir,REGISTRY_STORAGE_DELETE_ENABLED,REGISTRY_STORAGE_MAINTENANCE_READONLY,max-file,max-size -p 443:5000 -v '/srv/it'"'"'s a registry/data:/var/lib/registry' -v /etc/tacker-cir/registry:/etc/tacker-cir:ro --env REGISTRY_STORAGE_DELETE_ENABLED=true --env 'REGISTRY_STORAGE_MAINTENANCE_READONLY={"enabled":true}' --log-opt max-size=10m --log-opt max-file=3 --name private_registry_read_only sha256:0000000000000000000000000000000000000000000000000000000000000000 >/dev/null
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
  find "$revisions" -mindepth 1 -maxdepth 1 -printf 'sha256:%f\n' | sort >"$work/present"
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
      digests "$blobs/$(printf %.2s "$hex")/$hex/data" >>"$work/found"
    done <"$work/new"
    take
  done
  comm -23 "$work/present" "$work/kept" >"$work/unused"
  while IFS=: read -r _ hex; do
    rm -rf -- "${revisions:?}/$hex" "$1"/tags/*/index/sha256/"$hex"
    echo "untagged ${1%/_manifests} sha256:$hex"
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
  docker run --network=none -v '/srv/it'"'"'s a registry/data:/var/lib/registry' -v /etc/tacker-cir/registry:/etc/tacker-cir:ro --env REGISTRY_STORAGE_DELETE_ENABLED=true --log-opt max-size=10m --log-opt max-file=3 --entrypoint=registry --name private_registry_collector sha256:0000000000000000000000000000000000000000000000000000000000000000 garbage-collect "$file"
}

case ${1-} in
  collect | serve | untag) "$1" ;;
  *) echo "usage: $0 collect | serve | untag" >&2; exit 64 ;;
esac
