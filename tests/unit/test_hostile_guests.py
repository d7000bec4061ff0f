# SPDX-License-Identifier: Apache-2.0
"""Whatever a machine, a cluster's API or Heat answers, its reader ends soon, and in one way.

Answers are made from good ones by a generator with a fixed seed: values of any kind in any place of
JSON, and lines cut, doubled and mixed. The worst known ones are there besides. Some 7,700 answers.
"""

from __future__ import annotations

import base64
import copy
import json
import random
import re
import time
import tracemalloc
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import bcrypt
import pytest
from cryptography import x509

from tacker_cir import facts, inventory
from tacker_cir.cluster import credentials, drain, etcd, install, kubectl, load_balancer, state
from tacker_cir.command import Redactor, Secret, mask_userinfo
from tacker_cir.exceptions import HostError, InventoryError
from tacker_cir.host import apt, volume
from tacker_cir.reading import Unreadable
from tacker_cir.registry import authority, container, room, upstream
from tacker_cir.registry.container import ContainerSpec
from tacker_cir.render import htpasswd
from tacker_cir.runtimes.docker import registry_config
from tacker_cir.ssh import Result
from tacker_cir.text import printable
from tests.certificates import Authority
from tests.machine import machine
from tests.unit import test_inventory
from tests.unit.cluster import test_etcd, test_kubectl
from tests.unit.host import test_volume

#: They judge time and many thousand values; what they pass through others show as covered.
pytestmark = pytest.mark.no_cover

SEED, ROUNDS = 20, 300
#: Seconds of a processor that one answer may cost, with all memory traced as well.
SOON = 5


AUTHORITY = Authority("kubernetes")
CA, NO_CA = AUTHORITY.pem, AUTHORITY.issue("198.51.100.10")[0]
TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJrIn0.c2lnbmF0dXJl"
CONTENT = base64.b64encode(b"127.0.0.1 localhost\n").decode()
DIGEST = "0" * 64
KEY = base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes(32)).decode()
FACTS = f"""\
os\tNAME="Debian GNU/Linux"
os\tVERSION_CODENAME=bookworm
arch\tamd64
interrupted\t
cloud-init\tdone
docker\tactive\tenabled\t24.0.5\tsystemd\t{{"IndexConfigs": {{"a": {{"Secure": false}}}}}}
containerd\tactive\tenabled\tcontainerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1
kubelet\tactive
cgroup\tcgroup2fs
package\thaproxy\t2.6.12-1\tinstalled
path\t/etc/kubernetes/kubelet.conf
file\t/etc/hosts\t644 root root\t{DIGEST}  -
content\t/etc/hosts\t{CONTENT}
image\tregistry:latest\tsha256:{DIGEST}
container\tprivate_registry\t{{"State": {{"Running": true}}}}
end
"""
CONFIGURATION = """\
apiServer: {certSANs: [198.51.100.10]}
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: v1.34.8
networking: {podSubnet: 10.244.0.0/16}
"""
ADDRESSES = json.dumps(
    [{"ifname": "eth0", "addr_info": [{"family": "inet", "local": "198.51.100.10"}]}]
)
POD = {
    "metadata": {"name": "web", "namespace": "default", "labels": {"app": "web"}, "annotations": {},
                 "ownerReferences": [{"kind": "DaemonSet", "controller": False}]},
    "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
}  # fmt: skip
CONTAINER = {
    "Image": "sha256:1",
    "State": {"Running": True},
    "HostConfig": {
        "PortBindings": {"5000/tcp": [{"HostPort": "5000"}]}, "RestartPolicy": {"Name": "always"},
    },
    "Mounts": [{"Destination": "/var/lib/registry", "Source": "/data"}],
    "Config": {"Labels": {"a": "b"}},
}  # fmt: skip

KEPT = ContainerSpec(
    "registry:2", "sha256:1", 443, "/srv/registry/data", "sha256:2",
    {"REGISTRY_AUTH": "htpasswd"}, {"/etc/tacker-cir": "/etc/tacker-cir/registry"},
    {"max-size": "10m"},
)  # fmt: skip
KEPT_CONTAINER = {
    "Image": "sha256:1",
    "State": {"Running": True},
    "HostConfig": {
        "PortBindings": {"5000/tcp": [{"HostPort": "443"}]},
        "RestartPolicy": {"Name": "always"},
        "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m"}},
    },
    "Mounts": [
        {"Destination": "/var/lib/registry", "Source": "/srv/registry/data", "RW": True},
        {"Destination": "/etc/tacker-cir", "Source": "/etc/tacker-cir/registry", "RW": False},
    ],
    "Config": {"Labels": KEPT.labels, "Env": ["REGISTRY_AUTH=htpasswd", "PATH=/bin"]},
}  # fmt: skip

#: Readers of text that is JSON in part or as a whole.
OF_JSON: dict[str, tuple[Callable[[str], Any], str]] = {
    "an object": (kubectl.parse_object, json.dumps(POD)),
    "a list": (kubectl.parse_list, json.dumps({"items": [POD]})),
    "members": (etcd.parse_members, test_etcd.MEMBER_LIST),
    "health": (etcd.parse_health, test_etcd.HEALTH),
    "addresses": (lambda text: load_balancer.parse_state(["a b", "c d"], text), ADDRESSES),
    "registries": (
        registry_config, '{"IndexConfigs": {"a": {"Secure": false}}, "Mirrors": ["http://b/"]}'
    ),
}  # fmt: skip
#: Readers of data that a library has read.
OF_DATA: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "a node": (kubectl.parse_node, test_kubectl.node("True")),
    "what a drain stops": (lambda pods: drain.remaining(pods), [POD]),
    "why pods stay": (
        lambda pods: drain.reasons(pods, [test_kubectl.BUDGET], 'error "web": x'), [POD],
    ),
    "budgets": (
        lambda budgets: drain.reasons([POD], budgets, 'error "web": x'),
        [test_kubectl.BUDGET],
    ),
    "a selector": (
        lambda selector: drain.selects(selector, {"app": "web"}),
        {"matchLabels": {"app": "web"},
         "matchExpressions": [{"key": "app", "operator": "In", "values": ["web"]}]},
    ),
    "etcd's pods": (lambda pods: etcd.choose_pod(pods, "etcd-own"), [POD]),
    "kubeadm's ConfigMap": (
        credentials.configuration_in,
        {"ConfigMap/kubeadm-config": {"data": {"ClusterConfiguration": "a: b"}}},
    ),
    "a port": (inventory._resource, test_inventory.port("CP1", "198.51.100.10")),
    "a floating IP": (inventory._resource, test_inventory.floating_ip("F", "203.0.113.7", "p")),
    "host keys": (
        inventory.read_host_keys,
        {"outputs": [{"output_key": "ssh_host_keys", "output_value": [f"ssh-ed25519 {KEY}"]}]},
    ),
    "a container": (
        ContainerSpec("registry:2", "sha256:1", 5000, "/data").find_differences, CONTAINER,
    ),
    "a kept registry's container": (KEPT.find_differences, KEPT_CONTAINER),
    "a container's state": (container.is_running, CONTAINER),
    "an image's container": (lambda c: container.came_from(c, "sha256:1", "a"), CONTAINER),
}  # fmt: skip
#: Readers of text of other kinds.
OF_TEXT: dict[str, tuple[Callable[[str], Any], str]] = {
    "facts": (facts.parse, FACTS),
    "block devices": (lambda text: volume._devices(text, False), test_volume.FOUND),
    "a volume": (volume._parse, test_volume.MOUNTED),
    "the load balancer": (
        load_balancer.state_in, f"active enabled\ninactive disabled\n{ADDRESSES}\n",
    ),
    "a CA": (credentials.authorities, CA),
    "a CA's hash": (credentials.ca_hash, CA),
    "a token": (lambda text: credentials.read_token(Secret(text)), TOKEN),
    "a join token": (credentials.join_token_in, "abcdef.0123456789abcdef\n"),
    "a configuration": (credentials.version_in, CONFIGURATION),
    "what is uploaded": (
        lambda text: credentials._upload_file(text, "0" * 64, 34),
        CONFIGURATION,
    ),
    "a cluster": (state._state, '{"items": []} {"kind": "ConfigMap", "metadata": {"name": "a"}}'),
}  # fmt: skip

DEEP = "[" * 100_000
VALUES = (
    None, True, 0, -1, 10**30, 1e308, float("nan"), "", "x", "\x1b[31m", "\u202e", "\ud800", "-n",
    "a\nb", "a,b", "::", "999.1.1.1", "fe80::1%a b", "None", "9" * 5000,
    [], [[]], [None], {}, {"": None}, {"a": []},
)  # fmt: skip


def places(data: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each container in some data, with each of its keys."""
    items = data.items() if isinstance(data, dict) else enumerate(data)
    for key, value in list(items):
        yield data, key
        if isinstance(value, dict | list):
            yield from places(value)


def spoiled(data: Any, chance: random.Random) -> Any:
    """Return data with one or two values that are others or gone."""
    made = copy.deepcopy(data)
    for _ in range(chance.randint(1, 2)):
        found = list(places(made)) if isinstance(made, dict | list) else []
        if not found or chance.random() < 0.05:
            return copy.deepcopy(chance.choice(VALUES))
        container, key = chance.choice(found)
        if chance.random() < 0.3:
            del container[key]
        else:
            container[key] = copy.deepcopy(chance.choice(VALUES))
    return made


def mixed(text: str, chance: random.Random) -> str:
    """Return text with parts that are cut, doubled, swapped or others."""
    parts = list(text) if chance.random() < 0.3 else text.splitlines(keepends=True)
    if chance.random() < 0.5:
        parts = [field for part in parts for field in part.replace("\t", "\0\t").split("\0")]
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(parts) + 1)
        other = chance.choice([str(v) for v in VALUES] + ["\t", "\n", "\0", " ", "=", '"', "{"])
        parts[at : at + chance.randint(0, 3)] = [other] * chance.randint(0, 2)
    return "".join(parts)[: chance.choice([10**9, len(text) // 2])]


def read(reader: Callable[[Any], Any], answer: Any) -> bool:
    """Tell whether a reader takes an answer; it may refuse it, in one way and soon."""
    start = time.thread_time()
    try:
        reader(answer)
        return True
    except Unreadable as error:
        assert str(error).isprintable() and len(str(error)) < 200
        assert error.__cause__ is None and error.__suppress_context__
        return False
    finally:
        assert time.thread_time() - start < SOON


@pytest.mark.parametrize("name", OF_JSON)
def test_json(name):
    reader, good = OF_JSON[name]
    assert read(reader, good)
    chance = random.Random(SEED)
    taken = sum(read(reader, json.dumps(spoiled(json.loads(good), chance))) for _ in range(ROUNDS))
    taken += sum(read(reader, mixed(good, chance)) for _ in range(ROUNDS // 3))
    # That not everything is refused, and not everything is taken.
    assert 0 < taken < ROUNDS + ROUNDS // 3


@pytest.mark.parametrize("name", OF_DATA)
def test_data(name):
    reader, good = OF_DATA[name]
    assert read(reader, good)
    chance = random.Random(SEED)
    taken = sum(read(reader, spoiled(good, chance)) for _ in range(ROUNDS))
    assert 0 < taken < ROUNDS


@pytest.mark.parametrize("name", OF_TEXT)
def test_text(name):
    reader, good = OF_TEXT[name]
    assert read(reader, good)
    chance = random.Random(SEED)
    taken = sum(read(reader, mixed(good, chance)) for _ in range(ROUNDS // 2))
    assert taken < ROUNDS // 2


BOMB = "a: &a [x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)}, *{chr(97 + n)}]\n" for n in range(20)
)
MERGES = "a: &a {x: 1}\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} {{<<: [{', '.join(['*' + chr(97 + n)] * 9)}]}}\n"
    for n in range(20)
)
WORST = {
    "nothing": "",
    "digits": "9" * 60_000,
    "a number": "[" + "9" * 60_000 + "]",
    "dots": "1." * 30_000,
    "nesting": DEEP,
    "nesting of objects": '{"a":' * 50_000,
    "one line of 4 MB": "x" * 4_000_000,
    "4 MB of lines": "x\n" * 2_000_000,
    "4 MB of tabs": "file" + "\t" * 4_000_000,
    "a version of digits": "containerd\tactive\tenabled\t" + "1" * 60_000,
    "a version of dots": "containerd\tactive\tenabled\t" + "1.1" * 60_000,
    "a quote without an end": "os\tNAME='" + "x" * 1_000_000,
    "a mode of digits": "file\t/a\t" + "7" * 60_000 + " root root\t" + DIGEST,
    "certificates": "-----BEGIN CERTIFICATE-----\n" * 100_000,
    "aliases": BOMB,
    "merges": MERGES,
    "nested YAML": "kubernetesVersion: " + "[" * 30_000,
    "YAML of another type": "kubernetesVersion: !!float ''",
    "YAML of a number": "kubernetesVersion: !!int ''",
    "a YAML version of digits": "kubernetesVersion: v1." + "9" * 60_000,
    "words of the API": "RBAC: " * 11_000,
    "addresses with logins": "://a" * 16_000 + "://" + "x" * 16_000,
    "locks": "is locked by " * 5_000,
    "escapes": "\x1b[31m\u202e" * 100_000,
}


@pytest.mark.parametrize("name", [*OF_JSON, *OF_TEXT])
@pytest.mark.parametrize("worst", WORST)
def test_the_worst_answers(name, worst):
    reader, _ = {**OF_JSON, **OF_TEXT}[name]
    read(reader, WORST[worst])


@pytest.mark.parametrize("worst", WORST)
def test_the_worst_answers_in_what_looks_for_words(worst):
    text, start = WORST[worst][: 64 * 1024], time.thread_time()
    kubectl.is_transient(text)
    apt._LOCKED.search(text)
    mask_userinfo(text)
    Redactor([Secret("secret")])(text)
    assert printable(text).isprintable()
    install.parse_answer(text, "install")
    assert time.thread_time() - start < SOON


@pytest.mark.parametrize("worst", WORST)
def test_memory_is_bounded_by_the_answers_length(worst):
    text = WORST[worst]
    tracemalloc.start()
    try:
        for reader, _ in OF_TEXT.values():
            read(reader, text)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 30_000_000 + 100 * len(text)


# ------------------------------------------------------------------------- what is made of it


class Machine:
    """Stands in for a connection whose commands all print the same."""

    node, command_timeout = "master (198.51.100.10)", 5

    def __init__(self, said: str):
        self.said = said

    def run(self, command, **_options):
        return Result(0, self.said, "")


def kube(said: str) -> kubectl.Kubectl:
    return kubectl.Kubectl(Machine(said), timeout=1)


ASKED = {
    "facts": lambda said: facts.gather(Machine(f"arch\t{said}\nend\n")),
    "a node": lambda said: kube(said).node("n"),
    "nodes": lambda said: kube(said).nodes(),
    "a drain": lambda said: drain.drain(kube(said), "n", timeout=1),
    "members": lambda said: etcd.Etcd(kube(said), "n").members(),
    "a token": lambda said: credentials.join_token(Machine(said)).__enter__(),
    "a CA": lambda said: credentials.read_ca_hash(Machine(said)),
    "the load balancer": lambda said: load_balancer._read_state(Machine(said)),
}


@pytest.mark.parametrize("said", ["no\x1b[31m answer", "[]", '{"items": [1]}', DEEP])
@pytest.mark.parametrize("asked", ASKED)
def test_the_machine_and_the_step_are_named(asked, said):
    with pytest.raises(HostError, match="node master .*the answer cannot be used") as caught:
        ASKED[asked](said)
    assert "see what is wrong with the machine" in str(caught.value)
    assert "answer'" not in str(caught.value) and len(str(caught.value)) < 600


#: What looks at a registry's machine, and may not be able to use what that says.
LOOKS = {
    "free space": lambda said: room.read_room(Machine(said), "/srv/registry", None),
    "an image's command": lambda said: upstream._configuration(machine(Machine(said)), "sha256:1"),
    "a device": lambda said: volume._find(machine(Machine(said), service_timeout=0.01), VOLUME),
    "a volume": lambda said: volume._look(machine(Machine(said)), DEVICE, VOLUME),
}
VOLUME, DEVICE = volume.Volume("id", "/srv/registry"), volume.Device("/dev/vdb", "254:16")
SAID = {
    "digits": "1 " + "9" * 60_000,
    "a size of another script": "1 ٣٣",
    "a path with an option": '["/etc/a:/b.yml"]',
    "a path of dots": '["' + "/." * 30_000 + '.yml"]',
    "a number": "[" + "9" * 60_000 + "]",
    "nesting": DEEP,
    "a device without a number": "found\t1:\t/dev/vdb\nthere\tvdb\nend\n",
    "many devices": "found\t1:1\t/dev/vdb\n" * 20_000 + "end\n",
    "escapes": "\x1b[31m\u202e" * 1_000,
}


@pytest.mark.parametrize("said", SAID)
@pytest.mark.parametrize("looks", LOOKS)
def test_what_a_registrys_machine_says_is_refused_in_one_way(looks, said):
    start = time.thread_time()
    with pytest.raises(HostError, match="node master") as caught:
        LOOKS[looks](SAID[said])
    assert str(caught.value).isprintable() and len(str(caught.value)) < 800
    assert time.thread_time() - start < SOON


def test_a_machine_s_own_certificates_may_be_anything():
    ca = authority.authority(None)
    server = authority.server(ca, None, ["registry.example", "192.0.2.5"])
    chance = random.Random(SEED)
    for _ in range(ROUNDS):
        pem, key = mixed(server.certificate, chance), mixed(server.key.reveal(), chance)
        for present in (authority.Pair(pem, server.key),
                        authority.Pair(server.certificate, Secret(key))):  # fmt: skip
            made = authority.server(ca, present, ["registry.example", "192.0.2.5"])
            x509.load_pem_x509_certificate(made.certificate.encode())
            authority.authority(present)


def test_a_machine_s_own_users_may_be_anything(monkeypatch):
    monkeypatch.setattr(htpasswd, "_LINE", re.compile(htpasswd._LINE.pattern.replace("10", "04"),
                                                      re.ASCII | re.MULTILINE))  # fmt: skip
    monkeypatch.setattr(htpasswd, "ROUNDS", 4)
    good = htpasswd.render({"alice": "x"})
    assert htpasswd.render({"alice": "x"}, good) == good
    chance = random.Random(SEED)
    # bcrypt takes no salt whose last character has bits too many.
    salt = good[: len("alice:$2b$04$") + 21]
    for present in [mixed(good, chance) for _ in range(ROUNDS)] + [f"{salt}b{'a' * 31}\n"]:
        name, _, hashed = htpasswd.render({"alice": "x"}, present).rstrip().partition(":")
        assert name == "alice" and bcrypt.checkpw(b"x", hashed.encode())


def test_heats_answers_are_refused_in_one_way(monkeypatch):
    heat = object.__new__(inventory.Heat)
    for answer in ([{}], [{**test_inventory.FLAT[0], "links": [1]}], [None]):
        items = [SimpleNamespace(to_dict=lambda answer=answer[0]: answer)]
        listed = SimpleNamespace(list=lambda *_a, items=items, **_o: items)
        heat._client = SimpleNamespace(resources=listed)
        with pytest.raises(InventoryError, match="Heat does not list the resources of stack s: it"):
            heat.resources("s")

    def fail(*_arguments, **_options):
        raise KeyError("resources")

    heat._client = SimpleNamespace(resources=SimpleNamespace(list=fail))
    with pytest.raises(InventoryError, match="KeyError in its client"):
        heat.resources("s")


BAD_CAS = {
    "empty": "", "None": "None", "null": "null", "a blank": " \n", "no certificate": "x" * 100,
    "a cut one": CA[: len(CA) // 2], "a key": CA.replace("CERTIFICATE", "EC PRIVATE KEY"),
    "no CA": NO_CA,
    "an end's certificate behind": CA + NO_CA, "long": CA * 200,
}  # fmt: skip
BAD_TOKENS = {
    "empty": "", "a line's end": f"{TOKEN}\n", "another header": f"{TOKEN}\r\nX: y",
    "a blank": f"{TOKEN} x", "two parts": "a.b", "None": "None", "long": "a" * 100_000 + ".b.c",
}  # fmt: skip


@pytest.mark.parametrize("pem", BAD_CAS.values(), ids=BAD_CAS)
def test_a_ca_with_which_tacker_would_verify_nothing_is_refused(pem):
    data = {"token": Secret(TOKEN), "ca.crt": Secret(pem)}
    with pytest.raises(Unreadable, match="certificates of a CA"):
        credentials.admin_credentials(data)


@pytest.mark.parametrize("token", BAD_TOKENS.values(), ids=BAD_TOKENS)
def test_a_token_that_is_none_is_refused_and_not_shown(token):
    data = {"token": Secret(token), "ca.crt": Secret(CA)}
    with pytest.raises(Unreadable, match="a token of a ServiceAccount") as caught:
        credentials.admin_credentials(data)
    assert not token or token not in str(caught.value) + repr(caught.value)


def test_the_ca_is_written_anew_from_what_was_understood():
    data = {"token": Secret(TOKEN), "ca.crt": Secret(f"\ufeff# comment\n{CA}\n{CA}trailing")}
    token, pem = credentials.admin_credentials(data)
    assert (token.reveal(), pem) == (TOKEN, CA + CA)
