# SPDX-License-Identifier: Apache-2.0
"""The login with which a registry fetches another one's images: in a file that the container has in
place of its image's configuration, for root only, and nowhere else."""

from __future__ import annotations

import json
import re

from tacker_cir.command import Command
from tacker_cir.exceptions import HostError
from tacker_cir.host.files import ManagedFile
from tacker_cir.host.machine import Machine
from tacker_cir.params.registry_proxy_of import ProxyOf
from tacker_cir.registry import own_files, running
from tacker_cir.render import registry_proxy

#: The file on the machine. The registry sees it only when its container starts.
PATH = f"{own_files.DIRECTORY}/upstream.json"

# It is mounted there: no colon, which would begin an option of that.
_CONFIGURATION = re.compile(r"(?:/[A-Za-z0-9._-]{1,255}){1,20}\.ya?ml", re.ASCII)
_STEP = "find the configuration of the registry's image"
_REMEDY = "give a registry_image like registry:2 or registry:3"


def ensure(machine: Machine, proxy_of: ProxyOf | None, image_id: str) -> dict[str, str]:
    """Write the file, where it differs, and return where the container shall have it; nothing where
    no login is needed.

    :param machine: read with :data:`PATH`
    :raises HostError: it cannot be written, or the image tells no place for it
    """
    if proxy_of is None or proxy_of.login is None:
        return {}
    content = registry_proxy.configuration(proxy_of, proxy_of.login).reveal().encode()
    where = _configuration(machine, image_id)
    if machine.facts.contents.get(PATH) != content:
        # A container keeps the file that it was started with. Without one, whatever cuts us off
        # from here on, the next operation starts one with the new file.
        running.remove(machine)
        machine.ensure(ManagedFile(PATH, content, 0o600))
    return {where: PATH}


def remove_unused(machine: Machine, proxy_of: ProxyOf | None) -> None:
    """Remove the file where the registry, as it runs now, does not read it.

    :raises HostError: it cannot be removed
    """
    if proxy_of is None or proxy_of.login is None:
        machine.ensure(ManagedFile(PATH, None))


def _configuration(machine: Machine, image_id: str) -> str:
    """Return where the image reads its configuration, which 2.8 and 3 have at different places."""
    words = ("docker", "image", "inspect", "--format", "{{json .Config.Cmd}}", image_id)
    told = machine.connection.run(Command(words, _STEP), remedy=_REMEDY).stdout
    try:
        command = json.loads(told)
        path = command[-1]
        if _CONFIGURATION.fullmatch(path):
            return str(path)
    except (ValueError, LookupError, TypeError, RecursionError):
        pass
    raise HostError(machine.node, _STEP, "its command names no configuration file", _REMEDY)
