# SPDX-License-Identifier: Apache-2.0
"""The proof that a registry serves. The HTTP server is a stand-in; the lab asks a real registry."""

from __future__ import annotations

import pytest

from tacker_cir.exceptions import HostError
from tacker_cir.inventory import Node
from tacker_cir.registry.serving import wait_until_serving
from tests.functional.server import ADDRESS, free_port
from tests.machine import machine


@pytest.fixture
def connection(sshd, dial):
    return dial(sshd)


def node(ssh_address: str = ADDRESS, address: str = ADDRESS) -> Node:
    return Node("CP1", ssh_address, address, "server-1")


def test_a_registry_that_serves(connection, http_server, caplog):
    caplog.set_level("INFO", "tacker_cir")
    port = http_server(200)
    wait_until_serving(machine(connection, service_timeout=5), node(), port)
    assert f"http://{ADDRESS}:{port}/v2/ answers" in caplog.text


def test_a_registry_that_serves_after_a_while(connection, http_server):
    wait_until_serving(
        machine(connection, service_timeout=10), node(), http_server(500, 500, 503, 200)
    )


def test_a_registry_that_fails(connection, http_server):
    port = http_server(500)
    with pytest.raises(HostError) as caught:
        wait_until_serving(machine(connection, service_timeout=1), node(), port)
    assert f"no HTTP 200 from http://{ADDRESS}:{port}/v2/ for 1 seconds" in str(caught.value)
    assert "asked from here: HTTP 500; asked from the VM itself: HTTP 500" in str(caught.value)


def test_no_registry_at_all(connection):
    with pytest.raises(HostError, match=r"asked from here: \[Errno 111\] Connection refused"):
        wait_until_serving(machine(connection, service_timeout=1), node(), free_port())


def test_a_registry_that_only_the_machine_reaches(connection, http_server, caplog):
    """As behind a security group; 127.0.0.2 stands for the floating IP that is not let through."""
    wait_until_serving(
        machine(connection, service_timeout=5), node(ssh_address="127.0.0.2"), http_server(200)
    )
    assert "cannot be reached from here" in caplog.text
