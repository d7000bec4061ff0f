# SPDX-License-Identifier: Apache-2.0
"""A registry VNF that is kept for long, through Tacker's API: what its parameters make of it."""

from __future__ import annotations

import json
import re
import shlex
import ssl
import subprocess
from dataclasses import replace

import pytest

from tacker_cir import metadata
from tacker_cir.params.shown_registry import CA, CA_SHA256, SCHEME, SERVER, fingerprint
from tests.certificates import Authority
from tests.lab.registry_client import Client
from tests.lab.registry_vnf import RegistryVnf, build_csar
from tests.lab.vnf import completed, refused

IMAGE = "test/kept:1"
ALICE = {"username": "alice", "password": "al!ce \u00e4 S3cret"}
BOB = {"username": "bob", "password": "b0b-S3cret"}


@pytest.fixture(scope="class")
def package(image, tmp_path_factory):
    return build_csar(tmp_path_factory.mktemp("csar"), guest="debian-12", image=image)


@pytest.fixture(scope="class")
def registry(stand, package):
    made = RegistryVnf(stand, package)
    names = ["registry.example"]
    request = {"port_no": None, "tls": {"self_signed": {"names": names}}, "users": [ALICE]}
    completed(made.instantiate(request))
    yield made
    made.discard()


@pytest.fixture(scope="class")
def client(stand, registry, small_image):
    """A client with nothing but what the VNF instance shows and a user's password."""
    shown = registry.shown()
    ca = metadata.joined(shown, CA)
    made = Client(shown[SERVER], ca, (ALICE["username"], ALICE["password"]))
    made.push(small_image, IMAGE, stand.lab.netns)
    return made


class TestTlsAndUsers:
    """One VNF instance, with a certificate of its own authority and a user."""

    def container(self, stand, registry):
        words = ["docker", "container", "inspect", "private_registry"]
        return json.loads(stand.lab.run(registry.server().machine, words).stdout)[0]

    def test_what_the_vnf_instance_shows(self, registry):
        shown = registry.shown()
        assert shown[SERVER] == f"{registry.server().address}:443"
        assert shown[SCHEME] == "https"
        assert shown[CA_SHA256] == fingerprint(metadata.joined(shown, CA))
        assert all(len(value) <= metadata.MAX_VALUE for value in shown.values())

    def test_a_user_pulls_and_nobody_else(self, stand, registry, client):
        assert client.pull(IMAGE)
        assert replace(client, user=None).status() == 401
        assert replace(client, user=("alice", "wrong")).status() == 401
        assert replace(client, user=(BOB["username"], BOB["password"])).status() == 401
        with pytest.raises(ssl.SSLCertVerificationError):
            replace(client, ca=Authority("another").pem).status()

    def test_tls_before_1_2_is_refused(self, client):
        host, _, port = client.server.partition(":")
        words = ["openssl", "s_client", "-connect", f"{host}:{port}", "-cipher", "ALL:@SECLEVEL=0"]
        for version, accepted in (("-tls1_1", False), ("-tls1_2", True)):
            said = subprocess.run([*words, version], input="", capture_output=True, text=True)
            assert ("BEGIN CERTIFICATE" in said.stdout) is accepted, said

    def test_passwords_are_nowhere(self, stand, registry):
        machine = registry.server().machine
        inspected = json.dumps(self.container(stand, registry))
        grep = ["grep", "-rlF", ALICE["password"], "/etc", "/var/lib/tacker-cir"]
        assert stand.lab.run(machine, ["sh", "-c", f"{shlex.join(grep)} || true"]).stdout == ""
        for text in (inspected, stand.driver_log(), str(registry.shown())):
            assert ALICE["password"] not in text and "PRIVATE KEY" not in text
        etc, own = "/etc/tacker-cir/registry", "/var/lib/tacker-cir/registry/ca.key"
        look = f"stat -c '%a %U %n' {etc} {etc}/* {own}"
        listed = stand.lab.run(machine, ["sh", "-c", look])
        assert re.findall(r"^(\d+) (\w+) .*/(.+)$", listed.stdout, re.MULTILINE) == [
            ("700", "root", "registry"), ("600", "root", "htpasswd"), ("644", "root", "server.crt"),
            ("600", "root", "server.key"), ("600", "root", "ca.key"),
        ]  # fmt: skip

    def test_a_second_run_changes_nothing(self, stand, registry, client):
        before, shown = self.container(stand, registry), registry.shown()
        completed(registry.modify(None))
        after = self.container(stand, registry)
        assert before["Id"] == after["Id"]
        assert before["State"]["StartedAt"] == after["State"]["StartedAt"]
        assert registry.shown() == shown
        assert "no change, the registry serves at port 443" in stand.driver_log()

    def test_users_change_under_a_loop_of_pulls(self, stand, registry, client):
        started = self.container(stand, registry)["State"]["StartedAt"]
        with client.pulling(IMAGE) as pulls:
            completed(registry.modify({"users": [ALICE, BOB]}))
            bob = replace(client, user=(BOB["username"], BOB["password"]))
            assert bob.pull(IMAGE)
        print(f"users changed: {pulls.done} pulls, {len(pulls.failures)} failed")
        assert pulls.done > 5 and pulls.failures == []
        # The password rotates: who is not named any more is refused at once.
        other = {**ALICE, "password": "an0ther"}
        with bob.pulling(IMAGE) as pulls:
            completed(registry.modify({"users": [other, BOB]}))
        print(f"password changed: {pulls.done} pulls, {len(pulls.failures)} failed")
        assert pulls.done > 5 and pulls.failures == []
        assert client.status() == 401
        assert replace(client, user=("alice", "an0ther")).status() == 200
        assert self.container(stand, registry)["State"]["StartedAt"] == started
        completed(registry.modify({"users": [ALICE]}))

    def test_the_certificate_changes_under_a_loop_of_pulls(self, stand, registry, client):
        given = Authority("given")
        certificate, key = given.issue(registry.server().address)
        pem = {"certificate_path": certificate + given.pem, "key_path": key}
        both = replace(client, ca=client.ca + given.pem)
        before = self.container(stand, registry)["Id"]
        start = len(stand.driver_log())
        with both.pulling(IMAGE) as pulls:
            completed(registry.modify({"tls": pem}))
        print(f"certificate changed: {pulls.done} pulls, {len(pulls.failures)} failed")
        assert pulls.done > 5 and len(pulls.failures) < 50
        told = stand.driver_log()[start:]
        (gap,) = re.findall(r"new certificate: it did not serve for (\S+) s", told)
        print(f"it did not serve for {gap} s")
        assert float(gap) < 15
        assert replace(client, ca=given.pem).pull(IMAGE)
        assert self.container(stand, registry)["Id"] == before
        assert metadata.joined(registry.shown(), CA) == given.pem
        # As requested again: the authority has stayed, so clients need no other.
        completed(registry.modify(None))
        assert client.pull(IMAGE) and metadata.joined(registry.shown(), CA) == client.ca

    @pytest.mark.parametrize(
        ("make", "told"),
        [
            (lambda a: (a.issue("r")[0], a.issue("r")[1]), "tls.key_path: the key is not that"),
            (lambda a: a.issue("r", days=-2), "tls.certificate_path: certificate 1 of the file"),
            (lambda a: a.issue("r", client=True), "tls.certificate_path: the certificate is not"),
        ],
        ids=["wrong key", "ended", "not for servers"],
    )
    def test_a_change_that_does_not_fit_is_refused(self, stand, registry, client, make, told):
        certificate, key = make(Authority("given"))
        before = len(stand.driver_log())
        try:
            members = {"tls": {"certificate_path": certificate, "key_path": key}}
            assert registry.modify(members)["operationState"] == "FAILED_TEMP"
            said = stand.driver_log()[before:]
            assert f"metadata.private_registry_installation_param.{told}" in said
            assert "PRIVATE" not in said
            assert client.status() == 200
        finally:
            completed(registry.modify(None))

    def test_what_somebody_damaged_is_mended(self, stand, registry, client):
        machine = registry.server().machine
        stand.lab.run(machine, ["rm", "/etc/tacker-cir/registry/server.key"])
        stand.lab.run(machine, ["sh", "-c", "echo >/etc/tacker-cir/registry/htpasswd"])
        assert client.status() == 401
        completed(registry.modify(None))
        assert client.pull(IMAGE)
        stand.lab.run(machine, ["docker", "rm", "--force", "private_registry"])
        completed(registry.modify(None))
        assert client.pull(IMAGE)

    def test_the_vnfc_heals(self, registry, client):
        """Without a volume data and authority are new; users and address are as before."""
        completed(registry.heal(registry.vnfc_ids()))
        shown = registry.shown()
        ca = metadata.joined(shown, CA)
        assert shown[SERVER] == client.server and ca != client.ca
        assert replace(client, ca=ca).status() == 200


FAULTY = {
    "wrong key": (
        lambda a: (a.issue("r")[0], a.issue("r")[1]),
        {},
        "key_path: the key is not that",
    ),
    "ended": (lambda a: a.issue("r", days=-2), {}, "certificate_path: certificate 1 of the file"),
    "another name": (lambda a: a.issue("r"), {"names": ["s"]}, "certificate_path: the certificate"),
}


@pytest.fixture(scope="class")
def never(stand, package):
    made = RegistryVnf(stand, package)
    yield made
    made.discard()


class TestRefused:
    """One VNF instance, which never comes to be."""

    @pytest.mark.parametrize(("make", "more", "told"), FAULTY.values(), ids=FAULTY)
    def test_a_certificate_that_does_not_fit_is_refused_before_any_vm_is_made(
        self, stand, never, make, more, told
    ):
        servers = stand.cloud.servers()
        certificate, key = make(Authority("given"))
        tls = {"certificate_path": certificate, "key_path": key, **more}
        operation = never.instantiate({"tls": tls})
        detail = refused(operation)
        assert f"private_registry_installation_param.tls.{told}" in detail
        assert "nothing was changed" in detail and stand.cloud.servers() == servers
        never.roll_back(operation)
