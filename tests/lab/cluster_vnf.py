# SPDX-License-Identifier: Apache-2.0
"""A cluster VNF in the lab, driven through Tacker's API as a user would."""

from __future__ import annotations

import copy
import json
import ssl
import subprocess
import urllib.request
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab.vnf import Server, Vnf, key_option, sample_request, tacker_cir
from tests.testbed.stand import CloudStand

GUEST = "debian-12-k8s"
PARAMETER = "k8s_cluster_installation_param"
MASTER, WORKER = "masterNode", "workerNode"
ASPECT = "worker_instance"
KUBECTL = ("kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf")
#: A cluster takes its time on a machine with few processors.
SECONDS = 900


def build_csar(directory: Path, files: Mapping[str, Path] | None = None) -> Path:
    """Build the cluster's VNF package with the command that users have.

    :param directory: where to
    :param files: more files by their path in the package
    """
    vnfd_id = str(uuid.uuid4())  # Tacker wants each VNFD only once.
    output = directory / f"cluster-{vnfd_id[:8]}.zip"
    words = ["csar", "build", "kubernetes", "--output", str(output), "--vm-image", GUEST]
    words += ["--vnfd-id", vnfd_id, key_option(directory)]
    for name, path in (files or {}).items():
        words += ["--file", f"{name}={path}"]
    tacker_cir(*words)
    return output


def request(
    flavour: str,
    vim_id: str,
    overrides: Mapping[str, Any] | None = None,
    level: str | None = None,
) -> dict[str, Any]:
    """Return the flavour's sample request with the lab's ids in it.

    :param overrides: members of k8s_cluster_installation_param, those of objects in it are changed
        one by one; None removes one
    :param level: the instantiation level; None for the default
    """
    body = sample_request(f"instantiate_kubernetes_{flavour}.json", vim_id)
    if level:
        body["instantiationLevelId"] = level
    _merge(body["additionalParams"][PARAMETER], overrides or {})
    return body


def _merge(into: dict[str, Any], changes: Mapping[str, Any]) -> None:
    for name, value in changes.items():
        if value is None:
            into.pop(name, None)
        elif isinstance(value, Mapping) and isinstance(into.get(name), dict):
            _merge(into[name], value)
        else:
            into[name] = copy.deepcopy(value)


@dataclass(frozen=True)
class Vim:
    """The cluster as Tacker has it registered.

    :param token: of the account with which Tacker uses it
    :param ca: certificate of its CA in PEM
    """

    id: str
    name: str
    url: str
    token: str
    ca: str

    def get(self, path: str) -> dict[str, Any]:
        """Ask the cluster's API with Tacker's credentials, from the lab's network.

        :param path: e.g. ``/api/v1/nodes``
        :raises urllib.error.URLError: it cannot be reached, its certificate is none of the CA's,
            or it refuses
        """
        question = urllib.request.Request(
            self.url + path, headers={"Authorization": f"Bearer {self.token}"}
        )
        trust = ssl.create_default_context(cadata=self.ca)
        with urllib.request.urlopen(question, timeout=10, context=trust) as answer:
            return json.load(answer)

    def node_names(self) -> set[str]:
        """Names of the cluster's nodes, as its API tells them."""
        return {item["metadata"]["name"] for item in self.get("/api/v1/nodes")["items"]}


class ClusterVnf(Vnf):
    """A VNF instance of the cluster's package.

    :param stand: the lab
    :param csar: its package
    """

    def __init__(self, stand: CloudStand, csar: Path):
        super().__init__(stand, csar, "cluster")

    def begin_instantiate(
        self,
        overrides: Mapping[str, Any] | None = None,
        *,
        flavour: str = "simple",
        level: str | None = None,
    ) -> str:
        """Begin to instantiate and return the operation's id; parameters as for
        :func:`request`."""
        body = request(flavour, self.tacker.vim_id(), overrides, level)
        return self.tacker.instantiate(self.id, body)

    def instantiate(
        self,
        overrides: Mapping[str, Any] | None = None,
        *,
        flavour: str = "simple",
        level: str | None = None,
    ) -> dict[str, Any]:
        """Instantiate and return the operation, whatever it came to."""
        operation = self.begin_instantiate(overrides, flavour=flavour, level=level)
        return self.tacker.wait(operation, SECONDS)

    def begin_scale(self, kind: str, steps: int = 1, **parameters: Any) -> str:
        """Begin to scale the workers and return the operation's id.

        :param kind: ``out`` or ``in``
        :param parameters: additionalParams of the request
        """
        body: dict[str, Any] = {
            "type": f"SCALE_{kind.upper()}",
            "aspectId": ASPECT,
            "numberOfSteps": steps,
        }
        if parameters:
            body["additionalParams"] = parameters
        return self.tacker.scale(self.id, body)

    def scale(self, kind: str, steps: int = 1, **parameters: Any) -> dict[str, Any]:
        """Scale the workers and return the operation; parameters as for :meth:`begin_scale`."""
        return self.tacker.wait(self.begin_scale(kind, steps, **parameters), SECONDS)

    def heal(self, vnfc_ids: list[str] | None = None) -> dict[str, Any]:
        """Heal VNFCs, or the whole VNF, and return the operation."""
        return self.tacker.wait(self.begin_heal(vnfc_ids), SECONDS)

    def masters(self) -> list[Server]:
        """The masters' VMs, by address."""
        return self._servers(MASTER)

    def workers(self) -> list[Server]:
        """The workers' VMs, by address."""
        return self._servers(WORKER)

    def _servers(self, vdu: str) -> list[Server]:
        found = [server for server in self.servers() if server.vdu == vdu]
        return sorted(found, key=lambda server: int(server.address.rpartition(".")[2]))

    def vnfc_of(self, server: Server) -> str:
        """Id of a server's VNFC, as a heal request takes it."""
        (vnfc,) = (v for v in self.vnfcs() if v["computeResource"]["resourceId"] == server.id)
        return vnfc["id"]

    def kubectl(self, *words: str, master: Server | None = None) -> str:
        """Run kubectl with the administrator's credentials and return what it prints.

        :param master: where to; by default on the first
        :raises AssertionError: it fails, with what it said
        """
        done = self._run(master or self.masters()[0], *KUBECTL, *words)
        assert done.returncode == 0, f"kubectl {' '.join(words)}: {done.stderr}{done.stdout}"
        return done.stdout

    def apply(self, manifest: str) -> None:
        """Apply YAML or JSON documents.

        :raises AssertionError: they are refused, with the reason
        """
        script = 'printf %s "$1" | "$0" --kubeconfig /etc/kubernetes/admin.conf apply -f -'
        done = self._run(self.masters()[0], "sh", "-c", script, KUBECTL[0], manifest)
        assert done.returncode == 0, done.stderr

    def modify(self, body: dict[str, Any]) -> dict[str, Any]:
        """Modify the VNF instance's information and return the operation."""
        operation = self.tacker.modify(self.id, body)
        return self.tacker.wait_modified(self.id, operation, SECONDS)

    def get(self, *words: str) -> dict[str, Any]:
        """Return an object, or a list of them, as ``kubectl get`` shows it."""
        return json.loads(self.kubectl("get", "--output=json", *words))

    def nodes(self) -> dict[str, bool]:
        """The cluster's nodes, and whether each is ready."""
        return {node["metadata"]["name"]: _is_ready(node) for node in self.get("nodes")["items"]}

    def node_of(self, server: Server) -> str:
        """Name of the node that a server is.

        :raises LookupError: it is none
        """
        for node in self.get("nodes")["items"]:
            if {"type": "InternalIP", "address": server.address} in node["status"]["addresses"]:
                return node["metadata"]["name"]
        raise LookupError(f"no node has the address {server.address}")

    def vims(self) -> list[Vim]:
        """The Kubernetes VIMs of this VNF: none before it is instantiated, one after."""
        connections = self.tacker.show(self.id).get("vimConnectionInfo") or []
        ids = {c["vimId"] for c in connections if c["vimType"] == "kubernetes"}
        return [self._vim(vim) for vim in self.tacker.vims() if vim["id"] in ids]

    def vim(self) -> Vim:
        """The VIM that the cluster is.

        :raises ValueError: there is none, or several
        """
        (vim,) = self.vims()
        return vim

    def _vim(self, vim: Mapping[str, Any]) -> Vim:
        secrets = self._stand.cloud.vim_credentials(vim["id"])
        token, ca = secrets["bearer_token"], secrets["ssl_ca_cert"]
        return Vim(vim["id"], vim["name"], vim["auth_url"], token, ca)

    def _run(self, server: Server, *argv: str) -> subprocess.CompletedProcess[str]:
        return self._stand.lab.run(server.machine, argv, check=False)


def _is_ready(node: Mapping[str, Any]) -> bool:
    conditions = {c["type"]: c["status"] for c in node["status"]["conditions"]}
    return conditions.get("Ready") == "True"
