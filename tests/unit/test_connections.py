# SPDX-License-Identifier: Apache-2.0
"""Which host key a machine must show."""

from __future__ import annotations

from types import SimpleNamespace

import paramiko
import pytest
from oslo_config import cfg

from tacker_cir import config
from tacker_cir.command import Redactor
from tacker_cir.connections import Connector
from tacker_cir.exceptions import HostError
from tacker_cir.hostkeys import AcceptAny, HostKeyMismatch, KnownKeys
from tacker_cir.inventory import Node

VNF = "11111111-2222-3333-4444-555555555555"
NODE = Node("CP1", "198.51.100.5", "198.51.100.5", "server-1")


@pytest.fixture(scope="module")
def key():
    return paramiko.ECDSAKey.generate()


@pytest.fixture
def conf(tmp_path):
    conf = config.register_opts(cfg.ConfigOpts())
    conf([], default_config_files=[])
    conf.set_override("state_path", str(tmp_path / "state"), group=config.GROUP)
    conf.set_override("known_hosts", str(tmp_path / "known_hosts"), group=config.GROUP)
    return conf


def checker(conf, policy, node=NODE, of_request=(), of_stack=()):
    """Return the checker that a policy gives; Heat is played by an object with one answer."""
    conf.set_override("host_key_policy", policy, group=config.GROUP)
    heat = SimpleNamespace(host_keys=lambda _stack_id: list(of_stack))
    connector = Connector(
        conf, heat, "stack", VNF, redactor=Redactor(), known_keys=tuple(of_request)
    )
    connector.forget_all_but([node])
    return connector._host_keys(node, str(node))


def pair(key):
    return key.get_name(), key.get_base64()


def test_tofu_pins_per_server_and_forgets_healed_ones(conf, key, tmp_path):
    checker(conf, "tofu").check(key)
    pins = tmp_path / "state" / "host_keys" / VNF
    assert [file.name for file in pins.iterdir()] == ["server-1.json"]
    with pytest.raises(HostKeyMismatch):
        checker(conf, "tofu").check(paramiko.ECDSAKey.generate())
    healed = Node("CP1", "198.51.100.5", "198.51.100.5", "server-2")
    checker(conf, "tofu", healed).check(paramiko.ECDSAKey.generate())
    assert [file.name for file in pins.iterdir()] == ["server-2.json"]


def test_tofu_takes_the_key_of_the_request_where_one_is_given(conf, key):
    found = checker(conf, "tofu", of_request=[pair(key)])
    assert isinstance(found, KnownKeys)
    found.check(key)
    with pytest.raises(HostKeyMismatch, match="ssh_host_keys of the request has another key"):
        found.check(paramiko.ECDSAKey.generate())


def test_tofu_without_a_known_server_warns(conf, key, caplog):
    found = checker(conf, "tofu", Node("CP1", "198.51.100.5", "198.51.100.5", None))
    assert isinstance(found, AcceptAny)
    found.check(key)
    assert "does not tell which server the CP belongs to" in caplog.text


@pytest.mark.parametrize("source", ["request", "stack", "known_hosts"])
def test_strict_takes_keys_of_every_source(conf, key, source, tmp_path):
    if source == "known_hosts":
        line = f"198.51.100.5 {key.get_name()} {key.get_base64()}\n"
        (tmp_path / "known_hosts").write_text(line)
    checker(
        conf,
        "strict",
        of_request=[pair(key)] if source == "request" else (),
        of_stack=[pair(key)] if source == "stack" else (),
    ).check(key)


def test_strict_refuses_what_no_source_has(conf, key):
    with pytest.raises(HostKeyMismatch, match="no key of this machine"):
        checker(conf, "strict").check(key)


def test_strict_with_a_known_hosts_that_cannot_be_read(conf, tmp_path):
    (tmp_path / "known_hosts").mkdir()
    with pytest.raises(HostError, match="repair the file that \\[tacker_cir\\] known_hosts names"):
        checker(conf, "strict")


def test_off_accepts_any(conf, key, caplog):
    checker(conf, "off", of_request=[("ssh-rsa", "other")]).check(key)
    assert "accepted unchecked: [tacker_cir] host_key_policy = off" in caplog.text
