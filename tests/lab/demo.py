# SPDX-License-Identifier: Apache-2.0
"""The main job, step by step, each one checked: ``tox -e demo``."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lab.docker_host import DockerHost
from tests.lab.driving import registry_status, tags
from tests.lab.machines import images
from tests.lab.machines.host import say
from tests.lab.registry_vnf import RegistryVnf, build_csar, tacker_cir
from tests.lab.stand import CloudStand

GUEST = "debian-12"
TAG = "demo/app:1"


class StepFailed(Exception):
    """A step did not do what it shall."""


class Steps:
    """The steps that were done, with their times."""

    def __init__(self) -> None:
        self._done: list[tuple[str, float, str]] = []

    @contextmanager
    def step(self, name: str) -> Iterator[list[str]]:
        """Time a step; what is appended to the yielded list is its result in the table."""
        say(f"==> {name}")
        begun, notes = time.monotonic(), []
        try:
            yield notes
        except BaseException as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            self._done.append((name, time.monotonic() - begun, f"FAILED: {reason}"))
            raise
        self._done.append((name, time.monotonic() - begun, "ok" + "".join(f", {n}" for n in notes)))

    def print_table(self) -> None:
        """Print what was done."""
        width = max(len(name) for name, _, _ in self._done)
        print(f"\n{'step':{width}}  {'seconds':>7}  result")
        for name, seconds, result in self._done:
            print(f"{name:{width}}  {seconds:7.1f}  {result}")


def main() -> int:
    """Run the demo; return the exit status."""
    steps, stand = Steps(), CloudStand()
    try:
        with tempfile.TemporaryDirectory(prefix="tacker-cir-demo-") as directory:
            _run(steps, stand, Path(directory))
    except KeyboardInterrupt:
        raise
    except Exception as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    finally:
        steps.print_table()
    return 0


def _run(steps: Steps, stand: CloudStand, directory: Path) -> None:
    with steps.step("build the VNF package"):
        # The name that the sample request asks for.
        registry = shutil.copy(images.registry_image(), directory / "private_registry.tar")
        csar = build_csar(directory, guest=GUEST, image=Path(registry))
    with steps.step("check the conductor and the package (tacker-cir doctor)"):
        _doctor(stand, csar)
    with steps.step("onboard the package through Tacker"):
        vnf = RegistryVnf(stand, csar)
    with DockerHost(stand.lab) as user:
        _life(steps, stand, vnf, user, directory)
    with steps.step("remove the VNF instance and its package"):
        vnf.discard()


def _life(
    steps: Steps, stand: CloudStand, vnf: RegistryVnf, user: DockerHost, directory: Path
) -> None:
    archive = directory / "app.tar"
    images.write_random_image(archive, TAG, size=5_000_000)
    with steps.step("instantiate the registry VNF") as notes:
        _demand_completed(vnf.instantiate())
        server = vnf.server()
        notes.append(f"http://{server.address}:5000/v2/ gives {_status(server.address)}")
    with steps.step("push an image from another machine and pull it") as notes:
        notes.append(_push_and_pull(user, archive, server.address))
    with steps.step("heal the VNFC") as notes:
        _demand_completed(vnf.heal(vnf.vnfc_ids()))
        healed = vnf.server()
        _demand(healed.id != server.id, "the VM is still the old one")
        _demand(stand.lab.state(server.machine)["state"] == "absent", "the old VM is still there")
        notes.append(f"new VM, {healed.address} gives {_status(healed.address)}")
    with steps.step("push an image from another machine and pull it again") as notes:
        notes.append(_push_and_pull(user, archive, healed.address))
    with steps.step("heal the whole VNF") as notes:
        _demand_completed(vnf.heal())
        again = vnf.server()
        _demand(again.id != healed.id, "the VM is still the old one")
        notes.append(f"new stack, {again.address} gives {_status(again.address)}")
    with steps.step("terminate the VNF"):
        _demand_completed(vnf.terminate())
        _demand(stand.lab.state(again.machine)["state"] == "absent", "the VM is still there")


def _doctor(stand: CloudStand, csar: Path) -> None:
    words = ["doctor", "--csar", str(csar)]
    for file in stand.cloud.conductor_config:
        words += ["--config-file", str(file)]
    try:
        print(tacker_cir(*words), end="")
    except subprocess.CalledProcessError as error:
        raise StepFailed(error.stdout) from None


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
