# SPDX-License-Identifier: Apache-2.0
"""Host-key policies."""

from __future__ import annotations

import base64
import json
import os
import threading
import time

import paramiko
import pytest

from tacker_cir import pin_files
from tacker_cir.exceptions import PinStoreError
from tacker_cir.hostkeys import (
    AcceptAny,
    HostKeyMismatch,
    KnownKeys,
    PinStore,
    fingerprint,
    known_hosts_keys,
    parse_public_key,
)

ED25519_1 = "AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
ED25519_2 = "AAAAC3NzaC1lZDI1NTE5AAAAIPuA4iRUlnYqSbRdAr9GmdRI9dGkR9XZEgWdYNfBQH5S"


@pytest.fixture(scope="module")
def keys() -> list[paramiko.PKey]:
    return [paramiko.ECDSAKey.generate() for _ in range(8)]


def pair(key: paramiko.PKey) -> tuple[str, str]:
    return key.get_name(), key.get_base64()


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (f"ssh-ed25519 {ED25519_1}", "ssh-ed25519"),
        (f"  ssh-ed25519 {ED25519_1} root@vm  \n", "ssh-ed25519"),
    ],
)
def test_public_key_lines(line, kind):
    assert parse_public_key(line) == (kind, ED25519_1)


@pytest.mark.parametrize(
    "line",
    ["", "ssh-ed25519", ED25519_1, "host ssh-rsa AAAA", "a b\nc d", "no key", "ssh-ed25519 AAAA",
     f"ssh-rsa {ED25519_1}", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5A", f"vm ssh-ed25519 {ED25519_1}"],
)  # fmt: skip
def test_what_is_no_public_key_line(line):
    with pytest.raises(ValueError, match="not a public key line"):
        parse_public_key(line)


def test_one_key_has_one_text():
    """Other Base64 of the same key would never equal what the machine shows."""
    raw = base64.b64decode(ED25519_1)
    for text in (raw[:-1], raw + b"\0", raw + bytes(4) * 5000, raw[:15]):
        with pytest.raises(ValueError, match="not a public key line"):
            parse_public_key(f"ssh-ed25519 {base64.b64encode(text).decode()}")
    assert parse_public_key(f"ssh-ed25519 {ED25519_1}====") == ("ssh-ed25519", ED25519_1)


def test_the_first_key_is_pinned(tmp_path, keys):
    pins = PinStore(tmp_path / "a" / "vnf")
    pin = pins.key_of("server-1")
    assert pin.key_types() == ()
    pin.check(keys[0])
    assert pin.key_types() == ("ecdsa-sha2-nistp256",)
    again = PinStore(tmp_path / "a" / "vnf").key_of("server-1")
    again.check(keys[0])
    with pytest.raises(HostKeyMismatch, match="another key than at the first") as caught:
        again.check(keys[1])
    assert fingerprint(keys[1]) in str(caught.value)
    assert str(tmp_path / "a" / "vnf" / "server-1.json") in caught.value.remedy
    assert (tmp_path / "a" / "vnf").stat().st_mode & 0o777 == 0o700
    assert [file.name for file in (tmp_path / "a" / "vnf").iterdir()] == ["server-1.json"]


def test_of_many_first_connections_exactly_one_wins(tmp_path, keys):
    for round_number in range(20):
        pins = PinStore(tmp_path / str(round_number))
        barrier, accepted, refused = threading.Barrier(len(keys)), [], []

        def connect(key, pins=pins, barrier=barrier, accepted=accepted, refused=refused):
            barrier.wait()
            try:
                pins.key_of("s").check(key)
                accepted.append(key)
            except HostKeyMismatch:
                refused.append(key)

        threads = [threading.Thread(target=connect, args=(key,)) for key in keys]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(accepted), len(refused)) == (1, len(keys) - 1)
        pinned = json.loads((tmp_path / str(round_number) / "s.json").read_text())
        assert (pinned["type"], pinned["key"]) == pair(accepted[0])
        assert len(list((tmp_path / str(round_number)).iterdir())) == 1


def test_pins_live_as_long_as_their_servers(tmp_path, keys):
    pins = PinStore(tmp_path / "vnf")
    for number in (1, 2, 3):
        pins.key_of(f"server-{number}").check(keys[0])
    pins.keep_only(["server-2"])
    assert [file.name for file in (tmp_path / "vnf").iterdir()] == ["server-2.json"]
    pins.key_of("server-1").check(keys[1])
    pins.clear()
    assert not (tmp_path / "vnf").exists()
    pins.clear()
    pins.keep_only([])


@pytest.mark.parametrize("server_id", ["", "../x", "a/b", "a.b", "a\n"])
def test_a_server_id_is_no_path(tmp_path, server_id):
    with pytest.raises(ValueError, match="not a server id"):
        PinStore(tmp_path).key_of(server_id)


def test_known_keys(keys):
    checker = KnownKeys([pair(keys[0]), ("ssh-ed25519", ED25519_1)], "the request")
    assert checker.key_types() == ("ecdsa-sha2-nistp256", "ssh-ed25519")
    checker.check(keys[0])
    with pytest.raises(HostKeyMismatch, match="but the request has another key"):
        checker.check(keys[1])
    with pytest.raises(HostKeyMismatch, match="but the request has no key of this machine"):
        KnownKeys([], "the request").check(keys[0])


def test_accept_any_warns(keys, caplog):
    checker = AcceptAny("CP1 (198.51.100.5)", "because")
    assert checker.key_types() == ()
    checker.check(keys[0])
    assert "CP1 (198.51.100.5): host key ecdsa-sha2-nistp256 SHA256:" in caplog.text


def test_known_hosts(tmp_path):
    file = tmp_path / "known_hosts"
    file.write_text(
        "# comment\n"
        f"198.51.100.5,vm ssh-ed25519 {ED25519_1}\n"
        f"[198.51.100.5]:2222 ssh-ed25519 {ED25519_2}\n"
        f"2001:db8::5 ssh-ed25519 {ED25519_2}\n"
    )
    assert known_hosts_keys(file, "198.51.100.5") == [("ssh-ed25519", ED25519_1)]
    assert known_hosts_keys(file, "198.51.100.5", 2222) == [("ssh-ed25519", ED25519_2)]
    assert known_hosts_keys(file, "2001:db8::5") == [("ssh-ed25519", ED25519_2)]
    assert known_hosts_keys(file, "198.51.100.6") == []
    assert known_hosts_keys(tmp_path / "missing", "198.51.100.5") == []


def test_hashed_known_hosts(tmp_path):
    hashed = paramiko.HostKeys.hash_host("198.51.100.5")
    file = tmp_path / "known_hosts"
    file.write_text(f"{hashed} ssh-ed25519 {ED25519_1}\n")
    assert known_hosts_keys(file, "198.51.100.5") == [("ssh-ed25519", ED25519_1)]


def test_known_hosts_that_cannot_be_read(tmp_path):
    with pytest.raises(ValueError, match=str(tmp_path)):
        known_hosts_keys(tmp_path, "198.51.100.5")


def test_damaged_lines_of_known_hosts_are_passed_over(tmp_path):
    file = tmp_path / "known_hosts"
    damaged = (
        "198.51.100.5 ssh-ed25519 A",
        "198.51.100.5 ssh-ed25519 AAAA",
        "|1|x ssh-rsa AAAA",
        "x",
    )
    good = f"198.51.100.5 ssh-ed25519 {ED25519_1}"
    file.write_text("\n".join([*damaged, good, *damaged]))
    assert known_hosts_keys(file, "198.51.100.5") == [("ssh-ed25519", ED25519_1)]
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=str(file)):
        known_hosts_keys(file, "198.51.100.5")


def test_a_revoked_key_is_not_known(tmp_path):
    file = tmp_path / "known_hosts"
    known = f"198.51.100.5 ssh-ed25519 {ED25519_1}\n"
    file.write_text(known + f"@revoked * ssh-ed25519 {ED25519_2}\n")
    assert known_hosts_keys(file, "198.51.100.5") == [("ssh-ed25519", ED25519_1)]
    file.write_text(known + f"@revoked * ssh-ed25519 {ED25519_1}\n")
    assert known_hosts_keys(file, "198.51.100.5") == []


DAMAGED = [
    b"",
    b"{",
    b"null",
    b"[]",
    b"\xff",
    b"[" * 5000,
    b"{}",
    b'{"type": "ssh-ed25519"}',
    b'{"type": "ssh-ed25519", "key": null}',
    b'{"type": "ssh-ed25519", "key": "AAAA"}',
    b'{"type": ["ssh-ed25519"], "key": "' + ED25519_1.encode() + b'"}',
    b'{"type": "ssh-rsa", "key": "' + ED25519_1.encode() + b'"}',
    b'{"type": "ssh-ed25519", "key": "' + ED25519_1.encode()[:40] + b'"',
]


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_pin_accepts_no_key(tmp_path, keys, content):
    pin = PinStore(tmp_path).key_of("server-1")
    file = tmp_path / "server-1.json"
    file.write_bytes(content)
    for ask in (pin.key_types, lambda: pin.check(keys[0])):
        with pytest.raises(PinStoreError) as caught:
            ask()
        assert str(file) in str(caught.value) and "server server-1" in str(caught.value)
        assert "then remove the file" in caught.value.remedy
    assert file.read_bytes() == content
    file.unlink()
    pin.check(keys[0])


def put_link(path):
    path.symlink_to(path.with_name("nowhere"))


def put_link_to_a_pin(path):
    other = path.with_name("other")
    other.write_text(json.dumps({"type": "ssh-ed25519", "key": ED25519_1}))
    path.symlink_to(other)


@pytest.mark.parametrize("put", [put_link, put_link_to_a_pin, os.mkfifo, os.mkdir])
def test_what_is_no_file_accepts_no_key(tmp_path, keys, put):
    put(tmp_path / "server-1.json")
    pin = PinStore(tmp_path).key_of("server-1")
    for ask in (pin.key_types, lambda: pin.check(keys[0])):
        with pytest.raises(PinStoreError, match="server-1.json: the pinned host keys cannot be"):
            ask()


def test_a_pin_that_comes_between_a_look_and_its_creation(tmp_path, keys, monkeypatch):
    """The dangling link again, put there at the worst moment."""
    pin = PinStore(tmp_path).key_of("server-1")
    put_link(tmp_path / "server-1.json")
    with monkeypatch.context() as patch:
        patch.setattr(pin_files, "read", lambda _path: None)
        with pytest.raises(PinStoreError, match="comes and goes"):
            pin.check(keys[0])


def test_a_pin_is_durable_before_it_counts(tmp_path, keys, monkeypatch):
    events = []
    fsync, link = os.fsync, os.link

    def note_fsync(fd):
        events.append(f"sync {os.readlink(f'/proc/self/fd/{fd}')}")
        fsync(fd)

    def note_link(source, target):
        assert json.loads(open(source).read())["key"] == keys[0].get_base64()
        events.append("link")
        link(source, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "link", note_link)
    directory = tmp_path / "state" / "host_keys" / "vnf"
    PinStore(directory).key_of("server-1").check(keys[0])
    at = events.index("link")
    assert events[at - 1].startswith(f"sync {directory}/.pin-")
    assert events[at + 1 :] == [f"sync {directory}"]
    made = [f"sync {path}" for path in (tmp_path, tmp_path / "state", tmp_path / "state/host_keys")]
    assert events[: at - 1] == made


def test_who_may_look_and_write(tmp_path, keys):
    old_mask = os.umask(0o022)
    try:
        directory = tmp_path / "state" / "host_keys" / "vnf"
        pin = PinStore(directory).key_of("server-1")
        pin.check(keys[0])
        for path in (directory, directory.parent, directory.parent.parent):
            assert path.stat().st_mode & 0o777 == 0o700
        assert (directory / "server-1.json").stat().st_mode & 0o777 == 0o600
        # As an earlier release left it.
        directory.chmod(0o755)
        PinStore(directory).key_of("server-2").check(keys[0])
        assert directory.stat().st_mode & 0o777 == 0o700
        for path in (directory, directory.parent, directory.parent.parent):
            path.chmod(0o777)
            with pytest.raises(PinStoreError, match=f"chmod o-w {path}"):
                pin.check(keys[0])
            path.chmod(0o700)
        pin.check(keys[0])
    finally:
        os.umask(old_mask)


def test_a_store_that_cannot_be_used(tmp_path, keys):
    (tmp_path / "state").write_text("a file\n")
    pins = PinStore(tmp_path / "state" / "vnf")
    with pytest.raises(PinStoreError, match="state_path"):
        pins.key_of("server-1").check(keys[0])


def test_what_a_writer_that_died_left(tmp_path, keys):
    pins = PinStore(tmp_path)
    pins.key_of("server-1").check(keys[0])
    old, new = tmp_path / ".pin-old", tmp_path / ".pin-new"
    for file in (old, new):
        file.touch()
    os.utime(old, (time.time() - 7200,) * 2)
    pins.keep_only(["server-1"])
    assert sorted(file.name for file in tmp_path.iterdir()) == [".pin-new", "server-1.json"]
