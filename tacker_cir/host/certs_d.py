# SPDX-License-Identifier: Apache-2.0
"""Files of registries below certs.d, where Docker and containerd have a directory of each one.

Each registry's files have fixed names in its own directory, so two certificates whose files in the
VNF package share a name never meet.
"""

from __future__ import annotations

from collections.abc import Sequence

from tacker_cir import docker_hub
from tacker_cir.host.files import ManagedFile
from tacker_cir.params.registry_connection import RegistryConnection
from tacker_cir.render import hosts_toml
from tacker_cir.render.hosts_toml import Endpoint

_CA, _CERTIFICATE, _KEY = "ca.crt", "client.cert", "client.key"


def docker_files(top: str, registries: Sequence[RegistryConnection]) -> list[ManagedFile]:
    """Return the certificates as dockerd finds them (its guide "certificates": ``*.crt`` are
    authorities, ``*.cert`` and ``*.key`` of one name are a pair).

    :param top: directory that holds those of the registries
    """
    return [file for r in registries for file in _certificates(f"{top}/{r.server}", r)]


def containerd_files(top: str, registries: Sequence[RegistryConnection]) -> list[ManagedFile]:
    """Return the certificates and a hosts.toml for each registry and each mirrored one.

    :param top: the directory that config.toml names as ``config_path``
    """
    files = docker_files(top, registries)
    endpoints = {r.server: _endpoint(top, r) for r in registries}
    mirrors: dict[str, list[RegistryConnection]] = {}
    for registry in registries:
        if registry.mirror_of:
            mirrors.setdefault(registry.mirror_of, []).append(registry)
    for namespace in dict.fromkeys([*endpoints, *mirrors]):
        at = mirrors.get(namespace, [])
        server: Endpoint | None = endpoints.get(namespace) or hosts_toml.upstream(namespace)
        if at and not all(registry.mirror_fallback for registry in at):
            server = None
        before = [endpoints[registry.server] for registry in at]
        # A login makes the file a secret.
        secret = any(e.authorization for e in (*before, server) if e)
        text = hosts_toml.render(server, before)
        path = f"{top}/{namespace}/hosts.toml"
        files.append(ManagedFile(path, text.encode(), 0o600 if secret else 0o644))
    return files


def _certificates(directory: str, registry: RegistryConnection) -> list[ManagedFile]:
    files = []
    if registry.ca:
        files.append(ManagedFile(f"{directory}/{_CA}", registry.ca.encode()))
    if registry.client_certificate and registry.client_key:
        certificate = registry.client_certificate.encode()
        key = registry.client_key.reveal().encode()
        files.append(ManagedFile(f"{directory}/{_KEY}", key, 0o600))
        files.append(ManagedFile(f"{directory}/{_CERTIFICATE}", certificate))
    return files


def _endpoint(top: str, registry: RegistryConnection) -> Endpoint:
    directory = f"{top}/{registry.server}"
    is_hub = registry.server == docker_hub.NAME
    authorization = client = None
    # Docker Hub takes tokens only; there the login is the kubelet's alone.
    if registry.login and not is_hub:
        # Not only the kubelet pulls: kubeadm does, and containerd itself the pause image.
        authorization = f"Basic {registry.login.reveal()}"
    if registry.client_certificate and registry.client_key:
        client = (f"{directory}/{_CERTIFICATE}", f"{directory}/{_KEY}")
    return Endpoint(
        hosts_toml.upstream(docker_hub.NAME).url if is_hub else registry.url,
        ca=f"{directory}/{_CA}" if registry.ca else None,
        client=client,
        skip_verify=registry.skip_verify,
        authorization=authorization,
    )
