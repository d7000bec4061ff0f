# SPDX-License-Identifier: Apache-2.0
"""A registry's own authority: what it issues, what stays and what is made anew."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from tacker_cir import expiry
from tacker_cir.command import Secret
from tacker_cir.registry import authority
from tacker_cir.registry.authority import Pair
from tests.certificates import Authority

NAMES = ("registry.example", "192.0.2.1", "2001:db8::1")


@pytest.fixture
def ca():
    return authority.authority(None)


@pytest.fixture
def clock(monkeypatch):
    """Let some days pass."""

    def later(days):
        class Later(datetime):
            @classmethod
            def now(cls, tz=None):
                return datetime.now(tz) + timedelta(days=days)

        monkeypatch.setattr(authority, "datetime", Later)

    return later


def load(pair):
    return x509.load_pem_x509_certificate(pair.certificate.encode())


def openssl_verifies(tmp_path, ca, server, name):
    """Whether a client that trusts the authority accepts the certificate for a name."""
    for file, pair in (("ca.pem", ca), ("server.pem", server)):
        (tmp_path / file).write_text(pair.certificate)
    option = "-verify_ip" if name[0].isdigit() else "-verify_hostname"
    words = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", option, name]
    files = ["-CAfile", str(tmp_path / "ca.pem"), str(tmp_path / "server.pem")]
    return subprocess.run([*words, *files], capture_output=True).returncode == 0


def test_clients_accept_what_it_issues(ca, tmp_path):
    server = authority.server(ca, None, NAMES)
    assert all(openssl_verifies(tmp_path, ca, server, name) for name in NAMES)
    assert not openssl_verifies(tmp_path, ca, server, "other.example")
    assert not openssl_verifies(tmp_path, authority.authority(None), server, NAMES[0])
    usage = load(server).extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert "PRIVATE" not in repr((ca, server))


def test_what_is_right_stays(ca):
    server = authority.server(ca, None, NAMES)
    assert authority.authority(ca) == ca
    assert authority.server(ca, server, reversed(NAMES)) == server


@pytest.mark.parametrize("names", [NAMES[:2], (*NAMES, "new.example"), ("192.0.2.2",)])
def test_other_names_need_another_certificate(ca, names):
    server = authority.server(ca, None, NAMES)
    other = authority.server(ca, server, names)
    assert other != server and openssl_names(other) == set(names)


def openssl_names(pair):
    found = load(pair).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(name.value) for name in found}


def test_a_certificate_is_renewed_when_less_than_a_third_of_its_life_is_left(ca, clock):
    server = authority.server(ca, None, NAMES)
    clock(authority.SERVER_DAYS * 0.66)
    assert authority.server(ca, server, NAMES) == server
    clock(authority.SERVER_DAYS * 0.67)
    renewed = authority.server(ca, server, NAMES)
    assert expiry.validity(load(renewed))[1] > expiry.validity(load(server))[1]


def test_one_of_the_future_is_made_anew(ca, clock):
    clock(10)
    server = authority.server(ca, None, NAMES)
    clock(0)
    assert authority.server(ca, server, NAMES) != server


def test_who_trusts_a_worn_authority_accepts_its_successor_s_certificates(ca, clock, tmp_path):
    clock(authority.CA_DAYS * 0.67)
    successor = authority.authority(ca)
    assert successor != ca and successor.key == ca.key
    clock(0)
    server = authority.server(successor, None, NAMES)
    assert openssl_verifies(tmp_path, ca, server, NAMES[0])


OTHER = Authority("of somebody else")


@pytest.mark.parametrize(
    "damage",
    [
        lambda pair: replace(pair, key=authority.authority(None).key),
        lambda pair: replace(pair, key=Secret("x")),
        lambda pair: replace(pair, certificate=pair.certificate[:200]),
        lambda pair: replace(pair, certificate=pair.certificate * 2),
        lambda _: made(*OTHER.issue("a")),
    ],
    ids=["another key", "no key", "cut off", "two", "no authority"],
)
def test_what_is_no_authority_is_replaced(ca, damage):
    damaged = damage(ca)
    fresh = authority.authority(damaged)
    assert fresh != damaged and load(fresh).subject != load(ca).subject
    server = authority.server(fresh, damaged, NAMES)
    assert server != damaged


def made(certificate, key):
    return Pair(certificate, Secret(key))


def test_a_certificate_of_another_authority_is_replaced(ca):
    server = authority.server(authority.authority(None), None, NAMES)
    assert authority.server(ca, server, NAMES) != server
    assert load(authority.server(ca, server, NAMES)).issuer == load(ca).subject


def test_clocks_may_differ(ca):
    begin, _ = expiry.validity(load(ca))
    assert begin < datetime.now(timezone.utc) - timedelta(minutes=30)
