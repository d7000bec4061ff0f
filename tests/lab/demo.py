# SPDX-License-Identifier: Apache-2.0
"""The main job, step by step, each one checked: ``tox -e demo``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lab.cluster_checks import run_everywhere
from tests.lab.cluster_vnf import ClusterVnf
from tests.lab.cluster_vnf import build_csar as build_cluster_csar
from tests.lab.docker_host import DockerHost
from tests.lab.driving import registry_status, tags
from tests.lab.registry_vnf import RegistryVnf, build_csar
from tests.testbed import progress
from tests.testbed.kubernetes_site import KubernetesSite
from tests.testbed.machines import images
from tests.testbed.machines.host import say
from tests.testbed.stand import CloudStand
from tests.testbed.times import Times

GUEST = "debian-12"
TAG = "demo/image:1"
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
    with steps.step("build the registry's VNF package"):
        # The name that the sample request asks for.
        archive = shutil.copy(stand.lab.prepared.registry_image, directory / "private_registry.tar")
        csar = build_csar(directory, guest=GUEST, image=Path(archive))
    with steps.step("check the conductor and the package (tacker-cir doctor)"):
        _doctor(stand, csar)
    with steps.step("onboard the package through Tacker"):
        registry = RegistryVnf(stand, csar)
    with DockerHost(stand.lab) as user:
        site = _registry(steps, stand, registry, user, directory)
        _cluster(steps, stand, site, user, directory)
    with steps.step("terminate the registry VNF and remove its package"):
        _demand_completed(registry.terminate())
        registry.discard()


def _registry(
    steps: Steps, stand: CloudStand, registry: RegistryVnf, user: DockerHost, directory: Path
) -> KubernetesSite:
    archive = directory / "image.tar"
    images.write_random_image(archive, TAG, size=5_000_000)
    with steps.step("instantiate the registry VNF") as notes:
        _demand_completed(registry.instantiate())
        server = registry.server()
        notes.append(f"http://{server.address}:5000/v2/ gives {_status(server.address)}")
    with steps.step("push an image from another machine and pull it") as notes:
        notes.append(_push_and_pull(user, archive, server.address))
    with steps.step("heal the registry's VNFC") as notes:
        _demand_completed(registry.heal(registry.vnfc_ids()))
        healed = registry.server()
        _demand(healed.id != server.id, "the VM is still the old one")
        _demand(stand.lab.state(server.machine)["state"] == "absent", "the old VM is still there")
        notes.append(f"new VM, {healed.address} gives {_status(healed.address)}")
    site = KubernetesSite(stand.lab, f"{healed.address}:5000")
    with steps.step("fill the registry with the images of Kubernetes"):
        site.open()
    return site


def _cluster(
    steps: Steps, stand: CloudStand, site: KubernetesSite, user: DockerHost, directory: Path
) -> None:
    app, kubernetes = f"{site.registry}/{APP}", f"Kubernetes {site.release.version}"
    with steps.step(f"push an application to the registry: {APP}") as notes:
        echo = stand.lab.prepared.programs / "echo"
        archive = directory / "app.tar"
        files = {"/echo": images.Entry(echo, 0o755), "/for": images.Entry(b"the demo")}
        images.write_image(archive, APP, files, {"Entrypoint": ["/echo"]})
        notes.append(f"digest {user.push(archive, APP, app)[:19]}")
    with steps.step("build the cluster's VNF package and onboard it"):
        cluster = ClusterVnf(stand, build_cluster_csar(directory, site.files(directory)))
    with steps.step(f"instantiate the cluster VNF: {kubernetes}, one master, two workers") as notes:
        parameters = site.parameters("containerd")
        (entry,) = parameters["private_registry_connection_info"]
        entry["test_image"] = APP
        _demand_completed(cluster.instantiate(parameters))
        notes.append(_nodes(cluster, 3))
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


def _push_and_pull(user: DockerHost, archive: Path, address: str) -> str:
    reference = f"{address}:5000/{TAG}"
    pushed = user.push(archive, TAG, reference)
    _demand(tags(address, TAG.partition(":")[0]) == ["1"], "the registry does not list the image")
    pulled = user.pull(reference)
    _demand(pushed == pulled, f"pushed {pushed}, pulled {pulled}")
    return f"digest {pulled[:19]} both ways"


def _status(address: str) -> int:
    status = registry_status(address)
    _demand(status == 200, f"the registry answers HTTP {status}")
    return status


def _demand_completed(operation: dict) -> None:
    state = operation["operationState"]
    detail = (operation.get("error") or {}).get("detail", "")
    _demand(state == "COMPLETED", f"{operation['operation']} is {state}: {detail}")


def _demand(condition: bool, otherwise: str) -> None:
    if not condition:
        raise StepFailed(otherwise)


if __name__ == "__main__":
    sys.exit(main())
