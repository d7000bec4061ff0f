# SPDX-License-Identifier: Apache-2.0
"""Generated requests through every parser, renderer and command builder, read back by real parsers.

Each request is a right one of which some members are changed. It is either refused, briefly and
without its secrets, or every file and command made of it says what the request says: to apt, a
shell, TOML, JSON and YAML.

The examples are the same in each run. ``TACKER_CIR_THOROUGH=1`` makes a long run of others.
"""

from __future__ import annotations

import configparser
import copy
import functools
import ipaddress
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import bcrypt
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tacker_cir.command import Command
from tacker_cir.csar import CsarError
from tacker_cir.csar.archive import load_yaml
from tacker_cir.exceptions import InvalidRequest
from tacker_cir.facts import Facts
from tacker_cir.host import certs_d
from tacker_cir.host import docker as host_docker
from tacker_cir.host.runtimes.docker import daemon_entries
from tacker_cir.image_archive import PackageFileError, read_image_archive
from tacker_cir.image_contents import check_blobs, read_image_contents
from tacker_cir.metadata import MAX_VALUE, divided
from tacker_cir.params import k8s_cluster, private_registry, registry_metadata, registry_override
from tacker_cir.params.certificates import CertificateFault, read_certificates, read_key, to_pem
from tacker_cir.params.names import split_server
from tacker_cir.params.private_registry import PrivateRegistryParams
from tacker_cir.params.registry_tls import ServerTls, names_of
from tacker_cir.params.registry_vnf import RegistryVnf, the_only
from tacker_cir.params.shown_registry import ShownRegistry
from tacker_cir.registry import authority, collection, server
from tacker_cir.registry.container import ContainerSpec
from tacker_cir.registry.from_node import tls_context
from tacker_cir.registry.places import Places
from tacker_cir.render import (
    apt,
    docker,
    docker_auth,
    docker_daemon,
    hosts,
    htpasswd,
    kubeadm,
    local_registry,
    registry_collection,
    registry_proxy,
    volume,
)
from tacker_cir.render.no_proxy import no_proxy
from tacker_cir.runtimes import RUNTIMES
from tacker_cir.vnflcm import named_vnf_instances
from tests.certificates import Authority
from tests.image_archives import Image, docker_members, layer, layout_of, write
from tests.machine import DEBIAN_12
from tests.unit import cluster_requests
from tests.unit.conftest import docker_archive, oci_archive, write_tar

#: They judge time and many thousand values; what they pass through others show as covered.
pytestmark = pytest.mark.no_cover

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

THOROUGH = bool(os.environ.get("TACKER_CIR_THOROUGH"))
EXAMPLES = 5000 if THOROUGH else 400
CHARACTERS = 32 * 1024

COUNTS: Counter[str] = Counter()


def generated(share: float = 1.0):
    """Return the settings of a test with a share of the examples."""
    return settings(
        max_examples=max(20, int(EXAMPLES * share)),
        derandomize=not THOROUGH,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


REGISTRY_VNF: dict[str, Any] = {
    "ssh_cp_name": "CP1",
    "ssh_username": "ubuntu",
    "ssh_password": "MARK-ssh",
    "port_no": "5000",
    "proxy": {
        "http_proxy": "http://user:MARK-proxy@proxy.example:3128",
        "https_proxy": "http://[2001:db8::9]:3129/",
        "no_proxy": "localhost,.example,10.0.0.0/8,host:5000,::1",
    },
    "docker_package": {
        "name": "docker-ce",
        "version": "5:27.1.1-1~debian.12~bookworm",
        "apt_repository": {
            "uri": "https://repo.example/linux/debian",
            "suite": "bookworm",
            "components": ["stable"],
            "keyring_path": "Files/keys/docker.asc",
        },
    },
    "registry_image": "quay.io/library/registry:2.8.3",
    "data_path": "/srv/registry",
}
PAIR = Authority("of the registry").issue("registry.example", "*.apps.example", "192.0.2.5")
USERS = [
    {"username": "alice", "password": "MARK-alice"},
    {"username": "bob@example", "password": "MARK-bob: é"},
]
UPKEEP = {
    "delete": True,
    "garbage_collection": {"schedule": "Sun *-*-* 03:00:00", "window": 90},
    "log_size": "10m",
    "log_files": 5,
    "min_free": "10%",
}
LOGIN = {"ssh_cp_name": "CP1", "ssh_username": "ubuntu", "ssh_password": "MARK-ssh"}
#: Registries that are kept: one that has its own images, and one that fetches another one's.
KEPT: dict[str, Any] = {
    **LOGIN,
    "data_path": "/srv/registry",
    "data_volume": {"name": "registry_data", "device": "/dev/vdb"},
    "contents": ["Files/contents/app.tar"],
    "tls": {
        "certificate_path": "Files/tls/registry.crt",
        "key_path": "Files/tls/registry.key",
        "names": ["registry.example", "a.apps.example", "192.0.2.5"],
    },
    "users": USERS,
    "anonymous_pull": False,
    "upkeep": UPKEEP,
}
FETCHING: dict[str, Any] = {
    **LOGIN,
    "port_no": 8443,
    "proxy": {"http_proxy": "http://proxy.example:3128", "no_proxy": "10.0.0.0/8"},
    "data_volume": {"name": "registry_data"},
    "proxy_of": {
        "server": "docker.io",
        "connection_type": "1",
        "username": "alice",
        "password": "MARK-upstream",
    },
    "tls": {"self_signed": {"names": ["registry.example", "2001:db8::9"]}},
    "users": USERS,
    "upkeep": {"log_size": "1g", "min_free": 2000},
}
#: A registry's VNF instance as a cluster finds it, and the entry that names it.
VNF: dict[str, Any] = {
    "instantiated": True,
    "metadata": ShownRegistry("192.0.2.5:443", PAIR[0]).values(),
    "parameters": {private_registry.KEY: {**LOGIN, "users": USERS}},
}
BY_NAME = {
    "vnf_instance": "registry",
    "username": "alice",
    "mirror_of": "docker.io",
    "advertise": True,
}
REGISTRY = {
    "connection_type": "1",
    "server": "registry.example.com:5000",
    "username": "user01",
    "password": "MARK-registry",
    "certificate_path": "Files/registries/ca.crt",
    "hosts_string": "192.168.0.20 registry.example.com",
    "mirror_of": "quay.io",
    "mirror_fallback": False,
    "test_image": "library/busybox:1.36",
}
CLUSTER: dict[str, Any] = {
    **cluster_requests.MINIMUM,
    "vim_name": "vim",
    "proxy": REGISTRY_VNF["proxy"] | {"k8s_node_cidr": "198.51.100.0/24"},
    "private_registry_connection_info": [REGISTRY, {"connection_type": 0, "server": "10.0.0.2:80"}],
    "image_repository": "192.168.0.10:5000/k8s",
    "kubernetes_version": "1.34.8",
    "container_runtime": "containerd",
    "cni_manifest_path": "Files/cni.yaml",
}

# What ends a value, begins another one, or is read in two ways, in some grammar.
FRAGMENTS = [
    '"', "'", "\\", "\n", "\r", "\t", "\x00", " ", ";", "{", "}", "#", "//", "/*", "$", "${x}",
    "`id`", "$(id)", "%", "%G4", "%0a", "%%", "@", ":", "::", ",", "=", "-", "--", "-v", "..",
    "/../", "./", "\x1b[0m", "\x85", "\u2028", "\u202e", "\ufeff", "é", "\ud800", "[", "]", "<",
    ">", "|", "&", "*", "!", "~", "a;DPkg::Pre-Invoke{x};b", "#clear x;", "://", "http://", "0",
    "65536", "٣", "A" * 300, "${jndi}", "None", "null", "true", "~1", "!!float ''", "&a [*a]",
    "-----BEGIN", "[::1]", "[::1]:5", "10.0.0.1", "10.0.0.0/8", "2001:db8::/32",
    "index.docker.io", "docker.io", ".", "/etc/ssh", "/", "fe80::1%eth0", "::ffff:1.2.3.4",
    "*.example", "a.", "100%", "é" * 40, "*:0/5", "Sun..", "$2b$10$",
]  # fmt: skip
OTHER_VALUES = [None, True, 0, -1, 1.5, 2**70, float("nan"), [], {}, [None], {"": ""}, [[]], ""]

texts = st.one_of(
    st.sampled_from(FRAGMENTS), st.text(max_size=12), st.text("ab.:/-_@%0", max_size=9)
)


@st.composite
def changes(draw: Any, value: Any) -> Any:
    """Return another value in a value's place."""
    kind = draw(st.integers(0, 9))
    if kind == 0:
        return copy.deepcopy(draw(st.sampled_from(OTHER_VALUES)))
    if kind == 1 or not isinstance(value, str):
        return draw(texts)
    at = draw(st.integers(0, len(value)))
    end = at + draw(st.integers(0, 2)) * (kind > 5)
    # Half of them with what most grammars take.
    new = draw(st.text("abz019.-", min_size=1, max_size=4)) if kind % 2 else draw(texts)
    return value[:at] + new + value[end:]


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths of all members and entries that hold no others, and of all that do."""
    members = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for key, member in members:
        found.append((*path, key))
        if isinstance(member, dict | list):
            found += leaves(member, (*path, key))
    return found


@st.composite
def requests(draw: Any, base: dict[str, Any]) -> dict[str, Any]:
    """Return a right request with some members changed, left out or new."""
    request = copy.deepcopy(base)
    for path in draw(st.lists(st.sampled_from(leaves(base)), min_size=1, max_size=2)):
        *above, last = path
        inner: Any = request
        for key in above:
            try:
                inner = inner[key]
            except (KeyError, IndexError, TypeError):
                break
        else:
            # What is there may have become something else by the change before.
            kind = dict if isinstance(last, str) else list
            if isinstance(inner, kind) and (kind is dict or last < len(inner)):
                old = inner.get(last) if isinstance(inner, dict) else inner[last]
                inner[last] = draw(changes(old))
                if isinstance(inner, dict) and draw(st.integers(0, 9)) == 0:
                    del inner[last]
            if isinstance(inner, dict) and draw(st.integers(0, 19)) == 0:
                inner[draw(texts)] = draw(texts)
    return request


def accepted(kind: str, parse: Any) -> Any:
    """Return what a parser makes of a request, None where it refuses it as it should."""
    try:
        params = parse()
    except InvalidRequest as error:
        COUNTS[f"{kind} refused"] += 1
        assert len(str(error)) < CHARACTERS and str(error).isprintable()
        assert error.faults and all(f.path.startswith(("additional", "meta")) for f in error.faults)
        # The name of a member may be a secret that stands in the wrong place; a value is not shown.
        assert "MARK-" not in str(error)
        return None
    COUNTS[f"{kind} accepted"] += 1
    return params


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    root = tmp_path_factory.mktemp("generated")
    found = cluster_requests.write_package(root)
    (root / "Files/keys/docker.asc").write_text("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQ==\n")
    (root / "Definitions/more.yaml").write_text(
        "topology_template: {node_templates: {CP1: {type: tosca.nodes.nfv.VduCp}, "
        "registry_data: {type: tosca.nodes.nfv.Vdu.VirtualBlockStorage}}}"
    )
    for name in ("contents", "tls"):
        (root / "Files" / name).mkdir()
    write(root / "Files/contents/app.tar", layout_of(Image(("app:1",), (layer(1, 100),))))
    for name, pem in zip(("registry.crt", "registry.key"), PAIR, strict=True):
        (root / "Files/tls" / name).write_text(pem)
    return found


# What RFC 3986 lets stand in user and password, and now and then what it does not.
user_texts = st.lists(
    st.one_of(
        st.sampled_from("azAZ09-._~!$&()*+,;="), st.sampled_from(["%40", "%25", "%F6", "%7e"]),
        st.sampled_from("abcdefgh"), st.sampled_from("'%@:/ "),
    ),
    min_size=1, max_size=6,
).map("".join)  # fmt: skip
proxy_hosts = st.sampled_from(
    [
        "proxy",
        "my_proxy.example",
        "10.0.0.1",
        "[2001:db8::9]",
        "[::1]",
        "a.b-c.d",
        "10.0.0.999",
        "a..b",
    ]
)
proxy_urls = st.builds(
    lambda scheme, user, host, port, end: f"{scheme}://{user}{host}{port}{end}",
    st.sampled_from(["http", "https"]),
    st.one_of(
        st.just(""),
        user_texts.map(lambda user: f"{user}@"),
        st.tuples(user_texts, user_texts).map(lambda both: f"{both[0]}:{both[1]}@"),
    ),
    proxy_hosts,
    st.sampled_from(["", ":1", ":3128", ":65535", ":0"]),
    st.sampled_from(["", "", "/"]),
)
exceptions = st.lists(
    st.one_of(
        st.sampled_from(["localhost", ".svc", "*.a", "*", "10.0.0.0/8", "::1", "2001:db8::/32",
                         "a:80", "[::1]:5", "10.0.0.1", "my_host", "A.Example", ""]),
        st.text("ab.-_0:;{}#/", min_size=1, max_size=4),
    ),
    max_size=5,
).map(",".join)  # fmt: skip


class TestProxies:
    @given(http=proxy_urls, https=st.one_of(st.just(""), proxy_urls), exceptions=exceptions)
    @generated()
    def test_proxies(self, http, https, exceptions):
        given = {"http_proxy": http, "https_proxy": https, "no_proxy": exceptions}
        request = {k: v for k, v in REGISTRY_VNF.items() if k != "docker_package"} | {
            "proxy": given
        }
        params = accepted(
            "proxies", lambda: private_registry.parse({private_registry.KEY: request}, None)
        )
        if params is not None:
            assert params.proxy.http.reveal() == http and params.proxy.no_proxy == exceptions
            check_proxy(params.proxy, exceptions)


class TestRegistryVnf:
    @given(request=requests(REGISTRY_VNF))
    @generated()
    def test_requests(self, package, tmp_path_factory, request):
        def parse() -> PrivateRegistryParams:
            return private_registry.parse({private_registry.KEY: request}, package)

        params = accepted("registry VNF", parse)
        if params is None:
            return
        check_proxy(params.proxy, params.proxy and params.proxy.no_proxy)
        check_source(params.docker_package.apt_repository)
        data_path = params.data_path or "/home/u/registry"
        spec = ContainerSpec(params.registry_image, "sha256:1", params.port_no, data_path)
        words = spec.run_arguments()
        check_command("docker", "run", "--detach", *words)
        assert words[-1] == params.registry_image and words[-1][0].isalnum() | (words[-1][0] == "[")
        assert words[words.index("-v") + 1].split(":") == [data_path, "/var/lib/registry"]
        assert os.path.normpath(data_path) == data_path
        assert not data_path.startswith(("/etc", "/usr", "/dev", "/proc")) or data_path[4] != "/"
        for name, facts in (("bookworm", "amd64"), (None, "arm64")):
            release = {k: v for k, v in DEBIAN_12.items() if name or k != "VERSION_CODENAME"}
            files = host_docker.desired_files(
                Facts(os_release=release, architecture=facts), params.docker_package, params.proxy
            )
            assert len({file.path for file in files}) == len(files)


class TestKeptRegistry:
    """TLS, users, a volume, contents, upkeep, and what it fetches."""

    @pytest.fixture(autouse=True)
    def cheap_hashes(self, monkeypatch):
        monkeypatch.setattr(htpasswd, "ROUNDS", 4)

    @given(request=st.one_of(requests(KEPT), requests(FETCHING)))
    @generated()
    def test_requests(self, package, request):
        def parse() -> PrivateRegistryParams:
            return private_registry.parse({private_registry.KEY: request}, package)

        params = accepted("kept registry", parse)
        if params is not None:
            assert "MARK-" not in repr(params)
            check_users(params.users)
            check_tls(params.tls)
            check_container(params)
            check_volume(params)
            check_proxy_of(params.proxy_of)

    @given(members=requests({key: KEPT[key] for key in registry_override.MEMBERS}), data=st.data())
    @generated(0.5)
    def test_changes_by_metadata(self, package, members, data):
        text = json.dumps(members)
        if data.draw(st.booleans()):
            text = str(data.draw(changes(text)))
        parts = divided(private_registry.KEY, text)
        assert all(len(part) <= MAX_VALUE for part in parts.values())

        def parse() -> PrivateRegistryParams:
            given = {private_registry.KEY: LOGIN | {"users": USERS}}
            return private_registry.parse(given, package, metadata=parts)

        params = accepted("change of a registry", parse)
        if params is None:
            return
        members = json.loads(text or "{}")
        expected = members.get("users", USERS)
        assert [user.username for user in params.users] == [user["username"] for user in expected]
        # What was a secret before is one still: a machine may repeat it.
        known = {secret.reveal() for secret in params.secrets}
        assert {user["password"] for user in USERS} <= known


class TestCluster:
    @given(request=requests(CLUSTER))
    @generated()
    def test_requests(self, package, request):
        def parse() -> Any:
            given = {k8s_cluster.KEY: request}
            return k8s_cluster.parse(given, package, flavour_id="complex")

        params = accepted("cluster", parse)
        if params is None:
            return
        names = [registry.host for registry in params.registries]
        networks = (params.pod_cidr, params.cluster_cidr)
        asked = params.proxy.no_proxy if params.proxy else ""
        check_proxy(params.proxy, no_proxy(asked, networks, ["localhost", *names]))
        check_registries(params.registries)
        check_kubeadm(params)

    @given(entry=requests(BY_NAME), vnf=requests(VNF), spoil=st.sampled_from(["entry", "vnf"]))
    @generated()
    def test_registries_by_their_vnf_instances(self, package, entry, vnf, spoil):
        entry, vnf = (entry, VNF) if spoil == "entry" else (BY_NAME, vnf)

        def find(name: str) -> RegistryVnf:
            # Both are objects to Tacker, whatever is in them.
            parameters, metadata = (
                value if isinstance(value, dict) else {}
                for value in (vnf.get("parameters"), vnf.get("metadata"))
            )
            is_there = vnf.get("instantiated") is True
            made = RegistryVnf("id-1", "registry", is_there, parameters, metadata)
            return the_only([made] if name in ("registry", "id-1") else [], name)

        def parse() -> Any:
            members = {"private_registry_connection_info": [entry]}
            given = {k8s_cluster.KEY: cluster_requests.MINIMUM | members}
            named = named_vnf_instances({"additionalParams": given})
            assert named == [n for n in [entry.get("vnf_instance")] if isinstance(n, str)]
            return k8s_cluster.parse(given, package, flavour_id="complex", find_vnf=find)

        params = accepted("registry by its VNF instance", parse)
        if params is None:
            return
        check_registries(params.registries)
        (registry,) = params.registries
        if "vnf_instance" in entry and registry.https:
            assert to_pem(read_certificates(registry.ca)) == registry.ca
            tls_context(registry.ca, None, True)
        told = yaml.safe_load(local_registry.config_map(registry.server)["data"]
                              [local_registry.DATA_KEY])  # fmt: skip
        assert told["host"] == registry.server

    @given(registries=st.lists(requests(REGISTRY), max_size=3), data=st.data())
    @generated(0.5)
    def test_metadata(self, registries, data):
        key = registry_metadata.KEY
        text = json.dumps(registries)
        keys = data.draw(st.lists(texts, min_size=1, max_size=3))
        metadata = {f"{key}{end}": data.draw(changes(text)) for end in ("", *keys)}
        found = accepted("metadata", lambda: registry_metadata.read(metadata))
        if found is not None:
            read = [k for k in metadata if re.fullmatch(rf"{key}(_[1-9][0-9]{{0,3}})?", k)]
            assert len(found) == sum(len(json.loads(metadata[k])) for k in read)


def check_users(users: Any) -> None:
    text = htpasswd.render({user.username: user.password.reveal() for user in users})
    lines = [line.split(":") for line in text.splitlines()]
    assert [name for name, _ in lines] == [user.username for user in users]
    for user, (_, hashed) in zip(users, lines, strict=True):
        assert bcrypt.checkpw(user.password.reveal().encode(), hashed.encode())
        assert "\n" not in user.login.reveal()
    COUNTS["passwords judged by bcrypt"] += len(lines)


@functools.cache
def _authority() -> authority.Pair:
    return authority.authority(None)


def check_tls(tls: Any) -> None:
    if isinstance(tls, ServerTls):
        tls_context(tls.certificate, (tls.certificate, tls.key), True)
        names = [tls.host_for(address) for address in ("192.0.2.5", "10.0.0.1")]
        assert names[0] == "192.0.2.5" and all(split_server(f"{name}:443") for name in names)
    elif tls is not None:
        wanted = (*tls.names, "10.0.0.1")
        made = authority.server(_authority(), None, wanted)
        assert set(names_of(read_certificates(made.certificate)[0])) == set(wanted)
        # Or the registry would be restarted for another one at each operation.
        assert authority.server(_authority(), made, wanted) == made
        COUNTS["certificates made"] += 1


def check_container(params: PrivateRegistryParams) -> None:
    places = Places.of(params, "/home/u")
    spec = server._spec(params, places, "sha256:1", {"/etc/x.yml": "/etc/tacker-cir/registry/u"})
    check_command("docker", "run", *spec.run_arguments())
    assert not any("MARK-" in word for word in spec.run_arguments())
    for name in ("10m", "1g"):
        assert name not in spec.log_options or re.fullmatch("[0-9]+[kmg]", spec.log_options[name])
    if params.upkeep:
        assert 0 <= params.upkeep.least_free(10**12) <= 10**15
    if params.upkeep is None or params.upkeep.collection is None:
        return
    text = collection.script(spec)
    if is_new(text):
        subprocess.run(["/bin/sh", "-n"], input=text, text=True, check=True, capture_output=True)
    wanted = params.upkeep.collection
    timer = unit(registry_collection.timer(wanted.schedule))
    assert timer["Timer"]["OnCalendar"] == wanted.schedule.strip()
    # What is done a second time where the first was cut off.
    again = "ExecStopPost=-/bin/sh /s.sh serve\n"
    text = registry_collection.service("/s.sh", wanted.window)
    assert text.count(again) == 1
    service = unit(text.replace(again, ""))
    assert service["Service"]["ExecStopPost"] == "/bin/sh /s.sh serve"
    assert service["Service"]["TimeoutStartSec"] == f"{wanted.window}min"
    COUNTS["units of a collection read back"] += 1


def check_volume(params: PrivateRegistryParams) -> None:
    places = Places.of(params, "/home/u")
    if params.data_volume is None:
        assert places.mount is None and places.own.startswith("/var/lib/")
        return
    device = params.data_volume.device
    assert device is None or (os.path.normpath(device) == device and device.startswith("/dev/"))
    assert places.mount and {places.data, places.own} == {
        f"{places.mount}/{name}" for name in ("data", "tacker-cir")
    }
    service = unit(volume.mount_unit("/s.sh", "0" * 8, "ext4", places.mount, 90))["Service"]
    assert shlex.split(service["ExecStart"])[-2:] == [places.mount, "90"]
    drop_in = unit(volume.required_drop_in("u.service", places.mount))["Unit"]
    assert drop_in["RequiresMountsFor"] == places.mount
    COUNTS["units of a volume read back"] += 1


def unit(text: str) -> configparser.ConfigParser:
    """Read a unit of systemd; a key or a section twice is an error. % would be a specifier."""
    assert "%" not in text
    parser = configparser.ConfigParser(
        delimiters="=", interpolation=None, empty_lines_in_values=False
    )
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(text)
    return parser


def check_proxy_of(proxy_of: Any) -> None:
    if proxy_of is None:
        return
    parts = urlsplit(proxy_of.url)
    assert parts.hostname and not parts.username and not parts.path
    values = registry_proxy.environment(proxy_of, None)
    assert values == {"REGISTRY_PROXY_REMOTEURL": proxy_of.url}
    if proxy_of.login:
        username, password = proxy_of.login
        text = registry_proxy.configuration(proxy_of, proxy_of.login).reveal()
        told = yaml.safe_load(text)["proxy"]
        assert (told["username"], told["password"]) == (username, password.reveal())
        assert ":" not in username
    COUNTS["registries that fetch"] += 1


def check_command(*words: str) -> None:
    assert shlex.split(Command(words, "step").line()) == list(words)
    COUNTS["commands read back by a shell's rules"] += 1


def check_proxy(proxy: Any, exceptions: str | None) -> None:
    if proxy is None:
        return
    urls = [url.reveal() if url else None for url in (proxy.http, proxy.https)]
    for url in filter(None, urls):
        parts = urlsplit(url)
        assert parts.scheme in ("http", "https") and parts.hostname and parts.path in ("", "/")
        assert not unquote(parts.password or "").startswith("\n")
    check_environment(docker.proxy_environment(*urls, exceptions or ""), urls, exceptions)
    check_apt(apt.proxy_conf(*urls, proxy.no_proxy), urls, proxy.no_proxy)


_SEEN: set[str] = set()


def is_new(text: str) -> bool:
    """Programs are slow: each text is read by them once."""
    new = text not in _SEEN
    _SEEN.add(text)
    return new


def check_environment(text: str, urls: list[str | None], exceptions: str | None) -> None:
    """A shell reads an environment file as systemd does: systemd.exec(5), EnvironmentFile."""
    if not is_new(text):
        return
    script = '. /dev/stdin; printf "%s\\0" "${HTTP_PROXY-}" "${HTTPS_PROXY-}" "${NO_PROXY-}"; set'
    run = ["env", "-i", "/bin/sh", "-c", script]
    done = subprocess.run(run, input=text.encode(), capture_output=True, check=True)
    values = [value.decode() for value in done.stdout.split(b"\0")[:3]]
    assert values == [urls[0] or "", urls[1] or "", exceptions or ""]
    assert text.count("\n") == sum(map(bool, values)) and done.stderr == b""
    COUNTS["environment files read back by a shell"] += 1


def check_apt(text: str, urls: list[str | None], exceptions: str) -> None:
    """apt has every value that is meant, and nothing else that it had not without the file."""
    if shutil.which("apt-config") is None or not is_new(text):
        return
    expected = {}
    for scheme, url in zip(("http", "https"), urls, strict=True):
        if url:
            expected[f"Acquire::{scheme}::Proxy"] = url
            for entry in filter(is_single_host, exceptions.split(",")):
                expected[f"Acquire::{scheme}::Proxy::{entry}"] = "DIRECT"
    ask = [word for index, name in enumerate(expected) for word in (f"X{index}", name)]
    answer = apt_config(text, "shell", *ask)
    values = [f"X{index}={value}" for index, value in enumerate(expected.values())]
    assert [shlex.split(line)[0] for line in answer.splitlines()] == values
    new = set(apt_config(text, "dump").splitlines()) - _apt_without()
    assert all(re.fullmatch(r'Acquire::https?(::Proxy[^ ]*)? "[^"]*";', line) for line in new)
    assert {line.split('"')[1] for line in new} <= {"", *expected.values()}
    COUNTS["apt.conf read back by apt"] += 1


def apt_config(text: str, *words: str) -> str:
    command = ["apt-config", "--config-file", "/dev/stdin", *words]
    done = subprocess.run(command, input=text, text=True, capture_output=True)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


@functools.cache
def _apt_without() -> frozenset[str]:
    return frozenset(apt_config("", "dump").splitlines())


def is_single_host(entry: str) -> bool:
    if not entry:
        return False
    try:
        ipaddress.ip_address(entry)
        return True
    except ValueError:
        return not (set(entry) & set("/:") or entry.startswith((".", "*")))


def check_source(repository: Any) -> None:
    """apt itself tells the repository, its suite and components."""
    if repository is None or shutil.which("apt-get") is None:
        return
    suite = repository.suite or "bookworm"
    text = apt.deb822_source(repository.uri, suite, repository.components, "/k.asc", "amd64")
    fields = [line.partition(": ") for line in text.splitlines()]
    assert [name for name, _, _ in fields] == [
        name
        for name in ("Types", "URIs", "Suites", "Components", "Architectures", "Signed-By")
        if name != "Components" or repository.components
    ]
    if not is_new(text):
        return
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "x.sources").write_text(text)
        options = {"Dir::Etc::SourceList": "/dev/null", "Dir::Etc::SourceParts": directory,
                   "Dir::State": directory, "Dir::Cache": directory,
                   "APT::Architecture": "amd64", "Debug::NoLocking": "1"}  # fmt: skip
        words = [f"-o{name}={value}" for name, value in options.items()]
        command = ["apt-get", *words, "--print-uris", "update"]
        done = subprocess.run(command, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    found = [line.split("'")[1] for line in done.stdout.splitlines()]
    flat = suite.endswith("/")
    site = repository.uri.replace("$(ARCH)", "amd64").rstrip("/")
    below = f"{site}/{suite.removeprefix('/')}" if flat else f"{site}/dists/{suite}/"
    assert found[0] == f"{below}InRelease" and all(uri.startswith(below) for uri in found)
    if not flat:
        components = {uri.removeprefix(below).split("/binary-")[0] for uri in found[1:]}
        assert components == set(repository.components)
    COUNTS["sources read back by apt"] += 1


def check_registries(registries: Any) -> None:
    for top, make in (("/d", certs_d.docker_files), ("/c", certs_d.containerd_files)):
        files = make(top, registries)
        for file in files:
            assert os.path.normpath(file.path) == file.path and file.path.startswith(f"{top}/")
            assert file.path.count("/") == 3
        tables = {f.path: tomllib.loads(f.content.decode()) for f in files if "toml" in f.path}
        for registry in registries if top == "/c" else ():
            check_hosts_toml(registry, tables)
    for registry in registries:
        check_command("docker", "pull", registry.test_image or "x")
        if registry.hosts:
            line = hosts.line(registry.hosts.address, registry.hosts.names)
            assert hosts.addresses(f"{line}\n") == {
                name.lower(): registry.hosts.address for name in registry.hosts.names
            }
        if registry.test_image:
            assert registry.test_image.startswith(f"{registry.server}/")
    logins = {r.server: r.login.reveal() for r in registries if r.login}
    text, ours = docker_auth.merge(None, (), logins)
    assert not logins or len(json.loads(text)["auths"]) == len(logins) == len(ours)
    entries = daemon_entries(registries)
    text, _ = docker_daemon.merge(None, docker_daemon.Registries(), entries)
    document = json.loads(text or "{}")
    assert tuple(document.get("insecure-registries", ())) == entries.insecure
    assert tuple(document.get("registry-mirrors", ())) == entries.mirrors
    COUNTS["sets of registries read back as TOML and JSON"] += 1


def check_hosts_toml(registry: Any, tables: dict[str, Any]) -> None:
    table = tables[f"/c/{registry.mirror_of or registry.server}/hosts.toml"]
    found = table["host"].get(registry.url) if registry.mirror_of else None
    found = table if found is None else found
    if registry.server != "docker.io" and registry.login and found.get("header"):
        assert found["header"]["Authorization"] == f"Basic {registry.login.reveal()}"
    assert found.get("skip_verify", False) is registry.skip_verify


def check_kubeadm(params: Any) -> None:
    socket = RUNTIMES[params.container_runtime].socket
    node = kubeadm.KubeadmNode(params.packages.version, "node", "10.0.0.1", socket)
    settings = kubeadm.KubeadmCluster(
        "10.0.0.1:6443", params.pod_cidr, params.cluster_cidr, ("10.0.0.1",),
        params.image_repository,
    )  # fmt: skip
    first, second, *_ = yaml.safe_load_all(kubeadm.init(node, settings))
    assert second.get("imageRepository") == params.image_repository
    assert second["networking"]["podSubnet"] == str(params.pod_cidr)
    assert first["nodeRegistration"]["name"] == "node"
    repository = params.image_repository
    if repository:
        assert repository[0].isalnum() or repository[0] == "["
        check_command("kubeadm", "config", "images", "list", "--image-repository", repository)
    COUNTS["kubeadm files read back as YAML"] += 1


@st.composite
def damaged(draw: Any, content: bytes) -> bytes:
    """Return some bytes changed, taken away or put in."""
    data = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        what = draw(st.integers(0, 3))
        if what == 0:
            del data[at:]
        elif what == 1:
            data[at:at] = draw(st.binary(max_size=20))
        else:
            data[at : at + 1] = draw(st.binary(min_size=1, max_size=2))
    return bytes(data)


class TestFiles:
    """Files of the package: one kind of error, whatever is in them."""

    @given(data=st.data())
    @generated()
    def test_image_archives(self, tmp_path_factory, data):
        make = data.draw(st.sampled_from([docker_archive, oci_archive]))
        mode = data.draw(st.sampled_from(["w", "w:gz", "w:bz2", "w:xz"]))
        path = tmp_path_factory.getbasetemp() / "image.tar"
        members = make(["a.example/b:1"])
        if data.draw(st.booleans()):
            members["manifest.json"] = data.draw(damaged(members["manifest.json"]))
            write_tar(path, members, mode)
        else:
            path.write_bytes(data.draw(damaged(write_tar(path, members, mode).read_bytes())))
        try:
            archive = read_image_archive(path)
        except PackageFileError as error:
            COUNTS["image archives refused"] += 1
            assert str(error)
        else:
            COUNTS["image archives accepted"] += 1
            assert archive.tags and set(archive.image_ids) == set(archive.tags)

    @given(data=st.data())
    @generated()
    def test_contents(self, tmp_path_factory, data):
        make = data.draw(st.sampled_from([docker_members, layout_of]))
        mode = data.draw(st.sampled_from(["w", "w:gz", "w:bz2", "w:xz"]))
        packed = data.draw(st.booleans())
        members = make(Image(("a.example/b:1",), (layer(1, 100), layer(2, 100)), packed=packed))
        path = tmp_path_factory.getbasetemp() / "contents.tar"
        if data.draw(st.booleans()):
            name = data.draw(st.sampled_from(sorted(members)))
            members[name] = data.draw(damaged(members[name]))
            write(path, members, mode)
        else:
            path.write_bytes(data.draw(damaged(write(path, members, mode).read_bytes())))
        try:
            contents = read_image_contents(path)
            check_blobs(contents)
        except PackageFileError as error:
            COUNTS["contents refused"] += 1
            assert str(error)
        else:
            COUNTS["contents accepted"] += 1
            assert contents.images and all(image.names for image in contents.images)

    @given(data=st.data())
    @generated()
    def test_certificates_and_keys(self, package, data):
        name = data.draw(st.sampled_from(["ca.crt", "client.crt", "client.key", "both.pem"]))
        text = (package.root / "Files/registries" / name).read_text()
        changed = data.draw(damaged(text.encode())).decode(errors="replace")
        try:
            written = to_pem(read_certificates(changed))
        except CertificateFault as error:
            COUNTS["certificates refused"] += 1
            assert str(error)
        else:
            COUNTS["certificates accepted"] += 1
            assert to_pem(read_certificates(written)) == written
        try:
            read_key(changed)
        except CertificateFault as error:
            assert str(error)

    @given(data=st.data())
    @generated()
    def test_manifests(self, package, data):
        text = data.draw(damaged(cluster_requests.VNFD.encode())).decode(errors="replace")
        for fragment in data.draw(st.lists(st.sampled_from(FRAGMENTS), max_size=3)):
            at = data.draw(st.integers(0, len(text)))
            text = text[:at] + fragment + text[at:]
        try:
            load_yaml("Definitions/x.yaml", text)
        except CsarError:
            COUNTS["templates refused"] += 1
        else:
            COUNTS["templates accepted"] += 1


def test_the_counts(capsys):
    """The tests above were worth their time: some of everything was accepted and refused."""
    with capsys.disabled():
        print()
        for name, count in sorted(COUNTS.items()):
            print(f"  generated: {count:6} {name}")
    for kind in (
        *("registry VNF", "kept registry", "change of a registry", "registry by its VNF instance"),
        *("cluster", "metadata", "proxies"),
    ):
        total = COUNTS[f"{kind} accepted"] + COUNTS[f"{kind} refused"]
        assert total >= EXAMPLES / 3
        assert min(COUNTS[f"{kind} accepted"], COUNTS[f"{kind} refused"]) >= total / 20, kind
    for kind in ("image archives", "certificates", "templates"):
        assert COUNTS[f"{kind} accepted"] and COUNTS[f"{kind} refused"], kind
