# SPDX-License-Identifier: Apache-2.0
"""containerd: what requests may ask of it, and what a machine tells of it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from tacker_cir.runtimes.base import Runtime, Services, decoded

# Of whatever length a line is, this looks at a bounded part of it.
_VERSION = re.compile(r"(?<![0-9.])[0-9]{1,6}\.[0-9]{1,6}\.[0-9]{1,6}(?![0-9])")
_KEEP = 4096


@dataclass
class ContainerdState(Services):
    """What a machine tells of containerd.

    :param containerd: its version without what packagers add, e.g. ``1.6.20``; "" without one
    :param containerd_config_file: the one that its unit names; "" for the usual one
    :param containerd_dump: its configuration in effect, if asked for; "" where it tells none
    """

    containerd: str = ""
    containerd_config_file: str = ""
    containerd_dump: str = field(default="", repr=False)


def _note_state(facts: ContainerdState, rest: str) -> None:
    active, enabled, version = rest.split("\t")
    facts.note_service("containerd", active, enabled)
    found = _VERSION.search(version[:_KEEP])
    facts.containerd = found.group() if found else ""


def _note_settings(facts: ContainerdState, rest: str) -> None:
    facts.containerd_config_file, dump = rest.split("\t")
    facts.containerd_dump = decoded(dump)


class Containerd(Runtime):
    """containerd, to which the kubelet speaks by its CRI."""

    name, title = "containerd", "containerd"
    socket = "/run/containerd/containerd.sock"
    program = "containerd"
    state = r"""
  printf 'containerd\t%s\t%s\t%s\n' "$(systemctl is-active containerd)" \
    "$(systemctl is-enabled containerd)" "$(containerd --version)"
"""
    settings = r"""
      file=$(systemctl show --value --property=ExecStart containerd.service |
        sed -n -E 's/.*[[:space:]](--config|-c)[=[:space:]]+([^[:space:];]+).*/\2/p')
      printf 'containerd-config\t%s\t%s\n' "$file" \
        "$(containerd ${file:+--config "$file"} config dump 2>/dev/null | base64 -w 0)"
"""
    notes = {"containerd": _note_state, "containerd-config": _note_settings}
