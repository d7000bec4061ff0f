# SPDX-License-Identifier: Apache-2.0
"""What the registry itself reads: its settings and its users."""

from __future__ import annotations

import bcrypt
import pytest

from tacker_cir.render import htpasswd, registry_settings

#: Options of the configuration's file that variables may set, as each version's reference lists
#: them ("Configuring a registry": 2.8 and 3.0 differ in none of those used here).
OPTIONS = {
    "2.8": {"http.tls.certificate", "http.tls.key", "http.tls.minimumtls", "auth",
            "auth.htpasswd.realm", "auth.htpasswd.path", "storage.delete.enabled"},
    "3.0": {"http.tls.certificate", "http.tls.key", "http.tls.minimumtls", "auth",
            "auth.htpasswd.realm", "auth.htpasswd.path", "storage.delete.enabled"},
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "asked"),
    [("none", {}), ("tls", {"tls": True}), ("users", {"users": True}),
     ("all", {"tls": True, "users": True, "delete": True})],
)  # fmt: skip
def test_settings(golden, name, asked):
    values = registry_settings.environment(**asked)
    golden(f"registry_settings_{name}.env", "".join(f"{k}={v}\n" for k, v in values.items()))


@pytest.mark.parametrize("version", OPTIONS)
def test_both_versions_take_every_setting(version):
    for name in registry_settings.environment(tls=True, users=True, delete=True):
        option = name.removeprefix("REGISTRY_").lower().replace("_", ".")
        assert option in OPTIONS[version]


def test_users_are_written_with_hashes_of_their_passwords():
    text = htpasswd.render({"alice": "pass word", "bob": "p\u00e4ss"})
    lines = dict(line.split(":") for line in text.splitlines())
    assert bcrypt.checkpw(b"pass word", lines["alice"].encode())
    assert bcrypt.checkpw("p\u00e4ss".encode(), lines["bob"].encode())
    assert text.endswith("\n") and "pass" not in text.replace("private", "")


def test_a_hash_stays_as_long_as_its_password():
    first = htpasswd.render({"alice": "a", "bob": "b"})
    assert htpasswd.render({"alice": "a", "bob": "b"}, first) == first
    second = htpasswd.render({"bob": "b", "alice": "other"}, first)
    assert first.splitlines()[1] == second.splitlines()[0]
    assert first.splitlines()[0] not in second


@pytest.mark.parametrize(
    "present",
    ["alice:", "alice:$2b$10$short", "alice:a", "alice:$2b$31$" + "a" * 53, "\x00", ":::", "alice"],
)
def test_what_is_no_hash_of_ours_is_replaced(present):
    text = htpasswd.render({"alice": "a"}, present)
    assert bcrypt.checkpw(b"a", text.strip().partition(":")[2].encode())
