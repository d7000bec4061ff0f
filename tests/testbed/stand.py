# SPDX-License-Identifier: Apache-2.0
"""The whole lab: machines and cloud together, with the conductor set up as the tests need it."""

from __future__ import annotations

from tests.testbed.cloud.cloud import Cloud
from tests.testbed.machines import MachineLab
from tests.testbed.machines.parts import Prepared

#: Options of the conductor's group [tacker_cir]: shorter waits, so that a fault shows in a test.
OPTIONS = {
    "ssh_wait_timeout": "90",
    "ssh_auth_timeout": "3",
    "service_timeout": "60",
    "registry_timeout": "5",
    "package_timeout": "300",
    "image_timeout": "300",
}


class CloudStand:
    """A machine lab and the cloud on it."""

    def __init__(self) -> None:
        self.lab = MachineLab()
        directory = self.lab.dir / "cloud"
        options = {**OPTIONS, "state_path": str(directory / "tacker_cir")}
        self.cloud = Cloud(directory, self.lab, conductor={"tacker_cir": options})

    def is_up(self) -> bool:
        """Whether machines can be made and all of the cloud's services run."""
        return self.cloud.is_up()

    def up(self, prepared: Prepared) -> None:
        """Bring everything up; what is up already stays.

        :param prepared: what it is made of
        """
        self.lab.up(prepared)
        self.cloud.up()

    def down(self) -> None:
        """End and remove everything."""
        self.cloud.down()
        self.lab.down()

    def driver_log(self) -> str:
        """What this package's code wrote into the conductor's log (debug is on)."""
        lines = self.cloud.logs["tacker-conductor"].read_text(errors="replace").splitlines()
        return "\n".join(line for line in lines if " tacker_cir" in line or " paramiko" in line)

    def leftovers(self) -> list[str]:
        """What is there of a lab that shall be down; empty where it is clean."""
        return self.lab.leftovers()
