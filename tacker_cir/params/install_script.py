# SPDX-License-Identifier: Apache-2.0
"""Whether a file of the VNF package is an install script that the driver can use."""

from __future__ import annotations

import re

#: How the script is called and answers; written in it, so that another one is refused in time.
PROTOCOL = 1
_PROTOCOL_LINE = re.compile(r"^readonly NODE_SCRIPT_PROTOCOL=([0-9]+)$", re.MULTILINE)
_RUNTIMES_LINE = re.compile(r"^readonly NODE_SCRIPT_RUNTIMES=\(([a-z0-9 -]*)\)$", re.MULTILINE)
# Of scripts that were made before they had to tell it.
_FIRST_RUNTIMES = ("docker", "containerd")


def find_script_fault(text: str, runtime: str | None = None) -> str | None:
    """Return why a text is not a script that can be used here, None where it is one.

    :param runtime: name of the container runtime that it has to install; None if that is not known
    """
    found = _PROTOCOL_LINE.search(text)
    if found is None:
        return (
            "is not an install script of tacker_cir (it has no line 'readonly "
            f"NODE_SCRIPT_PROTOCOL={PROTOCOL}'); take the one of its sample package"
        )
    if int(found[1]) != PROTOCOL:
        return f"is for another tacker_cir: its NODE_SCRIPT_PROTOCOL is {found[1]}, not {PROTOCOL}"
    known = _runtimes(text)
    if runtime is not None and runtime not in known:
        return (
            f"does not install container_runtime {runtime}, only {' and '.join(known) or 'none'} "
            "(its NODE_SCRIPT_RUNTIMES); take the one of tacker_cir's sample package"
        )
    return None


def _runtimes(text: str) -> tuple[str, ...]:
    """Return the names of the container runtimes that a script knows."""
    found = _RUNTIMES_LINE.search(text)
    return tuple(found[1].split()) if found else _FIRST_RUNTIMES
