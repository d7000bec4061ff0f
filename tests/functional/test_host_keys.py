# SPDX-License-Identifier: Apache-2.0
"""Host-key policies against a server whose keys change."""

from __future__ import annotations

import time

import pytest

from tacker_cir import exceptions as exc
from tacker_cir.hostkeys import AcceptAny, KnownKeys, PinStore, known_hosts_keys
from tests.functional.conftest import NODE, connect
from tests.functional.server import ADDRESS, new_key, public_line, public_pairs, shown_key


def replace_keys(sshd, *kinds: str) -> None:
    sshd.stop()
    sshd.host_keys = tuple(new_key(kind) for kind in kinds)
    sshd.start()


def test_tofu_accepts_the_first_key_and_no_other(make_sshd, tmp_path):
    sshd = make_sshd().start()
    pins = PinStore(tmp_path / "pins")
    connect(sshd, host_keys=pins.key_of("server-1")).close()
    connect(sshd, host_keys=pins.key_of("server-1")).close()
    replace_keys(sshd, "ed25519")
    with pytest.raises(exc.HostKeyError, match="another key than at the first connection"):
        connect(sshd, host_keys=pins.key_of("server-1"))
    # A healed VM is another Nova server at the same address.
    connect(sshd, host_keys=pins.key_of("server-2")).close()


def test_a_pinned_kind_is_asked_for_though_the_server_prefers_others(make_sshd, tmp_path):
    sshd = make_sshd(host_keys=[new_key("rsa")]).start()
    pins = PinStore(tmp_path / "pins")
    connect(sshd, host_keys=pins.key_of("server-1")).close()
    sshd.stop()
    sshd.host_keys += (new_key("ed25519"), new_key("ecdsa"))
    sshd.start()
    assert shown_key(sshd).get_name() != "ssh-rsa"
    connect(sshd, host_keys=pins.key_of("server-1")).close()


def test_a_machine_without_the_pinned_kind_is_refused_at_once(make_sshd, tmp_path):
    sshd = make_sshd(host_keys=[new_key("ed25519")]).start()
    pins = PinStore(tmp_path / "pins")
    connect(sshd, host_keys=pins.key_of("server-1")).close()
    replace_keys(sshd, "ecdsa")
    start = time.monotonic()
    with pytest.raises(exc.HostKeyError, match="no host key of type ssh-ed25519"):
        connect(sshd, host_keys=pins.key_of("server-1"))
    assert time.monotonic() - start < 5


def test_strict_accepts_a_key_of_known_hosts(make_sshd, tmp_path):
    sshd = make_sshd(host_keys=[new_key("ecdsa"), new_key("ed25519")]).start()
    known_hosts = tmp_path / "known_hosts"
    known_hosts.write_text(f"[{ADDRESS}]:{sshd.port} {public_line(sshd.host_keys[0])}\n")
    keys = known_hosts_keys(known_hosts, ADDRESS, sshd.port)
    assert keys == public_pairs(sshd)[:1]
    connect(sshd, host_keys=KnownKeys(keys, "known_hosts")).close()
    replace_keys(sshd, "ecdsa")
    with pytest.raises(exc.HostKeyError, match="but known_hosts has another key"):
        connect(sshd, host_keys=KnownKeys(keys, "known_hosts"))


def test_strict_refuses_an_unknown_machine(sshd):
    with pytest.raises(exc.HostKeyError, match="no key of this machine"):
        connect(sshd, host_keys=KnownKeys([], "known_hosts"))


def test_off_accepts_a_changed_key_with_a_warning(make_sshd, caplog):
    sshd = make_sshd().start()
    for _ in range(2):
        connect(sshd, host_keys=AcceptAny(NODE, "policy off")).close()
        replace_keys(sshd, "ed25519")
    warnings = [r for r in caplog.records if r.levelname == "WARNING"]
    assert len(warnings) == 2
    assert "accepted unchecked: policy off" in warnings[0].getMessage()


def test_nothing_is_told_to_a_machine_with_a_wrong_key(sshd):
    before = sshd.log.read_text().count("Accepted") + sshd.log.read_text().count("Failed")
    with pytest.raises(exc.HostKeyError):
        connect(sshd, host_keys=KnownKeys([], "known_hosts"))
    after = sshd.log.read_text().count("Accepted") + sshd.log.read_text().count("Failed")
    assert after == before


@pytest.mark.parametrize("damage", ["damaged", "no directory"])
def test_trouble_of_the_pins_is_told_at_once_and_as_what_it_is(sshd, tmp_path, damage):
    directory = tmp_path / "pins"
    if damage == "damaged":
        directory.mkdir()
        (directory / "server-1.json").write_text("{")
    else:
        directory.write_text("a file")
    start = time.monotonic()
    with pytest.raises(exc.HostKeyError) as caught:
        connect(sshd, host_keys=PinStore(directory).key_of("server-1"), ssh_wait_timeout=600)
    assert time.monotonic() - start < 5
    assert caught.value.step == "look up the pinned SSH host key"
    assert str(directory) in caught.value.cause and "no SSH server" not in str(caught.value)
