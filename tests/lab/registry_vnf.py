# SPDX-License-Identifier: Apache-2.0
"""A registry VNF in the lab, driven through Tacker's API as a user would."""

from __future__ import annotations

import copy
import re
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tacker_cir import metadata
from tacker_cir.params.private_registry import KEY
from tacker_cir.params.shown_registry import CA, SERVER
from tacker_cir.vnflcm.update import update_body
from tests.lab.registry_client import Client
from tests.lab.vnf import Server, Vnf, key_option, sample_request, tacker_cir
from tests.testbed.machines.guests import LOGIN
from tests.testbed.stand import CloudStand

#: Seconds for a modification.
SECONDS = 180


def build_csar(
    directory: Path,
    *,
    guest: str,
    image: Path | None,
    base_hot: bool = False,
    contents: Sequence[Path] = (),
) -> Path:
    """Build the registry's VNF package with the command that users have.

    :param directory: where to
    :param guest: guest image of the lab that the VM shall have
    :param image: archive of the registry's image, None for none
    :param base_hot: the variant with a base HOT
    :param contents: archives of images that the registry shall have
    """
    name = f"{'basehot' if base_hot else 'tosca'}-{guest}{'-image' if image else ''}"
    output = directory / f"{name}.zip"
    words = ["csar", "build", "private-registry", "--output", str(output)]
    # Tacker wants each VNFD only once.
    words += ["--vnfd-id", str(uuid.uuid4())]
    if base_hot:
        words += ["--base-hot", "--vm-image", guest, key_option(directory)]
    else:
        # Without UserData nobody gives the VM a login.
        words += ["--vm-image", guest + LOGIN]
        # Stands for a disk image: the lab's Nova takes the guest by the image's name.
        disk = directory / f"{guest}.raw"
        disk.write_bytes(b"\0" * 4096)
        words += ["--vm-image-file", str(disk)]
    if image:
        words += ["--image", str(image)]
    if contents:
        words += ["--contents", *map(str, contents)]
    tacker_cir(*words)
    return output


def request(sample: str, vim_id: str, overrides: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return a sample request with the lab's ids in it.

    :param sample: file name in samples/requests
    :param overrides: members of private_registry_installation_param; None removes one
    """
    body = sample_request(sample, vim_id)
    parameters = body["additionalParams"]["private_registry_installation_param"]
    for name, value in (overrides or {}).items():
        if value is None:
            parameters.pop(name, None)
        else:
            parameters[name] = copy.deepcopy(value)
    return body


class RegistryVnf(Vnf):
    """A VNF instance of the registry's package.

    :param stand: the lab
    :param csar: its package
    """

    def __init__(self, stand: CloudStand, csar: Path):
        super().__init__(stand, csar, "registry")

    def instantiate(
        self,
        overrides: Mapping[str, Any] | None = None,
        *,
        sample: str = "instantiate_private_registry.json",
        volume: str | None = None,
    ) -> dict[str, Any]:
        """Instantiate and return the operation, whatever it came to; parameters as for
        :meth:`begin_instantiate`."""
        return self.tacker.wait(self.begin_instantiate(overrides, sample=sample, volume=volume))

    def begin_instantiate(
        self,
        overrides: Mapping[str, Any] | None = None,
        *,
        sample: str = "instantiate_private_registry.json",
        volume: str | None = None,
    ) -> str:
        """Begin to instantiate and return the operation's id.

        :param overrides: members of private_registry_installation_param; None removes one
        :param sample: file name in samples/requests
        :param volume: the volume for the data that a sample with one shall have
        """
        body = request(sample, self.tacker.vim_id(), overrides)
        if volume:
            parameters = body["additionalParams"]
            del parameters["data_volume_size"]
            parameters["data_volume_id"] = volume
        return self.tacker.instantiate(self.id, body)

    def modify(self, members: Mapping[str, Any] | None) -> dict[str, Any]:
        """Change the registry by the metadata and return the operation.

        :param members: of private_registry_installation_param; None to have the request's again
        """
        body = update_body(KEY, members or {})
        if members is None:
            body["metadata"] = dict.fromkeys(body["metadata"])
        operation = self.tacker.modify(self.id, body)
        return self.tacker.wait_modified(self.id, operation, SECONDS)

    def client(self, user: str, password: str) -> Client:
        """A client with nothing but what the VNF instance shows and a user's login."""
        shown = self.shown()
        return Client(shown[SERVER], metadata.joined(shown, CA), (user, password))

    def shown(self) -> dict[str, str]:
        """What the metadata of the VNF instance show of the registry."""
        given = self.tacker.show(self.id).get("metadata") or {}
        # Tacker shows keys as privateRegistryCa, whatever it keeps.
        names = {key: re.sub(r"[A-Z]", lambda m: f"_{m[0].lower()}", key) for key in given}
        return {names[key]: text for key, text in given.items() if KEY not in names[key]}

    def server(self) -> Server:
        """The VNF's only server.

        :raises ValueError: there is none, or several, or its machine is not made yet
        """
        (server,) = self.servers()
        return server
