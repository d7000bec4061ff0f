# SPDX-License-Identifier: Apache-2.0
"""What systemd gets for a volume, against tests/golden, and what runs on its machine."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tacker_cir.host import volume, volume_scripts
from tacker_cir.render.volume import mount_unit, required_drop_in

UUID = "77398ccd-e5dd-41ca-ad91-546e697b7a6a"


def test_the_unit_that_mounts(golden):
    unit = mount_unit(volume.SCRIPT, UUID, "ext4", "/srv/registry", volume.BOOT_TIMEOUT)
    golden("registry_volume.service", unit)


def test_what_must_not_run_without_the_volume(golden):
    golden("registry_volume_drop_in.conf", required_drop_in(volume.UNIT, "/srv/registry"))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd on this machine")
def test_systemd_takes_the_unit(tmp_path):
    unit = tmp_path / volume.UNIT
    unit.write_text(mount_unit("/bin/sh", UUID, "ext4", "/srv/registry", 90))
    words = ["systemd-analyze", "verify", "--man=no", str(unit)]
    done = subprocess.run(words, capture_output=True, text=True)
    ours = [line for line in done.stderr.splitlines() if volume.UNIT in line]
    assert ours == []


SCRIPTS = ("FIND", "LOOK", "FORMAT", "HOLDS_REGISTRY", "MOUNT")


@pytest.mark.parametrize("name", SCRIPTS)
def test_shellcheck_has_nothing_to_say_of_the_scripts(name):
    # Beside pytest, wherever the environment is; it comes from a package of its own.
    program = Path(sys.prefix, "bin", "shellcheck")
    done = subprocess.run(
        # 2034: the probe is the same text where its values are used and where they are not.
        [program, "--shell=sh", "--severity=warning", "--exclude=2034", "-"],
        input=getattr(volume_scripts, name),
        capture_output=True,
        text=True,
    )
    assert done.stdout == ""
