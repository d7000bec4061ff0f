# SPDX-License-Identifier: Apache-2.0
"""What a family of guests has to bring, before a machine is asked and after."""

from __future__ import annotations

import subprocess

import pytest

from tacker_cir import guests, ssh
from tacker_cir.facts import Facts
from tacker_cir.guests import GUESTS
from tacker_cir.host import packages
from tests.machine import DEBIAN_12


def test_every_family_has_a_package_manager():
    assert set(packages.MANAGERS) == set(GUESTS)
    for guest in GUESTS.values():
        assert guests.SUPPORTED.items() >= guest.releases.items()


@pytest.mark.parametrize(
    ("release", "family"),
    [
        (DEBIAN_12, "debian"),
        ({"ID": "ubuntu", "VERSION_ID": "24.04"}, "debian"),
        ({"ID": "ubuntu", "VERSION_ID": "24.10"}, None),
        # Made of Debian, and never tried.
        ({"ID": "raspbian", "VERSION_ID": "12", "ID_LIKE": "debian"}, None),
        ({}, None),
    ],
)
def test_the_family_of_a_system(release, family):
    found = guests.of(release)
    assert (found.name if found else None) == family
    if family:
        assert Facts(os_release=release).guest is found
    else:
        with pytest.raises(LookupError):
            _ = Facts(os_release=release).guest


@pytest.mark.parametrize("guest", GUESTS.values(), ids=GUESTS)
def test_on_a_machine_of_another_family_it_says_nothing_of_itself(guest, tmp_path):
    """All families' questions go to every machine: that with none of their programs has no more
    than empty lines."""
    script = f"newline='\n'\npackages=x\n{guest.state}\n{guest.packages}\n:"
    told = subprocess.run(
        ["/bin/sh", "-c", script], capture_output=True, text=True, env={"PATH": str(tmp_path)}
    )
    assert told.returncode == 0
    assert all(line.rstrip() in ("arch", "interrupted") for line in told.stdout.splitlines())


def test_no_family_s_programs_ask_a_person():
    for guest in GUESTS.values():
        for name, value in guest.environment.items():
            assert f" {name}={value}" in ssh._BEGIN
