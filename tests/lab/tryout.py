# SPDX-License-Identifier: Apache-2.0
"""What lies ready after ``tox -e lab -- up``: packages, requests, and commands to copy.

Everything names what this lab has: its VIM, its network, its images, its login, its registry.
"""

from __future__ import annotations

import json
import shlex
import shutil
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

from tests.lab import cluster_vnf, registry_vnf
from tests.lab.cluster_vnf import KUBECTL, MASTER
from tests.lab.vnf import NETWORK, key_option, tacker_cir
from tests.testbed import progress
from tests.testbed.kubernetes_site import KubernetesSite
from tests.testbed.machines import network
from tests.testbed.machines.base import GATEWAY
from tests.testbed.machines.host import LabError, say, step
from tests.testbed.stand import CloudStand

GUEST = "debian-12"
REGISTRY_REQUEST = "instantiate_private_registry_basehot.json"
#: Seconds between two looks at Tacker, and for something to begin.
EVERY, BEGIN = 1, 5

WORDS = """
A place to try things, without an OpenStack:

  VIM             lab ({vim}), the default
  network         {network} (198.51.100.0/24; VMs get addresses there)
  images          {guest}, for the registry; {node}, for nodes of Kubernetes
  login of VMs    ubuntu, with the key {directory}/id_ed25519
  registry        {registry}, plain HTTP, with the images of Kubernetes
  packages        http://{gateway}/kubernetes
  files           {directory}: kubernetes.zip, kubernetes.json, registry.zip, registry.json

Commands to copy, in bash as root:

  source {rc} && cd {directory}
  package=$(openstack vnf package create -f value -c ID)
  openstack vnf package upload --path kubernetes.zip $package && watched
  cluster=$(openstack vnflcm create {vnfd} --name cluster -f value -c ID)
  openstack vnflcm instantiate $cluster kubernetes.json && watched
  kubectl get pods --all-namespaces --output wide
  openstack vnflcm scale --type SCALE_OUT --aspect-id worker_instance --number-of-steps 1 $cluster && watched
  openstack vnflcm heal $cluster && watched
  openstack vnflcm terminate $cluster && watched

In place of kubernetes.zip and kubernetes.json, registry.zip and registry.json ({registry_vnfd}) make a registry.
The end of it: tox -e lab -- down"""  # noqa: E501


def lay_out(stand: CloudStand) -> str:
    """Make the files, unless they are there, and return what a user may do with them."""
    directory = stand.lab.dir / "try"
    words = directory / "words"
    if not words.exists():
        with step("packages and requests to try"), network.entered(stand.lab.netns):
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir()
            words.write_text(_lay_out(stand, directory))
    return words.read_text()


def _lay_out(stand: CloudStand, directory: Path) -> str:
    site = KubernetesSite(stand.lab)
    site.open()
    vim = stand.cloud.tacker().vim_id()
    vnfd, registry_vnfd = str(uuid.uuid4()), str(uuid.uuid4())
    key = key_option(directory)
    build = ("csar", "build", "kubernetes", "--vm-image", cluster_vnf.GUEST, "--vnfd-id", vnfd)
    files = [f"--file={name}={path}" for name, path in site.files(directory).items()]
    tacker_cir(*build, key, *files, "--output", str(directory / "kubernetes.zip"))
    image = shutil.copy(stand.lab.prepared.registry_image, directory / "private_registry.tar")
    tacker_cir(
        *("csar", "build", "private-registry", "--base-hot", "--vm-image", GUEST),
        *("--vnfd-id", registry_vnfd, "--image", image, key),
        *("--output", str(directory / "registry.zip")),
    )
    cluster = cluster_vnf.request("simple", vim, site.parameters("containerd"))
    _write(directory / "kubernetes.json", cluster)
    _write(directory / "registry.json", registry_vnf.request(REGISTRY_REQUEST, vim))
    return WORDS.format(
        vim=vim,
        network=NETWORK,
        guest=GUEST,
        node=cluster_vnf.GUEST,
        registry=site.registry,
        gateway=GATEWAY,
        directory=directory,
        rc=stand.cloud.rc,
        vnfd=vnfd,
        registry_vnfd=registry_vnfd,
    )


def _write(path: Path, body: object) -> None:
    path.write_text(json.dumps(body, indent=4) + "\n")


def watch(stand: CloudStand) -> int:
    """Wait until Tacker rests, showing what the drivers do; the exit status is returned."""
    with network.entered(stand.lab.netns):
        tacker = stand.cloud.tacker()
        before = {o["id"] for o in tacker.all_operations() if tacker.rests(o)}
        log = stand.cloud.logs["tacker-conductor"]
        soon, seen = time.monotonic() + BEGIN, False
        with progress.shown(log, lambda line: say(line[progress.TIME :])):
            while (busy := tacker.busy()) or not (seen or time.monotonic() > soon):
                seen = seen or bool(busy)
                time.sleep(EVERY)
        ended = [o for o in tacker.all_operations() if o["id"] not in before]
    for operation in ended:
        detail = (operation.get("error") or {}).get("detail", "")
        print(f"{operation['operation']}: {operation['operationState']} {detail}".rstrip())
    return int(any(operation["operationState"] != "COMPLETED" for operation in ended))


def kubectl(stand: CloudStand, words: Sequence[str]) -> int:
    """Run kubectl on a master of the lab; its exit status is returned."""
    for server in stand.cloud.servers():
        if server["resource"] == MASTER:
            return stand.lab.shell(server["machine"], [*KUBECTL, *words])
    raise LabError(f"no cluster for: kubectl {shlex.join(words)}")
