# SPDX-License-Identifier: Apache-2.0
"""A VNF instance in the lab, driven through Tacker's API as a user would."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.testbed.cloud.api import Tacker
from tests.testbed.machines.host import REPOSITORY, run
from tests.testbed.stand import CloudStand

REQUESTS = REPOSITORY / "samples" / "requests"
#: Heat's network that every VM of the lab is on; the stand-in knows only one.
NETWORK = "net0"


def tacker_cir(*words: str) -> str:
    """Run the installed ``tacker-cir`` and return what it prints.

    :raises subprocess.CalledProcessError: it finds faults
    """
    program = Path(sys.prefix, "bin", "tacker-cir")
    return subprocess.run([program, *words], check=True, stdout=subprocess.PIPE, text=True).stdout


def sample_request(name: str, vim_id: str) -> dict[str, Any]:
    """Return a sample request with the lab's ids in it.

    :param name: file name in samples/requests
    """
    body = json.loads((REQUESTS / name).read_text())
    for vim in body["vimConnectionInfo"]:
        vim["vimId"] = vim_id
    for link in body["extVirtualLinks"]:
        link["resourceId"] = NETWORK
    return body


def key_option(directory: Path) -> str:
    """Return the option with which a package has the private key that the sample requests name.

    :param directory: where the key is made, once
    """
    key = directory / "id_ed25519"
    if not key.exists():
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", key])
    return f"--file=Files/keys/{key.name}={key}"


def completed(operation: dict[str, Any]) -> None:
    """Demand that an operation came to its end."""
    assert operation["operationState"] == "COMPLETED", operation.get("error")


def refused(operation: dict[str, Any]) -> str:
    """Return the ProblemDetails' text of an operation that failed."""
    assert operation["operationState"] == "FAILED_TEMP", operation
    return operation["error"]["detail"]


@dataclass(frozen=True)
class Server:
    """A Nova server of the lab.

    :param id: its id in Nova and Heat
    :param vdu: its VDU, which is the name of its resource in Heat
    :param machine: name of its machine in the lab
    """

    id: str
    vdu: str
    machine: str
    address: str


class Vnf:
    """A VNF instance of a package of its own.

    :param stand: the lab
    :param csar: its package
    :param name: of the instance, to which a part of the VNFD's id is added
    """

    def __init__(self, stand: CloudStand, csar: Path, name: str):
        self._stand = stand
        self.tacker: Tacker = stand.cloud.tacker()
        self.package = self.tacker.onboard(csar)
        vnfd_id = self.tacker.package(self.package)["vnfdId"]
        self.name = f"{name}-{vnfd_id[:8]}"
        self.id = self.tacker.create_instance(vnfd_id, self.name)

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

    def roll_back(self, operation: dict[str, Any]) -> None:
        """Have the instance be as before an instantiation that failed."""
        self.tacker.rollback(operation["id"])
        self.tacker.wait(operation["id"])
        self._stand.cloud.wait_until_at_rest(self.id)

    def vnfcs(self) -> list[dict[str, Any]]:
        """The VNFCs' resources; Tacker lists them after an instantiation that succeeded."""
        info = self.tacker.show(self.id).get("instantiatedVnfInfo") or {}
        return info.get("vnfcResourceInfo") or []

    def vnfc_ids(self) -> list[str]:
        """Ids of the VNFCs, as a heal request takes them."""
        return [vnfc["id"] for vnfc in self.vnfcs()]

    def servers(self) -> list[Server]:
        """The servers of the VNF's stack that have a machine, in no order."""
        # With a base HOT Tacker calls the stack after the instance's id, else after its name.
        stacks = (f"vnflcm_{self.id}", self.name)
        records = [s for s in self._stand.cloud.servers() if s["root_stack"] in stacks]
        states = {s["id"]: self._stand.lab.state(s["machine"]) for s in records}
        return [
            Server(s["id"], s["resource"], s["machine"], str(states[s["id"]]["address"]))
            for s in records
            if "address" in states[s["id"]]
        ]

    def discard(self) -> None:
        """Remove the instance and its package, whatever state it is in."""
        for operation in self.tacker.operations(self.id):
            if not self.tacker.rests(operation):
                # What a test did not wait for would be in the way of the next test, too.
                operation = self.tacker.wait(operation["id"], 600)
            # Tacker lets nobody give an update up, and it hinders nothing.
            if operation["operationState"] != "FAILED_TEMP" or (
                operation["operation"] == "MODIFY_INFO"
            ):
                continue
            if operation["operation"] == "INSTANTIATE":
                # "fail" would leave the stack behind.
                self.roll_back(operation)
            else:
                self.tacker.fail(operation["id"])
        if self.tacker.show(self.id)["instantiationState"] == "INSTANTIATED":
            self.terminate()
        self.tacker.delete_instance(self.id)
        self.tacker.delete_package(self.package)
