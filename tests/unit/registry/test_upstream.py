# SPDX-License-Identifier: Apache-2.0
"""The login for the registry that another one's images are fetched from."""

from __future__ import annotations

import base64
import hashlib
import json

import pytest

from tacker_cir.command import Secret
from tacker_cir.exceptions import HostError
from tacker_cir.facts import Facts, parse
from tacker_cir.params.proxy import Proxy
from tacker_cir.params.registry_proxy_of import ProxyOf
from tacker_cir.registry import upstream
from tacker_cir.render import registry_proxy
from tests.machine import machine
from tests.unit.answering import Answering

FIND = "find the configuration of the registry's image"
HUB = ProxyOf("docker.io", login=("alice", Secret("S3cret")))
COMMANDS = {
    "2.8": (["/etc/docker/registry/config.yml"], "/etc/docker/registry/config.yml"),
    "3": (["serve", "/etc/distribution/config.yml"], "/etc/distribution/config.yml"),
}


def asked(command, facts=None):
    connection = Answering({FIND: json.dumps(command) + "\n"})
    return connection, machine(connection, facts or Facts())


@pytest.mark.parametrize(("command", "where"), COMMANDS.values(), ids=COMMANDS)
def test_the_file_takes_the_place_of_the_image_s(command, where):
    connection, registry = asked(command)
    assert upstream.ensure(registry, HUB, "sha256:1") == {where: upstream.PATH}
    assert connection.taken() == [FIND, f"write {upstream.PATH}"]
    assert all("S3cret" not in " ".join(each.argv) for each in connection.asked)


def present(content: bytes) -> str:
    digest = hashlib.sha256(content).hexdigest()
    return (
        f"file\t{upstream.PATH}\t600 root root\t{digest}\n"
        f"content\t{upstream.PATH}\t{base64.b64encode(content).decode()}\n"
        'container\tprivate_registry\t{"Id": "1"}\nend\n'
    )


def test_a_container_never_runs_with_an_older_password():
    wanted = registry_proxy.configuration(HUB, HUB.login).reveal().encode()
    connection, registry = asked(COMMANDS["3"][0], parse(present(wanted)))
    upstream.ensure(registry, HUB, "sha256:1")
    assert connection.taken() == [FIND]
    connection, registry = asked(COMMANDS["3"][0], parse(present(b"older")))
    upstream.ensure(registry, HUB, "sha256:1")
    assert connection.taken() == [FIND, "docker rm private_registry", f"write {upstream.PATH}"]
    assert registry.facts.containers == {}


@pytest.mark.parametrize("proxy_of", [None, ProxyOf("docker.io")])
def test_without_a_login_there_is_no_file(proxy_of):
    connection, registry = asked([], parse(present(b"older")))
    assert upstream.ensure(registry, proxy_of, "sha256:1") == {}
    upstream.remove_unused(registry, proxy_of)
    assert len(connection.taken()) == 1


@pytest.mark.parametrize(
    "command", [None, [], ["serve"], "x", [7], {"a": 1}, ["config.yml"], ["/etc/a:/b.yml"]]
)
def test_an_image_that_names_no_configuration(command):
    _, registry = asked(command)
    with pytest.raises(HostError, match="names no configuration file.*registry:2 or registry:3"):
        upstream.ensure(registry, HUB, "sha256:1")


def test_settings(golden):
    golden("registry_upstream.json", registry_proxy.configuration(HUB, HUB.login).reveal())
    proxy = Proxy(Secret("http://proxy:3128"), Secret("http://proxy:3129"), "10.0.0.0/8")
    values = registry_proxy.environment(HUB, proxy)
    golden("registry_upstream.env", "".join(f"{k}={v}\n" for k, v in values.items()))
    plain = ProxyOf("registry.example:5000", https=False)
    assert registry_proxy.environment(plain, None) == {
        "REGISTRY_PROXY_REMOTEURL": "http://registry.example:5000"
    }
