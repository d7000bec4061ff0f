# SPDX-License-Identifier: Apache-2.0
"""The secrets of joining nodes, and what a node knows a cluster's CA by."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tacker_cir.cluster.credentials import (
    ca_hash,
    cluster_configuration,
    join_token,
    read_ca_hash,
    upload_certificates,
)
from tacker_cir.cluster.kubectl import Kubectl
from tacker_cir.exceptions import HostError
from tests.certificates import self_signed
from tests.unit.answering import Answering


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


TOKEN = "abcdef.0123456789abcdef"
MAKE, REMOVE = "make a token for new nodes", "remove the token for new nodes"


def test_a_token_for_new_nodes_is_removed_whatever_comes_of_it():
    connection = Answering({MAKE: f"W1126 a warning\n{TOKEN}\n"})
    with pytest.raises(KeyError), join_token(connection) as token:
        assert token.reveal() == TOKEN
        assert connection.taken() == [MAKE]
        raise KeyError
    assert connection.taken() == [REMOVE]
    assert connection.asked[-1].argv == ("kubeadm", "token", "delete", "abcdef")


@pytest.mark.parametrize("said", ["", "\n", "no token\n", "ABCDEF.0123456789abcdef\n"])
def test_what_is_no_token_is_refused(said):
    with pytest.raises(HostError, match=MAKE), join_token(Answering({MAKE: said})):
        raise AssertionError("it was given")


CONFIGURATION = "apiVersion: kubeadm.k8s.io/v1beta3\nkind: ClusterConfiguration\n"


def config_map(**data) -> str:
    return json.dumps({"metadata": {"name": "kubeadm-config"}, "data": data})


def test_the_key_of_the_certificates_goes_through_the_standard_input():
    read, upload = "read configmap kubeadm-config", "upload the control plane's certificates"
    connection = Answering({read: config_map(ClusterConfiguration=CONFIGURATION)})
    key = upload_certificates(connection, Kubectl(connection, timeout=0), 30).reveal()
    assert connection.taken() == [read, upload] and len(bytes.fromhex(key)) == 32
    assert f"certificateKey: {key}".encode() in connection.inputs[-1]
    assert not any(key in command.line() for command in connection.asked)


@pytest.mark.parametrize("found", ["", config_map(), config_map(ClusterConfiguration="")])
def test_a_cluster_without_its_configuration_is_told(found):
    connection = Answering({"read configmap": found})
    with pytest.raises(HostError, match="holds no ClusterConfiguration"):
        cluster_configuration(Kubectl(connection, timeout=0))


def test_the_ca_of_a_master_is_read_where_nobody_has():
    pem = self_signed(rsa.generate_private_key(65537, 2048))
    text = pem.public_bytes(serialization.Encoding.PEM).decode()
    connection = Answering({"read the cluster's CA": text})
    assert read_ca_hash(connection) == ca_hash(text)
    with pytest.raises(HostError, match="read the cluster's CA certificate"):
        read_ca_hash(Answering({"read the cluster's CA": "nothing\n"}))
