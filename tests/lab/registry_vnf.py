# SPDX-License-Identifier: Apache-2.0
"""A registry VNF in the lab, driven through Tacker's API as a user would."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab.cloud.api import Tacker
from tests.lab.machines.host import REPOSITORY
from tests.lab.stand import CloudStand

REQUESTS = REPOSITORY / "samples" / "requests"
#: Heat's network that every VM of the lab is on; the stand-in knows only one.
NETWORK = "net0"


def tacker_cir(*words: str) -> str:
    """Run the installed ``tacker-cir`` and return what it prints.

    :raises subprocess.CalledProcessError: it finds faults
    """
    program = Path(sys.prefix, "bin", "tacker-cir")
    return subprocess.run([program, *words], check=True, stdout=subprocess.PIPE, text=True).stdout


def build_csar(directory: Path, *, guest: str, image: Path | None, base_hot: bool = False) -> Path:
    """Build the registry's VNF package with the command that users have.

    :param directory: where to
    :param guest: guest image of the lab that the VM shall have
    :param image: archive of the registry's image, None for none
    :param base_hot: the variant with a base HOT
    """
    name = f"{'basehot' if base_hot else 'tosca'}-{guest}{'-image' if image else ''}"
    output = directory / f"{name}.zip"
    words = ["csar", "build", "private-registry", "--output", str(output), "--vm-image", guest]
    # Tacker wants each VNFD only once.
    words += ["--vnfd-id", str(uuid.uuid4())]
    if base_hot:
        words += ["--base-hot"]
    else:
        # Stands for a disk image: the lab's Nova takes the guest by the image's name.
        disk = directory / f"{guest}.raw"
        disk.write_bytes(b"\0" * 4096)
        words += ["--vm-image-file", str(disk)]
    if image:
        words += ["--image", str(image)]
    tacker_cir(*words)
    return output


def request(sample: str, vim_id: str, overrides: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return a sample request with the lab's ids in it.

    :param sample: file name in samples/requests
    :param overrides: members of private_registry_installation_param; None removes one
    """
    body = json.loads((REQUESTS / sample).read_text())
    for vim in body["vimConnectionInfo"]:
        vim["vimId"] = vim_id
    for link in body["extVirtualLinks"]:
        link["resourceId"] = NETWORK
    parameters = body["additionalParams"]["private_registry_installation_param"]
    for name, value in (overrides or {}).items():
        if value is None:
            parameters.pop(name, None)
        else:
            parameters[name] = copy.deepcopy(value)
    return body


@dataclass(frozen=True)
class Server:
    """A Nova server of the lab.

    :param id: its id in Nova and Heat
    :param machine: name of its machine in the lab
    """

    id: str
    machine: str
    address: str


class RegistryVnf:
    """A VNF instance.

    :param stand: the lab
    :param csar: its package
    """

    def __init__(self, stand: CloudStand, csar: Path):
        self._stand = stand
        self.tacker: Tacker = stand.cloud.tacker()
        self.package = self.tacker.onboard(csar)
        vnfd_id = self.tacker.package(self.package)["vnfdId"]
        self.id = self.tacker.create_instance(vnfd_id, f"registry-{vnfd_id[:8]}")
        self._others = {server["id"] for server in stand.cloud.servers()}

    def instantiate(
        self,
        overrides: Mapping[str, Any] | None = None,
        *,
        sample: str = "instantiate_private_registry.json",
    ) -> dict[str, Any]:
        """Instantiate and return the operation, whatever it came to; parameters as for
        :meth:`begin_instantiate`."""
        return self.tacker.wait(self.begin_instantiate(overrides, sample=sample))

    def begin_instantiate(
        self,
        overrides: Mapping[str, Any] | None = None,
        *,
        sample: str = "instantiate_private_registry.json",
    ) -> str:
        """Begin to instantiate and return the operation's id.

        :param overrides: members of private_registry_installation_param; None removes one
        :param sample: file name in samples/requests
        """
        body = request(sample, self.tacker.vim_id(), overrides)
        return self.tacker.instantiate(self.id, body)

    def heal(self, vnfc_ids: list[str] | None = None) -> dict[str, Any]:
        """Heal VNFCs, or the whole VNF, and return the operation."""
        return self.tacker.wait(self.begin_heal(vnfc_ids))

    def begin_heal(self, vnfc_ids: list[str] | None = None) -> str:
        """Begin to heal VNFCs, or the whole VNF, and return the operation's id."""
        body: dict[str, Any] = {"cause": "test"}
        if vnfc_ids is not None:
            body["vnfcInstanceId"] = vnfc_ids
        return self.tacker.heal(self.id, body)

    def terminate(self) -> dict[str, Any]:
        """Terminate and return the operation."""
        body = {"terminationType": "FORCEFUL"}
        return self.tacker.wait(self.tacker.terminate(self.id, body))

    def vnfc_ids(self) -> list[str]:
        """Ids of the VNFCs, as a heal request takes them."""
        return [vnfc["id"] for vnfc in self._vnfcs()]

    def server(self) -> Server:
        """The VNF's only server.

        :raises ValueError: there is none, or several, or its machine is not made yet
        """
        ids = {vnfc["computeResource"]["resourceId"] for vnfc in self._vnfcs()}
        servers = self._stand.cloud.servers()
        # Tacker lists the VNFCs only after an instantiation succeeded.
        found = [s for s in servers if s["id"] in ids] or [
            s for s in servers if s["id"] not in self._others
        ]
        (server,) = found
        state = self._stand.lab.state(server["machine"])
        if "address" not in state:
            raise ValueError(f"machine {server['machine']} is {state['state']}")
        return Server(server["id"], server["machine"], str(state["address"]))

    def _vnfcs(self) -> list[dict[str, Any]]:
        info = self.tacker.show(self.id).get("instantiatedVnfInfo") or {}
        return info.get("vnfcResourceInfo") or []

    def discard(self) -> None:
        """Remove the instance and its package, whatever state it is in."""
        for operation in self.tacker.operations(self.id):
            if operation["operationState"] != "FAILED_TEMP":
                continue
            if operation["operation"] == "INSTANTIATE":
                # "fail" would leave the stack behind.
                self.tacker.rollback(operation["id"])
                self.tacker.wait(operation["id"])
            else:
                self.tacker.fail(operation["id"])
        if self.tacker.show(self.id)["instantiationState"] == "INSTANTIATED":
            self.terminate()
        self.tacker.delete_instance(self.id)
        self.tacker.delete_package(self.package)
