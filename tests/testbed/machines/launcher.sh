#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs one machine of the lab: called by machine.py in a mount and a network namespace of its
# own, so that mounts and interfaces end with it. Reads its settings from the environment.
set -eu
trap 'echo "$?" > "$STATE/ended"' EXIT

echo $$ > "$LAUNCHER_CGROUP/cgroup.procs"

ip link set lo up
ip link add host0 address "$MAC" type veth peer name "$PORT" netns "$NETNS"
ip -n "$NETNS" link set "$PORT" master br0 up
ip address add "$ADDRESS" dev host0
ip link set host0 up
ip route add default via "$GATEWAY"

mount -t overlay -o "lowerdir=$BASE,upperdir=$DISK/upper,workdir=$DISK/work" "$NAME" "$STATE/root"
# nspawn keeps locks and sockets per machine there: private ones cannot be left behind.
mkdir -p /run/systemd/nspawn
mount -t tmpfs -o mode=755 tmpfs /run/systemd/nspawn

# What the host has of these is needed inside: modules for iptables, kmsg for the kubelet.
set -- --bind="$DISK/docker:/var/lib/docker" --bind="$DISK/containerd:/var/lib/containerd"
[ ! -d /lib/modules ] || set -- "$@" --bind-ro=/lib/modules
[ ! -c /dev/kmsg ] || set -- "$@" --bind=/dev/kmsg

boot() {
    # What udev would make of the volumes' serial numbers.
    set -- "$@" --bind-ro="$STATE/by-id:/dev/disk/by-id"
    for volume in "$STATE"/volumes/*; do
        [ ! -f "$volume" ] || set -- "$@" --bind="$(cat "$volume"):/dev/${volume##*/}"
    done
    for group in $GUEST_CGROUPS; do
        sh -c 'echo $PPID > "$0"' "$group/cgroup.procs"
    done
    # All capabilities, API file systems writable, cgroup namespace: for Docker in the machine.
    export SYSTEMD_NSPAWN_API_VFS_WRITABLE=1 SYSTEMD_NSPAWN_USE_CGNS=1
    exec systemd-nspawn --boot --directory="$STATE/root" --machine="$NAME" --hostname="$NAME" \
        --register=no --keep-unit --capability=all --system-call-filter=@known \
        --network-namespace-path=/proc/self/ns/net --resolv-conf=off --timezone=off \
        --link-journal=no "$@"
}

# nspawn exits 133 when the system inside has rebooted.
status=133
while [ "$status" = 133 ]; do
    status=0
    (boot "$@") || status=$?
done
exit "$status"
