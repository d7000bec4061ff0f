# SPDX-License-Identifier: Apache-2.0
"""Files of a node that pulls from private registries: golden, run twice, merged and removed."""

from __future__ import annotations

import base64
import json

import pytest

from tacker_cir.render import apt, docker_auth, docker_daemon, hosts, hosts_toml
from tacker_cir.render.docker_daemon import Registries
from tacker_cir.render.hosts_toml import Endpoint
from tacker_cir.render.no_proxy import no_proxy

NONE = Registries()
# A password as people have them: what a shell, JSON, TOML or "user:password" could stumble over.
ODD = "a b\"c'd$HOME`e\\f:g%20#hé☃"
LONGEST = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 57]) + ":5000"

# /etc/hosts

HOSTS = """\
127.0.0.1\tlocalhost
# The following lines are desirable for IPv6 capable hosts
::1     localhost ip6-localhost ip6-loopback

10.0.0.20 registry.example.com.others # not ours
"""
LINES = [
    hosts.line("10.0.0.2", ["registry.example.com", "registry"]),
    hosts.line("10.0.0.20", ["other.example.com"]),
    hosts.line("2001:db8::2", ["six.example.com"]),
]


def test_hosts_block(golden):
    golden("hosts_block", hosts.with_block(HOSTS, LINES))


@pytest.mark.parametrize("text", ["", HOSTS, HOSTS.rstrip("\n"), "\n", "a\r\nb\r\n"])
def test_hosts_block_twice_changed_and_removed(text):
    once = hosts.with_block(text, LINES)
    assert hosts.with_block(once, LINES) == once
    assert once.splitlines()[-5:] == [hosts.BEGIN, *LINES, hosts.END]
    other = hosts.with_block(once, LINES[1:])
    assert LINES[0] not in other.splitlines() and LINES[1] in other.splitlines()
    removed = hosts.with_block(other, [])
    assert removed == (text + "\n" if text and not text.endswith("\n") else text)
    assert hosts.with_block(removed, []) == removed


def test_hosts_block_stays_where_it_is():
    text = hosts.with_block(HOSTS, LINES) + "192.0.2.1 after\n"
    changed = hosts.with_block(text, LINES[:1])
    assert changed == f"{HOSTS}{hosts.BEGIN}\n{LINES[0]}\n{hosts.END}\n192.0.2.1 after\n"


def test_an_address_that_begins_like_another_is_another():
    both = hosts.with_block("10.0.0.200 x\n", ["10.0.0.2 a", "10.0.0.20 b"])
    assert hosts.with_block(both, ["10.0.0.20 b"]) == (
        f"10.0.0.200 x\n{hosts.BEGIN}\n10.0.0.20 b\n{hosts.END}\n"
    )


def test_no_line_twice():
    assert hosts.with_block("", ["10.0.0.2 a", "10.0.0.2 a"]).count("10.0.0.2 a") == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # Half a block says nothing about whose lines there are: they stay.
        ("a\n{B}\nb\n", "a\nb\n{B}\n1 x\n{E}\n"),
        ("a\n{E}\nb\n", "a\nb\n{B}\n1 x\n{E}\n"),
        ("{B}\na\n{B}\nb\n{E}\nc\n", "a\n{B}\n1 x\n{E}\nc\n"),
        ("{B}\na\n{E}\nb\n{B}\nc\n{E}\n", "{B}\n1 x\n{E}\nb\n"),
        ("  {B}  \r\na\r\n{E}\r\nb\r\n", "{B}\n1 x\n{E}\nb\r\n"),
    ],
)
def test_damaged_and_repeated_blocks(text, expected):
    markers = {"B": hosts.BEGIN, "E": hosts.END}
    assert hosts.with_block(text.format(**markers), ["1 x"]) == expected.format(**markers)


# containerd

AUTHORIZATION = f"Basic {docker_auth.basic_auth('user01', ODD)}"
CERTS = "/etc/containerd/certs.d/registry.example.com"
FULL = Endpoint(
    "https://registry.example.com",
    ca=f"{CERTS}/ca.crt",
    client=(f"{CERTS}/client.cert", f"{CERTS}/client.key"),
    authorization=AUTHORIZATION,
)
HTTP = Endpoint("http://192.168.0.10:5000")
UNVERIFIED = Endpoint("https://[2001:db8::10]:5000", skip_verify=True)
FILES = {
    "http": (HTTP, ()),
    "https_all": (FULL, ()),
    "skip_verify": (UNVERIFIED, ()),
    "mirror_fallback": (hosts_toml.upstream("docker.io"), (FULL, HTTP)),
    "mirror_only": (None, (HTTP, FULL)),
}


@pytest.mark.parametrize("name", FILES)
def test_hosts_toml(golden, name):
    golden(f"hosts_toml_{name}.toml", hosts_toml.render(*FILES[name]))


def test_hosts_toml_says_what_was_meant():
    tomllib = pytest.importorskip("tomllib")
    longest = Endpoint(f"http://{LONGEST}", authorization=AUTHORIZATION)
    read = tomllib.loads(hosts_toml.render(longest, [FULL]))
    assert list(read["host"]) == [FULL.url]
    assert read["server"] == longest.url
    encoded = read["header"]["Authorization"].removeprefix("Basic ")
    assert base64.b64decode(encoded).decode() == f"user01:{ODD}"
    only = tomllib.loads(hosts_toml.render(None, [HTTP]))
    assert only == {"server": HTTP.url, "capabilities": ["pull", "resolve"], "host": {}}


def test_a_login_is_written_only_if_asked():
    assert "header" not in hosts_toml.render(HTTP)


def test_where_a_registry_is_that_is_not_configured():
    assert hosts_toml.upstream("docker.io").url == "https://registry-1.docker.io"
    assert hosts_toml.upstream("quay.io").url == "https://quay.io"


@pytest.mark.parametrize(
    "settings", [{"ca": "/ca"}, {"client": ("/c", "/k")}, {"skip_verify": True}]
)
def test_http_has_no_tls_settings(settings):
    with pytest.raises(ValueError, match="is not https"):
        Endpoint("http://192.168.0.10:5000", **settings)


def test_nobody_to_ask():
    with pytest.raises(ValueError, match="neither"):
        hosts_toml.render(None)


# Docker

DAEMON = (
    '{"exec-opts": ["native.cgroupdriver=systemd"],\n'
    ' "insecure-registries": ["10.0.0.20:5000", "172.16.0.0/12"], "log-level": "wärn"}'
)
WANTED = Registries(("10.0.0.2:5000", "10.0.0.20:5000"), ("http://10.0.0.2:5000",))


def test_docker_daemon(golden):
    text, _ = docker_daemon.merge(DAEMON, NONE, WANTED)
    golden("docker_daemon_merged.json", text)
    text, _ = docker_daemon.merge(None, NONE, WANTED)
    golden("docker_daemon_new.json", text)


@pytest.mark.parametrize("old", [None, "", "{}", DAEMON, '{"registry-mirrors": []}'])
def test_docker_daemon_twice_and_removed(old):
    once, ours = docker_daemon.merge(old, NONE, WANTED)
    assert docker_daemon.merge(once, ours, WANTED) == (once, ours)
    removed, nothing = docker_daemon.merge(once, ours, NONE)
    assert nothing == NONE
    before = json.loads(old or "{}")
    kept = {k: v for k, v in json.loads(removed or "{}").items() if v}
    assert kept == {k: v for k, v in before.items() if v}


def test_an_entry_of_somebody_else_stays_his():
    once, ours = docker_daemon.merge(DAEMON, NONE, WANTED)
    assert ours == Registries(("10.0.0.2:5000",), WANTED.mirrors)
    less, ours = docker_daemon.merge(once, ours, Registries(("10.0.0.3:5000",)))
    read = json.loads(less)
    assert read["insecure-registries"] == ["10.0.0.20:5000", "172.16.0.0/12", "10.0.0.3:5000"]
    # A daemon that reads the file again keeps what a missing key does not take away.
    assert read["registry-mirrors"] == []
    assert ours == Registries(("10.0.0.3:5000",))


def test_what_somebody_took_out_comes_back():
    _, ours = docker_daemon.merge(None, NONE, WANTED)
    text, again = docker_daemon.merge("{}", ours, WANTED)
    assert again == WANTED == ours
    assert json.loads(text)["insecure-registries"] == list(WANTED.insecure)


def test_a_text_that_says_it_already_is_kept_to_the_letter():
    text = '{"registry-mirrors":["http://10.0.0.2:5000/"]  }'
    wanted = Registries(mirrors=("http://10.0.0.2:5000",))
    assert docker_daemon.merge(text, NONE, wanted) == (text, NONE)
    # As ours, it is taken away whichever way it is written.
    removed, nothing = docker_daemon.merge(text, wanted, NONE)
    assert (json.loads(removed), nothing) == ({"registry-mirrors": []}, NONE)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "is not JSON"),
        ("[]", "is not a JSON object"),
        ('{"insecure-registries": "x"}', "insecure-registries is not a list of strings"),
        ('{"registry-mirrors": [1]}', "registry-mirrors is not a list of strings"),
    ],
)
def test_a_daemon_json_that_docker_would_not_read(text, problem):
    with pytest.raises(ValueError, match=problem):
        docker_daemon.merge(text, NONE, WANTED)


# Logins

LOGINS = {
    "registry.example.com": docker_auth.basic_auth("user01", ODD),
    "192.168.0.10:5000": docker_auth.basic_auth("a", "b"),
    "docker.io": docker_auth.basic_auth("hub", "pw"),
}
AUTHS = '{"auths": {"other.example.com": {"auth": "bzpw"}}, "credHelpers": {"x": "y"}}'


def test_docker_auth(golden):
    golden("docker_auth_new.json", docker_auth.merge(None, (), LOGINS)[0])
    golden("docker_auth_merged.json", docker_auth.merge(AUTHS, (), LOGINS)[0])


@pytest.mark.parametrize("old", [None, "", "{}", AUTHS])
def test_docker_auth_twice_rotated_and_removed(old):
    once, ours = docker_auth.merge(old, (), LOGINS)
    assert set(ours) == set(LOGINS)
    assert docker_auth.merge(once, ours, LOGINS) == (once, ours)
    new = {**LOGINS, "docker.io": docker_auth.basic_auth("hub", "new")}
    rotated, ours = docker_auth.merge(once, ours, new)
    assert rotated != once
    auths = json.loads(rotated)["auths"]
    assert base64.b64decode(auths["https://index.docker.io/v1/"]["auth"]) == b"hub:new"
    removed, ours = docker_auth.merge(rotated, ours, {})
    assert (json.loads(removed or "{}"), ours) == (json.loads(old or "{}"), ())


def test_a_login_of_somebody_else_stays_unless_another_is_wanted():
    same = {"other.example.com": "bzpw"}
    assert docker_auth.merge(AUTHS, (), same) == (AUTHS, ())
    replaced, ours = docker_auth.merge(AUTHS, (), {"other.example.com": "eA=="})
    assert json.loads(replaced)["auths"] == {"other.example.com": {"auth": "eA=="}}
    assert ours == ("other.example.com",)


@pytest.mark.parametrize("password", [ODD, "", " ", ":", "é" * 100, "\u202e"])
@pytest.mark.parametrize("server", [LONGEST, "[2001:db8::1]:5000"])
def test_any_password_and_server(server, password):
    text, _ = docker_auth.merge(None, (), {server: docker_auth.basic_auth("user", password)})
    login = json.loads(text)["auths"][server]["auth"]
    # The first colon separates (RFC 7617).
    assert base64.b64decode(login).decode().partition(":")[::2] == ("user", password)


@pytest.mark.parametrize("text", ["{MARK", "[]", '{"auths": ["MARK"]}'])
def test_a_config_json_that_docker_would_not_read(text):
    with pytest.raises(ValueError, match="is not") as caught:
        docker_auth.merge(text, (), LOGINS)
    assert "MARK" not in str(caught.value)


# no_proxy, apt


def test_no_proxy():
    user = "192.168.246.0/24, 10.0.0.1,,registry.example.com"
    found = no_proxy(
        user,
        ["192.168.3.0/24", "10.199.187.0/24", "192.168.246.0/24"],
        ["127.0.0.1", "localhost", "Registry.example.com", "::1"],
    )
    assert found == (
        "192.168.246.0/24,10.0.0.1,registry.example.com,192.168.3.0/24,10.199.187.0/24,"
        "127.0.0.1,localhost,::1"
    )
    assert no_proxy(found, ["192.168.3.0/24"], ["localhost"]) == found
    assert no_proxy("", [], []) == ""


def test_a_flat_apt_repository(golden):
    uri = "https://mirror.example/kubernetes/v1.34/deb/"
    text = apt.deb822_source(uri, "/", (), "/etc/apt/keyrings/k.asc", "amd64")
    golden("apt_source_flat.sources", text)
