# SPDX-License-Identifier: Apache-2.0
"""Where on its machine a registry's files are."""

from __future__ import annotations

from dataclasses import dataclass

from tacker_cir.params.private_registry import PrivateRegistryParams

#: Where the volume is mounted if the request names no directory.
DEFAULT_MOUNT = "/srv/registry"
#: The keeper's own files where there is no volume; as on a volume, readable by root only.
OWN = "/var/lib/tacker-cir/registry"


@dataclass(frozen=True)
class Places:
    """Directories of the machine.

    :param mount: where the volume is mounted, None without one
    :param data: the registry's data, which its container gets
    :param own: what is ours and must live as long as the data, for root only
    """

    mount: str | None
    data: str
    own: str

    @classmethod
    def of(cls, params: PrivateRegistryParams, home: str) -> Places:
        """Return the places that a request asks for.

        :param home: directory of the login user
        """
        if params.data_volume is None:
            return cls(None, params.data_path or f"{home.rstrip('/')}/registry", OWN)
        mount = params.data_path or DEFAULT_MOUNT
        return cls(mount, f"{mount}/data", f"{mount}/tacker-cir")
