# SPDX-License-Identifier: Apache-2.0
"""Builds VNF packages (CSAR, ETSI SOL004) that Tacker onboards, and checks given ones.

What Tacker demands of a package is taken from Tacker 16.0.0: ``tacker.common.csar_utils`` (upload),
``tacker.vnflcm.vnflcm_driver`` (the driver file in the package equals the installed one) and
``tacker.vnflcm.utils`` (the VNFD as the life-cycle operations read it).
"""

from tacker_cir.csar.archive import CsarError, Entry
from tacker_cir.csar.build import Csar, build_kubernetes, build_private_registry
from tacker_cir.csar.finding import Finding, PackageFaults
from tacker_cir.csar.sources import installed_driver, samples_dir, sol001_definitions
from tacker_cir.csar.unpacking import unpack
from tacker_cir.csar.verify import verify

__all__ = [
    "Csar",
    "CsarError",
    "Entry",
    "Finding",
    "PackageFaults",
    "build_kubernetes",
    "build_private_registry",
    "installed_driver",
    "samples_dir",
    "sol001_definitions",
    "unpack",
    "verify",
]
