# SPDX-License-Identifier: Apache-2.0
"""Real machines for the lab: systemd-nspawn containers on a network of their own."""

from tests.lab.machines.host import LabError
from tests.lab.machines.lab import MachineLab

__all__ = ["LabError", "MachineLab"]
