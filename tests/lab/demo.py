# SPDX-License-Identifier: Apache-2.0
"""The main job, step by step, each one checked: ``tox -e demo``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import yaml

from tacker_cir.params.shown_registry import CA_SHA256
from tests.lab.cluster_checks import run_everywhere
from tests.lab.cluster_vnf import ClusterVnf
from tests.lab.cluster_vnf import build_csar as build_cluster_csar
from tests.lab.docker_host import DockerHost
from tests.lab.registry_client import Client
from tests.lab.registry_vnf import RegistryVnf, build_csar
from tests.lab.volumes import given_volume
from tests.testbed import progress
from tests.testbed.kubernetes_site import KubernetesSite
from tests.testbed.machines import images
from tests.testbed.machines.host import say
from tests.testbed.stand import CloudStand
from tests.testbed.times import Times

GUEST = "debian-12"
SAMPLE = "instantiate_private_registry_volume.json"
USER, PASSWORD = "demo", "the demo's S3cret"
#: What runs as a pod.
APP = "demo/app:1"


class StepFailed(Exception):
    """A step did not do what it shall."""


class Steps:
    """The steps that are done, with their times."""

    def __init__(self, times: Times) -> None:
        self._times = times

    @contextmanager
    def step(self, name: str) -> Iterator[list[str]]:
        """Time a step; what is appended to the yielded list is its result in the table."""
        say(f"==> {name}")
        begun, notes, result = time.monotonic(), [], "FAILED"
        try:
            yield notes
            result = ", ".join(["ok", *notes])
        except Exception as error:
            result = f"FAILED: {(str(error).splitlines() or [type(error).__name__])[0]}"
            raise
        finally:
            self._times.add("demo", name, time.monotonic() - begun, result)


def main() -> int:
    """Run the demo; return the exit status."""
    steps, stand = Steps(Times.of_environment()), CloudStand()
    log = stand.cloud.logs["tacker-conductor"]
    try:
        with (
            tempfile.TemporaryDirectory(prefix="tacker-cir-demo-") as directory,
            progress.shown(log, lambda line: say(f"  {line[progress.TIME :]}")),
        ):
            _run(steps, stand, Path(directory))
    except Exception as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    return 0


def _run(steps: Steps, stand: CloudStand, directory: Path) -> None:
    site = KubernetesSite(stand.lab)
    with steps.step("build the registry's VNF package, with the images of Kubernetes") as notes:
        # The name that the sample request asks for.
        archive = shutil.copy(stand.lab.prepared.registry_image, directory / "private_registry.tar")
        contents = list(site.images.values())
        csar = build_csar(
            directory, guest=GUEST, image=Path(archive), base_hot=True, contents=contents
        )
        notes.append(f"{len(contents)} images, {csar.stat().st_size / 1e6:.0f} MB")
    with steps.step("check the conductor and the package (tacker-cir doctor)"):
        _doctor(stand, csar)
    with steps.step("onboard the package through Tacker"):
        registry = RegistryVnf(stand, csar)
    with given_volume() as volume, DockerHost(stand.lab) as user:
        site = _registry(steps, stand, registry, volume, user, directory)
        _cluster(steps, stand, site, registry, directory)
        with steps.step("terminate the registry VNF and remove its package"):
            _demand_completed(registry.terminate())
            registry.discard()


def _registry(
    steps: Steps,
    stand: CloudStand,
    registry: RegistryVnf,
    volume: str,
    user: DockerHost,
    directory: Path,
) -> KubernetesSite:
    """Make the registry, give it an application besides, and heal it; a site with it is
    returned."""
    names = KubernetesSite(stand.lab).images
    with steps.step("instantiate the registry VNF: TLS, a user, a volume, contents") as notes:
        wanted = {
            "tls": {"self_signed": {}},
            "users": [{"username": USER, "password": PASSWORD}],
            "contents": [f"Files/contents/{archive.name}" for archive in names.values()],
        }
        _demand_completed(registry.instantiate(wanted, sample=SAMPLE, volume=volume))
        client = registry.client(USER, PASSWORD)
        notes.append(_access(client))
        notes.append(f"{len(_digests(client, names))} images of the package are there")
    with steps.step(f"push {APP} from another machine and pull it") as notes:
        user.log_in(client.server, client.ca or "", USER, PASSWORD)
        notes.append(_push_and_pull(stand, user, directory, client))
    before = _digests(client, [*names, APP])
    for what, vnfcs in (("registry's VNFC", registry.vnfc_ids()), ("whole registry VNF", None)):
        with steps.step(f"heal the {what}") as notes:
            old, told = registry.server(), registry.shown()
            _demand_completed(registry.heal(vnfcs))
            _demand(registry.server().id != old.id, "the VM is still the old one")
            _demand(stand.lab.state(old.machine)["state"] == "absent", "the old VM is still there")
            client = registry.client(USER, PASSWORD)
            _compare(before, _digests(client, before))
            notes.append(f"new VM, {_access(client)}")
            same = registry.shown()[CA_SHA256] == told[CA_SHA256]
            _demand(same, "clients would need another authority")
            notes.append(f"the {len(before)} images have the digests that they had")
    site = KubernetesSite(stand.lab, client.server)
    site.serve_packages()
    return site


def _cluster(
    steps: Steps, stand: CloudStand, site: KubernetesSite, registry: RegistryVnf, directory: Path
) -> None:
    app, kubernetes = f"{site.registry}/{APP}", f"Kubernetes {site.release.version}"
    with steps.step("build the cluster's VNF package and onboard it"):
        cluster = ClusterVnf(stand, build_cluster_csar(directory, site.files(directory)))
    with steps.step(f"instantiate the cluster VNF: {kubernetes}, one master, two workers") as notes:
        parameters = site.parameters("containerd")
        by_name = {"vnf_instance": registry.name, "username": USER}
        parameters["private_registry_connection_info"] = [
            {**by_name, "test_image": APP, "advertise": True}
        ]
        _demand_completed(cluster.instantiate(parameters))
        notes.append(_nodes(cluster, 3))
        notes.append(f"connected with {registry.name}, by this name alone")
        notes.append(_advertised(cluster, site.registry))
    with steps.step("run the application as a pod on every node"):
        run_everywhere(cluster, [app])
    with steps.step("scale out by one worker") as notes:
        _demand_completed(cluster.scale("out"))
        notes.append(_nodes(cluster, 4))
    with steps.step("run the application on every node again"):
        run_everywhere(cluster, [app])
    with steps.step("scale in by one worker") as notes:
        _demand_completed(cluster.scale("in"))
        notes.append(_nodes(cluster, 3))
    with steps.step("heal a worker") as notes:
        worker = cluster.workers()[0]
        _demand_completed(cluster.heal([cluster.vnfc_of(worker)]))
        _demand(stand.lab.state(worker.machine)["state"] == "absent", "the old VM is still there")
        notes.append(f"{_nodes(cluster, 3)}, one of them new")
    with steps.step("run the application on every node once more"):
        run_everywhere(cluster, [app])
    with steps.step("terminate the cluster VNF and remove its package"):
        _demand_completed(cluster.terminate())
        _demand(cluster.servers() == [], "a VM is still there")
        cluster.discard()


def _access(client: Client) -> str:
    """Return how a registry answers its user, and everybody else."""
    user, others = client.status(), replace(client, user=None).status()
    _demand((user, others) == (200, 401), f"HTTP {user} to its user, {others} to others")
    return f"https://{client.server} gives {user} to its user, {others} to others"


def _digests(client: Client, names: Iterable[str]) -> dict[str, frozenset[str]]:
    """Pull images, and return the digests of what each is made of."""
    return {name: client.pull(name) for name in names}


def _compare(before: Mapping[str, frozenset[str]], after: Mapping[str, frozenset[str]]) -> None:
    """Demand that images are as they were, and tell of each."""
    for name, digests in before.items():
        _demand(after[name] == digests, f"{name} has other digests: {after[name]} for {digests}")
        listed = " ".join(sorted(digest[:19] for digest in digests))
        say(f"  as before: {name} {listed}")


def _advertised(cluster: ClusterVnf, server: str) -> str:
    found = cluster.get("configmap", "local-registry-hosting", "--namespace=kube-public")
    told = yaml.safe_load(found["data"]["localRegistryHosting.v1"])["host"]
    _demand(told == server, f"the cluster advertises {told}")
    return "which the cluster advertises"


def _nodes(cluster: ClusterVnf, count: int) -> str:
    nodes = cluster.nodes()
    _demand(len(nodes) == count and all(nodes.values()), f"the nodes and whether ready: {nodes}")
    _demand(cluster.vim().node_names() == set(nodes), "Tacker's VIM is another cluster")
    return f"{count} nodes ready"


def _doctor(stand: CloudStand, csar: Path) -> None:
    environment = stand.cloud.tacker_environment
    words = [*environment.doctor(), "--csar", str(csar)]
    for file in stand.cloud.conductor_config:
        words += ["--config-file", str(file)]
    try:
        done = subprocess.run(
            words,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment.variables},
        )
    except subprocess.CalledProcessError as error:
        raise StepFailed(error.stdout) from None
    print(done.stdout, end="")


def _push_and_pull(stand: CloudStand, user: DockerHost, directory: Path, client: Client) -> str:
    archive, reference = directory / "app.tar", f"{client.server}/{APP}"
    echo = stand.lab.prepared.programs / "echo"
    files = {"/echo": images.Entry(echo, 0o755), "/for": images.Entry(b"the demo")}
    images.write_image(archive, APP, files, {"Entrypoint": ["/echo"]})
    pushed = user.push(archive, APP, reference)
    pulled = user.pull(reference)
    _demand(pushed == pulled, f"pushed {pushed}, pulled {pulled}")
    return f"digest {pulled[:19]} both ways"


def _demand_completed(operation: dict) -> None:
    state = operation["operationState"]
    detail = (operation.get("error") or {}).get("detail", "")
    _demand(state == "COMPLETED", f"{operation['operation']} is {state}: {detail}")


def _demand(condition: bool, otherwise: str) -> None:
    if not condition:
        raise StepFailed(otherwise)


if __name__ == "__main__":
    sys.exit(main())
