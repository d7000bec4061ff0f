# SPDX-License-Identifier: Apache-2.0
"""Nodes and their registries on real machines: every kind of registry, every age of runtime.

Registries are Debian's docker-registry; what is pulled exists only there.
"""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest

from tacker_cir.command import Secret
from tacker_cir.exceptions import ConnectionLost, HostError
from tacker_cir.host.runtimes.containerd import CONTAINERD_CONFIG
from tacker_cir.params.proxy import Proxy
from tacker_cir.params.registry_connection import HostsEntry, RegistryConnection
from tests.certificates import Authority
from tests.lab import access_node, cri
from tests.lab.access_node import RUNTIMES, AccessNode
from tests.lab.registries import PASSWORD, USER, Kind, LabRegistry, serving
from tests.testbed.machines.base import GATEWAY
from tests.testbed.machines.guests import MIRROR
from tests.testbed.machines.host import os_release

NAME, ADDRESS = "own-access", "198.51.100.253"
NAMED = "registry.example.com"
#: With ":5007" as long as Docker and containerd take it with an image behind it.
LONGEST = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 37])

FIRST, SECOND = Authority("first"), Authority("second")
CLIENT_CERTIFICATE, CLIENT_KEY = SECOND.issue("node", client=True)

KINDS = {
    5001: Kind(),
    5002: Kind(password=PASSWORD),
    5003: Kind(FIRST),
    5004: Kind(SECOND, (NAMED,), PASSWORD),
    5005: Kind(FIRST, clients=SECOND),
    443: Kind(SECOND, (NAMED,)),
    5007: Kind(),
    5008: Kind(FIRST, ("elsewhere",)),
}
HOSTS = HostsEntry(GATEWAY, (NAMED, "registry"))


def _connections() -> dict[int, RegistryConnection]:
    """How the nodes are told to reach the registries, by port."""

    def at(port: int, host: str = GATEWAY, **settings) -> RegistryConnection:
        server = host if port == 443 else f"{host}:{port}"
        image = f"{server}/test/only-at-{port}:1"
        https = KINDS[port].authority is not None
        return RegistryConnection(server, https=https, test_image=image, **settings)

    login = {"username": USER, "password": Secret(PASSWORD)}
    pair = {"client_certificate": CLIENT_CERTIFICATE, "client_key": Secret(CLIENT_KEY)}
    return {
        5001: at(5001),
        5002: at(5002, **login),
        5003: at(5003, ca=FIRST.pem),
        5004: at(5004, NAMED, ca=SECOND.pem, hosts=HOSTS, **login),
        5005: at(5005, ca=FIRST.pem, **pair),
        443: at(443, NAMED, ca=SECOND.pem, hosts=HOSTS),
        5007: at(5007, LONGEST, hosts=HostsEntry(GATEWAY, (LONGEST,))),
        5008: at(5008, skip_verify=True),
    }


AT = _connections()
ALL = tuple(AT.values())


@pytest.fixture(scope="module")
def registries(lab, tmp_path_factory) -> dict[int, LabRegistry]:
    """Registries of every kind, by port."""
    with serving(lab, tmp_path_factory.mktemp("registries") / "data", KINDS) as served:
        yield dict(zip(KINDS, served, strict=True))


# Those of newer suites of Debian: the packages come from the distribution's servers each time anew.
@pytest.fixture(
    scope="module",
    params=[
        pytest.param(r, marks=[pytest.mark.thorough] if r.suite else [], id=r.name)
        for r in RUNTIMES
    ],
)
def node(request, lab, registries) -> AccessNode:
    """A node with each of the runtimes, set up once."""
    if request.param.suite and os_release()["ID"] != "debian":
        pytest.skip("only a Debian host's mirror has Debian's suites")
    with access_node.node(lab, NAME, ADDRESS, request.param) as made:
        begin = time.monotonic()
        assert made.ensure_runtime(sandbox_image=f"{MIRROR}/pause:3.2")
        print(f"{request.param.name}: set up in {time.monotonic() - begin:.1f} s")
        yield made


@pytest.fixture(autouse=True)
def _clean(node):
    """Each test begins with a node that has no access to anything."""
    yield
    node.ensure()


def test_the_second_run_sets_nothing_up(node):
    started = node.started()
    assert node.ensure_runtime(sandbox_image=f"{MIRROR}/pause:3.2") is False
    assert node.started() == started


def test_every_registry_at_once_twice_and_removed(node):
    before, started = node.files(), node.started()
    lines = ["198.51.100.2 master1", "198.51.100.20 worker1"]
    node.ensure(*ALL, node_lines=lines)
    node.verify(*ALL)
    assert node.run("getent hosts worker1").split()[0] == "198.51.100.20"
    after = node.files()
    commands = node.connection.commands
    assert node.ensure(*ALL, node_lines=lines) == []
    assert node.connection.commands - commands == 1
    assert node.files() == after and node.started() == started
    node.ensure()
    left = [line for line in node.files().splitlines() if line not in before.splitlines()]
    # Docker's file stays, with empty lists: a daemon that runs would keep what a missing key says.
    assert not [line for line in left if "daemon.json" not in line], left
    with pytest.raises(HostError):
        node.verify(AT[5003])


def test_secrets_are_for_root_alone(node):
    node.ensure(*ALL)
    secret = [PASSWORD, AT[5002].login.reveal(), CLIENT_KEY.splitlines()[2]]
    for text in secret:
        found = node.run(
            'grep -rlF -- "$1" /etc /root /var/lib/kubelet /var/lib/tacker-cir || :', text
        ).splitlines()
        for path in found:
            assert node.run("stat -c '%a %U' -- \"$1\"", path).strip() == "600 root", path
        assert found or text == PASSWORD


def test_one_registry_less(node):
    node.ensure(*ALL)
    others = [r for port, r in AT.items() if port != 5005]
    node.ensure(*others)
    assert "5005" not in node.files()
    node.verify(*others)


def test_a_password_that_changes(node, registries):
    started = node.started()
    node.ensure(*ALL)
    registries[5002].set_password("another one")
    try:
        with pytest.raises(HostError, match="5002: HTTP 401: it refuses the login"):
            node.verify(*ALL)
        changed = replace(AT[5002], password=Secret("another one"))
        node.ensure(*(changed if r is AT[5002] else r for r in ALL))
        node.verify(changed)
        assert node.started() == started
    finally:
        registries[5002].set_password(PASSWORD)


def test_what_the_kubelet_asks(lab, node):
    """Logins of the kubelet, without those that containerd sends by itself."""
    if node.runtime.kind == "docker":
        pytest.skip("on Docker, the pulls of the other tests are the kubelet's")
    for registry in AT[5002], AT[5004]:
        node.ensure(replace(registry, username=None, password=None))
        node.forget_images()
        with pytest.raises(cri.PullFailed, match="no basic auth credentials|401"):
            cri.pull(lab, NAME, registry.test_image)
        with pytest.raises(cri.PullFailed, match="401"):
            cri.pull(lab, NAME, registry.test_image, (USER, "wrong"))
        assert cri.pull(lab, NAME, registry.test_image, (USER, PASSWORD))
        node.forget_images()
        node.ensure(registry)
        # So kubeadm pulls, and containerd the pause image.
        assert cri.pull(lab, NAME, registry.test_image)


def test_a_mirror_of_docker_hub(node):
    node.ensure(replace(AT[5001], mirror_of="docker.io"))
    node.verify(replace(AT[5001], test_image="docker.io/test/only-at-5001:1"))


def test_a_mirror_with_a_login_and_nothing_else(node):
    if node.runtime.kind == "docker":
        pytest.skip("Docker has neither")
    mirror = replace(AT[5004], mirror_of="quay.io", mirror_fallback=False)
    node.ensure(mirror)
    node.verify(replace(mirror, test_image="quay.io/test/only-at-5004:1"))


FAULTS = {
    "wrong authority": (
        replace(AT[5004], ca=FIRST.pem),
        f"{AT[5004].server}: TLS: the certificate of {NAMED} is refused: unable to get local",
    ),
    "no authority": (replace(AT[5003], ca=None), "give the registry's authority as certificate_p"),
    "another name": (replace(AT[5008], skip_verify=False, ca=FIRST.pem), "is not valid for '198"),
    "wrong password": (
        replace(AT[5002], password=Secret("wr0ng")),
        f"{AT[5002].server}: HTTP 401: it refuses the login of user {USER}. To do: check user",
    ),
    "no login": (
        replace(AT[5002], username=None, password=None),
        "HTTP 401: it wants a login. To do: give username and password",
    ),
    "wrong port": (
        replace(AT[5001], server=f"{GATEWAY}:5999"),
        f"TCP: the node gets no connection to {GATEWAY} port 5999 (Connection refused)",
    ),
    "no such address": (
        replace(AT[5001], server="198.51.100.199:5001"),
        "TCP: the node gets no connection to 198.51.100.199 port 5001 (",
    ),
    "no such name": (
        replace(AT[5001], server="no-such-name.example.com:5001"),
        "DNS: the node does not resolve no-such-name.example.com (",
    ),
    "HTTP given as HTTPS": (replace(AT[5001], https=True), 'give connection_type "0"'),
    "HTTPS given as HTTP": (
        replace(AT[5003], https=False, ca=None),
        'HTTPS on HTTP: it speaks HTTPS, not plain HTTP. To do: give connection_type "1"',
    ),
    "no client certificate": (
        replace(AT[5005], client_certificate=None, client_key=None),
        "TLS: the registry wants a client's certificate",
    ),
    "no registry": (replace(AT[5001], server=f"{GATEWAY}:80"), "is no Docker registry (HTTP 404)"),
    "no such image": (
        replace(AT[5002], test_image=f"{AT[5002].server}/test/none:1"),
        f"HTTP 404: test_image {AT[5002].server}/test/none:1: ",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_as_the_user_reads_them(node, name, capsys):
    registry, said = FAULTS[name]
    node.ensure(AT[5001], registry) if registry.server != AT[5001].server else node.ensure(registry)
    begin = time.monotonic()
    with pytest.raises(HostError) as caught:
        node.verify(registry)
    with capsys.disabled():
        print(f"\n  {time.monotonic() - begin:.1f} s {caught.value}")
    assert said in str(caught.value)
    assert f"node {NAME} ({ADDRESS})" in str(caught.value)
    assert registry.server in str(caught.value) and "wr0ng" not in str(caught.value)


def test_cuts_lose_nothing(node):
    """The connection breaks before each of the commands in turn; a retry completes the work."""
    if node.runtime.suite:
        pytest.skip("the oldest of each kind show it")
    wanted, others = [AT[5004]], [AT[5002], AT[5003]]
    node.ensure(*wanted)
    expected = node.files()
    started = node.started()
    for limit in range(1, 99):
        node.ensure(*others)
        with node.connect() as connection:
            connection.identity()
            _cut_after(connection, limit)
            try:
                node.ensure(*wanted, connection=connection)
                break
            except ConnectionLost:
                pass
        node.ensure(*wanted)
        assert node.files() == expected, f"cut before command {limit}"
        node.verify(*wanted[:1])
    # What is to be written goes in one command; the record of it, and directories, in others.
    assert limit > 3
    assert node.started() == started
    # A cut while all is taken away.
    for limit in range(1, 99):
        node.ensure(*wanted)
        with node.connect() as connection:
            connection.identity()
            _cut_after(connection, limit)
            try:
                node.ensure(connection=connection)
                break
            except ConnectionLost:
                node.ensure()
        assert "certs.d" not in node.files() and "registries.json" not in node.files()


def _cut_after(connection, commands: int) -> None:
    """Let a connection break before its n-th command from now."""
    limit = connection.commands + commands
    run = connection.run

    def run_or_break(*args, **options):
        if connection.commands + 1 >= limit:
            connection.transport.close()
        return run(*args, **options)

    connection.run = run_or_break


def test_a_proxy_that_comes_and_goes_leaves_containers_alone(node, lab, proxy_url):
    image = f"{MIRROR}/library/registry:latest"
    plain = RegistryConnection(MIRROR, https=False, test_image=image)
    node.ensure(plain)
    node.verify(plain)
    if node.runtime.kind == "docker":
        node.run('docker run --detach --name long-lived "$1"', image)
        running = "docker inspect --format '{{.State.Pid}} {{.State.Running}}' long-lived"
    else:
        node.run('ctr -n k8s.io run --detach "$1" long-lived', image)
        running = "ctr -n k8s.io tasks ls | grep long-lived"
    before = node.run(running)
    assert "true" in before or "RUNNING" in before
    proxy = Proxy(http=Secret(proxy_url), https=Secret(proxy_url))
    options = {"sandbox_image": f"{MIRROR}/pause:3.2", "no_proxy": "198.51.100.0/24,.svc"}
    assert node.ensure_runtime(proxy=proxy, **options)
    environment = node.run("cat /proc/$(systemctl show -P MainPID $1)/environ", node.runtime.kind)
    assert f"HTTPS_PROXY={proxy_url}\0" in environment
    assert "NO_PROXY=198.51.100.0/24,.svc\0" in environment
    assert node.ensure_runtime(proxy=proxy, **options) is False
    asked = len(lab.proxy_log())
    node.ensure(AT[5001])
    node.verify(AT[5001], keep_images=True)
    assert len(lab.proxy_log()) == asked
    assert node.ensure_runtime(**options)
    assert "PROXY" not in node.run(
        "cat /proc/$(systemctl show -P MainPID $1)/environ", node.runtime.kind
    )
    assert node.run(running) == before
    if node.runtime.kind == "docker":
        node.run("docker rm --force long-lived")
    else:
        node.run("ctr -n k8s.io tasks rm --force long-lived; ctr -n k8s.io c rm long-lived")


def test_a_containerd_without_cri(node):
    """As Docker's own package containerd.io brings it."""
    if node.runtime.kind == "docker":
        pytest.skip("on Docker, nobody asks containerd")
    node.run('printf \'disabled_plugins = ["cri"]\\n\' > "$1"', CONTAINERD_CONFIG)
    node.run("systemctl restart containerd")
    assert "cri" not in node.run('ctr plugins ls | awk \'$NF == "ok" && $2 == "cri"\'')
    assert node.ensure_runtime(sandbox_image=f"{MIRROR}/pause:3.2")
    node.ensure(AT[5002])
    node.verify(AT[5002])


OLD_MIRRORS = """
version = 2
[plugins."io.containerd.grpc.v1.cri".registry.mirrors."docker.io"]
endpoint = ["http://mirror.example.com"]
"""


def test_a_file_that_containerd_would_refuse(node):
    if node.runtime.kind == "docker":
        pytest.skip("on Docker, nobody asks containerd")
    kept = node.run('cat "$1"', CONTAINERD_CONFIG)
    write = 'printf %s "$1" > "$2"'
    try:
        node.run(write, OLD_MIRRORS, CONTAINERD_CONFIG)
        with pytest.raises(HostError, match="has registry.mirrors, which containerd refuses"):
            node.ensure_runtime()
    finally:
        node.run(write, kept, CONTAINERD_CONFIG)


# A file of somebody else's that config.toml imports.
DROP_IN = "/etc/containerd/conf.d/others.toml"
OVERRIDE = r"""
mkdir -p "$(dirname "$2")"
printf %s "$1" >"$2"
{ printf 'imports = ["/etc/containerd/conf.d/*.toml"]\n'; cat "$3"; } >"$3.other"
mv "$3.other" "$3"
"""


def test_a_file_that_overrides_containerds_settings_is_named(node):
    if node.runtime.kind == "docker":
        pytest.skip("on Docker, nobody asks containerd")
    kept = node.run('cat "$1"', CONTAINERD_CONFIG)
    options = {"sandbox_image": f"{MIRROR}/pause:3.2"}
    started = node.started()
    try:
        node.run(OVERRIDE, OLD_MIRRORS, DROP_IN, CONTAINERD_CONFIG)
        before = node.run('cat "$1"', CONTAINERD_CONFIG)
        with pytest.raises(HostError, match=f"{DROP_IN} has the last word"):
            node.ensure_runtime(**options)
        # Also where our file has to change first.
        with pytest.raises(HostError, match=f"{DROP_IN} has the last word"):
            node.ensure_runtime(sandbox_image=f"{MIRROR}/pause:3.3")
        assert node.run('cat "$1"', CONTAINERD_CONFIG) == before
        assert node.started() == started
    finally:
        node.run('rm -f "$2"; printf %s "$1" >"$3"', kept, DROP_IN, CONTAINERD_CONFIG)
    assert node.ensure_runtime(**options) is False


# Adds an option to the daemon's command line, or takes it away.
OPTION = r"""
unit=$(systemctl show --value --property=FragmentPath docker.service)
drop_in=/etc/systemd/system/docker.service.d/others.conf
mkdir -p "${drop_in%/*}"
rm -f "$drop_in"
if [ -n "$1" ]; then
  printf '[Service]\nExecStart=\nExecStart=%s %s\n' "$(sed -n 's/^ExecStart=//p' "$unit")" "$1" \
    >"$drop_in"
fi
systemctl daemon-reload
systemctl restart docker.service
"""


def test_an_option_of_dockerds_command_line(node):
    if node.runtime.kind != "docker":
        pytest.skip("containerd has no such options")
    daemon = "cat /etc/docker/daemon.json"
    node.ensure()
    # An empty list, too, would stand against the option.
    others = {k: v for k, v in json.loads(node.run(daemon)).items() if not isinstance(v, list)}
    try:
        node.run('printf %s "$1" >/etc/docker/daemon.json', json.dumps(others))
        node.run(OPTION, "--insecure-registry=other.example.com:5000")
        with pytest.raises(HostError, match="dockerd is started with --insecure-registry") as told:
            node.ensure(AT[5001])
        assert f"add --insecure-registry={AT[5001].server} " in str(told.value)
        assert "insecure-registries" not in node.run(daemon)
        # The next start does not fail.
        node.run(OPTION, f"--insecure-registry={AT[5001].server}")
        node.ensure(AT[5001])
        node.verify(AT[5001])
        assert "insecure-registries" not in node.run(daemon)
    finally:
        node.ensure()
        node.run(OPTION, "")
    assert json.loads(node.run(daemon)) == others


def test_docker_is_told_again_what_a_cut_kept_from_it(node):
    """daemon.json was written and the connection broke before Docker was told."""
    if node.runtime.kind != "docker":
        pytest.skip("containerd is never told")
    node.ensure(AT[5001])
    text = node.run('cat "$1"', "/etc/docker/daemon.json")
    emptied = json.dumps({**json.loads(text), "insecure-registries": []})
    node.run('printf %s "$1" > /etc/docker/daemon.json; systemctl reload docker', emptied)
    time_out = time.monotonic() + 10
    while GATEWAY in node.run("docker info --format '{{json .RegistryConfig.IndexConfigs}}'"):
        assert time.monotonic() < time_out
    node.run('printf %s "$1" > /etc/docker/daemon.json', text)
    assert node.ensure(AT[5001]) == ["Docker's settings reloaded"]
    node.verify(AT[5001])
