# SPDX-License-Identifier: Apache-2.0
"""Whether a file of the VNF package is an install script that the driver can use."""

from __future__ import annotations

import re

#: How the script is called and answers; written in it, so that another one is refused in time.
PROTOCOL = 1
_PROTOCOL_LINE = re.compile(r"^readonly NODE_SCRIPT_PROTOCOL=([0-9]+)$", re.MULTILINE)


def find_script_fault(text: str) -> str | None:
    """Return why a text is not a script that can be used here, None where it is one."""
    found = _PROTOCOL_LINE.search(text)
    if found is None:
        return (
            "is not an install script of tacker_cir (it has no line 'readonly "
            f"NODE_SCRIPT_PROTOCOL={PROTOCOL}'); take the one of its sample package"
        )
    if int(found[1]) != PROTOCOL:
        return f"is for another tacker_cir: its NODE_SCRIPT_PROTOCOL is {found[1]}, not {PROTOCOL}"
    return None
