# SPDX-License-Identifier: Apache-2.0
"""User data of a login, as cloud-init reads them."""

from __future__ import annotations

import pytest
import yaml

from tacker_cir.render.cloud_config import render_login

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIK8r2+Gqm27B4q3h1pT0H8cagx0CaOmJFWIRPYpirdG/"
HASH = "$2b$10$abcdefghijklmnopqrstuu5Sz1d9nGCPhy5Zc3UvC9Ecc7cO6gqKS"


@pytest.mark.parametrize(
    ("name", "login"),
    [
        ("key", {"public_key": KEY}),
        ("password", {"password_hash": HASH}),
        ("both", {"public_key": KEY, "password_hash": HASH}),
    ],
)
def test_golden(golden, name, login):
    golden(f"cloud_config_{name}.yaml", render_login("ubuntu", **login))


def test_passwords_over_ssh_are_allowed_only_where_there_is_no_key():
    assert "ssh_pwauth" not in yaml.safe_load(render_login("a", public_key=KEY, password_hash=HASH))
    assert yaml.safe_load(render_login("a", password_hash=HASH))["ssh_pwauth"] is True


def test_root_may_log_in_where_it_is_named():
    assert yaml.safe_load(render_login("root", public_key=KEY))["disable_root"] is False
