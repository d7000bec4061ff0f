# SPDX-License-Identifier: Apache-2.0
"""What a joining node knows a cluster's CA by."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tacker_cir.cluster.credentials import ca_hash
from tests.certificates import self_signed


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl on this machine")
def test_the_hash_is_the_one_of_kubeadms_documentation(tmp_path):
    key = rsa.generate_private_key(65537, 2048)
    certificate = self_signed(key)
    file = tmp_path / "ca.crt"
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    # As the documentation of "kubeadm join" makes it.
    pipeline = (
        f"openssl x509 -pubkey -in {file} | openssl pkey -pubin -outform der 2>/dev/null "
        "| openssl dgst -sha256 -hex | sed 's/^.* //'"
    )
    done = subprocess.run(["sh", "-c", pipeline], check=True, capture_output=True, text=True)
    assert ca_hash(file.read_text()) == f"sha256:{done.stdout.strip()}"
