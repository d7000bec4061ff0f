# SPDX-License-Identifier: Apache-2.0
"""What is told of the certificates that kubeadm has made."""

from __future__ import annotations

import logging

import pytest

from tacker_cir.cluster import kubeadm_certificates
from tests.certificates import Authority

PKI = "/etc/kubernetes/pki"
NODE = "master-1 (192.0.2.1)"


@pytest.fixture(scope="module")
def authority():
    return Authority("kubernetes")


def told(caplog, certificates: dict[str, str]) -> list[tuple[int, str]]:
    with caplog.at_level(logging.INFO, "tacker_cir.cluster.kubeadm_certificates"):
        kubeadm_certificates.tell(NODE, {k: pem.encode() for k, pem in certificates.items()})
    return [(record.levelno, record.getMessage()) for record in caplog.records]


def test_nothing_is_told_of_a_machine_without_any(caplog):
    assert told(caplog, {}) == []


def test_the_first_end_is_told_each_time(caplog, authority):
    certificates = {
        f"{PKI}/apiserver.crt": authority.issue("a", days=364.5)[0],
        "/etc/kubernetes/admin.conf": authority.issue("a", days=200.5)[0],
    }
    ((level, text),) = told(caplog, certificates)
    assert level == logging.INFO
    assert text.startswith(f"{NODE}: of Kubernetes' certificates the first to end is /etc/kube")
    assert "/admin.conf, 20" in text and text.endswith("(in 200 days)")


@pytest.mark.parametrize(("days", "when"), [(59.5, "in 59 days"), (-2.5, "3 days ago")])
def test_what_ends_within_60_days_is_warned_of_with_what_to_do(caplog, authority, days, when):
    certificates = {
        f"{PKI}/etcd/server.crt": authority.issue("a", days=days)[0],
        f"{PKI}/apiserver.crt": authority.issue("a", days=60.5)[0],
    }
    _, (level, text) = told(caplog, certificates)
    assert level == logging.WARNING
    assert f"{PKI}/etcd/server.crt, 20" in text and f"({when})" in text
    assert "apiserver.crt" not in text and "kubeadm certs renew all" in text


def test_an_authority_is_told_apart_as_nothing_renews_it(caplog, authority):
    _, (level, text) = told(caplog, {f"{PKI}/ca.crt": authority.pem})
    assert level == logging.WARNING and "heal the entire VNF" in text


def test_what_is_no_certificate_stops_nothing(caplog, authority):
    certificates = {
        f"{PKI}/apiserver.crt": "-----BEGIN CERTIFICATE-----\nMARK\n-----END CERTIFICATE-----\n",
        "/etc/kubernetes/admin.conf": "",
        "/etc/kubernetes/scheduler.conf": authority.issue("a", days=100)[0],
    }
    first, second, last = told(caplog, certificates)
    assert [first[0], second[0], last[0]] == [logging.WARNING, logging.WARNING, logging.INFO]
    assert f"{PKI}/apiserver.crt: it is not certificates in PEM" in first[1]
    assert "MARK" not in str((first, second)) and "scheduler.conf" in last[1]


@pytest.mark.parametrize("name", ["ca.crt", "apiserver.crt", "etcd/peer.crt"])
def test_every_certificate_of_a_master_is_asked_for(name):
    assert f"{PKI}/{name}" in kubeadm_certificates.FILES
    assert all("key" not in path for path in kubeadm_certificates.FILES)
