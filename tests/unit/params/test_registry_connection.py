# SPDX-License-Identifier: Apache-2.0
"""private_registry_connection_info: what is right, and each fault with its path."""

from __future__ import annotations

from typing import Any

import pytest

from tacker_cir.command import Secret
from tacker_cir.params import certificates
from tacker_cir.params.names import is_host_name, split_server
from tacker_cir.params.registry_connection import HostsEntry, RegistryConnection
from tests.unit import cluster_requests
from tests.unit.cluster_requests import MINIMUM, write_package

KEY = "private_registry_connection_info"
HTTP = {"connection_type": "0", "server": "192.168.0.10:5000"}
HTTPS = {"connection_type": "1", "server": "registry.example.com"}
LOGIN = {"username": "user01", "password": "MARK"}
CLIENT = {
    "client_certificate_path": "Files/registries/client.crt",
    "client_key_path": "Files/registries/client.key",
}
DOCKER = {"kubernetes_version": "1.20.2", "package_repository": "image"}
# 255 characters are a file's name; containerd looks for one more where there is a port.
NAME_253 = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])
LONGEST = NAME_253[:-4] + ":5000"


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return write_package(tmp_path_factory.mktemp("cluster"))


def parse(package, *items: Any, **more: Any) -> tuple[RegistryConnection, ...]:
    return cluster_requests.parse(package, {**MINIMUM, **more, KEY: list(items)}).registries


def faults_of(package, *items: Any, **more: Any) -> dict[str, str]:
    faults = cluster_requests.faults_of(package, {**MINIMUM, **more, KEY: list(items)})
    return {path.removeprefix(KEY): problem for path, problem in faults.items()}


def test_the_least_that_must_be_given(package):
    (registry,) = parse(package, HTTP)
    assert registry == RegistryConnection("192.168.0.10:5000", https=False)
    assert registry.url == "http://192.168.0.10:5000"
    assert registry.secrets == ()


def test_all_that_can_be_given(package):
    (registry,) = parse(
        package,
        {
            **HTTPS,
            **LOGIN,
            **CLIENT,
            "password": " p\"a's$s:w\\ö☃d`%20# ",
            "certificate_path": "Files/registries/ca.crt",
            "hosts_string": "  2001:DB8:0::20\tregistry.example.com   registry ",
            "mirror_of": "docker.io",
            "mirror_fallback": False,
            "test_image": "library/busybox",
        },
    )
    files = {p.name: p.read_text() for p in (package.root / "Files/registries").iterdir()}
    assert registry == RegistryConnection(
        server="registry.example.com",
        https=True,
        username="user01",
        password=Secret(" p\"a's$s:w\\ö☃d`%20# "),
        ca=files["ca.crt"],
        client_certificate=files["client.crt"],
        client_key=Secret(files["client.key"]),
        hosts=HostsEntry("2001:db8::20", ("registry.example.com", "registry")),
        mirror_of="docker.io",
        mirror_fallback=False,
        test_image="registry.example.com/library/busybox:latest",
    )
    assert registry.secrets == (
        registry.password,
        registry.login,
        registry.client_key,
    )
    assert "PRIVATE KEY" not in repr(registry) and "wört" not in repr(registry)


@pytest.mark.parametrize(("given", "https"), [("0", 0), (0, 0), ("1", 1), (1, 1), (1.0, 1)])
def test_connection_types(package, given, https):
    assert parse(package, {**HTTPS, "connection_type": given})[0].https is bool(https)


@pytest.mark.parametrize(
    ("image", "full"),
    [
        ("app", "192.168.0.10:5000/app:latest"),
        ("a/b:1", "192.168.0.10:5000/a/b:1"),
        ("192.168.0.10:5000/a/b", "192.168.0.10:5000/a/b:latest"),
        ("a.b/c@sha256:" + "0" * 64, "192.168.0.10:5000/a.b/c@sha256:" + "0" * 64),
    ],
)
def test_test_images(package, image, full):
    assert parse(package, {**HTTP, "test_image": image})[0].test_image == full


# (what is added to HTTP, "" or the key of the fault, what the problem says)
HTTP_FAULTS = [
    ({"connection_type": "2"}, "connection_type", 'expected "0" for HTTP or "1" for HTTPS; got \''),
    ({"connection_type": "http"}, "connection_type", "got 'http'"),
    ({"connection_type": True}, "connection_type", "got True"),
    ({"connection_type": None}, "connection_type", "got null"),
    ({"server": ""}, "server", "expected host[:port] of the registry, e.g. 10.10.0.10:5000"),
    ({"server": 5000}, "server", "got 5000"),
    ({"server": "http://192.168.0.10:5000"}, "server", "expected host[:port] without http://"),
    ({"server": "https://u:MARK@h.example"}, "server", "expected host[:port] without http://"),
    ({"server": "u:MARK@h.example"}, "server", "expected host[:port] without a user and password"),
    ({"username": "u"}, "password", "is missing; expected both username and password, or none"),
    ({"password": "MARK"}, "username", "is missing; expected both password and username, or none"),
    ({**LOGIN, "username": "a:b"}, "username", "expected a user name without a colon; got 'a:b'"),
    ({**LOGIN, "username": "a\n"}, "username", "expected a user name without a colon"),
    ({**LOGIN, "password": "MARK\n"}, "password", "expected the user's password; got another str"),
    ({**LOGIN, "password": ""}, "password", "got an empty string"),
    ({**LOGIN, "password": {"MARK": 1}}, "password", "got object"),
    ({"certificate_path": "Files/registries/ca.crt"}, "certificate_path", 'for HTTPS only, but'),
    ({"skip_verify": True}, "skip_verify", "is for HTTPS only"),
    ({"hosts_string": "192.168.0.20"}, "hosts_string", "got '192.168.0.20', without a name"),
    ({"hosts_string": "   "}, "hosts_string", "whose first word is no IP address"),
    ({"hosts_string": "r.example.com 192.168.0.20"}, "hosts_string", "first word is no IP address"),
    ({"hosts_string": "10.0.0.1 10.0.0.2"}, "hosts_string", "'10.0.0.2' is no host name"),
    ({"hosts_string": "10.0.0.1 a #b"}, "hosts_string", "'#b' is no host name"),
    ({"hosts_string": "10.0.0.1 a_b"}, "hosts_string", "'a_b' is no host name"),
    ({"hosts_string": "10.0.0.1 a\n10.0.0.2 b"}, "hosts_string", "expected '<IP address> <FQDN>'"),
    ({"hosts_string": "10.0.0.1 a.b LocalHost"}, "hosts_string", "localhost is the node itself"),
    ({"hosts_string": "0.0.0.0 a"}, "hosts_string", "an address that no registry has"),
    ({"hosts_string": "fe80::1%eth0 a"}, "hosts_string", "an address that no registry has"),
    ({"hosts_string": ["a"]}, "hosts_string", "expected '<IP address> <FQDN>'; got list"),
    ({"mirror_of": "https://docker.io"}, "mirror_of", "expected host[:port] without http://"),
    ({"mirror_of": "192.168.0.10:5000"}, "mirror_of", "expected another registry than server"),
    ({"mirror_fallback": True}, "mirror_fallback", "is for mirrors only; expected mirror_of"),
    ({"mirror_of": "docker.io", "mirror_fallback": 0}, "mirror_fallback", "expected false to neve"),
    ({"test_image": "Busybox"}, "test_image", "expected an image of the registry to pull"),
    ({"mirror_of": "index.docker.io"}, "mirror_of", "expected docker.io, as names of Docker Hub's"),
    ({"mirror_of": "registry-1.docker.io"}, "mirror_of", "expected docker.io, as names of Docker"),
    ({"mirror_of": "Docker.io"}, "mirror_of", "expected docker.io, as names of Docker Hub's"),
    ({"mirror_of": "docker.io:443"}, "mirror_of", "expected docker.io, as names of Docker Hub's"),
    ({"server": "index.docker.io"}, "server", "expected docker.io, as names of Docker Hub's"),
    ({"server": "registry.hub.docker.com"}, "server", "expected docker.io, as names of Docker"),
    ({"test_image": "Foo/bar"}, "test_image", "expected an image of 192.168.0.10:5000; "),
    ({"test_image": "-v/x"}, "test_image", "expected an image of the registry to pull"),
    ({"test_image": "a" * 240}, "test_image", "an image's name of at most 255 characters"),
    ({"test_image": "10.0.0.9:5000/a"}, "test_image", "expected an image of 192.168.0.10:5000; "),
    ({"user": "MARK"}, "user", "unknown key; did you mean username?"),
    ({"passwort": "MARK"}, "passwort", "unknown key; did you mean password?"),
    ({"zzz": "MARK"}, "zzz", "unknown key; known: advertise, certificate_path"),
]  # fmt: skip


@pytest.mark.parametrize(("added", "key", "problem"), HTTP_FAULTS)
def test_each_fault_is_found_at_its_place(package, added, key, problem):
    faults = faults_of(package, HTTPS, {**HTTP, **added})
    assert list(faults) == [f"[1].{key}"]
    assert problem in faults[f"[1].{key}"]
    assert "MARK" not in str(faults)


HTTPS_FAULTS = [
    ({"skip_verify": "yes"}, "skip_verify", "expected true to accept any certificate"),
    ({"certificate_path": "gone.crt"}, "certificate_path", "'gone.crt' is not in the VNF package"),
    ({"certificate_path": "/etc/passwd"}, "certificate_path", "must be a path relative to the top"),
    ({"certificate_path": "Files/list.yaml"}, "certificate_path", "not a certificate in PEM forma"),
    ({"certificate_path": "Files/registries/damaged.crt"}, "certificate_path", "not a certificate"),
    ({"certificate_path": "Files/registries/both.pem"}, "certificate_path", "holds a private key"),
    ({"certificate_path": "-----BEGIN\nx"}, "certificate_path", "expected the registry's CA"),
    ({"certificate_path": "Files/registries/ca.crt", "skip_verify": True}, "skip_verify",
     "expected certificate_path or skip_verify, not both"),
    ({"client_key_path": "Files/registries/client.key"}, "client_certificate_path",
     "is missing; expected both client_key_path and client_certificate_path, or none"),
    ({"client_certificate_path": "Files/registries/client.crt"}, "client_key_path", "is missing"),
    ({**CLIENT, "client_key_path": "Files/registries/other.key"}, "client_key_path",
     "the key is not that of client_certificate_path"),
    ({**CLIENT, "client_key_path": "Files/registries/locked.key"}, "client_key_path",
     "the key has a passphrase"),
    ({**CLIENT, "client_key_path": "Files/registries/ca.crt"}, "client_key_path",
     "the file is not a private key in PEM format"),
    ({**CLIENT, "client_key_path": "MARK"}, "client_key_path",
     "the value is taken as a path and is not in the VNF package"),
    ({**CLIENT, "client_key_path": "-----BEGIN\nMARK"}, "client_key_path", "got another string"),
    ({**CLIENT, "client_certificate_path": "Files/list.yaml"}, "client_certificate_path",
     "the file is not a certificate"),
]  # fmt: skip


@pytest.mark.parametrize(("added", "key", "problem"), HTTPS_FAULTS)
def test_each_fault_of_tls_is_found_at_its_place(package, added, key, problem):
    faults = faults_of(package, {**HTTPS, **added})
    assert list(faults) == [f"[0].{key}"]
    assert problem in faults[f"[0].{key}"]
    assert "MARK" not in str(faults)


@pytest.mark.parametrize("key", ["connection_type", "server"])
def test_what_must_be_given(package, key):
    given = {k: v for k, v in HTTP.items() if k != key}
    assert "is missing; expected" in faults_of(package, given)[f"[0].{key}"]


def test_an_entry_that_is_no_object(package):
    assert faults_of(package, HTTP, "MARK", None) == {
        "[1]": "expected an object that describes a registry: connection_type, server, ...; got a "
        "string",
        "[2]": "expected an object that describes a registry: connection_type, server, ...; got "
        "null",
    }


@pytest.mark.parametrize("server", ["registry.example.com", "Registry.Example.com"])
def test_a_server_twice(package, server):
    assert faults_of(package, HTTPS, HTTP, {**HTTPS, "server": server}) == {
        "[2].server": f"{server!r} is the server of {KEY}[0] as well"
    }


def test_servers_that_only_look_alike(package):
    servers = ["10.0.0.2:5000", "10.0.0.20:5000", "10.0.0.2:50000", "10.0.0.2", "r.example:443",
               "r.example", "xr.example"]  # fmt: skip
    found = parse(package, *({**HTTP, "server": server} for server in servers))
    assert [registry.server for registry in found] == servers


def test_one_name_with_two_addresses(package):
    one = {**HTTPS, "hosts_string": "10.0.0.2 registry.example.com"}
    same = {**HTTP, "hosts_string": "10.0.0.2 other.example Registry.example.com"}
    assert len(parse(package, one, same)) == 2
    faults = faults_of(package, one, {**HTTP, "hosts_string": "10.0.0.20 registry.example.com"})
    assert faults == {
        "[1].hosts_string": "registry.example.com has the address 10.0.0.2 in another registry's "
        "hosts_string"
    }


def test_mirrors_of_one_registry_agree(package):
    one = {**HTTP, "mirror_of": "docker.io", "mirror_fallback": False}
    assert faults_of(package, one, {**HTTPS, "mirror_of": "docker.io"}) == {
        "[1].mirror_fallback": "expected the same for all mirrors of docker.io"
    }
    assert len(parse(package, one, {**HTTPS, "mirror_of": "quay.io"})) == 2


@pytest.mark.parametrize("mirror", [HTTP, {"connection_type": "1", "skip_verify": True}])
@pytest.mark.parametrize("runtime", [{}, DOCKER])
def test_a_login_is_not_handed_to_whoever_answers_for_a_mirror(package, mirror, runtime):
    """containerd and Docker send a mirror the login of what it mirrors."""
    mirror = {**mirror, "server": "10.9.9.9:5000", "mirror_of": "docker.io"}
    hub = {"connection_type": "1", "server": "docker.io", **LOGIN}
    faults = faults_of(package, hub, mirror, **runtime)
    assert "the login of docker.io would be handed to this mirror" in faults["[1].mirror_of"]
    without = {key: value for key, value in hub.items() if key not in LOGIN}
    assert len(parse(package, without, mirror, **runtime)) == 2
    proven = {**mirror, "connection_type": "1"}
    proven.pop("skip_verify", None)
    assert len(parse(package, hub, proven, **runtime)) == 2


def test_a_token_server(package):
    given = {**HTTPS, **LOGIN, "token_server": "auth.example.com:5001"}
    assert parse(package, given)[0].token_server == "auth.example.com:5001"
    faults = faults_of(package, {**HTTPS, "token_server": "https://auth.example.com/token"})
    assert "without http://" in faults["[0].token_server"]
    faults = faults_of(package, {**HTTPS, "token_server": "auth.example.com"})
    assert "expected username and password as well" in faults["[0].token_server"]


def test_a_mirrored_registry_is_looked_up_in_lower_case(package):
    (registry,) = parse(package, {**HTTP, "mirror_of": "Quay.IO"})
    assert registry.mirror_of == "quay.io"


def test_many_bad_names_are_one_fault(package):
    faults = faults_of(package, {**HTTP, "hosts_string": "10.0.0.1" + " a_b" * 200})
    assert list(faults) == ["[0].hosts_string"]
    assert "'a_b' is no host name (and 199 more)" in faults["[0].hosts_string"]
    assert len(faults["[0].hosts_string"]) < 250


def test_certificates_and_keys_may_be_given_themselves(package):
    named = {**HTTPS, **CLIENT, "certificate_path": "Files/registries/ca.crt"}
    paths = ("certificate_path", "client_certificate_path", "client_key_path")
    texts = {key: (package.root / named[key]).read_text() for key in paths}
    assert parse(package, {**named, **texts}) == parse(package, named)


@pytest.mark.parametrize("key", ["certificate_path", "client_key_path"])
def test_a_damaged_text_is_refused_and_not_shown(package, key):
    damaged = "-----BEGIN PRIVATE KEY-----\nMARKMARK\n-----END PRIVATE KEY-----\n"
    faults = faults_of(package, {**HTTPS, **CLIENT, key: damaged})
    assert list(faults) == [f"[0].{key}"]
    assert "MARK" not in str(faults)


def test_a_file_that_many_registries_name_is_understood_once(package, monkeypatch):
    calls = []
    read = certificates.read_certificates
    monkeypatch.setattr(
        certificates, "read_certificates", lambda text: calls.append(text) or read(text)
    )
    items = [
        {
            **HTTPS,
            **CLIENT,
            "server": f"r{i}.example",
            "certificate_path": "Files/registries/ca.crt",
        }
        for i in range(50)
    ]
    registries = parse(package, *items)
    assert len(calls) == 2 and len({id(registry.ca) for registry in registries}) == 1
    damaged = [item | {"certificate_path": "Files/registries/damaged.crt"} for item in items]
    assert len(faults_of(package, *damaged)) == 50
    assert len(calls) == 4


def test_what_docker_cannot_mirror(package):
    assert parse(package, {**HTTP, "mirror_of": "docker.io"}, **DOCKER)[0].mirror_fallback
    given = {**HTTP, "mirror_of": "quay.io", "mirror_fallback": False}
    faults = faults_of(package, given, **DOCKER)
    assert "Docker has mirrors of docker.io only" in faults["[0].mirror_of"]
    assert "Docker always falls back" in faults["[0].mirror_fallback"]
    login = {**HTTP, **LOGIN, "mirror_of": "docker.io"}
    assert (
        "Docker does not log in to mirrors" in faults_of(package, login, **DOCKER)["[0].mirror_of"]
    )
    parse(package, {**given, **LOGIN}, **DOCKER, container_runtime="containerd")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("registry.example.com", ("registry.example.com", None)),
        ("Registry-1.example.com:443", ("Registry-1.example.com", 443)),
        ("registry:5000", ("registry", 5000)),
        ("localhost", ("localhost", None)),
        ("192.168.0.10", ("192.168.0.10", None)),
        ("192.168.0.10:65535", ("192.168.0.10", 65535)),
        ("[2001:db8::1]:5000", ("2001:db8::1", 5000)),
        ("[::1]", ("::1", None)),
        ("docker.io", ("docker.io", None)),
        (NAME_253, (NAME_253, None)),
        (LONGEST, (LONGEST[:-5], 5000)),
    ],
)
def test_servers(text, expected):
    assert split_server(text) == expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("http://registry.example.com", "without http:// or https://"),
        ("registry.example.com/", "without a path"),
        ("registry.example.com/v2", "without a path"),
        ("u@registry.example.com", "without a user and password"),
        ("registry", "registry/... is a repository of Docker Hub"),
        ("registry.example.com:", "a port number"),
        ("registry.example.com:0", "a port number"),
        ("registry.example.com:05000", "a port number"),
        ("registry.example.com:65536", "a port number"),
        ("registry.example.com:port1", "a port number"),
        ("registry.example.com:٥٠٠٠", "a port number"),
        ("2001:db8::1", "an IPv6 address in brackets"),
        ("[2001:db8::1", "an IPv6 address in brackets"),
        ("[2001:db8::1]5000", "an IPv6 address in brackets"),
        ("[192.168.0.10]:5000", "an IPv6 address in the brackets"),
        ("[fe80::1%eth0]:5000", "without zone"),
        ("[::ffff:192.168.0.10]:5000", "all in hexadecimal"),
        ("192.168.0.300:5000", "the host a DNS name, an IPv4 address"),
        ("192.168.0:5000", "the host a DNS name"),
        ("192.168.000.010", "the host a DNS name"),
        ("registry.example.com.:5000", "the host a DNS name"),
        ("-registry.example.com", "the host a DNS name"),
        ("reg_istry.example.com", "the host a DNS name"),
        ("régistry.example.com", "the host a DNS name"),
        ("registry.example.com\n", "the host a DNS name"),
        (" registry.example.com", "the host a DNS name"),
        ("reg;istry.example.com", "the host a DNS name"),
        ("..", "the host a DNS name"),
        (":5000", "the host a DNS name"),
        ("a" * 64 + ".example", "the host a DNS name"),
        (NAME_253 + "d", "the host a DNS name"),
        (NAME_253[:-3] + ":5000", "of at most 254 characters"),
        (NAME_253 + ":1", "of at most 254 characters"),
    ],
)
def test_servers_that_are_none(text, problem):
    with pytest.raises(ValueError, match="expected") as caught:
        split_server(text)
    assert problem in str(caught.value)


def test_a_servers_host_for_no_proxy():
    assert RegistryConnection("[2001:db8::1]:5000", https=True).host == "2001:db8::1"


def test_host_names():
    assert is_host_name("a") and is_host_name("1a.b-c.D9")
    assert not any(map(is_host_name, ["", ".", "a..b", "a.", "a-.b", "1.2.3.4", "a.1", "a b"]))
