# SPDX-License-Identifier: Apache-2.0
"""What a joining node knows a cluster's CA by."""

from __future__ import annotations

import datetime
import shutil
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from tacker_cir.cluster.credentials import ca_hash


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl on this machine")
def test_the_hash_is_the_one_of_kubeadms_documentation(tmp_path):
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kubernetes")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "ca.crt"
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    # As the documentation of "kubeadm join" makes it.
    pipeline = (
        f"openssl x509 -pubkey -in {file} | openssl pkey -pubin -outform der 2>/dev/null "
        "| openssl dgst -sha256 -hex | sed 's/^.* //'"
    )
    done = subprocess.run(["sh", "-c", pipeline], check=True, capture_output=True, text=True)
    assert ca_hash(file.read_text()) == f"sha256:{done.stdout.strip()}"
