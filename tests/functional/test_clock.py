# SPDX-License-Identifier: Apache-2.0
"""Machines whose clock is wrong: the machine is this one, whose date(1) is made to tell another
time."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable

import pytest

from tacker_cir.exceptions import HostError
from tacker_cir.facts import gather
from tacker_cir.host.runtimes import RUNTIMES
from tacker_cir.host.system import check_clock
from tacker_cir.params.registry_connection import RegistryConnection
from tacker_cir.registry.verify import verify_access
from tests.certificates import Authority
from tests.functional.hostile import ADDRESS, GOOD, Registry
from tests.functional.server import IS_ROOT, Sshd
from tests.machine import machine

YEAR = 365 * 86400

pytestmark = pytest.mark.skipif(not IS_ROOT, reason="a machine's state is read as root")


@pytest.fixture
def at_time(make_sshd, tmp_path) -> Callable[[float], Sshd]:
    """Start a machine whose clock is some seconds ahead, or right again from the n-th look on."""

    def start(ahead: float, until: int = 1000) -> Sshd:
        programs = tmp_path / "programs"
        programs.mkdir()
        date = programs / "date"
        date.write_text(
            f"#!/bin/sh\necho >>{programs}/looks\n"
            f"[ $(wc -l <{programs}/looks) -gt {until} ] && exec /usr/bin/date +%s\n"
            f"echo $(($(/usr/bin/date +%s) + {ahead:.0f}))\n"
        )
        date.chmod(0o755)
        sshd = make_sshd()
        force = sshd.directory / "force"
        force.write_text(force.read_text().replace("cd / &&", f"PATH={programs}:$PATH; cd / &&"))
        return sshd.start()

    return start


@pytest.mark.parametrize(
    ("ahead", "said"),
    [
        (-10 * YEAR, "the VM's clock is 10 years behind the conductor's"),
        (3 * YEAR, "the VM's clock is 3 years ahead of the conductor's"),
        (-3 * 3600, "the VM's clock is 3 hours behind the conductor's"),
        (-40 * YEAR, "40 years behind"),
    ],
)
def test_a_wrong_clock_is_named(at_time, dial, ahead, said):
    connection = dial(at_time(ahead))
    facts = gather(connection)
    assert abs(facts.clock_ahead - ahead) < 30
    with pytest.raises(HostError) as caught:
        check_clock(machine(connection, facts), 0.3)
    assert said in str(caught.value) and "timedatectl" in caught.value.remedy


@pytest.mark.parametrize("ahead", [0, -200, 200])
def test_a_clock_that_is_right_enough_costs_nothing(at_time, dial, ahead):
    connection = dial(at_time(ahead))
    facts = gather(connection)
    commands = connection.commands
    check_clock(machine(connection, facts))
    assert connection.commands == commands
    assert abs(facts.clock_ahead - ahead) < 30


def test_a_clock_that_its_time_service_sets_meanwhile(at_time, dial):
    connection = dial(at_time(-YEAR, until=2))
    check_clock(machine(connection, gather(connection)), 20)


@pytest.mark.parametrize(
    ("ahead", "said"),
    [
        (-10 * YEAR, "by the clock of the node, which is 10 years behind the conductor's"),
        (10 * YEAR, "by the clock of the node, which is 10 years ahead of the conductor's"),
        (0, ""),
    ],
)
def test_a_registry_is_judged_by_the_node_s_clock(at_time, dial, tmp_path, ahead, said):
    authority = Authority("right")
    pair = tmp_path / "pair.pem"
    pair.write_text("\n".join(authority.issue(ADDRESS)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair)
    registry = Registry(lambda: iter([GOOD]), context)
    info = RegistryConnection(f"{ADDRESS}:{registry.port}", https=True, ca=authority.pem)
    connection = dial(at_time(ahead))
    start = time.monotonic()
    try:
        asked = machine(connection, registry_timeout=5, image_timeout=5)
        verify_access(asked, [info], runtime=RUNTIMES["containerd"])
        found = ""
    except HostError as error:
        found = str(error)
    finally:
        registry.close()
    assert said in found and bool(said) == bool(found)
    assert time.monotonic() - start < 20
