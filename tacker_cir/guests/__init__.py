# SPDX-License-Identifier: Apache-2.0
"""The systems of machines that are supported, one file a family.

Nothing here touches a machine; what is done with a family's package manager is in
:mod:`tacker_cir.host.packages`.
"""

from __future__ import annotations

from collections.abc import Mapping

from tacker_cir.guests.base import Guest
from tacker_cir.guests.debian import Debian

__all__ = ["GUESTS", "SUPPORTED", "Guest", "of"]

GUESTS: Mapping[str, Guest] = {g.name: g for g in (Debian(),)}

#: In words, by ID and VERSION_ID of os-release(5).
SUPPORTED = {release: name for g in GUESTS.values() for release, name in g.releases.items()}


def of(os_release: Mapping[str, str]) -> Guest | None:
    """Return the family of a system, None where it is none that was tried.

    :param os_release: content of its /etc/os-release
    """
    found = (os_release.get("ID", ""), os_release.get("VERSION_ID", ""))
    return next((guest for guest in GUESTS.values() if found in guest.releases), None)
