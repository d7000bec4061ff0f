# SPDX-License-Identifier: Apache-2.0
"""Real machines for the lab: systemd-nspawn containers on a network of their own."""

from tests.testbed.machines.host import LabError
from tests.testbed.machines.lab import MachineLab

__all__ = ["LabError", "MachineLab"]
