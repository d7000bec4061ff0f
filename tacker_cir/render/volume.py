# SPDX-License-Identifier: Apache-2.0
"""Units of systemd for a volume that a service's data are on."""

from __future__ import annotations

#: Seconds that systemd gives the check of a file system beside the wait for its volume.
CHECK_SECONDS = 3600


def mount_unit(script: str, uuid: str, kind: str, where: str, seconds: int) -> str:
    """Return a unit that mounts a volume, when its file system was checked.

    Not a unit of type mount: that would need udev to tell systemd of the device, and would start
    before a volume that is attached late.

    :param script: path of the program that does it
    :param uuid: of the file system
    :param kind: of the file system
    :param where: directory
    :param seconds: how long a boot waits for the volume
    """
    return f"""\
[Unit]
Description=Volume of the private registry's data
After=local-fs.target

[Service]
Type=oneshot
RemainAfterExit=yes
TimeoutStartSec={seconds + CHECK_SECONDS}
ExecStart=/bin/sh {script} {uuid} {kind} {where} {seconds}

[Install]
WantedBy=multi-user.target
"""


def required_drop_in(unit: str, where: str) -> str:
    """Return a drop-in of a unit that must not run without the volume.

    :param unit: that mounts the volume
    :param where: directory
    """
    return f"""\
# Without the volume a container would begin with an empty directory.
[Unit]
Requires={unit}
After={unit}
RequiresMountsFor={where}
"""
