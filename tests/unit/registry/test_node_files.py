# SPDX-License-Identifier: Apache-2.0
"""A node's access to registries: which files, what of them is ours, what is left in the end."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tacker_cir.command import Secret
from tacker_cir.exceptions import HostError
from tacker_cir.facts import Facts
from tacker_cir.host.docker import DAEMON_CONFIG as DOCKER_DAEMON
from tacker_cir.host.runtimes import RUNTIMES, docker
from tacker_cir.host.runtimes.docker import is_loaded
from tacker_cir.params.registry_connection import HostsEntry, RegistryConnection
from tacker_cir.registry import node_files as access
from tacker_cir.registry.node_files import Owned, Plan, plan
from tacker_cir.render import docker_daemon
from tacker_cir.render.containerd_config import tomllib
from tacker_cir.render.docker_daemon import Registries

(HOSTS_TEMPLATE,) = access.HOSTS_TEMPLATES
NODE = "master1 (10.0.0.5)"
PLAIN = RegistryConnection("10.0.0.2:5000", https=False)
LOGIN = RegistryConnection(
    "10.0.0.20:5000", https=False, username="user01", password=Secret("p w'd$é")
)
PRIVATE_CA = RegistryConnection(
    "registry.example.com",
    https=True,
    ca="CA 1\n",
    hosts=HostsEntry("10.0.0.3", ("registry.example.com", "registry")),
)
MUTUAL = RegistryConnection(
    "mutual.example.com:5000",
    https=True,
    ca="CA 2\n",
    client_certificate="CERTIFICATE\n",
    client_key=Secret("KEY\n"),
)
MIRROR = RegistryConnection("10.0.0.4:5000", https=False, mirror_of="docker.io")
ALL = (PLAIN, LOGIN, PRIVATE_CA, MUTUAL, MIRROR)
HOSTS_FILE = b"127.0.0.1 localhost\n10.0.0.30 registry.example.org\n"


def node(**contents: bytes) -> Facts:
    facts = Facts()
    facts.note_file(access.HOSTS, HOSTS_FILE, 0o644)
    for path, content in contents.items():
        facts.note_file(path, content, 0o644)
    return facts


def apply(facts: Facts, registries, runtime="containerd", node_lines=()) -> dict[str, int]:
    """Do what a plan says to the facts, and return the files that change with their modes."""
    wanted = plan(NODE, facts, registries, RUNTIMES[runtime], node_lines)
    state = wanted.after.dump()
    changed = {}
    files = [*wanted.files]
    files.append(access.ManagedFile(access.STATE, state.encode() if state else None, 0o600))
    for file in files:
        if not file.is_current(facts):
            facts.note_file(file.path, file.content, file.mode)
            changed[file.path] = file.mode
    return changed


CONTAINERD = {
    "/etc/containerd/certs.d/10.0.0.2:5000/hosts.toml": 0o644,
    "/etc/containerd/certs.d/10.0.0.20:5000/hosts.toml": 0o600,
    "/etc/containerd/certs.d/10.0.0.4:5000/hosts.toml": 0o644,
    "/etc/containerd/certs.d/docker.io/hosts.toml": 0o644,
    "/etc/containerd/certs.d/mutual.example.com:5000/ca.crt": 0o644,
    "/etc/containerd/certs.d/mutual.example.com:5000/client.cert": 0o644,
    "/etc/containerd/certs.d/mutual.example.com:5000/client.key": 0o600,
    "/etc/containerd/certs.d/mutual.example.com:5000/hosts.toml": 0o644,
    "/etc/containerd/certs.d/registry.example.com/ca.crt": 0o644,
    "/etc/containerd/certs.d/registry.example.com/hosts.toml": 0o644,
    "/etc/hosts": 0o644,
    "/var/lib/kubelet/config.json": 0o600,
    "/var/lib/tacker-cir/registries.json": 0o600,
}
DOCKER = {
    "/etc/docker/certs.d/mutual.example.com:5000/ca.crt": 0o644,
    "/etc/docker/certs.d/mutual.example.com:5000/client.cert": 0o644,
    "/etc/docker/certs.d/mutual.example.com:5000/client.key": 0o600,
    "/etc/docker/certs.d/registry.example.com/ca.crt": 0o644,
    "/etc/docker/daemon.json": 0o644,
    "/etc/hosts": 0o644,
    "/root/.docker/config.json": 0o600,
    "/var/lib/kubelet/config.json": 0o600,
    "/var/lib/tacker-cir/registries.json": 0o600,
}


@pytest.mark.parametrize(("runtime", "files"), [("containerd", CONTAINERD), ("docker", DOCKER)])
def test_all_files_twice_and_removed(runtime, files):
    facts = node()
    assert apply(facts, ALL, runtime, ("10.0.0.5 master1",)) == files
    assert apply(facts, ALL, runtime, ("10.0.0.5 master1",)) == {}
    apply(facts, [], runtime)
    left = {access.HOSTS: HOSTS_FILE}
    if runtime == "docker":
        left[DOCKER_DAEMON] = facts.contents[DOCKER_DAEMON]
        assert not any(json.loads(left[DOCKER_DAEMON]).values())
    assert facts.contents == left


def test_one_block_with_the_lines_of_nodes_and_registries():
    facts = node()
    apply(facts, ALL, node_lines=("10.0.0.5 master1", "10.0.0.50 worker1"))
    added = facts.text(access.HOSTS).removeprefix(HOSTS_FILE.decode()).splitlines()
    assert added[1:-1] == [
        "10.0.0.5 master1",
        "10.0.0.50 worker1",
        "10.0.0.3 registry.example.com registry",
    ]
    apply(facts, ALL[:2], node_lines=("10.0.0.5 master1",))
    added = facts.text(access.HOSTS).removeprefix(HOSTS_FILE.decode()).splitlines()
    assert added[1:-1] == ["10.0.0.5 master1"]


@pytest.mark.parametrize("left", [b"", b"\n", bytes(200), None])
def test_a_hosts_file_that_was_emptied_knows_localhost_again(left):
    facts = node()
    facts.note_file(access.HOSTS, left, 0o644)
    apply(facts, [PRIVATE_CA], node_lines=("10.0.0.5 master1",))
    lines = facts.text(access.HOSTS).splitlines()
    assert lines[:2] == ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback"]
    assert "10.0.0.5 master1" in lines
    assert apply(facts, [PRIVATE_CA], node_lines=("10.0.0.5 master1",)) == {}


@pytest.mark.parametrize(
    ("line", "counts"),
    [
        ("hosts: files dns", True),
        ("hosts:\tfiles mdns4_minimal [NOTFOUND=return] dns # dns files", True),
        ("hosts: mymachines resolve [!UNAVAIL=return] files myhostname dns", True),
        ("hosts: myhostname files dns", True),
        ("#hosts: dns\npasswd: files", True),
        ("hosts: dns files", False),
        ("hosts: dns # files", False),
        ("hosts: dns [!UNAVAIL=return] files", False),
        ("passwd: files\n  hosts: ldap dns", False),
        ("hosts:", False),
    ],
)
def test_whether_the_hosts_file_counts(line, counts):
    facts = node(**{access.NAME_SERVICES: f"passwd: files\n{line}\n".encode()})
    if counts:
        apply(facts, [PRIVATE_CA])
        return
    with pytest.raises(HostError, match="let 'files' be the first in the line 'hosts' of /etc/ns"):
        apply(facts, [PRIVATE_CA])
    assert facts.contents[access.HOSTS] == HOSTS_FILE


def test_what_cloud_init_writes_at_each_boot():
    """Debian's cloud images have manage_etc_hosts: the template makes /etc/hosts."""
    template = b"## template:jinja\n127.0.1.1 {{fqdn}} {{hostname}}\n"
    facts = node(**{HOSTS_TEMPLATE: template})
    apply(facts, [PRIVATE_CA])
    line = "10.0.0.3 registry.example.com registry"
    assert line in facts.text(HOSTS_TEMPLATE).splitlines()
    apply(facts, [])
    assert facts.contents[HOSTS_TEMPLATE] == template


@pytest.mark.parametrize(
    ("line", "refused"),
    [
        ("10.0.0.33 Registry.example.com", True),
        ("10.0.0.33 other registry # 10.0.0.3", True),
        ("10.0.0.3 registry.example.com", False),
        ("# 10.0.0.33 registry.example.com", False),
        ("10.0.0.33 registry.example.com.org", False),
    ],
)
def test_a_name_that_others_gave_another_address(line, refused):
    facts = node(**{access.HOSTS: HOSTS_FILE + line.encode() + b"\n"})
    if refused:
        with pytest.raises(HostError, match="is 10.0.0.33, not 10.0.0.3. To do: correct hosts"):
            apply(facts, [PRIVATE_CA])
        return
    apply(facts, [PRIVATE_CA])
    # Our own lines may change.
    moved = HostsEntry("10.0.0.4", PRIVATE_CA.hosts.names)
    if not line.startswith("10.0.0.3 "):
        apply(facts, [replace(PRIVATE_CA, hosts=moved)])
        assert "10.0.0.4 registry.example.com registry" in facts.text(access.HOSTS)


def test_one_registry_less():
    facts = node()
    apply(facts, ALL)
    others = [r for r in ALL if r is not MUTUAL]
    gone = [path for path in CONTAINERD if "mutual" in path]
    assert set(apply(facts, others)) == {*gone, access.STATE}
    assert not any(path in facts.files for path in gone)


def test_a_login_less_is_a_login_less():
    facts = node()
    apply(facts, ALL, "docker")
    apply(facts, [replace(LOGIN, username=None, password=None)], "docker")
    assert docker.LOGINS not in facts.files and access.KUBELET_LOGINS not in facts.files


def test_what_others_have_stays():
    other = b'{"auths": {"other.example.com": {"auth": "bzpw"}}}'
    facts = node(
        **{
            access.KUBELET_LOGINS: other,
            DOCKER_DAEMON: b'{"insecure-registries": ["10.0.0.2:5000"]}',
            "/etc/docker/certs.d/other/ca.crt": b"theirs",
        }
    )
    apply(facts, ALL, "docker")
    apply(facts, [], "docker")
    assert json.loads(facts.text(access.KUBELET_LOGINS)) == json.loads(other)
    assert json.loads(facts.text(DOCKER_DAEMON))["insecure-registries"] == ["10.0.0.2:5000"]
    assert "/etc/docker/certs.d/other/ca.crt" in facts.files


def test_a_file_of_logins_becomes_roots_alone():
    facts = node(**{access.KUBELET_LOGINS: b'{"auths": {"other.example.com": {"auth": "bzpw"}}}'})
    assert apply(facts, [PLAIN]).get(access.KUBELET_LOGINS) is None
    assert apply(facts, ALL)[access.KUBELET_LOGINS] == 0o600


def test_a_login_counts_for_whatever_pulls():
    facts = node()
    apply(facts, [LOGIN])
    read = tomllib.loads(facts.text("/etc/containerd/certs.d/10.0.0.20:5000/hosts.toml"))
    auth = json.loads(facts.text(access.KUBELET_LOGINS))["auths"]["10.0.0.20:5000"]["auth"]
    assert read["header"]["Authorization"] == f"Basic {auth}"


def test_docker_hub_takes_no_login_in_a_header():
    facts = node()
    apply(facts, [replace(LOGIN, server="docker.io", https=True)])
    read = tomllib.loads(facts.text("/etc/containerd/certs.d/docker.io/hosts.toml"))
    assert read == {"server": "https://registry-1.docker.io", "host": {}}
    assert "https://index.docker.io/v1/" in facts.text(access.KUBELET_LOGINS)


@pytest.mark.parametrize(
    ("fallback", "server"),
    [(True, "https://registry-1.docker.io"), (False, "http://10.0.0.6:5000")],
)
def test_mirrors(fallback, server):
    second = replace(MIRROR, server="10.0.0.6:5000")
    facts = node()
    apply(facts, [replace(r, mirror_fallback=fallback) for r in (MIRROR, second)])
    read = tomllib.loads(facts.text("/etc/containerd/certs.d/docker.io/hosts.toml"))
    assert read["server"] == server
    assert list(read["host"]) == ["http://10.0.0.4:5000", "http://10.0.0.6:5000"][: 1 + fallback]


def test_a_mirror_of_a_registry_that_is_configured_itself():
    mirror = replace(MIRROR, mirror_of=PRIVATE_CA.server)
    facts = node()
    apply(facts, [PRIVATE_CA, mirror])
    top = f"/etc/containerd/certs.d/{PRIVATE_CA.server}"
    read = tomllib.loads(facts.text(f"{top}/hosts.toml"))
    assert (read["server"], read["ca"]) == (PRIVATE_CA.url, f"{top}/ca.crt")
    assert list(read["host"]) == [MIRROR.url]


def gone(facts: Facts, wanted: Plan) -> Registries:
    """Return what Docker shall know no longer."""
    return docker.gone(facts, wanted.before.entries, wanted.after.entries)


def test_a_cut_leaves_nothing_unknown():
    facts = node()
    apply(facts, ALL, "docker")
    before = Owned.parse(facts.text(access.STATE))
    wanted = plan(NODE, facts, [PLAIN], RUNTIMES["docker"])
    # What is written first, and stays if everything after it is cut off.
    facts.note_file(access.STATE, (wanted.before | wanted.after).dump().encode(), 0o600)
    assert plan(NODE, facts, [PLAIN], RUNTIMES["docker"]).before == before
    assert gone(facts, wanted) == Registries(("10.0.0.20:5000", "10.0.0.4:5000"), (MIRROR.url,))
    apply(facts, [], "docker")
    assert set(facts.contents) == {access.HOSTS, DOCKER_DAEMON}


def test_owned_as_text():
    owned = Owned(
        ("/a",),
        {"insecure_registries": ("b",), "registry_mirrors": ("c",), "docker_logins": ("d",)},
        ("e",),
    )
    assert Owned.parse(owned.dump()) == owned
    assert Owned().dump() is None and Owned.parse(None) == Owned()
    assert owned | Owned(("/x", "/a")) == replace(owned, files=("/a", "/x"))


NOT_OURS = [(path, b"{") for path in (DOCKER_DAEMON, access.KUBELET_LOGINS)]
ANY = [access.STATE, DOCKER_DAEMON, access.KUBELET_LOGINS]


@pytest.mark.parametrize(
    ("path", "content"),
    [*NOT_OURS, *((path, content) for path in ANY for content in (b"[]", b"\xff"))],
)
def test_files_that_cannot_be_completed_are_named(path, content):
    with pytest.raises(HostError) as caught:
        apply(node(**{path: content}), ALL, "docker")
    assert path in str(caught.value) and NODE in str(caught.value)


def test_a_record_of_ours_that_was_cut_off_is_made_anew(caplog):
    """Whatever length a cut, or a power cut, left of it."""
    facts = node()
    apply(facts, ALL, "docker")
    whole, files = facts.contents[access.STATE], dict(facts.contents)
    for length in range(len(whole) - 2):
        facts.note_file(access.STATE, whole[:length], 0o600)
        assert apply(facts, ALL, "docker") == {access.STATE: 0o600}
        assert json.loads(facts.text(access.STATE))["files"] == json.loads(whole)["files"]
    assert "was cut off when it was written and is made anew" in caplog.text
    facts.note_file(access.STATE, bytes(len(whole)), 0o600)
    assert apply(facts, ALL, "docker") == {access.STATE: 0o600}
    assert {**facts.contents, access.STATE: b""} == {**files, access.STATE: b""}


def test_what_a_record_that_was_cut_off_still_tells_is_removed():
    facts = node()
    apply(facts, [MUTUAL, PRIVATE_CA])
    whole = facts.text(access.STATE)
    facts.note_file(access.STATE, whole[: whole.index("]") - 20].encode(), 0o600)
    apply(facts, [PRIVATE_CA])
    left = [path for path in facts.contents if path.startswith("/etc/containerd/certs.d")]
    assert all("mutual.example.com" not in path for path in left) and left


DOCKERD = "ExecStart={ path=/usr/sbin/dockerd ; argv[]=/usr/sbin/dockerd -H fd:// $OPTS ; x }\n"


@pytest.mark.parametrize(
    ("words", "keys", "insecure"),
    [
        (DOCKERD, set(), ()),
        ("/usr/sbin/dockerd\n--insecure-registry\na:1\n", {"insecure-registries"}, ("a:1",)),
        ("dockerd --insecure-registry=a:1 --insecure-registry b", {"insecure-registries"},
         ("a:1", "b")),
        ("OPTS=\"--registry-mirror='https://m/'\"", {"registry-mirrors"}, ()),
        ("dockerd --live-restore", {"live-restore"}, ()),
        ("dockerd --live-restore=false --log-driver x", {"live-restore"}, ()),
        ("dockerd --no-insecure-registry x --insecure-registryx y", set(), ()),
    ],
)  # fmt: skip
def test_options_of_dockers_command_line(words, keys, insecure):
    found = docker_daemon.CommandLine.parse(words)
    assert found.keys == keys and found.registries.insecure == insecure


def test_what_docker_would_not_start_with_is_not_written():
    facts = node()
    facts.dockerd_words = "dockerd --insecure-registry 10.0.0.99"
    with pytest.raises(HostError) as caught:
        apply(facts, ALL, "docker")
    assert "dockerd is started with --insecure-registry, and does not start" in str(caught.value)
    assert "add --insecure-registry=10.0.0.2:5000 --insecure-registry=10.0.0.20:5000" in str(
        caught.value
    )
    assert DOCKER_DAEMON not in facts.contents
    # On containerd it does not matter.
    apply(facts, ALL)


def test_what_docker_knows_by_its_command_line_needs_no_file():
    facts = node()
    facts.dockerd_words = "dockerd --insecure-registry 10.0.0.2:5000"
    apply(facts, [PLAIN], "docker")
    assert DOCKER_DAEMON not in facts.contents
    # An earlier operation had put it into the file.
    facts.dockerd_words = ""
    apply(facts, [PLAIN, MIRROR], "docker")
    options = ("10.0.0.2:5000", "10.0.0.4:5000")
    facts.dockerd_words = " ".join(["dockerd", *(f"--insecure-registry {o}" for o in options)])
    wanted = plan(NODE, facts, [PLAIN, MIRROR], RUNTIMES["docker"])
    assert gone(facts, wanted) == Registries()
    apply(facts, [PLAIN, MIRROR], "docker")
    assert json.loads(facts.text(DOCKER_DAEMON)) == {"registry-mirrors": [MIRROR.url]}


def test_live_restore_of_the_command_line():
    keys = docker_daemon.CommandLine.parse("dockerd --live-restore").keys
    assert docker_daemon.with_live_restore(None, keys) is None
    assert docker_daemon.with_live_restore("{}", keys) == "{}"
    assert json.loads(docker_daemon.with_live_restore("{}")) == {"live-restore": True}


# `docker info` of Docker 20.10, shortened.
INFO = {
    "InsecureRegistryCIDRs": ["127.0.0.0/8"],
    "IndexConfigs": {
        "10.0.0.2:5000": {"Name": "10.0.0.2:5000", "Mirrors": [], "Secure": False},
        "docker.io": {"Name": "docker.io", "Mirrors": ["http://10.0.0.4:5000/"], "Secure": True},
    },
    "Mirrors": ["http://10.0.0.4:5000/"],
}
HERE = Registries(("10.0.0.2:5000",), ("http://10.0.0.4:5000",))


@pytest.mark.parametrize(
    ("info", "here", "gone", "loaded"),
    [
        (INFO, HERE, Registries(), True),
        (INFO, Registries(), Registries(), True),
        (INFO, Registries(), HERE, False),
        (INFO, Registries(("10.0.0.20:5000",)), Registries(), False),
        (INFO, HERE, Registries(("10.0.0.20:5000",)), True),
        (INFO, Registries(mirrors=("http://10.0.0.40:5000",)), Registries(), False),
        (INFO, Registries(HERE.insecure), Registries(mirrors=HERE.mirrors), False),
        ({}, Registries(), HERE, True),
        (None, HERE, Registries(), False),
    ],
)
def test_what_docker_has_taken_over(info, here, gone, loaded):
    assert is_loaded(info, here, gone) is loaded
