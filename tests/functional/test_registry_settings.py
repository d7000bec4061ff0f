# SPDX-License-Identifier: Apache-2.0
"""A real registry with the settings, the certificate and the users that are made for it."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import ssl
from base64 import b64encode
from pathlib import Path

import pytest

from tacker_cir.registry import authority
from tacker_cir.render import htpasswd, registry_collection, registry_settings
from tests.functional.registry_program import RealRegistry
from tests.functional.server import ADDRESS

ALICE, BOB = ("alice", "alice's pässword"), ("bob@example", "a:b")
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


class Secured:
    """A registry with TLS and users.

    :param directory: of its own
    :param settings: of :func:`tacker_cir.render.registry_settings.environment`
    :param more: further variables
    """

    def __init__(self, directory: Path, more: dict[str, str] | None = None, **settings: bool):
        self.own = directory / "own"
        self.own.mkdir(parents=True, exist_ok=True)
        self.ca = authority.authority(None)
        pair = authority.server(self.ca, None, [ADDRESS])
        for name, text in (
            (registry_settings.CERTIFICATE, pair.certificate),
            (registry_settings.KEY, pair.key.reveal()),
        ):
            (self.own / name).write_text(text)
        self.allow(ALICE)
        given = registry_settings.environment(tls=True, users=True, **settings)
        top = registry_settings.DIRECTORY
        values = {name: value.replace(top, str(self.own)) for name, value in given.items()}
        self.program = RealRegistry(directory / "registry", environment={**values, **(more or {})})

    def allow(self, *users: tuple[str, str]) -> None:
        """Write the users as a machine does: beside the file, which is then replaced."""
        part = self.own / "new"
        part.write_text(htpasswd.render(dict(users)))
        os.replace(part, self.own / registry_settings.HTPASSWD)

    def ask(self, method, path, user=ALICE, body=None, kind="application/octet-stream", most=None):
        context = ssl.create_default_context(cadata=self.ca.certificate)
        if most:
            context.minimum_version = context.maximum_version = most
            context.set_ciphers("DEFAULT:@SECLEVEL=0")
        line = http.client.HTTPSConnection(ADDRESS, self.program.port, timeout=20, context=context)
        login = {"Authorization": f"Basic {b64encode(':'.join(user).encode()).decode()}"}
        headers = {"Content-Type": kind, **(login if user[0] else {})}
        line.request(method, path, body, headers)
        answer = line.getresponse()
        answer.read()
        return answer

    def push(self) -> http.client.HTTPResponse:
        """Push an image without layers; return the last answer."""
        begun = self.ask("POST", "/v2/app/blobs/uploads/")
        if begun.status != 202:
            return begun
        content = b"{}"
        digest = digest_of(content)
        target = begun.headers["Location"].partition(f":{self.program.port}")[2]
        assert self.ask("PUT", f"{target}&digest={digest}", body=content).status == 201
        config = {"mediaType": "application/json", "size": len(content), "digest": digest}
        document = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": []}
        body = json.dumps(document).encode()
        return self.ask("PUT", "/v2/app/manifests/1", body=body, kind=MANIFEST)


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@pytest.fixture
def secured(tmp_path):
    started = []

    def start(**options) -> Secured:
        made = Secured(tmp_path, **options)
        started.append(made.program)
        made.program.start()
        return made

    yield start
    for registry in started:
        registry.stop()


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_https_and_logins(secured):
    registry = secured()
    statuses = {
        user: registry.ask("GET", "/v2/", user).status
        for user in (ALICE, BOB, ("alice", "wrong"), ("", ""))
    }
    assert statuses == {ALICE: 200, BOB: 401, ("alice", "wrong"): 401, ("", ""): 401}
    challenge = registry.ask("GET", "/v2/", ("", "")).headers["WWW-Authenticate"]
    assert challenge == f'Basic realm="{registry_settings.REALM}"'
    assert registry.push().status == 201
    with pytest.raises(ssl.SSLError, match="(?i)alert protocol version"):
        registry.ask("GET", "/v2/", most=ssl.TLSVersion.TLSv1_1)


def test_other_users_are_seen_without_a_restart(secured):
    registry = secured()
    assert registry.ask("GET", "/v2/").status == 200
    registry.allow(BOB, ("alice", "another"))
    assert registry.ask("GET", "/v2/").status == 401
    assert registry.ask("GET", "/v2/", BOB).status == 200
    assert registry.ask("GET", "/v2/", ("alice", "another")).status == 200


@pytest.mark.parametrize(("enabled", "status"), [(True, 202), (False, 405)])
def test_images_are_deleted_only_where_it_is_enabled(secured, enabled, status):
    registry = secured(delete=enabled)
    digest = registry.push().headers["Docker-Content-Digest"]
    assert registry.ask("DELETE", f"/v2/app/manifests/{digest}").status == status


def test_one_that_is_read_only_takes_nothing(secured):
    registry = secured(more=dict(registry_collection.READ_ONLY))
    assert registry.ask("GET", "/v2/").status == 200
    assert registry.push().status == 405
