# SPDX-License-Identifier: Apache-2.0
"""tls and users of private_registry_installation_param, in a request and in the metadata."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from tacker_cir.command import Redactor, Secret
from tacker_cir.exceptions import InvalidMetadata, InvalidRequest
from tacker_cir.metadata import divided
from tacker_cir.params import private_registry
from tacker_cir.params.private_registry import KEY
from tacker_cir.params.registry_tls import SelfSigned, ServerTls
from tacker_cir.vnflcm import find_request_faults
from tests.certificates import Authority, pem_of, self_signed

P = f"additionalParams.{KEY}"
M = f"metadata.{KEY}"
MINIMUM = {"ssh_cp_name": "PrivateRegistryVDU_CP1", "ssh_username": "ubuntu", "ssh_password": "u"}
CA = Authority("of the registry")
CERTIFICATE, PRIVATE_KEY = CA.issue("registry.example", "*.apps.example", "192.0.2.5")
ALICE = {"username": "alice", "password": "MARK-alice"}


def given(certificate=CERTIFICATE, key=PRIVATE_KEY, **more):
    return {"certificate_path": certificate, "key_path": key, **more}


def parse(package, metadata=None, **members):
    request = {KEY: {**MINIMUM, **members}}
    return private_registry.parse(request, package, flavour_id="simple", metadata=metadata)


def faults_of(package, metadata=None, **members):
    """Faults by path; no secret is in one."""
    with pytest.raises(InvalidRequest) as caught:
        parse(package, metadata, **members)
    assert "MARK" not in str(caught.value) and "PRIVATE" not in str(caught.value)
    return {fault.path: fault.problem for fault in caught.value.faults}


def test_without_them_the_registry_is_the_spec_s(package):
    params = parse(package)
    assert (params.tls, params.users, params.port_no) == (None, (), 5000)


@pytest.mark.parametrize(("more", "port"), [({}, 443), ({"port_no": "8443"}, 8443)])
def test_https_has_a_port_of_its_own(package, more, port):
    assert parse(package, tls={"self_signed": {}}, **more).port_no == port


def test_names_of_a_certificate_to_be_made(package):
    names = ["Registry.example", "192.0.2.9", "2001:DB8::9", "registry.example"]
    found = parse(package, tls={"self_signed": {"names": names}}).tls
    assert found == SelfSigned(("registry.example", "192.0.2.9", "2001:db8::9"))


def test_a_certificate_of_the_package(package):
    (package.root / "Files/keys/server.crt").write_text(f"a comment\n{CERTIFICATE}{CA.pem}")
    (package.root / "Files/keys/server.key").write_text(PRIVATE_KEY)
    paths = given("Files/keys/server.crt", "Files/keys/server.key")
    found = parse(package, tls=paths)
    assert isinstance(found.tls, ServerTls)
    assert found.tls.certificate == CERTIFICATE + CA.pem
    assert found.tls.key in found.secrets


@pytest.mark.parametrize(
    ("address", "names", "host"),
    [
        ("192.0.2.5", [], "192.0.2.5"),
        ("192.0.2.6", [], "registry.example"),
        ("192.0.2.6", ["a.apps.example"], "a.apps.example"),
    ],
)
def test_what_clients_call_the_registry(package, address, names, host):
    more = {"names": names} if names else {}
    assert parse(package, tls=given(**more)).tls.host_for(address) == host


def old(days):
    return CA.issue("registry.example", days=days)


def early():
    key = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName([x509.DNSName("registry.example")])
    start = datetime.now(timezone.utc) + timedelta(days=3)
    return pem_of(self_signed(key, start=start, extensions=[names]), key)


def nameless():
    key = ec.generate_private_key(ec.SECP256R1())
    return pem_of(self_signed(key), key)


FAULTS = [
    (given(key=CA.issue("other")[1]), "key_path", "the key is not that of certificate_path"),
    (given(*old(-3)), "certificate_path", "certificate 1 of the file ended on"),
    (given(f"{CERTIFICATE}{old(-3)[0]}"), "certificate_path", "certificate 2 of the file ended on"),
    (given(*early()), "certificate_path", "certificate 1 of the file holds from"),
    (given(*nameless()), "certificate_path", "has no host name and no IP address"),
    (given(*CA.issue("registry.example", client=True)), "certificate_path", "not for servers"),
    (given(names=["other.example"]), "certificate_path",
     "not for other.example, but for registry.example, *.apps.example, 192.0.2.5"),
    (given(names=["a.b.apps.example"]), "certificate_path", "not for a.b.apps.example"),
    (given(names=["192.0.2.6"]), "certificate_path", "not for 192.0.2.6"),
    (given(*CA.issue("*.apps.example")), "certificate_path",
     "is for *.apps.example only; expected names with what clients call the registry"),
    (given(PRIVATE_KEY), "certificate_path", "the file holds a private key"),
    (given("-----BEGIN x"), "certificate_path", "is not a certificate in PEM format"),
    (given("Files/none.pem"), "certificate_path", "is not in the VNF package"),
    (given(key=CERTIFICATE), "key_path", "is not a private key in PEM format"),
    (given(key="Files/MARK"), "key_path", "the value is taken as a path and is not in"),
    ({"certificate_path": CERTIFICATE}, "key_path", "is missing; expected both"),
    ({}, "certificate_path", "is missing; expected both"),
    (given(self_signed={}), "key_path", "expected none of it beside self_signed"),
    ({"self_signed": {}, "names": ["a"]}, "names", "expected none of it beside self_signed"),
    ({"self_signed": {"names": ["a b"]}}, "self_signed.names[0]", "neither a host name nor"),
    # A certificate cannot hold it, and would be another one than asked for in each operation.
    ({"self_signed": {"names": ["fe80::1%eth0"]}}, "self_signed.names[0]", "neither a host name"),
    ({"self_signed": {"name": "a"}}, "self_signed.name", "did you mean names?"),
]  # fmt: skip


@pytest.mark.parametrize(("tls", "where", "told"), FAULTS)
def test_each_fault_is_found_at_its_place(package, tls, where, told):
    assert told in faults_of(package, tls=tls)[f"{P}.tls.{where}"]


@pytest.mark.parametrize(
    "name", ["registry.example", "a.apps.example", "192.0.2.5", "REGISTRY.example"]
)
def test_a_certificate_with_the_names_that_clients_use(package, name):
    assert isinstance(parse(package, tls=given(names=[name])).tls, ServerTls)


def test_a_certificate_for_a_pattern_wants_a_name(package):
    tls = given(*CA.issue("*.apps.example"), names=["a.apps.example"])
    assert parse(package, tls=tls).tls.host_for("192.0.2.5") == "a.apps.example"


def test_users(package):
    params = parse(package, users=[ALICE])
    (user,) = params.users
    assert (user.username, user.password) == ("alice", Secret("MARK-alice"))
    assert Redactor(params.secrets)(f"x MARK-alice {user.login.reveal()}") == "x *** ***"


@pytest.mark.parametrize(
    ("users", "where", "told"),
    [
        ([], "users", "expected a list of users"),
        ([{"username": "alice"}], "users[0].password", "is missing; expected the user's password"),
        ([{**ALICE, "username": "a:b"}], "users[0].username", "a name of letters, digits"),
        ([{**ALICE, "username": "#a"}], "users[0].username", "a name of letters, digits"),
        ([{**ALICE, "password": ""}], "users[0].password", "got an empty string"),
        ([{**ALICE, "password": "MARK\n"}], "users[0].password", "got another string"),
        ([{**ALICE, "password": "MARK" * 19}], "users[0].password", "of at most 72 characters"),
        ([{**ALICE, "password": "MARK\u00e4" + "\u00e4" * 36}], "users[0].password", "72 bytes in"),
        ([ALICE, ALICE], "users[1].username", "alice is in the list twice"),
        ([{**ALICE, "role": "MARK"}], "users[0].role", "unknown key"),
        ("MARK", "users", "expected a list of users"),
    ],
)  # fmt: skip
def test_each_fault_of_users_is_found_at_its_place(package, users, where, told):
    assert told in faults_of(package, users=users)[f"{P}.{where}"]


def test_anonymous_pull_is_refused_with_its_reason(package):
    told = faults_of(package, users=[ALICE], anonymous_pull=True)
    assert "no rights of theirs or of others" in told[f"{P}.anonymous_pull"]
    assert parse(package, users=[ALICE], anonymous_pull=False).users


def test_members_of_the_metadata_stand_in_for_those_of_the_request(package):
    bob = {"username": "bob", "password": "MARK-bob"}
    metadata = divided(KEY, json.dumps({"users": [bob], "tls": given(CERTIFICATE + CA.pem)}))
    assert len(metadata) > 1
    # What ended since is judged no more.
    params = parse(package, metadata, users=[ALICE], tls=given(*old(-3)))
    assert [user.username for user in params.users] == ["bob"]
    assert params.tls.certificate == CERTIFICATE + CA.pem
    # Of both nothing is to be seen.
    assert Redactor(params.secrets)("MARK-alice MARK-bob") == "*** ***"


def test_several_objects_are_one(package):
    metadata = {KEY: json.dumps({"users": [ALICE]}), f"{KEY}_2": '{"tls": {"self_signed": {}}}'}
    params = parse(package, metadata)
    assert params.users and params.tls == SelfSigned()
    metadata[f"{KEY}_3"] = '{"tls": {"self_signed": {}}}'
    assert faults_of(package, metadata) == {f"{M}_3": "has members of another part: tls"}


@pytest.mark.parametrize(
    ("members", "where", "told"),
    [
        ('{"users": [{"username": "bob"}]}', ".users[0].password", "is missing"),
        ('{"tls": {"self_signed": {"names": ["a b"]}}}', ".tls.self_signed.names[0]", "neither"),
        ('{"port_no": 1}', ".port_no", "cannot be changed while the registry lives"),
        ('["MARK"]', "", "expected an object with any of users, tls, contents"),
        ('{"users": "MARK"', "", "written as JSON in one string"),
    ],
)
def test_a_fault_of_the_metadata_is_told_where_it_is(package, members, where, told):
    found = faults_of(package, {KEY: members}, users=[ALICE])
    assert list(found) == [f"{M}{where}"] and told in found[f"{M}{where}"]
    # tacker-cir validate finds the same before anything is sent.
    body = {"metadata": {KEY: members}}
    assert {f.path: f.problem for f in find_request_faults(body, package, "update")} == found


def test_a_fault_of_the_request_stays_where_it_is(package):
    with pytest.raises(InvalidMetadata) as caught:
        parse(package, {KEY: json.dumps({"users": [ALICE]})}, port_no="99999", tls={})
    assert {f.path for f in caught.value.faults} >= {f"{P}.port_no", f"{P}.tls.key_path"}
