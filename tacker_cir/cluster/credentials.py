# SPDX-License-Identifier: Apache-2.0
"""What lets others in: an administrator's token for Tacker, and the secrets of joining nodes."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from tacker_cir.cluster.kubectl import Kubectl, decode_secret
from tacker_cir.command import Command, Secret
from tacker_cir.exceptions import HostError
from tacker_cir.render import kubeadm as render_kubeadm
from tacker_cir.ssh import Connection
from tacker_cir.waiting import Deadline, poll

NAMESPACE = "kube-system"
#: Names of the ServiceAccount, its binding and its token.
ADMIN = "tacker-cir-admin"
TOKEN = "tacker-cir-admin-token"
#: What :func:`known_admin_token` must know, as kubectl names it.
ADMIN_OBJECTS = (
    f"serviceaccount/{ADMIN}",
    f"clusterrolebinding/{ADMIN}",
    f"secret/{TOKEN}",
)
#: ConfigMap in which kubeadm keeps the cluster's configuration.
KUBEADM_CONFIG = "kubeadm-config"
#: The cluster's own authority, on each master.
CA = "/etc/kubernetes/pki/ca.crt"

# It prints the key.
_UPLOAD = "exec kubeadm init phase upload-certs --upload-certs --config /dev/stdin >/dev/null"


class _NotYet(Exception):
    pass


def admin_token(kubectl: Kubectl, timeout: float) -> tuple[Secret, str]:
    """Return the token of a ServiceAccount that is cluster administrator, and the CA in PEM.

    The token is a Secret of its own: Kubernetes makes none for a ServiceAccount since 1.24, and
    fills one that asks for it in every version ("Manually create a long-lived API token").

    :param timeout: seconds for Kubernetes to fill the Secret
    :raises HostError: it does not
    """
    kubectl.apply(json.dumps(admin_manifest()), f"make ServiceAccount {ADMIN}")

    def attempt() -> tuple[Secret, str]:
        data = kubectl.secret(TOKEN, NAMESPACE) or {}
        if "token" not in data or "ca.crt" not in data:
            raise _NotYet
        return data["token"], data["ca.crt"].reveal()

    try:
        return poll(attempt, Deadline(timeout), retry_on=(_NotYet,))
    except _NotYet:
        raise HostError(
            kubectl.host,
            f"read the token of ServiceAccount {ADMIN}",
            f"Kubernetes did not make it within {timeout:.0f} seconds",
            "see whether the pod kube-controller-manager runs, then retry the operation",
        ) from None


def known_admin_token(objects: Mapping[str, Mapping[str, Any]]) -> tuple[Secret, str] | None:
    """Return what :func:`admin_token` does if all of it is there as it shall be, else None.

    :param objects: those of :data:`ADMIN_OBJECTS` that there are, by kind and name
    """
    for wanted in admin_manifest()["items"]:
        found = objects.get(f"{wanted['kind']}/{wanted['metadata']['name']}")
        if found is None or not _has(found, wanted):
            return None
    data = decode_secret(objects[f"Secret/{TOKEN}"])
    if not data or "token" not in data or "ca.crt" not in data:
        return None
    return data["token"], data["ca.crt"].reveal()


def _has(found: Any, wanted: Any) -> bool:
    """Tell whether an object has what a manifest says; it may have more."""
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(_has(found.get(k), v) for k, v in wanted.items())
    if isinstance(wanted, list):
        return (
            isinstance(found, list) and len(found) == len(wanted) and all(map(_has, found, wanted))
        )
    return found == wanted


def read_ca_hash(connection: Connection) -> str:
    """Return :func:`ca_hash` of the cluster that a master belongs to."""
    read = Command(("cat", CA), "read the cluster's CA certificate")
    return ca_hash(connection.run(read).stdout)


def ca_hash(pem: str) -> str:
    """Return what ``kubeadm join`` knows a CA by: the hash of its public key."""
    key = x509.load_pem_x509_certificate(pem.encode()).public_key()
    der = key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return f"sha256:{hashlib.sha256(der).hexdigest()}"


@contextmanager
def join_token(connection: Connection) -> Iterator[Secret]:
    """Make a bootstrap token on a master, and remove it in the end."""
    create = Command(
        ("kubeadm", "token", "create", "--ttl", render_kubeadm.JOIN_LIFE),
        "make a token for new nodes",
        confidential=True,
    )
    token = Secret(connection.run(create).stdout.split()[-1])
    try:
        yield token
    finally:
        # What stands before the dot is the token's public id.
        public_id = token.reveal().partition(".")[0]
        remove = Command(
            ("kubeadm", "token", "delete", public_id), "remove the token for new nodes"
        )
        connection.run(remove, ok=None)


def upload_certificates(connection: Connection, kubectl: Kubectl, minor: int) -> Secret:
    """Put the control plane's certificates, encrypted, where a new master gets them; return the
    key. Kubernetes removes them after two hours."""
    key = secrets.token_hex(32)
    text = render_kubeadm.upload_certificates(cluster_configuration(kubectl), key, minor)
    connection.run(
        Command.script("upload the control plane's certificates", _UPLOAD), stdin=text.encode()
    )
    return Secret(key)


def cluster_configuration(kubectl: Kubectl) -> str:
    """Return kubeadm's ClusterConfiguration as the cluster has it.

    :raises HostError: the cluster has none
    """
    found = kubectl.get("configmap", KUBEADM_CONFIG, NAMESPACE)
    text = configuration_in({f"ConfigMap/{KUBEADM_CONFIG}": found} if found else {})
    if not text:
        raise HostError(
            kubectl.host,
            "read the cluster's configuration",
            "ConfigMap kubeadm-config in kube-system holds no ClusterConfiguration",
            "see who removed it: kubeadm cannot add a node without it",
        )
    return text


def configuration_in(objects: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Return kubeadm's ClusterConfiguration, None where there is none.

    :param objects: of the cluster, by kind and name
    """
    found = objects.get(f"ConfigMap/{KUBEADM_CONFIG}") or {}
    return (found.get("data") or {}).get("ClusterConfiguration")


def admin_manifest() -> dict[str, Any]:
    """Return the objects of the account for Tacker."""
    labels = {"app.kubernetes.io/managed-by": "tacker_cir"}
    meta = {"namespace": NAMESPACE, "labels": labels}
    return {
        "apiVersion": "v1",
        "kind": "List",
        "items": [
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ADMIN, **meta}},
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "ClusterRoleBinding",
                "metadata": {"name": ADMIN, "labels": labels},
                "roleRef": {
                    "apiGroup": "rbac.authorization.k8s.io",
                    "kind": "ClusterRole",
                    "name": "cluster-admin",
                },
                "subjects": [{"kind": "ServiceAccount", "name": ADMIN, "namespace": NAMESPACE}],
            },
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {
                    "name": TOKEN,
                    "annotations": {"kubernetes.io/service-account.name": ADMIN},
                    **meta,
                },
                "type": "kubernetes.io/service-account-token",
            },
        ],
    }
