# SPDX-License-Identifier: Apache-2.0
"""What the user guide says of a cluster's later years, run as it is printed there.

The pages' ``ssh ubuntu@MASTER sudo`` is the lab's own way into a machine.
"""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import requests

from tests.certificates import Authority
from tests.lab.cluster_vnf import ClusterVnf, build_csar
from tests.lab.guide import Guide
from tests.lab.registries import Kind, serving
from tests.lab.vnf import Server, completed, tacker_cir
from tests.testbed.kubernetes import archives, release
from tests.testbed.kubernetes_site import KubernetesSite
from tests.testbed.machines.base import GATEWAY
from tests.testbed.stand import CloudStand

PAGES = ("certificates.rst", "maintenance.rst", "images.rst")
PORT = 5131
_SSH = "ssh ubuntu@MASTER sudo "


class Keeper:
    """Somebody who looks after a cluster with the guide.

    :param directory: where the pages' files are
    """

    def __init__(self, stand: CloudStand, cluster: ClusterVnf, directory: Path):
        self.stand, self.cluster, self.directory = stand, cluster, directory
        self.guide = Guide(*PAGES)

    @property
    def master(self) -> Server:
        (master,) = self.cluster.masters()
        return master

    def ssh(self, command: str) -> str:
        """Run a command of the pages on the master, with what it reads or writes here."""
        (line,) = (c for c in self.guide.left if c.startswith(_SSH + command))
        self.guide.left.discard(line)
        words = line.removeprefix(_SSH).replace("NODE", self.cluster.node_of(self.master))
        words, _, output = words.partition(" > ")
        words, _, script = words.partition(" < ")
        argv = [*shlex.split(words), *(["-c", self.guide.files[script]] if script else [])]
        said = self.stand.lab.run(self.master.machine, argv).stdout
        if output:
            (self.directory / output).write_text(said)
        return said

    def run(self, name: str, *words: str) -> str:
        """Run a file of the pages here.

        :param words: how, and its arguments
        """
        (self.directory / name).write_text(self.guide.files[name])
        argv = [words[0], name, *words[1:]]
        done = subprocess.run(argv, cwd=self.directory, check=True, capture_output=True, text=True)
        return done.stdout

    def ends(self) -> dict[str, str]:
        """When the certificates end, by name, as kubeadm says it."""
        told = self.stand.lab.run(self.master.machine, ["kubeadm", "certs", "check-expiration"])
        lines = [line.split() for line in told.stdout.splitlines() if " UTC " in line]
        return {line[0]: " ".join(line[1:6]) for line in lines}


@pytest.fixture(scope="module")
def site():
    made = KubernetesSite(CloudStand().lab)
    made.open()
    return made


@pytest.fixture(scope="module")
def keeper(site, tmp_path_factory):
    stand, directory = CloudStand(), tmp_path_factory.mktemp("later")
    cluster = ClusterVnf(stand, build_csar(directory, site.files(directory)))
    parameters = site.parameters("containerd") | {"vim_name": None}
    completed(cluster.instantiate(parameters, level="one_worker"))
    yield Keeper(stand, cluster, directory)
    cluster.discard()


@pytest.mark.thorough
class TestLaterYears:
    """One cluster, in the order of the pages."""

    def test_certificates_are_told_of_and_renewed(self, keeper):
        log = keeper.stand.cloud.logs["tacker-conductor"]
        begin = log.stat().st_size
        completed(keeper.cluster.modify({"vnfInstanceDescription": "a cluster"}))
        said = log.read_bytes()[begin:].decode(errors="replace")
        assert "of Kubernetes' certificates the first to end is /etc/kubernetes/" in said
        assert "apiserver" in keeper.ssh("kubeadm certs check-expiration")
        before = keeper.stand.lab.run(
            keeper.master.machine, ["sha256sum", "/etc/kubernetes/pki/apiserver.crt"]
        ).stdout
        assert "the control plane is ready" in keeper.ssh("sh < renew.sh")
        after = keeper.stand.lab.run(
            keeper.master.machine, ["sha256sum", "/etc/kubernetes/pki/apiserver.crt"]
        ).stdout
        assert before != after and len(keeper.ends()) >= 9
        assert all(keeper.cluster.nodes().values())

    def test_certificates_of_a_registry_are_replaced(self, keeper, site):
        authority, clients = Authority("registries"), Authority("clients")
        certificate, key = clients.issue("node", client=True)
        for name, text in (
            ("ca.crt", authority.pem),
            ("client.crt", certificate),
            ("client.key", key),
        ):
            (keeper.directory / name).write_text(text)
        kinds = {PORT: Kind(authority, clients=clients)}
        with serving(site.lab, keeper.directory / "registries", kinds):
            registries = json.loads(keeper.run("list.py", "python3"))
            (registry,) = registries
            registry |= {"server": f"{GATEWAY}:{PORT}"}
            del registry["hosts_string"]
            registries += site.parameters()["private_registry_connection_info"]
            file, body = keeper.directory / "registries.json", keeper.directory / "update.json"
            file.write_text(json.dumps(registries))
            tacker_cir("registries", str(file), "--output", str(body))
            completed(keeper.cluster.modify(json.loads(body.read_text())))
            path = f"/etc/containerd/certs.d/{GATEWAY}:{PORT}/ca.crt"
            written = keeper.stand.lab.run(keeper.master.machine, ["cat", path]).stdout
            assert written == authority.pem
            metadata = json.loads(body.read_text())["metadata"]
            completed(keeper.cluster.modify({"metadata": dict.fromkeys(metadata)}))

    def test_kubectl_on_a_workstation(self, keeper):
        keeper.ssh("cat /etc/kubernetes/admin.conf")
        (worker,) = keeper.cluster.workers()
        config = (keeper.directory / "cluster.conf").read_text()
        write = ["sh", "-c", f"printf %s {shlex.quote(config)} >/root/cluster.conf"]
        keeper.stand.lab.run(worker.machine, write)
        words = keeper.guide.words("kubectl --kubeconfig cluster.conf get nodes", {})
        words[2] = "/root/cluster.conf"
        assert " Ready " in keeper.stand.lab.run(worker.machine, words).stdout

    def test_etcd_is_brought_back_to_a_snapshot(self, keeper):
        keeper.cluster.kubectl("create", "configmap", "kept", "--from-literal=a=b")
        keeper.ssh("kubectl --kubeconfig /etc/kubernetes/admin.conf -n kube-system exec etcd-NODE")
        keeper.cluster.kubectl("delete", "configmap", "kept")
        keeper.cluster.kubectl("create", "configmap", "later", "--from-literal=a=b")
        assert "as it was at the snapshot" in keeper.ssh("sh < restore.sh")
        assert keeper.cluster.get("configmap", "kept")["data"] == {"a": "b"}
        names = keeper.cluster.kubectl("get", "configmaps", "--output", "name")
        assert "configmap/later" not in names
        completed(keeper.cluster.modify({"vnfInstanceDescription": "restored"}))
        assert all(keeper.cluster.nodes().values())

    def test_a_registry_is_filled_from_what_was_carried_there(self, keeper, site):
        images = keeper.directory / "images"
        images.mkdir()
        made = site.lab.prepared.images
        archive = archives.by_reference(made)[release.ECHO_IMAGE]
        shutil.copy(archive, images / "carried_echo_1.tar")
        (images / "list").write_text("registry.example.com/carried/echo:1 carried/echo:1\n")
        keeper.run("fill.sh", "sh", site.registry)
        url = f"http://{site.registry}/v2/carried/echo/tags/list"
        assert requests.get(url, timeout=10).json()["tags"] == ["1"]
