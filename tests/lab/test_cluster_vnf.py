# SPDX-License-Identifier: Apache-2.0
"""Cluster VNFs through Tacker's API, as a user sees them: their whole life, on both runtimes.

The tests of one cluster follow each other, in the order of this file.
"""

from __future__ import annotations

import copy
import json
import shlex
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml

from tacker_cir.params.shown_registry import CA_SHA256, SERVER
from tacker_cir.render.local_registry import DATA_KEY, NAME, NAMESPACE
from tests.bench.critical_path import last_operation, table
from tests.certificates import Authority
from tests.lab import registries
from tests.lab.cluster_checks import deploy, is_ready, run_everywhere, wait_running
from tests.lab.cluster_vnf import ClusterVnf, build_csar
from tests.lab.cnf import Cnf
from tests.lab.cnf import build_csar as build_cnf_csar
from tests.lab.driving import registry_status
from tests.lab.registries import PASSWORD, USER, Kind, LabRegistry
from tests.lab.registry_vnf import RegistryVnf
from tests.lab.registry_vnf import build_csar as build_registry_csar
from tests.lab.vnf import Server, completed, refused
from tests.testbed.kubernetes_site import KubernetesSite
from tests.testbed.machines import images
from tests.testbed.machines.base import GATEWAY
from tests.testbed.machines.host import wait_for
from tests.testbed.stand import CloudStand
from tests.unit.cluster_requests import SPEC

#: As long as a DNS label may be, so that directories and files named after it are long as well.
LONG_NAME = f"{'r' * 63}.example.com"
HTTP, HTTP_LOGIN, HTTPS, HTTPS_LOGIN, MUTUAL = range(5101, 5106)
#: The spec's second registry, at the port that its name does not say.
SPEC_NAME, SPEC_PORT, SPEC_LOGIN = "registry.example.com", 443, "user01"


@dataclass
class Site:
    """Where the clusters of this module live.

    :param kubernetes: packages, and the registry VNF that the control plane's images are in
    :param registries: further ones, by port; each has an image that exists only there
    :param entries: private_registry_connection_info for all of them
    :param files: for the VNF package, by path in it
    """

    stand: CloudStand
    kubernetes: KubernetesSite
    registries: dict[int, LabRegistry]
    entries: list[dict[str, Any]]
    files: dict[str, Path]
    made: list[ClusterVnf] = field(default_factory=list)

    def cluster(self, directory: Path) -> ClusterVnf:
        """Make a VNF instance of a package of its own."""
        directory.mkdir(exist_ok=True)
        files = {**self.kubernetes.files(directory), **self.files}
        self.made.append(ClusterVnf(self.stand, build_csar(directory, files)))
        return self.made[-1]

    def parameters(self, runtime: str, entries: list[dict[str, Any]] | None = None) -> Any:
        """Return parameters that connect a cluster with these registries, by default all."""
        # Without a name of its own each cluster's VIM has the instance's.
        own = self.kubernetes.parameters(runtime) | {"vim_name": None}
        own["private_registry_connection_info"] += self.entries if entries is None else entries
        return own

    @property
    def runtime(self) -> str:
        """The container runtime for clusters whose tests are not about it."""
        return self.kubernetes.release.runtimes[0]

    def demand(self, runtime: str) -> None:
        """Skip what needs a runtime that a newer Kubernetes, asked for by hand, does not know."""
        if runtime not in self.kubernetes.release.runtimes:
            pytest.skip(f"Kubernetes {self.kubernetes.release.version} does not speak to {runtime}")

    @property
    def images(self) -> list[str]:
        """An image of each registry, as a pod names it."""
        servers = [entry["server"] for entry in self.entries]
        only = [f"{s}/{r.image}" for s, r in zip(servers, self.registries.values(), strict=True)]
        return [self.kubernetes.echo_image, *only]


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Iterator[Site]:
    stand = CloudStand()
    directory = tmp_path_factory.mktemp("site")
    registry = _registry_vnf(stand, directory)
    kubernetes = KubernetesSite(stand.lab, f"{registry.server().address}:5000")
    kubernetes.open()
    # Two CAs whose files have the same name.
    first, second, clients = (Authority(name) for name in ("first", "second", "clients"))
    certificate, key = clients.issue("node", client=True)
    files = {}
    for name, text in {
        "Files/registries/first/ca.crt": first.pem,
        "Files/registries/second/ca.crt": second.pem,
        "Files/registries/ca.crt": second.pem,  # as in the spec
        "Files/registries/client.crt": certificate,
        "Files/registries/client.key": key,
    }.items():
        files[name] = directory / name.replace("/", "-")
        files[name].write_text(text)
    kinds = {
        HTTP: Kind(),
        HTTP_LOGIN: Kind(password=PASSWORD),
        HTTPS: Kind(first),
        HTTPS_LOGIN: Kind(second, names=(LONG_NAME,), password=PASSWORD),
        MUTUAL: Kind(first, clients=clients),
        SPEC_PORT: Kind(second, names=(SPEC_NAME,), password=SPEC_LOGIN),
    }
    login = {"username": USER, "password": PASSWORD}
    entries = [
        {"connection_type": "0", "server": f"{GATEWAY}:{HTTP}"},
        {"connection_type": "0", "server": f"{GATEWAY}:{HTTP_LOGIN}", **login},
        {
            "connection_type": "1",
            "server": f"{GATEWAY}:{HTTPS}",
            "certificate_path": "Files/registries/first/ca.crt",
        },
        {
            "connection_type": "1",
            "server": f"{LONG_NAME}:{HTTPS_LOGIN}",
            "certificate_path": "Files/registries/second/ca.crt",
            "hosts_string": f"{GATEWAY} {LONG_NAME}",
            **login,
        },
        {
            "connection_type": "1",
            "server": f"{GATEWAY}:{MUTUAL}",
            "certificate_path": "Files/registries/first/ca.crt",
            "client_certificate_path": "Files/registries/client.crt",
            "client_key_path": "Files/registries/client.key",
        },
        {
            "connection_type": "1",
            "server": SPEC_NAME,
            "username": SPEC_LOGIN,
            "password": SPEC_LOGIN,
            "certificate_path": "Files/registries/second/ca.crt",
            "hosts_string": f"{GATEWAY} {SPEC_NAME}",
        },
    ]
    program = stand.lab.prepared.programs / "echo"
    with registries.serving(stand.lab, directory / "data", kinds, program) as made:
        for entry, served in zip(entries, made, strict=True):
            entry["test_image"] = served.image
        by_port = dict(zip(kinds, made, strict=True))
        found = Site(stand, kubernetes, by_port, entries, files)
        yield found
        for cluster in found.made:
            cluster.discard()
    registry.discard()


def _registry_vnf(stand: CloudStand, directory: Path) -> RegistryVnf:
    """Instantiate the registry VNF of this project, as the spec has it."""
    registry = _registry_of_a_package(stand, directory)
    completed(registry.instantiate())
    assert registry_status(registry.server().address) == 200
    return registry


def _registry_of_a_package(stand: CloudStand, directory: Path) -> RegistryVnf:
    archive = directory / "private_registry.tar"
    archive.write_bytes(stand.lab.prepared.registry_image.read_bytes())
    return RegistryVnf(stand, build_registry_csar(directory, guest="debian-12", image=archive))


def push_an_application(site: Site, registry: RegistryVnf, directory: Path) -> str:
    """Push an image as a user of a registry VNF; returns how pods name it."""
    archive, name = directory / "app.tar", "by-name/app:1"
    program = images.Entry(site.stand.lab.prepared.programs / "echo", 0o755)
    images.write_image(archive, name, {"/echo": program}, {"Entrypoint": ["/echo"]})
    client = registry.client(USER, PASSWORD)
    client.push(archive, name, site.stand.lab.netns)
    return f"{client.server}/{name}"


def advertised(cluster: ClusterVnf) -> str | None:
    """The registry that the cluster tells its users of."""
    words = ("configmap", NAME, f"--namespace={NAMESPACE}", "--ignore-not-found")
    found = cluster.kubectl("get", "--output=json", *words)
    return yaml.safe_load(json.loads(found)["data"][DATA_KEY])["host"] if found else None


def told_by_refusal(site: Site, cluster: ClusterVnf, update: dict[str, Any]) -> str:
    """Return what the drivers log while an update is refused; Tacker keeps no reason."""
    start = len(site.stand.driver_log())
    assert cluster.modify(update)["operationState"] == "FAILED_TEMP"
    return site.stand.driver_log()[start:]


def run(site: Site, server: Server, script: str) -> str:
    """Return what a shell script prints inside a VM."""
    return site.stand.lab.run(server.machine, ["sh", "-c", script]).stdout


def hosts_block(site: Site, server: Server) -> list[str]:
    """The lines of /etc/hosts that are ours."""
    return run(site, server, "sed -n '/^# BEGIN tacker_cir/,/^# END/p' /etc/hosts").splitlines()


def started(site: Site, servers: list[Server], unit: str) -> list[str]:
    """When a unit was started, on each server."""
    return [run(site, s, f"systemctl show -p ActiveEnterTimestamp {unit}") for s in servers]


def restarts(cluster: ClusterVnf) -> dict[str, int]:
    """How often each pod of the cluster itself was restarted."""
    return {
        f"{pod['metadata']['name']} {pod['metadata']['uid']}": sum(
            status["restartCount"] for status in pod["status"].get("containerStatuses") or ()
        )
        for pod in cluster.get("pods", "--namespace=kube-system")["items"]
    }


def mask_ssh(site: Site, server: Server) -> bool:
    """Make a VM unreachable; False while it is too early in its boot for that."""
    stop = ["systemctl", "mask", "--now", "ssh"]
    return site.stand.lab.run(server.machine, stop, check=False).returncode == 0


def unmask_ssh(site: Site, server: Server) -> None:
    for words in (["unmask"], ["start"]):
        site.stand.lab.run(server.machine, ["systemctl", *words, "ssh"])


class TestSimpleClusterOnDocker:
    """Flavour simple: one master, two workers."""

    @pytest.fixture(scope="class")
    def cluster(self, site, tmp_path_factory) -> ClusterVnf:
        site.demand("docker")
        return site.cluster(tmp_path_factory.mktemp("docker"))

    def test_instantiate(self, site, cluster):
        completed(cluster.instantiate(site.parameters("docker")))
        assert list(cluster.nodes().values()) == [True] * 3
        assert {cluster.node_of(s) for s in cluster.workers()} == {
            f"worker-{s.address.replace('.', '-')}" for s in cluster.workers()
        }
        # The answer of the API server with the credentials that Tacker keeps.
        assert cluster.vim().node_names() == set(cluster.nodes())
        run_everywhere(cluster, site.images)

    def test_secrets_are_nowhere_to_be_read(self, site, cluster):
        log = site.stand.driver_log()
        assert PASSWORD not in log and cluster.vim().token not in log
        for server in cluster.servers():
            # Nobody but root reads a file with the login, whatever it is encoded in.
            found = run(
                site,
                server,
                "for file in $(find /etc /var/lib /root /tmp /run -xdev -type f -size -200k "
                "-perm /o=r 2>/dev/null); do grep -lF -e user01 -- $file; done 2>/dev/null || :",
            )
            assert found == "", server

    def test_a_second_run_changes_nothing(self, site, cluster):
        servers = cluster.servers()
        before = started(site, servers, "docker"), started(site, servers, "kubelet")
        pods = restarts(cluster)
        completed(cluster.modify({"vnfInstanceDescription": "a cluster"}))
        assert (started(site, servers, "docker"), started(site, servers, "kubelet")) == before
        assert restarts(cluster) == pods

    @pytest.mark.parametrize("steps", [1, 2])
    def test_scale_out(self, site, cluster, steps):
        before = {server.id for server in cluster.workers()}
        completed(cluster.scale("out", steps))
        new = [server for server in cluster.workers() if server.id not in before]
        assert len(new) == steps
        assert all(cluster.nodes()[cluster.node_of(server)] for server in new)
        lines = {f"{s.address} {cluster.node_of(s)}" for s in cluster.servers()}
        for server in cluster.servers():
            assert lines <= set(hosts_block(site, server))
        run_everywhere(cluster, site.images)

    def test_scale_in_moves_what_runs_there(self, site, cluster):
        before = {server.id: server for server in cluster.workers()}
        image = site.kubernetes.echo_image
        deploy(cluster, "movable", image, replicas=len(before))
        names = {number: cluster.node_of(server) for number, server in before.items()}
        used = wait_running(cluster, "movable", len(before))
        completed(cluster.scale("in", 2))
        after = {server.id for server in cluster.workers()}
        gone = [server for number, server in before.items() if number not in after]
        assert len(gone) == 2 and len(cluster.nodes()) == 1 + len(after)
        assert used & {names[server.id] for server in gone}, "nothing had to move"
        assert wait_running(cluster, "movable", len(before)) <= set(cluster.nodes())
        for server in cluster.servers():
            addresses = {line.split()[0] for line in hosts_block(site, server)}
            assert addresses.isdisjoint(server.address for server in gone)
        cluster.kubectl("delete", "deployment", "movable")

    def test_a_retried_scale_out_is_completed_by_the_next_operation(self, site, cluster):
        """Tacker does not call scale_end again on a retry."""
        before = {server.id for server in cluster.workers()}
        operation = cluster.begin_scale("out")
        (new,) = wait_for(
            lambda: [s for s in cluster.workers() if s.id not in before], "the machine", 60, 0.5
        )
        wait_for(lambda: mask_ssh(site, new), "its sshd to be stopped", 30)
        assert new.address in refused(cluster.tacker.wait(operation, 600))
        unmask_ssh(site, new)
        cluster.tacker.retry(operation)
        completed(cluster.tacker.wait(operation, 600))
        assert len(cluster.nodes()) == len(cluster.servers()) - 1
        completed(cluster.modify({"vnfInstanceDescription": "any operation"}))
        assert cluster.nodes()[cluster.node_of(new)]

    def test_heal_a_worker(self, site, cluster):
        old = cluster.workers()[0]
        site.stand.lab.run(old.machine, ["systemctl", "stop", "kubelet"])
        completed(cluster.heal([cluster.vnfc_of(old)]))
        (new,) = (s for s in cluster.workers() if s.address == old.address)
        assert new.id != old.id and cluster.nodes()[cluster.node_of(new)]
        run_everywhere(cluster, site.images)

    def test_healing_the_only_master_is_refused(self, site, cluster):
        (master,) = cluster.masters()
        operation = cluster.heal([cluster.vnfc_of(master)])
        assert "the only master" in refused(operation)
        assert "heal the entire VNF" in refused(operation)
        cluster.tacker.fail(operation["id"])
        assert cluster.masters() == [master] and all(cluster.nodes().values())

    def test_a_password_is_rotated_without_a_restart(self, site, cluster):
        servers = cluster.servers()
        pods, dockers = restarts(cluster), started(site, servers, "docker")
        rotated = "another 'one' $1"
        entries = [
            {**entry, "password": rotated} if "password" in entry else entry
            for entry in site.parameters("docker")["private_registry_connection_info"]
        ]
        metadata = {}
        for number, entry in enumerate(entries, 1):
            key = "private_registry_connection_info" + (f"_{number}" if number > 1 else "")
            metadata[key] = json.dumps([entry])
        protected = {
            registry: entry["password"]
            for registry, entry in zip(site.registries.values(), site.entries, strict=True)
            if "password" in entry
        }
        for registry in protected:
            registry.set_password(rotated)
        try:
            completed(cluster.modify({"metadata": metadata}))
            run_everywhere(cluster, site.images)
            assert started(site, servers, "docker") == dockers
            assert restarts(cluster) == pods
        finally:
            for registry, password in protected.items():
                registry.set_password(password)
        completed(cluster.modify({"metadata": dict.fromkeys(metadata)}))
        run_everywhere(cluster, site.images)

    def test_a_registry_that_is_no_longer_wanted_leaves_nothing(self, site, cluster):
        kept = site.kubernetes.parameters()["private_registry_connection_info"]
        metadata = {"private_registry_connection_info": json.dumps(kept)}
        completed(cluster.modify({"metadata": metadata}))
        for server in cluster.servers():
            assert run(site, server, "ls /etc/docker/certs.d 2>/dev/null || :") == ""
            left = run(
                site,
                server,
                "cat /etc/hosts /etc/docker/daemon.json /root/.docker/config.json "
                "/var/lib/kubelet/config.json 2>/dev/null || :",
            )
            assert LONG_NAME not in left and f"{GATEWAY}:{HTTP}" not in left
            assert kept[0]["server"] in left
        completed(cluster.modify({"metadata": dict.fromkeys(metadata)}))

    def test_a_registry_is_found_by_its_vnf_instance(self, site, cluster, tmp_path):
        """It proves itself, and has a user. After another machine has taken its place, with another
        address and another authority, an update of the cluster is enough."""
        registry = _registry_of_a_package(site.stand, tmp_path)
        key = "private_registry_connection_info"
        kept = site.kubernetes.parameters("docker")[key]
        by_name = {"vnf_instance": registry.name, "username": USER, "advertise": True}
        dockers = started(site, cluster.servers(), "docker")
        secured = {
            "tls": {"self_signed": {}},
            "users": [{"username": USER, "password": PASSWORD}],
        }
        try:
            with site.stand.cloud.address_held():
                completed(registry.instantiate({"port_no": None, **secured}))
            first, image = registry.shown(), push_an_application(site, registry, tmp_path)
            completed(cluster.modify({"metadata": {key: json.dumps([*kept, by_name])}}))
            run_everywhere(cluster, [image])
            assert advertised(cluster) == first[SERVER]

            completed(registry.heal())
            second, image = registry.shown(), push_an_application(site, registry, tmp_path)
            assert second[SERVER] != first[SERVER] and second[CA_SHA256] != first[CA_SHA256]
            completed(cluster.modify({"vnfInstanceDescription": "the registry was healed"}))
            run_everywhere(cluster, [image])
            assert advertised(cluster) == second[SERVER]

            completed(cluster.modify({"metadata": {key: json.dumps(kept)}}))
            assert advertised(cluster) is None
            for server in cluster.servers():
                look = "ls /etc/docker/certs.d; cat /var/lib/kubelet/config.json"
                left = run(site, server, f"{look} 2>/dev/null || :")
                assert first[SERVER] not in left and second[SERVER] not in left
            assert started(site, cluster.servers(), "docker") == dockers
            # What it showed stays in its metadata, where Tacker keeps it.
            completed(registry.terminate())
            wanted = {"metadata": {key: json.dumps([*kept, by_name])}}
            assert "is not instantiated" in told_by_refusal(site, cluster, wanted)
        finally:
            registry.discard()
        told = f"no VNF instance of this project has the name or id '{registry.name}'"
        assert told in told_by_refusal(site, cluster, wanted)
        completed(cluster.modify({"metadata": {key: None}}))

    def test_heal_everything(self, site, cluster):
        before = cluster.vim()
        completed(cluster.heal())
        after = cluster.vim()
        assert after.id != before.id and after.name == before.name and after.token != before.token
        assert after.node_names() == set(cluster.nodes()) and all(cluster.nodes().values())
        run_everywhere(cluster, site.images)

    def test_a_cluster_that_a_vnf_is_on_is_kept_and_then_terminated(self, site, cluster, tmp_path):
        """Tacker runs a CNF on it, of an image that only a private registry has."""
        cnf = Cnf(site.stand, build_cnf_csar(tmp_path, site.images[-1]))
        nodes, vim = cluster.nodes(), cluster.vim()
        try:
            completed(cnf.instantiate(vim))
            healed = cluster.heal()
            assert f"VIM '{vim.name}', the cluster, is still used by a VNF" in refused(healed)
            cluster.tacker.fail(healed["id"])
            terminated = cluster.terminate()
            assert f"VIM '{vim.name}', the cluster, is still used by a VNF" in refused(terminated)
            assert cluster.nodes() == nodes and cluster.vim() == vim
        finally:
            cnf.discard()
        cluster.tacker.retry(terminated["id"])
        completed(cluster.tacker.wait(terminated["id"]))
        assert vim.id not in {found["id"] for found in cluster.tacker.vims()}
        assert cluster.servers() == []
        assert not (site.stand.cloud.dir / "tacker_cir" / "host_keys" / cluster.id).exists()


class TestComplexCluster:
    """Flavour complex: three masters behind a virtual address, here with one worker at first."""

    @pytest.fixture(
        scope="class", params=["containerd", pytest.param("docker", marks=pytest.mark.thorough)]
    )
    def runtime(self, request) -> str:
        return request.param

    @pytest.fixture(scope="class")
    def cluster(self, site, runtime, tmp_path_factory) -> ClusterVnf:
        site.demand(runtime)
        return site.cluster(tmp_path_factory.mktemp(runtime))

    def test_instantiate(self, site, runtime, cluster, capsys):
        parameters = site.parameters(runtime)
        completed(cluster.instantiate(parameters, flavour="complex", level="one_worker"))
        operation = last_operation(site.stand.driver_log().splitlines(), "instantiate_end")
        with capsys.disabled():
            print(f"\n{table(operation)}")
        assert len(cluster.masters()) == 3
        assert list(cluster.nodes().values()) == [True] * 4
        url = cluster.vim().url
        assert url.endswith(":16443")
        assert all(master.address not in url for master in cluster.masters())
        assert cluster.vim().node_names() == set(cluster.nodes())
        assert etcd_members(cluster) == {m.address for m in cluster.masters()}
        run_everywhere(cluster, site.images)

    def test_scale_out(self, site, cluster):
        completed(cluster.scale("out"))
        assert list(cluster.nodes().values()) == [True] * 5
        run_everywhere(cluster, site.images)

    def test_heal_the_master_with_the_virtual_address_and_a_worker(self, site, cluster):
        vim = cluster.vim()
        address = vim.url.removeprefix("https://").partition(":")[0]
        (old,) = [
            master
            for master in cluster.masters()
            if f" {address}/" in run(site, master, "ip -4 -o address show")
        ]
        before = {m.address: started(site, [m], "haproxy") for m in cluster.masters() if m != old}
        worker = cluster.workers()[0]
        completed(cluster.heal([cluster.vnfc_of(old), cluster.vnfc_of(worker)]))
        assert worker.id not in {server.id for server in cluster.workers()}
        new = next(m for m in cluster.masters() if m.address == old.address)
        assert new.id != old.id
        assert all_ready(cluster)
        assert etcd_members(cluster) == {m.address for m in cluster.masters()}
        assert vim == cluster.vim() and vim.node_names() == set(cluster.nodes())
        for master in cluster.masters():
            config = run(site, master, "cat /etc/haproxy/haproxy.cfg")
            assert all(f" {m.address}:6443" in config for m in cluster.masters())
            if master != new:
                assert started(site, [master], "haproxy") == before[master.address]
        run_everywhere(cluster, site.images)

    def test_a_lost_majority_is_not_made_worse(self, site, runtime, cluster):
        first, second, _ = cluster.masters()
        for master in (first, second):
            site.stand.lab.run(master.machine, ["systemctl", "stop", "kubelet", runtime])
            run(site, master, "pkill -KILL etcd || :")
        operation = cluster.heal([cluster.vnfc_of(first)])
        detail = refused(operation)
        cluster.tacker.fail(operation["id"])
        for master in (first, second):
            site.stand.lab.run(master.machine, ["systemctl", "start", runtime, "kubelet"])
        assert "etcd" in detail or "API" in detail, detail
        assert {m.id for m in cluster.masters()} >= {first.id, second.id}
        wait_for(lambda: all_ready(cluster), "all nodes to be ready", 180, 3)

    @pytest.mark.thorough
    def test_heal_everything(self, site, cluster):
        before = cluster.vim()
        completed(cluster.heal())
        assert list(cluster.nodes().values()) == [True] * len(cluster.servers())
        after = cluster.vim()
        assert after.id != before.id and after.node_names() == set(cluster.nodes())
        run_everywhere(cluster, site.images)

    def test_terminate(self, site, cluster):
        completed(cluster.terminate())
        assert cluster.servers() == []


def all_ready(cluster: ClusterVnf) -> bool:
    """Tell whether all VMs of a cluster whose API may not answer yet are nodes, and ready."""
    try:
        return list(cluster.nodes().values()) == [True] * len(cluster.servers())
    except AssertionError:
        return False


def etcd_members(cluster: ClusterVnf) -> set[str]:
    """Addresses of the members of etcd that started, as each master's etcd tells them alike."""
    pki = "/etc/kubernetes/pki/etcd"
    told = []
    # A kubelet tells of its static pods some time after they began.
    words = ("pods", "--namespace=kube-system", "--selector=component=etcd")
    wait_for(
        lambda: sum(map(is_ready, cluster.get(*words)["items"])) == len(cluster.masters()),
        "the pods of etcd to be known",
        120,
        2,
    )
    for master in cluster.masters():
        words = shlex.split(
            f"exec --namespace=kube-system etcd-{cluster.node_of(master)} -- etcdctl "
            f"--cacert={pki}/ca.crt --cert={pki}/peer.crt --key={pki}/peer.key "
            "--endpoints=https://127.0.0.1:2379 --write-out=json member list"
        )
        members = json.loads(cluster.kubectl(*words))["members"]
        assert all(member.get("clientURLs") for member in members), members
        told.append({m["peerURLs"][0].split("//")[1].rpartition(":")[0] for m in members})
    assert all(addresses == told[0] for addresses in told), told
    return told[0]


def spec_parameters(site: Site, proxy_url: str) -> dict[str, Any]:
    """Return the parameters in the spec's sample request, addresses and proxies replaced, and with
    what the lab's site needs besides."""
    given = copy.deepcopy(SPEC)
    given["proxy"] |= {"http_proxy": proxy_url, "https_proxy": proxy_url}
    given["proxy"]["k8s_node_cidr"] = str(ip_network(f"{GATEWAY}/24", strict=False))
    http, https = given["private_registry_connection_info"]
    http["server"] = site.kubernetes.registry
    https["hosts_string"] = f"{GATEWAY} {SPEC_NAME}"
    of_the_site = site.kubernetes.parameters(site.runtime)
    names = ("kubernetes_version", "package_repository", "image_repository", "cni_manifest_path")
    return {**given, **{name: of_the_site[name] for name in names}}


class TestWhatGoesWrong:
    """Failures in the middle, and requests that cannot be fulfilled."""

    @pytest.fixture
    def cluster(self, site, tmp_path):
        made = site.cluster(tmp_path)
        yield made
        made.discard()
        site.made.remove(made)

    def test_a_worker_that_cannot_be_reached(self, site, cluster):
        """Everything else is made, and the retry makes the rest, of the same cluster."""
        operation = cluster.begin_instantiate(site.parameters(site.runtime, []), level="one_worker")
        (worker,) = wait_for(cluster.workers, "the worker's machine", 60, 0.5)
        site.stand.lab.wait_until_running(worker.machine)
        wait_for(
            lambda: (
                site.stand.lab.run(
                    worker.machine, ["systemctl", "mask", "--now", "ssh"], check=False
                ).returncode
                == 0
            ),
            "its sshd to be stopped",
            30,
        )
        detail = refused(cluster.tacker.wait(operation, 600))
        assert f"worker-{worker.address.replace('.', '-')} ({worker.address})" in detail
        uid = cluster.get("namespace", "kube-system")["metadata"]["uid"]
        unmask_ssh(site, worker)
        cluster.tacker.retry(operation)
        completed(cluster.tacker.wait(operation, 600))
        assert list(cluster.nodes().values()) == [True] * 2
        assert cluster.get("namespace", "kube-system")["metadata"]["uid"] == uid
        assert cluster.vim().node_names() == set(cluster.nodes())

    @pytest.mark.thorough
    def test_a_conductor_that_is_killed(self, site, cluster):
        operation = cluster.begin_instantiate(site.parameters(site.runtime, []), level="one_worker")
        (master,) = wait_for(cluster.masters, "the master's machine", 60, 0.5)
        site.stand.lab.wait_until_running(master.machine)
        wait_for(
            lambda: (
                site.stand.lab.run(
                    master.machine, ["pgrep", "-f", "kubeadm init"], check=False
                ).stdout
            ),
            "kubeadm init to run",
            300,
            0.2,
        )
        site.stand.cloud.kill_conductor()
        site.stand.cloud.start_conductor()
        # After the stack was made (POST_VIM_CONTROL); see Cloud.reopen_operation().
        site.stand.cloud.reopen_operation(operation, 4)
        cluster.tacker.retry(operation)
        completed(cluster.tacker.wait(operation, 600))
        assert list(cluster.nodes().values()) == [True] * 2
        assert cluster.vim().node_names() == set(cluster.nodes())

    def test_two_clusters_at_once_one_of_them_the_specs(self, site, cluster, tmp_path, proxy_url):
        other = site.cluster(tmp_path / "other")
        parameters = {**site.parameters(site.runtime, []), "vim_name": f"cluster-{other.id}"}

        def instantiate(made: ClusterVnf, with_parameters: dict[str, Any]) -> dict[str, Any]:
            return made.instantiate(with_parameters, level="one_worker")

        both = (spec_parameters(site, proxy_url), parameters)
        with ThreadPoolExecutor() as pool:
            for operation in pool.map(instantiate, (cluster, other), both):
                completed(operation)
        assert cluster.vim().name == "kubernetes_vim"
        only = site.registries[SPEC_PORT].image
        run_everywhere(cluster, [site.kubernetes.echo_image, f"{SPEC_NAME}/{only}"])
        assert cluster.vim().node_names() == set(cluster.nodes())
        assert other.vim().node_names() == set(other.nodes())
        assert set(cluster.nodes()).isdisjoint(other.nodes())
        # A third one may not take a name that is there.
        third = site.cluster(tmp_path / "third")
        operation = third.instantiate(parameters, level="one_worker")
        assert f"another VIM is named 'cluster-{other.id}'" in refused(operation)
        assert third.servers() == []
        for made in (third, other):
            made.discard()
            site.made.remove(made)
        assert cluster.vim().node_names() == set(cluster.nodes())

    def test_every_way_a_registry_can_fail_is_told_apart(self, site, cluster):
        good = site.entries
        by_port = dict(zip(site.registries, good, strict=True))
        wrong = [
            {**by_port[HTTPS], "certificate_path": "Files/registries/second/ca.crt"},
            {**by_port[HTTP_LOGIN], "password": "wrong"},
            {**by_port[HTTP], "server": f"{GATEWAY}:5999"},
            {"connection_type": "0", "server": "no-such-registry.example:5000"},
            {"connection_type": "1", "server": f"{GATEWAY}:{HTTP}"},
            {**by_port[MUTUAL], "test_image": "test/none:1"},
        ]
        operation = cluster.instantiate(site.parameters(site.runtime, wrong), level="one_worker")
        detail = refused(operation)
        for server in cluster.servers():
            assert server.address in detail
        kinds = ("TLS: ", "HTTP 401: ", "TCP: ", "DNS: ", "HTTP on HTTPS: ", "HTTP 404: ")
        for entry, kind in zip(wrong, kinds, strict=True):
            assert f"{entry['server']}: {kind}" in detail
        # The wrong password is not in it.
        assert "wrong" not in detail
