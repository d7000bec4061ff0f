# SPDX-License-Identifier: Apache-2.0
"""What runs on a machine that shall have a volume.

Each script is POSIX shell for util-linux and e2fsprogs, which every supported guest has. None
trusts a device's name, and none needs udev: devices are compared by their numbers.
"""

from __future__ import annotations

#: Label of a file system that is ours, and of one whose making was begun.
LABEL, UNFINISHED_LABEL = "tacker-cir", "tacker-cir-new"
#: Exit statuses with a meaning: the file system is damaged, it is not there, it is not blank.
DAMAGED, MISSING, NOT_BLANK = 65, 66, 67

# A volume's id is its serial number, of which virtio and NVMe keep 20 characters.
# Each line: kind, tab, values.
FIND = r"""
set -u
id=$1 given=$2
short=$(printf %.20s "$id")
is_its() { case $1 in "$id" | "$short") ;; *) return 1 ;; esac; }
linked() {
  for link in /dev/disk/by-id/*; do
    name=${link##*/}
    case $name in
      *-part[0-9]*) ;;
      *"$id" | *[-_]"$short" | *[-_]"$short"_[0-9]) readlink -f -- "$link" ;;
    esac
  done
}
list() { lsblk --nodeps --noheadings --raw --output "$@" 2>/dev/null; }
numbered() {
  list PATH,SERIAL | while read -r path serial; do
    if is_its "$serial"; then printf '%s\n' "$path"; fi
  done
}
show() {
  [ -b "$1" ] || return 0
  major=$(stat -L -c %t -- "$1") minor=$(stat -L -c %T -- "$1")
  printf '%s\t%d:%d\t%s\n' "$2" "0x$major" "0x$minor" "$1"
}
{ linked; numbered; } | sort -u | while IFS= read -r path; do show "$path" found; done
if [ -n "$given" ]; then
  show "$given" given
  printf 'serial\t%s\n' "$(list SERIAL -- "$given")"
fi
printf 'there\t%s\n' "$(list NAME | tr '\n' ' ')"
printf 'end\n'
"""

# What a low-level probe of the device itself says, cached by nobody. mke2fs leaves zeros in the
# first 1024 bytes, so that one which was cut off is still blank; data that no program knows, as
# those of a cipher, are not.
_PROBE = r"""
probe() {
  tags=$(blkid --cache-file /dev/null --probe --output export -- "$1" 2>&1)
  probed=$?
  signatures=$(wipefs --no-act --parsable -- "$1" 2>&1)
  wiped=$?
  signatures=$(printf '%s\n' "$signatures" | sed -n '/^#/d;s/^[^,]*,[^,]*,[^,]*,//p' | tr '\n' ' ')
  head=$(head -c 1024 -- "$1" | wc -c)
  rest=$(head -c 1024 -- "$1" | tr -d '\000' | wc -c)
}
is_blank() {
  [ "$probed" = 2 ] && [ "$wiped" = 0 ] && [ -z "$signatures" ] && [ "$head" = 1024 ] &&
    [ "$rest" = 0 ]
}
value() { printf '%s\n' "$tags" | sed -n "s/^$1=//p" | head -n 1; }
# Of others' use of it: as a disk with partitions, below another device, mounted elsewhere.
users() {
  lsblk --noheadings --raw --output MAJ:MIN,NAME -- "$1" | while read -r number name; do
    [ "$number" = "$2" ] || printf '%s ' "$name"
  done
}
mounts() { awk -v number="$2" '$3 == number { print $5 }' /proc/self/mountinfo; }
"""

LOOK = (
    r"""
set -u
device=$1 number=$2 where=$3 unit=$4
"""
    + _PROBE
    + r"""
probe "$device"
printf 'probe\t%s %s %s %s\n' "$probed" "$wiped" "$head" "$rest"
for tag in TYPE LABEL UUID PTTYPE; do printf 'tag\t%s\t%s\n' "$tag" "$(value "$tag")"; done
printf 'signatures\t%s\n' "$signatures"
printf 'users\t%s\n' "$(users "$device" "$number")"
mounts "$device" "$number" | while IFS= read -r path; do printf 'mount\t%s\n' "$path"; done
if mountpoint -q -- "$where"; then
  printf 'there\t%s\n' "$(mountpoint -d -- "$where")"
  if [ -w "$where" ]; then printf 'writable\tyes\n'; fi
elif [ -e "$where" ]; then
  hidden=$(find "$where" -mindepth 1 -maxdepth 1 2>/dev/null | head -n 3 | tr '\n' ' ')
  printf 'hidden\t%s\n' "$hidden"
fi
printf 'unit\t%s\t%s\n' "$(systemctl is-active -- "$unit" 2>/dev/null)" \
  "$(systemctl is-enabled -- "$unit" 2>/dev/null)"
printf 'end\n'
"""
)

# The name of a whole file system is given last: one that has the other name is made anew.
FORMAT = (
    r"""
set -u
device=$1 number=$2
"""
    + f"label={LABEL} unfinished={UNFINISHED_LABEL} not_blank={NOT_BLANK}\n"
    + _PROBE
    + r"""
exec 9>/run/tacker-cir-volume
flock -w 60 9 || { echo "an earlier format of the volume is still at work" >&2; exit 75; }
# Nobody else's, even if it has got that label: a file system that was ever mounted holds data.
is_unfinished() {
  [ "$probed" = 0 ] && [ "$(value TYPE)" = ext4 ] && [ "$(value LABEL)" = "$unfinished" ] &&
    dumpe2fs -h "$device" 2>/dev/null | grep -q '^Mount count: *0$'
}
probe "$device"
if [ -n "$(users "$device" "$number")$(mounts "$device" "$number")" ]; then
  echo "$device is in use" >&2
  exit "$not_blank"
fi
if [ "$(value TYPE)" = ext4 ] && [ "$(value LABEL)" = "$label" ]; then exit 0; fi
if ! is_blank && ! is_unfinished; then
  echo "$device is not blank: $tags $signatures" >&2
  exit "$not_blank"
fi
set -e
mkfs.ext4 -q -F -m 0 -L "$unfinished" -- "$device" >&2
sync -- "$device"
e2label "$device" "$label" >&2
sync -- "$device"
"""
)

# A file system of others is only looked at, and changes in nothing: its journal is not replayed.
HOLDS_REGISTRY = r"""
set -eu
device=$1 type=$2
case $type in ext4) options=ro,noload ;; *) options=ro,norecovery ;; esac
directory=$(mktemp -d /run/tacker-cir-volume.XXXXXX)
trap 'rmdir -- "$directory"' EXIT
export device type options directory
unshare --mount sh -euc '
  mount -t "$type" -o "$options" -- "$device" "$directory"
  for top in docker data/docker; do
    if [ -d "$directory/$top/registry/v2" ]; then echo registry; break; fi
  done
'
"""

#: What mounts the volume, at each boot and in an operation alike.
MOUNT = (
    r"""#!/bin/sh
# Mounts the volume of the registry's data, once its file system was checked. Written by tacker_cir.
# Arguments: UUID and type of the file system, where to, seconds to wait for the volume.
set -eu
uuid=$1 type=$2 where=$3 seconds=$4
"""
    + f"damaged={DAMAGED} missing={MISSING}\n"
    + r"""
find_device() { device=$(blkid --cache-file /dev/null --uuid "$uuid") && [ -b "$device" ]; }
until find_device; do
  [ "$seconds" -gt 0 ] || { echo "no volume has a file system $uuid" >&2; exit "$missing"; }
  seconds=$((seconds - 1)) && sleep 1
done
number=$(printf '%d:%d' "0x$(stat -L -c %t -- "$device")" "0x$(stat -L -c %T -- "$device")")
is_mounted() { mountpoint -q -- "$where" && [ "$(mountpoint -d -- "$where")" = "$number" ]; }

exec 9>/run/tacker-cir-volume
flock -w 60 9 || { echo "an earlier mount of the volume is still at work" >&2; exit 75; }
if ! is_mounted; then
  mkdir -p -- "$where"
  options=nodev,nosuid,noexec
  if [ "$type" = ext4 ]; then
    options=$options,errors=remount-ro status=0
    e2fsck -p "$device" >&2 || status=$?
    # 1 and 2 mean that all errors were corrected (e2fsck(8), "EXIT CODE").
    [ "$status" -lt 4 ] || { echo "e2fsck ended with status $status" >&2; exit "$damaged"; }
  fi
  mount -t "$type" -o "$options" -- "$device" "$where"
fi
# A registry that had the whole volume before; the rename is atomic.
if [ ! -e "$where/data" ]; then mkdir -m 0755 -- "$where/data"; fi
if [ -d "$where/docker" ] && [ ! -e "$where/data/docker" ]; then
  mv -T -- "$where/docker" "$where/data/docker"
  sync -- "$where" "$where/data"
fi
"""
)
