# SPDX-License-Identifier: Apache-2.0
"""Guest images by name: what lies over the base tree in a machine of that image.

Each image NAME is there as NAME-login as well, which has a user ubuntu with password ubuntu and an
sshd that takes it; without it a machine has the login that its user data make, and no other.

All are one tree of the host's distribution. Those named after another system are stand-ins:
only os-release and lsb-release say so, kernel and packages are the base tree's.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from tests.testbed.machines.base import GATEWAY
from tests.testbed.machines.host import LabError, os_release

MIRROR = f"{GATEWAY}:5000"
"""Address of the lab's registry mirror: plain HTTP."""


@dataclass(frozen=True)
class File:
    """A file of an image."""

    text: str
    mode: int = 0o644


@dataclass(frozen=True)
class Image:
    """A named image: the system it claims to be, and files of its own by absolute path."""

    system: dict[str, str]
    files: dict[str, File] = field(default_factory=dict)


def _ubuntu(version: str, codename: str) -> Image:
    return Image(
        {
            "NAME": "Ubuntu",
            "ID": "ubuntu",
            "ID_LIKE": "debian",
            "VERSION_ID": version,
            "VERSION_CODENAME": codename,
            "UBUNTU_CODENAME": codename,
            "PRETTY_NAME": f"Ubuntu {version} LTS",
        }
    )


def _debian(version: str, codename: str) -> dict[str, str]:
    return {
        "NAME": "Debian GNU/Linux",
        "ID": "debian",
        "VERSION_ID": version,
        "VERSION_CODENAME": codename,
        "PRETTY_NAME": f"Debian GNU/Linux {version} ({codename})",
    }


_FEDORA = {
    "NAME": "Fedora Linux",
    "ID": "fedora",
    "VERSION_ID": "40",
    "PRETTY_NAME": "Fedora Linux 40 (Cloud Edition)",
}

_MIRROR_JSON = json.dumps({"registry-mirrors": [f"http://{MIRROR}"]}, indent=2) + "\n"

# A machine on its first boot: sshd comes late, and unattended-upgrades holds the locks of apt
# and dpkg. The lock holder is a real process with the real locks, only its work is made up.
_LATE_SSHD = "[Service]\nExecStartPre=/bin/sleep 8\n"
_LOCK_HOLDER = """\
import fcntl
import time

held = []
for path in ("/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock", "/var/lib/apt/lists/lock",
             "/var/cache/apt/archives/lock"):
    held.append(open(path, "w"))
    fcntl.lockf(held[-1], fcntl.LOCK_EX)
time.sleep(15)
"""
_LOCK_UNIT = """\
[Unit]
Description=Hold the locks of apt and dpkg for 15 s, as unattended-upgrades does after boot
Before=ssh.service

[Service]
Type=exec
ExecStart=/usr/bin/python3 /usr/local/sbin/unattended-upgrade
"""

# What a node of Kubernetes can do on a virtual machine, but not in a container of this host:
# - Root may lack CAP_SYS_RESOURCE. Then runc can give no container a lower OOM score or all
#   capabilities, as pods ask for: it gets neither, by a runc that comes first in the path.
# - The kubelet sets kernel parameters that are the whole host's: it gets files instead.
_RUNC = r"""#!/bin/sh
# tacker_cir lab: runc for a machine whose root may lack CAP_SYS_RESOURCE
bundle=. previous=
for word; do
    case "$previous" in --bundle | -b) bundle=$word ;; esac
    previous=$word
done
capabilities=$(sed -n 's/^CapEff:[[:space:]]*/0x/p' /proc/self/status)
config=$bundle/config.json
if [ $((capabilities >> 24 & 1)) = 0 ] && [ -w "$config" ]; then
    sed -i -E -e 's/"oomScoreAdj":-[0-9]+/"oomScoreAdj":0/' \
        -e 's/"CAP_SYS_RESOURCE",|,"CAP_SYS_RESOURCE"//g' "$config"
fi
PATH=/usr/sbin:/usr/bin
exec runc "$@"
"""
_SYSCTLS_UNIT = """\
[Unit]
Description=Give the kubelet private files for kernel parameters of the whole host
DefaultDependencies=no
Before=sysinit.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'mkdir -p /run/lab-sysctls; \
for path in vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops \
kernel/keys/root_maxkeys kernel/keys/root_maxbytes; do \
file=/run/lab-sysctls/$${path##*/}; cat /proc/sys/$$path > $$file; \
mount --bind $$file /proc/sys/$$path; done'
"""

_BOOKWORM = _debian("12", "bookworm")
IMAGES = {
    "debian-12": Image(_BOOKWORM),
    "debian-12-mirror": Image(_BOOKWORM, {"/etc/docker/daemon.json": File(_MIRROR_JSON)}),
    "debian-12-sudo-password": Image(
        _BOOKWORM, {"/etc/sudoers.d/90-ubuntu": File("ubuntu ALL=(ALL) ALL\n", 0o440)}
    ),
    "debian-12-late": Image(
        _BOOKWORM,
        {
            "/etc/systemd/system/ssh.service.d/late.conf": File(_LATE_SSHD),
            "/usr/local/sbin/unattended-upgrade": File(_LOCK_HOLDER, 0o755),
            "/etc/systemd/system/unattended-upgrades.service": File(_LOCK_UNIT),
            # Stands for the enabling link that `systemctl enable` would make.
            "/etc/systemd/system/ssh.service.d/after-upgrades.conf": File(
                "[Unit]\nWants=unattended-upgrades.service\n"
            ),
        },
    ),
    "debian-12-k8s": Image(
        _BOOKWORM,
        {
            "/usr/local/sbin/runc": File(_RUNC, 0o755),
            "/etc/systemd/system/lab-sysctls.service": File(_SYSCTLS_UNIT),
            "/etc/systemd/system/sysinit.target.d/lab-sysctls.conf": File(
                "[Unit]\nWants=lab-sysctls.service\n"
            ),
        },
    ),
    "debian-11": Image(_debian("11", "bullseye")),
    "ubuntu-20.04": _ubuntu("20.04", "focal"),
    "ubuntu-22.04": _ubuntu("22.04", "jammy"),
    "ubuntu-24.04": _ubuntu("24.04", "noble"),
    "fedora-40": Image(_FEDORA),
}


LOGIN = "-login"
"""What the name of an image with a login ends with."""

# Of the password "ubuntu", by crypt(3).
_HASH = (
    "$6$tacker$gobhI2f.Kra92WZrWhJrDLDJsLJfaajBE.D7Ec.M7rDatBrViSJOygEW4GNKPudr6khT3QdG86nJuXB3ub"
    "Tko/"
)


@dataclass(frozen=True)
class Boot:
    """What Nova would tell a machine that boots.

    :param user_data: for cloud-init
    :param public_keys: of its key pair
    """

    user_data: str = ""
    public_keys: tuple[str, ...] = ()


def login(base: Path) -> dict[str, File]:
    """The files that give a machine the user ubuntu with password ubuntu."""
    shadow = (base / "etc/shadow").read_text()
    shadow = re.sub("^ubuntu:[^:]*", f"ubuntu:{_HASH}", shadow, flags=re.MULTILINE)
    return {
        "/etc/shadow": File(shadow, 0o640),
        "/etc/sudoers.d/90-ubuntu": File("ubuntu ALL=(ALL) NOPASSWD:ALL\n", 0o440),
        "/etc/ssh/sshd_config.d/10-lab.conf": File("PasswordAuthentication yes\n"),
        # It would only cost time.
        "/etc/cloud/cloud-init.disabled": File(""),
    }


def seed(name: str, boot: Boot) -> dict[str, File]:
    """The files from which cloud-init learns what Nova would tell it.

    :param name: of the machine
    """
    # The stage that needs no network is left out.
    meta = {"instance-id": name, "dsmode": "net", "public-keys": list(boot.public_keys)}
    top = "/var/lib/cloud/seed/nocloud"
    return {
        f"{top}/meta-data": File(json.dumps(meta)),
        f"{top}/user-data": File(boot.user_data, 0o600),
    }


def files(image: str, base: Path) -> dict[str, File]:
    """All files that a machine of the image has over the base tree, by absolute path.

    :raises LabError: for a name that is no image.
    """
    name = image.removesuffix(LOGIN)
    if name not in IMAGES:
        raise LabError(f"image {image!r} is not known; there are: {', '.join(IMAGES)}")
    chosen = IMAGES[name]
    made = {**(login(base) if image.endswith(LOGIN) else {}), **chosen.files}
    same = ("ID", "VERSION_ID")
    if any(os_release(base).get(key) != chosen.system[key] for key in same):
        lines = [f'{key}="{value}"\n' for key, value in chosen.system.items()]
        made["/usr/lib/os-release"] = File("".join(lines))
        made["/etc/lsb-release"] = File(
            f"DISTRIB_ID={chosen.system['NAME'].split()[0]}\n"
            f"DISTRIB_RELEASE={chosen.system['VERSION_ID']}\n"
            f"DISTRIB_CODENAME={chosen.system.get('VERSION_CODENAME', '')}\n"
            f'DISTRIB_DESCRIPTION="{chosen.system["PRETTY_NAME"]}"\n'
        )
    return made
