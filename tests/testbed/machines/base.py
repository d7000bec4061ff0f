# SPDX-License-Identifier: Apache-2.0
"""The base tree: one system of the host's own distribution that all machines lie over.

Made by mmdebstrap from the host's apt sources, once per recipe, and kept in the cache.
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.testbed.machines import apt
from tests.testbed.machines.host import os_release, remove, run
from tests.testbed.machines.parts import Part

GATEWAY = "198.51.100.1"
"""The lab's end of the bridge; package server, registry mirror and proxy listen here."""

HOST_PACKAGES = [
    "mmdebstrap",
    "systemd-container",
    "iproute2",
    "openssh-client",
    "apt-utils",
    "gnupg",
]

GUEST_PACKAGES = [
    "systemd",
    "systemd-sysv",
    "dbus",
    "udev",
    "libpam-systemd",
    "openssh-server",
    "sudo",
    "iproute2",
    "iputils-ping",
    "netbase",
    "procps",
    "kmod",
    "iptables",
    "apparmor",
    "ca-certificates",
    "curl",
    "lsb-release",
    "python3-minimal",
    "cloud-init",
]

# Nothing in a machine of the lab needs these, and each costs boot time or asks for hardware.
MASKED = [
    "systemd-resolved.service",
    "systemd-networkd.service",
    "systemd-timesyncd.service",
    "systemd-udevd.service",
    "systemd-udev-trigger.service",
    "systemd-udevd-control.socket",
    "systemd-udevd-kernel.socket",
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "systemd-firstboot.service",
    # Each stage of cloud-init is a Python of its own; all that machines need is in one, and the
    # last one, for which sshd does not wait, says that it is done.
    "cloud-init-local.service",
    "cloud-config.service",
]

# mmdebstrap mounts /proc and more in the tree, and a killed one leaves them to whoever removes
# the tree. In namespaces of its own, mounts and processes end with it, and it ends with us.
CONTAINED = [
    "setpriv",
    "--pdeathsig=KILL",
    "unshare",
    "--mount",
    "--propagation=slave",
    "--pid",
    "--mount-proc",
    "--fork",
    "--kill-child",
]

# nspawn hands version 1 hierarchies over read-only; Docker needs to write there.
# The options matter: "remount,rw" without "bind" exits 0 and changes nothing.
CGROUPS_UNIT = """\
[Unit]
Description=Let container engines write to the cgroup hierarchies of version 1
DefaultDependencies=no
Before=sysinit.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'for c in blkio cpu cpuacct cpuset devices freezer memory pids; do \
mountpoint -q /sys/fs/cgroup/$c || continue; mount -o remount,bind,rw /sys/fs/cgroup/$c; done'

[Install]
WantedBy=sysinit.target
"""


# As official images have it: sshd takes no password until cloud-init says so in the file
# 50-cloud-init.conf, and the image's own user has no login until cloud-init gives it one.
CLOUD_IMAGE = {
    "etc/ssh/sshd_config.d/60-cloudimg-settings.conf": "PasswordAuthentication no\n",
    # A machine's data lie in its own tree, with keys of sshd that are its own already.
    "etc/cloud/cloud.cfg.d/99-lab.cfg": """\
datasource_list: [ NoCloud, None ]
ssh_deletekeys: false
ssh_genkeytypes: []
preserve_hostname: true
network: { config: disabled }
system_info:
  distro: debian
  default_user:
    name: ubuntu
    lock_passwd: true
    sudo: [ "ALL=(ALL) NOPASSWD:ALL" ]
    shell: /bin/bash
users: [ default ]
cloud_init_modules: [ write-files, users-groups, ssh, set-passwords ]
cloud_config_modules: []
cloud_final_modules: [ final-message ]
""",
}


def part(cache: Path, distribution: apt.Distribution) -> Part:
    """The base tree of today's recipe."""
    recipe = Path(__file__).read_bytes()
    name = apt.fingerprint(recipe, distribution.sources, distribution.checks_validity)

    def build(tree: Path) -> None:
        _bootstrap(tree, distribution)
        _customise(tree, distribution)

    return Part("base tree of the machines", cache / "base" / name, build, 260, 0.6)


def _bootstrap(tree: Path, distribution: apt.Distribution) -> None:
    run(
        [
            *CONTAINED,
            "mmdebstrap",
            "--mode=root",
            "--variant=minbase",
            "--format=directory",
            "--include=" + ",".join(GUEST_PACKAGES),
            "--dpkgopt=force-unsafe-io",
            f"--aptopt={_valid_until(distribution)}",
            os_release()["VERSION_CODENAME"],
            tree,
            "-",
        ],
        stdin="".join(source.line() for source in distribution.sources),
        env={**os.environ, "TMPDIR": str(tree.parent)},
    )


def _customise(tree: Path, distribution: apt.Distribution) -> None:
    """Turn the fresh system into a cloud image: a user without a login, the lab's apt."""
    run(["chroot", tree, "useradd", "-m", "-s", "/bin/bash", "-U", "ubuntu"])
    for key in (tree / "etc/ssh").glob("ssh_host_*"):
        key.unlink()  # every machine gets its own
    for unit in MASKED:
        link = tree / "etc/systemd/system" / unit
        link.unlink(missing_ok=True)
        link.symlink_to("/dev/null")
    (tree / "etc/machine-id").write_text("")
    (tree / "etc/resolv.conf").unlink(missing_ok=True)
    _write(tree, "etc/resolv.conf", f"nameserver {GATEWAY}\n")
    for path, text in CLOUD_IMAGE.items():
        _write(tree, path, text)
    _write(tree, "etc/dpkg/dpkg.cfg.d/lab", "force-unsafe-io\n")
    _write(tree, "etc/systemd/system/lab-cgroups.service", CGROUPS_UNIT)
    run(["chroot", tree, "systemctl", "enable", "lab-cgroups.service", "ssh.service"])
    settings = _valid_until(distribution) + '\nAcquire::Languages "none";\n'
    _write(tree, "etc/apt/apt.conf.d/90lab", settings)
    remove(tree / "etc/apt/sources.list.d")
    (tree / "etc/apt/sources.list.d").mkdir()
    # What machines install of the distribution; nothing else of it can be had in the lab.
    _write(tree, "etc/apt/sources.list", f"deb [trusted=yes] http://{GATEWAY}/local ./\n")


def _valid_until(distribution: apt.Distribution) -> str:
    """As the host's own apt does: a frozen mirror serves Release files that are past their date."""
    return f'Acquire::Check-Valid-Until "{str(distribution.checks_validity).lower()}";'


def _write(tree: Path, path: str, text: str, mode: int = 0o644) -> None:
    (tree / path).write_text(text)
    (tree / path).chmod(mode)
