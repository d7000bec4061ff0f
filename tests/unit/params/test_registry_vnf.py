# SPDX-License-Identifier: Apache-2.0
"""Registries that an entry names by their VNF instance: what is taken from it, and what is not."""

from __future__ import annotations

import hashlib
import json
import ssl
from dataclasses import replace

import pytest

from tacker_cir import metadata
from tacker_cir.command import Secret
from tacker_cir.exceptions import InvalidMetadata, InvalidRequest
from tacker_cir.params import k8s_cluster, private_registry
from tacker_cir.params.registry_connection import HostsEntry, RegistryConnection
from tacker_cir.params.registry_list import find_registry_faults
from tacker_cir.params.registry_vnf import RegistryVnf, the_only
from tacker_cir.params.shown_registry import ShownRegistry
from tests.unit.cluster_requests import MINIMUM, P, new_certificate, write_package

KEY = "private_registry_connection_info"
INSTALLATION = "private_registry_installation_param"
CERTIFICATE, _ = new_certificate()
DIGEST = hashlib.sha256(ssl.PEM_cert_to_DER_cert(CERTIFICATE)).hexdigest().upper()
FINGERPRINT = ":".join(DIGEST[at : at + 2] for at in range(0, 64, 2))
PLAIN = {"private_registry_server": "10.0.0.5:5000", "private_registry_scheme": "http"}
TLS = {
    "private_registry_server": "10.0.0.5:443",
    "private_registry_scheme": "https",
    "private_registry_ca": CERTIFICATE,
    "private_registry_ca_sha256": FINGERPRINT,
}
USERS = [{"username": "ann", "password": "MARK-ann"}, {"username": "bob", "password": "MARK-bob"}]
LOGIN = {"ssh_cp_name": "CP1", "ssh_username": "ubuntu", "ssh_password": "ubuntu"}
ENTRY = {"vnf_instance": "registry"}


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return write_package(tmp_path_factory.mktemp("cluster"))


def vnf(shown=TLS, users=None, **other):
    parameters = {INSTALLATION: {} if users is None else {"users": users}}
    made = RegistryVnf("id-1", "registry", True, parameters, shown)
    return replace(made, **other)


def parse(package, entries, *vnfs, changed=None):
    asked = []

    def find(name):
        asked.append(name)
        return the_only([v for v in vnfs if name in (v.id, v.name)], name)

    given = {k8s_cluster.KEY: {**MINIMUM, KEY: list(entries)}}
    params = k8s_cluster.parse(
        given, package, flavour_id="complex", metadata=changed, find_vnf=find
    )
    # Once for each, however much is wanted of it.
    assert asked == [entry["vnf_instance"] for entry in entries if "vnf_instance" in entry]
    return params


def registry(package, entry, made):
    (found,) = parse(package, [entry], made).registries
    return found


def faults_of(package, entries, *vnfs):
    with pytest.raises(InvalidRequest) as caught:
        parse(package, entries, *vnfs)
    assert "MARK" not in str(caught.value)
    prefix = f"{P}.{KEY}"
    return {f.path.removeprefix(prefix): f.problem for f in caught.value.faults}


def fault_of(package, entry, *vnfs):
    ((path, problem),) = faults_of(package, [entry], *vnfs).items()
    return path, problem


def test_what_it_shows_is_taken(package):
    assert registry(package, ENTRY, vnf()) == RegistryConnection(
        "10.0.0.5:443", https=True, ca=CERTIFICATE
    )
    assert registry(package, ENTRY, vnf(PLAIN)) == RegistryConnection("10.0.0.5:5000", https=False)


def test_what_the_registrys_driver_shows_is_understood(package):
    for shown in (ShownRegistry("10.0.0.5:443", CERTIFICATE), ShownRegistry("10.0.0.5:5000")):
        metadata_ = metadata.changed({"other": "x"}, shown.values())
        found = registry(package, ENTRY, vnf(metadata_))
        assert (found.server, found.https, found.ca) == (shown.server, shown.https, shown.ca)


def test_the_authority_may_come_in_parts(package):
    middle = CERTIFICATE.index("\n", 200) - 7
    shown = {
        **TLS,
        "private_registry_ca": CERTIFICATE[:middle],
        "private_registry_ca_2": CERTIFICATE[middle:],
    }
    assert registry(package, ENTRY, vnf(shown)).ca == CERTIFICATE


def test_what_may_stand_beside_it(package):
    beside = {
        "hosts_string": "10.0.0.9 other.example",
        "mirror_of": "docker.io",
        "mirror_fallback": False,
        "test_image": "10.0.0.5:443/library/busybox",
        "advertise": True,
    }
    found = registry(package, ENTRY | beside, vnf())
    assert found.mirror_of == "docker.io" and not found.mirror_fallback and found.advertise
    assert found.test_image == "10.0.0.5:443/library/busybox:latest"
    assert found.hosts.names == ("other.example",)


@pytest.mark.parametrize(
    "member",
    [
        {"server": "10.0.0.5:443"},
        {"connection_type": "1"},
        {"certificate_path": "Files/registries/ca.crt"},
        {"skip_verify": True},
        {"token_server": "10.0.0.5:5001"},
        {"client_certificate_path": "a", "client_key_path": "b"},
    ],
)
def test_what_may_not(package, member):
    faults = faults_of(package, [ENTRY | member], vnf())
    assert all("expected none beside vnf_instance" in faults[f"[0].{name}"] for name in member)
    offline = find_registry_faults([ENTRY | member], None, "metadata")
    assert {f.path for f in offline} == {f"metadata.{KEY}[0].{name}" for name in member}


def test_the_login_of_its_user_is_taken(package):
    found = registry(package, ENTRY | {"username": "bob"}, vnf(users=USERS))
    assert (found.username, found.password) == ("bob", Secret("MARK-bob"))
    params = parse(package, [ENTRY | {"username": "bob"}], vnf(users=USERS))
    assert Secret("MARK-bob") in params.secrets


def test_users_that_were_changed_later_count(package):
    text = json.dumps({"users": [{"username": "bob", "password": "MARK-new"}]})
    changed = {**TLS, INSTALLATION: text[:9], f"{INSTALLATION}_2": text[9:]}
    found = registry(package, ENTRY | {"username": "bob"}, vnf(changed, USERS))
    assert found.password == Secret("MARK-new")
    assert (
        "has no user 'ann'"
        in fault_of(package, ENTRY | {"username": "ann"}, vnf(changed, USERS))[1]
    )
    # What is changed besides leaves the users as they are.
    changed = {**TLS, INSTALLATION: '{"contents": []}'}
    found = registry(package, ENTRY | {"username": "bob"}, vnf(changed, USERS))
    assert found.password == Secret("MARK-bob")


def test_the_users_are_those_that_the_registrys_own_driver_reads(package):
    """Its metadata may have the object in parts, whole objects each, that stand over the request's
    members."""
    new = [{"username": "bob", "password": "MARK-new"}]
    other = {"contents": ["Files/a.tar"]}
    text = json.dumps({"users": new, **other})
    for parts in (
        (json.dumps({"users": new}),),
        (json.dumps(other), json.dumps({"users": new})),
        (json.dumps({"users": new}), json.dumps(other)),
        (text[:20], text[20:50], text[50:]),
        # The last part has no number that follows on the others'.
        (json.dumps(other), None, json.dumps({"users": new})),
        (json.dumps(other),),
        ("{}",),
    ):
        keyed = {f"{INSTALLATION}_{n}" if n > 1 else INSTALLATION: part
                 for n, part in enumerate(parts, 1) if part is not None}  # fmt: skip
        request = {INSTALLATION: {**LOGIN, "users": USERS}}
        theirs = private_registry.parse(request, None, metadata=keyed).users
        entry = ENTRY | {"username": "bob"}
        found = registry(package, entry, vnf({**TLS, **keyed}, USERS))
        assert found.password == {u.username: u.password for u in theirs}["bob"]
        changed = "MARK-new" in "".join(filter(None, parts))
        assert found.password == Secret("MARK-new" if changed else "MARK-bob")


@pytest.mark.parametrize(
    ("shown", "problem"),
    [
        ({"privateRegistryInstallationParam": "{}"}, "privateRegistryInstallationParam: is not"),
        ({INSTALLATION: '{"users": null}'}, "users: expected a list of users"),
        ({INSTALLATION: '{"users": []}'}, "users: expected"),
        ({INSTALLATION: '{"port_no": 5000}'}, "port_no: cannot be changed"),
        ({INSTALLATION: '{"users": [{"username": "a b", "password": "x"}]}'}, "[0].username: exp"),
        ({INSTALLATION: json.dumps({"users": [*USERS, USERS[0]]})}, "ann is in the list twice"),
        ({INSTALLATION: '{"users": [', f"{INSTALLATION}_3": "]}"}, "expected an object"),
    ],
)
def test_what_the_registrys_own_driver_refuses_is_refused(package, shown, problem):
    path, said = fault_of(package, ENTRY | {"username": "ann"}, vnf({**TLS, **shown}, USERS))
    assert path == "[0].vnf_instance" and problem in said
    assert "of its metadata" in said and said.endswith("correct it there")


NAMED = {**TLS, "private_registry_server": "registry.example:443"}


def test_a_name_that_its_certificate_is_for_is_written_to_the_nodes(package):
    shown = ShownRegistry("registry.example:443", CERTIFICATE, "10.0.0.5").values()
    found = registry(package, ENTRY, vnf({k: v for k, v in shown.items() if v}))
    assert found.server == "registry.example:443"
    assert found.hosts == HostsEntry("10.0.0.5", ("registry.example",))
    # Where the nodes reach it by another address, or by a name server, the entry says so.
    own = ENTRY | {"hosts_string": "192.0.2.5 registry.example"}
    found = registry(package, own, vnf({**NAMED, "private_registry_address": "10.0.0.5"}))
    assert found.hosts == HostsEntry("192.0.2.5", ("registry.example",))
    assert registry(package, ENTRY, vnf(NAMED)).hosts is None


@pytest.mark.parametrize(
    ("shown", "problem"),
    [
        (NAMED | {"private_registry_address": "MARK"}, "expected an IP address"),
        (NAMED | {"private_registry_address": 7}, "expected text"),
        (NAMED | {"private_registry_address": "10.0.0.5 deb.debian.org"}, "expected an IP address"),
        (NAMED | {"private_registry_address": "fe80::1%eth0"}, "that a registry can have"),
        (NAMED | {"private_registry_address": "127.0.0.1"}, "that a registry can have"),
        (NAMED | {"private_registry_address": "0.0.0.0"}, "that a registry can have"),
        (TLS | {"private_registry_address": "10.0.0.5"}, "expected none, as private_registry_serv"),
        (
            TLS
            | {
                "private_registry_server": "localhost:443",
                "private_registry_address": "10.0.0.5",
            },
            "expected none, as private_registry_server",
        ),
    ],
)
def test_an_address_that_somebody_wrote_is_refused(package, shown, problem):
    path, said = fault_of(package, ENTRY, vnf(shown))
    assert path == "[0].vnf_instance"
    assert "something else in private_registry_address of its metadata" in said
    assert problem in said and "MARK" not in said


def test_a_login_that_is_given_as_a_whole_is_left_alone(package):
    login = {"username": "eve", "password": "MARK-own"}
    assert registry(package, ENTRY | login, vnf(users=USERS)).password == Secret("MARK-own")


def test_a_user_that_it_does_not_have(package):
    path, problem = fault_of(package, ENTRY | {"username": "anne"}, vnf(users=USERS))
    assert path == "[0].username"
    assert problem == (
        "the registry of VNF instance 'registry' (id-1) has no user 'anne'; did you mean ann?"
    )
    assert (
        "no user 'ann'; there is none" in fault_of(package, ENTRY | {"username": "ann"}, vnf())[1]
    )


def test_a_login_that_is_missing(package):
    path, problem = fault_of(package, ENTRY, vnf(users=USERS))
    assert path == "[0].vnf_instance"
    assert "wants a login; expected username as well, known: ann, bob" in problem


def test_one_that_is_not_there(package):
    path, problem = fault_of(package, ENTRY, vnf(name="other"))
    assert path == "[0].vnf_instance"
    assert problem == "no VNF instance of this project has the name or id 'registry'"


def test_one_that_serves_nothing_yet(package):
    problem = fault_of(package, ENTRY, vnf(instantiated=False, shown={}, parameters=None))[1]
    assert problem == "VNF instance 'registry' (id-1) is not instantiated; instantiate it first"


def test_one_that_is_no_registry(package):
    problem = fault_of(package, ENTRY, vnf({"other": "x"}, parameters=None))[1]
    assert "shows no registry: its metadata have no private_registry_server" in problem


HOSTILE = [
    ("private_registry_server", "10.0.0.5/x", "expected host[:port]"),
    ("private_registry_server", "u:MARK@10.0.0.5", "expected host[:port] without a user"),
    ("private_registry_server", "a\nb", "expected host[:port]"),
    ("private_registry_server", 7, "expected text"),
    ("private_registry_scheme", "ftp", "expected http or https"),
    ("private_registry_scheme", None, "expected text"),
    ("private_registry_scheme", "http", "expected https, as it shows private_registry_ca"),
    ("private_registry_ca", "nonsense", "not a certificate in PEM format"),
    ("private_registry_ca", None, "not a certificate in PEM format"),
    ("private_registry_ca", CERTIFICATE[:200], "not a certificate in PEM format"),
    ("private_registry_ca", "x" * 300_000, "expected at most 262144 characters"),
    ("private_registry_ca", 7, "expected text"),
    (
        "private_registry_ca_sha256",
        "0" * 64,
        f"expected that of private_registry_ca, {FINGERPRINT}",
    ),
    ("private_registry_ca_sha256", None, "expected text"),
    (INSTALLATION, "{", "expected an object in JSON"),
    (INSTALLATION, "[]", "expected an object in JSON"),
    (INSTALLATION, '{"users": 1}', "expected users with username and password"),
    (INSTALLATION, '{"users": {"MARK": "MARK"}}', "expected users with username and password"),
    (INSTALLATION, '{"users": ["MARK"]}', "expected users with username and password"),
    (INSTALLATION, '{"users": [{"username": "a", "password": "MARK\\n"}]}', "expected users with"),
    (INSTALLATION, '{"users": [{"username": "a", "password": ["MARK"]}]}', "expected users with"),
    (INSTALLATION, '{"users": [{"username": "a", "password": "\\ud800"}]}', "expected users with"),
]


@pytest.mark.parametrize(("key", "value", "problem"), HOSTILE)
def test_what_somebody_wrote_into_its_metadata_is_told(package, key, value, problem):
    shown = {name: text for name, text in {**TLS, key: value}.items() if text is not None}
    path, said = fault_of(package, ENTRY, vnf(shown))
    assert path == "[0].vnf_instance"
    assert said.startswith("VNF instance 'registry' (id-1) has something else in ")
    assert key in said and problem in said and "MARK" not in said
    assert said.endswith("has that written anew" if key != INSTALLATION else "correct it there")


def test_tls_of_the_request_is_not_taken_away_by_its_metadata(package):
    given = {INSTALLATION: {"tls": {"self_signed": {}}, "users": USERS}}
    path, said = fault_of(package, ENTRY | {"username": "ann"}, vnf(PLAIN, parameters=given))
    assert path == "[0].vnf_instance"
    assert "private_registry_scheme" in said
    assert "expected https, as it was instantiated with tls" in said


def test_a_name_is_shown_as_text(package):
    entry = {"vnf_instance": "a" * 255}
    assert len(fault_of(package, entry)[1]) < 160
    with pytest.raises(InvalidRequest, match="the name or id of the registry's VNF instance"):
        parse(package, [{"vnf_instance": "a\x1b[2J"}])


def test_two_entries_of_one_registry_are_refused_where_they_name_it(package):
    by_server = {"connection_type": "1", "server": "10.0.0.5:443"}
    for other, member in ((ENTRY, "vnf_instance"), (by_server, "server")):
        faults = faults_of(package, [ENTRY, other], vnf())
        assert faults == {f"[1].{member}": f"'10.0.0.5:443' is the server of {KEY}[0] as well"}
    offline = find_registry_faults([ENTRY, ENTRY], None, "metadata")
    assert [f.path for f in offline] == [f"metadata.{KEY}[1].vnf_instance"]


def test_without_a_tacker_such_an_entry_is_right(package):
    entries = [ENTRY | {"username": "ann", "mirror_of": "docker.io", "test_image": "a:1"}]
    assert find_registry_faults(entries, package, "metadata") == []
    given = {k8s_cluster.KEY: {**MINIMUM, KEY: entries}}
    assert k8s_cluster.parse(given, package, flavour_id="complex")
    (fault,) = find_registry_faults([ENTRY | {"password": "MARK"}], None, "metadata")
    assert fault.path == f"metadata.{KEY}[0].username" and "is missing" in fault.problem


def test_faults_of_metadata_are_told_there(package):
    with pytest.raises(InvalidMetadata) as caught:
        parse(package, [], changed={KEY: json.dumps([ENTRY])})
    (fault,) = caught.value.faults
    assert fault.path == f"metadata.{KEY}[0].vnf_instance"


def test_an_entry_needs_one_of_the_two(package):
    faults = faults_of(package, [{"username": "a", "password": "b"}])
    assert faults == {
        "[0].connection_type": 'is missing; expected "0" for HTTP or "1" for HTTPS',
        "[0].server": "is missing; expected host[:port] of the registry, e.g. 10.10.0.10:5000",
    }


def test_one_registry_at_most_is_advertised(package):
    entries = [
        {"connection_type": "0", "server": f"10.0.0.{n}:5000", "advertise": n != 2}
        for n in (1, 2, 3, 4)
    ]
    faults = faults_of(package, entries)
    problem = f"{KEY}[0] is advertised; a cluster advertises one registry"
    assert faults == {"[2].advertise": problem, "[3].advertise": problem}
    kept = parse(package, entries[:2]).registries
    assert [r.advertise for r in kept] == [True, False]
