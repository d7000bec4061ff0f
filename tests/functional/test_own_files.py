# SPDX-License-Identifier: Apache-2.0
"""The files by which a registry proves itself and knows its users, on a machine behind a real sshd:
written once, kept, changed, and completed after a cut at any command or a full disk."""

from __future__ import annotations

import subprocess
from dataclasses import replace

import bcrypt
import pytest

from tacker_cir import exceptions as exc
from tacker_cir.command import Secret
from tacker_cir.facts import gather
from tacker_cir.login import Credentials
from tacker_cir.params.private_registry import PrivateRegistryParams
from tacker_cir.params.registry_tls import SelfSigned, ServerTls
from tacker_cir.params.registry_users import RegistryUser
from tacker_cir.registry import own_files
from tacker_cir.registry.places import Places
from tests.certificates import Authority
from tests.functional.conftest import connect
from tests.functional.server import IS_ROOT
from tests.machine import machine

pytestmark = pytest.mark.skipif(not IS_ROOT, reason="managed files belong to root")

ADDRESSES = ("192.0.2.7", "192.0.2.7")
ALICE, BOB = (RegistryUser(name, Secret(f"{name}-S3cret")) for name in ("alice", "bob"))
PARAMS = PrivateRegistryParams(
    "CP1", Credentials("ubuntu"), tls=SelfSigned(("registry.example",)), users=(ALICE,)
)
BOTH = ("registry's certificate written", "registry's users written")


@pytest.fixture
def place(monkeypatch):
    """Put the machine's files into a directory."""

    def put(directory):
        monkeypatch.setattr(own_files, "DIRECTORY", f"{directory}/etc/tacker-cir/registry")
        names = ("server.crt", "server.key", "htpasswd")
        paths = tuple(f"{own_files.DIRECTORY}/{name}" for name in names)
        monkeypatch.setattr(own_files, "CONTENTS", paths)
        return Places(None, f"{directory}/data", f"{directory}/lib/tacker-cir/registry")

    return put


def ensure(connection, places, params=PARAMS):
    found = machine(connection, gather(connection, contents=own_files.CONTENTS))
    ensured = own_files.ensure(found, params, places, ADDRESSES)
    own_files.remove_unused(found, params)
    return ensured


def content(directory):
    return {
        str(file.relative_to(directory)): (oct(file.stat().st_mode & 0o777), file.read_bytes())
        for file in directory.rglob("*")
        if file.is_file()
    }


def test_written_once_and_kept(sshd, dial, tmp_path, place):
    places, connection = place(tmp_path), dial(sshd)
    first = ensure(connection, places)
    assert first.changes == BOTH
    before = content(tmp_path)
    own, etc = "lib/tacker-cir/registry/", "etc/tacker-cir/registry/"
    assert {name: mode for name, (mode, _) in before.items()} == {
        f"{own}ca.key": "0o600", f"{own}ca.crt": "0o644", f"{etc}server.key": "0o600",
        f"{etc}server.crt": "0o644", f"{etc}htpasswd": "0o600",
    }  # fmt: skip
    for directory in (own, etc):
        assert (tmp_path / directory).stat().st_mode & 0o777 == 0o700
    assert bcrypt.checkpw(b"alice-S3cret", before[f"{etc}htpasswd"][1].partition(b":")[2].strip())
    words = ["openssl", "verify", "-CAfile", f"{tmp_path}/{own}ca.crt"]
    words += ["-verify_ip", ADDRESSES[0], f"{tmp_path}/{etc}server.crt"]
    subprocess.run(words, check=True, capture_output=True)
    second = ensure(connection, places)
    assert second.changes == () and second.identity == first.identity
    assert content(tmp_path) == before


def test_what_changes_alone_is_written(sshd, dial, tmp_path, place):
    places, connection = place(tmp_path), dial(sshd)
    first = ensure(connection, places)
    alice = content(tmp_path)["etc/tacker-cir/registry/htpasswd"][1]
    users = replace(PARAMS, users=(ALICE, BOB))
    assert ensure(connection, places, users).changes == BOTH[1:]
    assert content(tmp_path)["etc/tacker-cir/registry/htpasswd"][1].startswith(alice)
    names = replace(users, tls=SelfSigned(("other.example",)))
    other = ensure(connection, places, names)
    assert other.changes == BOTH[:1]
    assert other.identity.ca == first.identity.ca, "clients need not be told"


def test_a_given_certificate_and_then_none_of_it(sshd, dial, tmp_path, place):
    places, connection = place(tmp_path), dial(sshd)
    ca = Authority("given")
    certificate, key = ca.issue("registry.example")
    given = ServerTls(certificate + ca.pem, Secret(key))
    ensured = ensure(connection, places, replace(PARAMS, tls=given, users=()))
    assert ensured.identity.ca == ca.pem
    etc = "etc/tacker-cir/registry/"
    assert set(content(tmp_path)) == {f"{etc}server.crt", f"{etc}server.key"}
    ensured = ensure(connection, places, replace(PARAMS, tls=None, users=()))
    assert ensured.identity is None and content(tmp_path) == {}


def test_the_authority_outlives_the_machine_s_own_files(sshd, dial, tmp_path, place):
    """As when it lies on a volume, and the VM is made anew."""
    places, connection = place(tmp_path), dial(sshd)
    first = ensure(connection, places)
    for path in own_files.CONTENTS:
        subprocess.run(["rm", path], check=True)
    second = ensure(connection, places)
    assert second.changes == BOTH and second.identity.ca == first.identity.ca


def test_a_damaged_authority_is_replaced_and_told(sshd, dial, tmp_path, place, caplog):
    places, connection = place(tmp_path), dial(sshd)
    first = ensure(connection, places)
    (tmp_path / "lib/tacker-cir/registry/ca.crt").write_bytes(b"\xff" * 100)
    assert ensure(connection, places).identity.ca != first.identity.ca
    (tmp_path / "lib/tacker-cir/registry/ca.crt").write_text(first.identity.ca)
    assert ensure(connection, places).identity.ca != first.identity.ca
    assert "has another certificate: clients need it" in caplog.text
    assert "PRIVATE" not in caplog.text


def test_a_cut_at_any_command_is_completed(sshd, tmp_path, place):
    sshd.cut_at(0, "never")
    with connect(sshd) as connection:
        ensure(connection, place(tmp_path / "complete"))
    commands = sshd.commands
    assert commands >= 3
    for when in ("before", "after"):
        for number in range(1, commands + 1):
            places = place(tmp_path / f"{when}{number}")
            sshd.cut_at(number, when)
            with connect(sshd) as connection, pytest.raises(exc.ConnectionLost):
                ensure(connection, places)
            sshd.cut_at(0, "never")
            with connect(sshd) as connection:
                ensure(connection, places)
                before = content(tmp_path / f"{when}{number}")
                assert ensure(connection, places).changes == ()
            assert content(tmp_path / f"{when}{number}") == before
            assert set(before) == set(content(tmp_path / "complete"))


@pytest.fixture
def small_disk(tmp_path):
    """A directory on a file system of its own, which is small."""
    directory = tmp_path / "disk"
    directory.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(directory)]
    subprocess.run(words, check=True)
    yield directory
    subprocess.run(["umount", str(directory)], check=True)


def test_a_full_disk_leaves_what_was(small_disk, make_sshd, dial, place):
    # After the disk is there: the server has mounts of its own.
    places, connection = place(small_disk), dial(make_sshd().start())
    ensure(connection, places)
    before = content(small_disk)
    many = replace(PARAMS, users=(ALICE, BOB))
    full = small_disk / "full"
    with pytest.raises(OSError, match="No space left"):
        full.write_bytes(bytes(128 * 1024))
    with pytest.raises(exc.HostError, match="No space left on device"):
        ensure(connection, places, many)
    full.unlink()
    assert content(small_disk) == before
    assert ensure(connection, places, many).changes == BOTH[1:]
