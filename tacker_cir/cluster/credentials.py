# SPDX-License-Identifier: Apache-2.0
"""What lets others in: an administrator's token for Tacker, and the secrets of joining nodes."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from tacker_cir.cluster.kubectl import Kubectl, decode_secret
from tacker_cir.command import Command, Secret
from tacker_cir.documents import load_yaml
from tacker_cir.exceptions import HostError
from tacker_cir.reading import Unreadable, answer_of, reader
from tacker_cir.render import kubeadm as render_kubeadm
from tacker_cir.ssh import Connection
from tacker_cir.waiting import Deadline, NotYet, wait_until

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


# What the API server signs for a ServiceAccount, a JWT (RFC 7519), and what kubeadm makes.
_ADMIN_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,8192}(\.[A-Za-z0-9_-]{1,8192}){2}")
_JOIN_TOKEN = re.compile("[a-z0-9]{6}[.][a-z0-9]{16}")
_VERSION = re.compile(r"1\.[0-9]{1,3}\.[0-9]{1,3}")
#: Characters of kubeadm's ClusterConfiguration; it has some 1000.
_KEEP_CONFIGURATION = 64 * 1024
#: Characters of a CA's file; kubeadm's has some 1100.
_KEEP_CA = 64 * 1024


def admin_token(kubectl: Kubectl, timeout: float) -> tuple[Secret, str]:
    """Return the token of a ServiceAccount that is cluster administrator, and the CA in PEM.

    The token is a Secret of its own: Kubernetes makes none for a ServiceAccount since 1.24, and
    fills one that asks for it in every version ("Manually create a long-lived API token").

    :param timeout: seconds for Kubernetes to fill the Secret
    :raises HostError: it does not
    """
    kubectl = kubectl.within(timeout)
    kubectl.apply(json.dumps(admin_manifest()), f"make ServiceAccount {ADMIN}")

    def attempt() -> Mapping[str, Secret]:
        data = kubectl.secret(TOKEN, NAMESPACE) or {}
        if "token" not in data or "ca.crt" not in data:
            raise NotYet
        return data

    step = f"read the token of ServiceAccount {ADMIN}"
    late = HostError(
        kubectl.host,
        step,
        f"Kubernetes did not make it within {timeout:.0f} seconds",
        "see whether the pod kube-controller-manager runs, then retry the operation",
    )
    with answer_of(kubectl.host, step):
        return admin_credentials(wait_until(attempt, Deadline(timeout), lambda _last: late))


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
    try:
        return admin_credentials(data)
    except Unreadable:
        return None


def _has(found: Any, wanted: Any) -> bool:
    """Tell whether an object has what a manifest says; it may have more."""
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(_has(found.get(k), v) for k, v in wanted.items())
    if isinstance(wanted, list):
        return (
            isinstance(found, list) and len(found) == len(wanted) and all(map(_has, found, wanted))
        )
    return bool(found == wanted)


def admin_credentials(data: Mapping[str, Secret]) -> tuple[Secret, str]:
    """Return the token and the CA in the values of a ServiceAccount's Secret.

    Tacker's client verifies nothing where the CA is empty, "None" or "null": so it is written anew
    from what was understood.

    :raises Unreadable: they are no token, or no certificates of a CA
    """
    return read_token(data["token"]), authorities(data["ca.crt"].reveal())


@reader("a token of a ServiceAccount")
def read_token(token: Secret) -> Secret:
    """Return a token that is a word, which can be sent in a header.

    :raises Unreadable: it is none
    """
    if not _ADMIN_TOKEN.fullmatch(token.reveal()):
        raise ValueError
    return token


@reader("certificates of a CA in PEM")
def authorities(pem: str) -> str:
    """Return the CA certificates in a text, and nothing else of it, in PEM.

    :raises Unreadable: there is none, or another than of a CA
    """
    found = _certificates(pem)
    for certificate in found:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
        if not constraints.value.ca:
            raise ValueError
    return "".join(c.public_bytes(serialization.Encoding.PEM).decode() for c in found)


def _certificates(pem: str) -> list[x509.Certificate]:
    if len(pem) > _KEEP_CA:
        raise ValueError
    return x509.load_pem_x509_certificates(pem.encode())


def read_ca_hash(connection: Connection) -> str:
    """Return :func:`ca_hash` of the cluster that a master belongs to."""
    read = Command(("cat", CA), "read the cluster's CA certificate")
    output = connection.run(read).stdout
    with answer_of(connection.node, read.step):
        return ca_hash(output)


@reader("a certificate of a CA in PEM")
def ca_hash(pem: str) -> str:
    """Return what ``kubeadm join`` knows a CA by: the hash of its public key.

    :raises Unreadable: it is no certificate
    """
    key = _certificates(pem)[0].public_key()
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
    output = connection.run(create).stdout
    with answer_of(connection.node, create.step):
        token = join_token_in(output)
    try:
        yield token
    finally:
        # What stands before the dot is the token's public id.
        public_id = token.reveal().partition(".")[0]
        remove = Command(
            ("kubeadm", "token", "delete", public_id), "remove the token for new nodes"
        )
        connection.run(remove, ok=None)


@reader("a token of kubeadm")
def join_token_in(output: str) -> Secret:
    """Return the token that kubeadm printed last.

    :raises Unreadable: it did not
    """
    token = output.split()[-1]
    if not _JOIN_TOKEN.fullmatch(token):
        raise ValueError
    return Secret(token)


def upload_certificates(connection: Connection, kubectl: Kubectl, minor: int) -> Secret:
    """Put the control plane's certificates, encrypted, where a new master gets them; return the
    key. Kubernetes removes them after two hours."""
    key = secrets.token_hex(32)
    upload = Command.script("upload the control plane's certificates", _UPLOAD)
    configuration = cluster_configuration(kubectl)
    with answer_of(kubectl.host, upload.step):
        text = _upload_file(configuration, key, minor)
    connection.run(upload, stdin=text.encode())
    return Secret(key)


@reader("kubeadm's ClusterConfiguration")
def _upload_file(configuration: str, key: str, minor: int) -> str:
    return render_kubeadm.upload_certificates(_bounded(configuration), key, minor)


def cluster_configuration(kubectl: Kubectl) -> str:
    """Return kubeadm's ClusterConfiguration as the cluster has it.

    :raises HostError: the cluster has none
    """
    found = kubectl.get("configmap", KUBEADM_CONFIG, NAMESPACE)
    objects = {f"ConfigMap/{KUBEADM_CONFIG}": found} if found else {}
    text = kubectl.read("read the cluster's configuration", lambda: configuration_in(objects))
    if not text:
        raise HostError(
            kubectl.host,
            "read the cluster's configuration",
            "ConfigMap kubeadm-config in kube-system holds no ClusterConfiguration",
            "see who removed it: kubeadm cannot add a node without it",
        )
    return text


@reader("kubeadm's ConfigMap")
def configuration_in(objects: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Return kubeadm's ClusterConfiguration, None where there is none.

    :param objects: of the cluster, by kind and name
    :raises Unreadable: it has another form
    """
    found = objects.get(f"ConfigMap/{KUBEADM_CONFIG}") or {}
    text = (found.get("data") or {}).get("ClusterConfiguration")
    return None if text is None else text + ""


@reader("kubeadm's ClusterConfiguration")
def version_in(configuration: str) -> str:
    """Return the version of Kubernetes, ``1.NN.P``, in a ClusterConfiguration.

    :raises Unreadable: it has none
    """
    found: str = load_yaml(_bounded(configuration))["kubernetesVersion"].removeprefix("v")
    if not _VERSION.fullmatch(found):
        raise ValueError
    return found


def _bounded(text: str) -> str:
    if len(text) > _KEEP_CONFIGURATION:
        raise ValueError
    return text


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
