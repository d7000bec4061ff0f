# SPDX-License-Identifier: Apache-2.0
"""Nobody waits for an OpenStack that never comes to an end."""

from __future__ import annotations

import ssl
import time

import pytest
from keystoneauth1 import exceptions as keystone_exc
from keystoneauth1 import session as keystone_session

from tacker_cir import inventory, whole_requests
from tacker_cir.exceptions import InventoryError
from tests.certificates import Authority
from tests.functional.hostile import ADDRESS, ANSWERS, GOOD, Memory, Registry

DRIPS = [name for name in ANSWERS if "drips" in name or "byte" in name or name == "silence"]


def ask(url: str, timeout: float, **options):
    session = keystone_session.Session(timeout=timeout, session=whole_requests.session(), **options)
    return session.get(url)


@pytest.mark.parametrize("name", DRIPS)
def test_a_request_ends_as_a_whole(name):
    server = Registry(ANSWERS[name])
    start = time.monotonic()
    with pytest.raises(keystone_exc.ClientException):
        ask(f"http://{ADDRESS}:{server.port}/", 1)
    assert time.monotonic() - start < 5
    server.close()


@pytest.mark.parametrize("tls", [False, True])
def test_an_answer_in_time(tmp_path, tls):
    authority, pair = Authority("right"), tmp_path / "pair.pem"
    pair.write_text("\n".join(authority.issue(ADDRESS)))
    (tmp_path / "ca.pem").write_text(authority.pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair)
    server = Registry(lambda: iter([GOOD]), context if tls else None)
    url = f"http{'s' if tls else ''}://{ADDRESS}:{server.port}/"
    verify = str(tmp_path / "ca.pem") if tls else True
    assert ask(url, 5, verify=verify).json() == {}
    server.close()


def test_an_answer_that_is_too_long(monkeypatch):
    monkeypatch.setattr(whole_requests, "MOST", 10 * 1024 * 1024)
    server = Registry(ANSWERS["a body"])
    with Memory() as memory, pytest.raises(keystone_exc.ClientException):
        ask(f"http://{ADDRESS}:{server.port}/", 20)
    assert memory.grown < 60 * 1024 * 1024
    server.close()


def test_a_handshake_that_never_ends():
    server = Registry(ANSWERS["a byte at a time"])
    start = time.monotonic()
    with pytest.raises(keystone_exc.ClientException):
        ask(f"https://{ADDRESS}:{server.port}/", 1)
    assert time.monotonic() - start < 5
    server.close()


def test_heat_that_drips(monkeypatch):
    monkeypatch.setattr(inventory, "REQUEST_TIMEOUT", 1)
    server = Registry(ANSWERS["a byte at a time"])
    access = {"auth_url": f"http://{ADDRESS}:{server.port}/v3", "username": "u", "password": "p"}
    start = time.monotonic()
    with pytest.raises(InventoryError):
        inventory.Heat(access).resources("stack")
    assert time.monotonic() - start < 10
    server.close()
