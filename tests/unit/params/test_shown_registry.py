# SPDX-License-Identifier: Apache-2.0
"""What the metadata show of a registry."""

from __future__ import annotations

import subprocess

import pytest

from tacker_cir import metadata
from tacker_cir.params.shown_registry import NOTHING, ShownRegistry, fingerprint
from tests.certificates import Authority

CA = Authority("registry").pem
KEY = "private_registry_"


@pytest.mark.parametrize(
    "shown",
    [
        ShownRegistry("192.0.2.1:5000"),
        ShownRegistry("[::1]:443", CA),
        ShownRegistry("registry.example:443", CA, "192.0.2.1"),
    ],
)
def test_what_is_shown_and_taken_back(shown):
    kept = metadata.changed({"mine": "kept"}, shown.values())
    assert (kept[f"{KEY}server"], metadata.joined(kept, f"{KEY}ca")) == (shown.server, shown.ca)
    assert kept.get(f"{KEY}address") == shown.address
    assert kept[f"{KEY}scheme"] == ("https" if shown.https else "http")
    assert metadata.changed(kept, NOTHING) == {"mine": "kept"}


def test_the_fingerprint_is_the_one_that_openssl_tells(tmp_path):
    file = tmp_path / "ca.pem"
    file.write_text(CA)
    words = ["openssl", "x509", "-noout", "-fingerprint", "-sha256", "-in", str(file)]
    told = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    assert told.strip().partition("=")[2] == fingerprint(CA)
