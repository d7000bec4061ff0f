# SPDX-License-Identifier: Apache-2.0
"""``proxy_of`` of the registry VNF."""

from __future__ import annotations

import pytest

from tacker_cir.exceptions import InvalidRequest
from tacker_cir.params import private_registry

PATH = f"{private_registry.PATH}.proxy_of"


def parse(given, **others):
    request = {"ssh_cp_name": "CP1", "ssh_username": "u", "ssh_password": "p", **others}
    return private_registry.parse({private_registry.KEY: {**request, "proxy_of": given}}, None)


def faults_of(given, **others):
    with pytest.raises(InvalidRequest) as caught:
        parse(given, **others)
    assert "MARK" not in str(caught.value)
    return {fault.path: fault.problem for fault in caught.value.faults}


def test_what_is_fetched_from_where():
    params = parse({"server": "docker.io", "username": "alice", "password": "MARK"})
    assert params.proxy_of.url == "https://registry-1.docker.io"
    assert "MARK" in [secret.reveal() for secret in params.secrets]
    assert "MARK" not in repr(params)
    assert parse({"server": "quay.io"}).proxy_of.url == "https://quay.io"
    assert parse({"server": "10.0.0.9:5000", "connection_type": 0}).proxy_of.https is False
    plain = parse({"server": "10.0.0.9:5000", "connection_type": "0"}).proxy_of
    assert (plain.url, plain.login, plain.secrets) == ("http://10.0.0.9:5000", None, ())
    proxy = {"http_proxy": "http://10.0.0.1:3128"}
    assert parse({"server": "quay.io"}, proxy=proxy).proxy_of


@pytest.mark.parametrize(
    ("given", "where", "problem"),
    [
        ({}, ".server", "is missing"),
        ("docker.io", "", "an object with server"),
        ({"server": "https://docker.io"}, ".server", "without http://"),
        ({"server": "a b"}, ".server", "expected host"),
        ({"server": "Docker.io"}, ".server", "expected docker.io, as names of Docker Hub's"),
        ({"server": "registry-1.docker.io"}, ".server", "expected docker.io"),
        ("https://alice:MARK@quay.io", "", "an object with server"),
        ({"server": "alice:MARK@quay.io"}, ".server", "without a user and password"),
        ({"server": "quay.io", "username": "a:b", "password": "p"}, ".username", "without a colon"),
        ({"server": "quay.io", "username": "a\nb", "password": "p"}, ".username", "for the login"),
        ({"server": "docker.io", "username": "a"}, ".password", "is missing; expected it beside"),
        (
            {"server": "docker.io", "password": "MARK"},
            ".username",
            "is missing; expected it beside",
        ),
        ({"server": "docker.io", "connection_type": "2"}, ".connection_type", '"0" for HTTP'),
        ({"server": "docker.io", "user": "a"}, ".user", "did you mean username?"),
    ],
)
def test_each_fault_at_its_place(given, where, problem):
    faults = faults_of(given)
    assert list(faults) == [PATH + where]
    assert problem in faults[PATH + where]


def test_what_cannot_be_beside_it():
    faults = faults_of({"server": "docker.io"}, contents=["Files/contents/a.tar"])
    assert list(faults) == [f"{private_registry.PATH}.contents"]
    assert "excludes proxy_of" in faults[f"{private_registry.PATH}.contents"]
    upkeep = {"delete": True, "garbage_collection": {"schedule": "daily"}, "log_size": "1m"}
    faults = faults_of({"server": "docker.io"}, upkeep=upkeep)
    assert set(faults) == {f"{private_registry.PATH}.upkeep.{name}"
                           for name in ("delete", "garbage_collection")}  # fmt: skip
    assert parse({"server": "docker.io"}, upkeep={"log_size": "1m"}).upkeep.log_size == "1m"
    proxy = {"https_proxy": "http://u:MARK@10.0.0.1:3128"}
    faults = faults_of({"server": "docker.io"}, proxy=proxy)
    assert "expected URLs without a login" in faults[f"{private_registry.PATH}.proxy"]
