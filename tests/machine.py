# SPDX-License-Identifier: Apache-2.0
"""A machine as the steps are given it, for all tests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from oslo_config import cfg

from tacker_cir import config
from tacker_cir.config import TimeLimits
from tacker_cir.facts import Facts
from tacker_cir.host.machine import Machine

#: What /etc/os-release of a guest says, as far as it is looked at.
DEBIAN_12 = {"ID": "debian", "VERSION_ID": "12", "VERSION_CODENAME": "bookworm"}
#: What a configuration without any option says.
LIMITS = TimeLimits.of(config.register_opts(cfg.ConfigOpts()))


def limits(**others: float) -> TimeLimits:
    """Return time limits, those that are not given as in a configuration without any option."""
    return replace(LIMITS, **others)


def machine(connection: Any, facts: Facts | None = None, **others: float) -> Machine:
    """Return a machine.

    :param connection: to it, or what stands in for one
    :param facts: what it has; None for nothing
    :param others: time limits, as for :func:`limits`
    """
    return Machine(connection, Facts() if facts is None else facts, limits(**others))
