# SPDX-License-Identifier: Apache-2.0
"""Where the parts of a VNF package come from: our samples, the installed driver, ETSI's types."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Iterator
from pathlib import Path

from tacker_cir.csar.archive import CsarError

#: Where Tacker looks for management drivers.
DRIVER_GROUP = "tacker.tacker.mgmt.drivers"
#: Our drivers.
REGISTRY_DRIVER = "mgmt-drivers-private-registry"
CLUSTER_DRIVER = "mgmt-drivers-kubernetes"
#: ETSI GS NFV-SOL 001 V2.6.1 type definitions that the VNFDs import.
SOL001_FILES = ("etsi_nfv_sol001_common_types.yaml", "etsi_nfv_sol001_vnfd_types.yaml")

# Packages that install these files as data of their tests, and where.
_SHIPPED = (
    ("tackerclient", "tests/unit/osc/v1/fixture_data/sample_vnf_package/Definitions"),
    ("tacker", "tests/unit/vnfm/infra_drivers/openstack/data/etsi_nfv"),
)


def samples_dir() -> Path:
    """Return the directory of the sample VNF packages and requests.

    :raises CsarError: the installation lacks them
    """
    package = Path(__file__).resolve().parents[1]
    # In a wheel they are inside the package, in a source checkout beside it.
    candidates = (package / "samples", package.parent / "samples")
    for candidate in candidates:
        if (candidate / "private_registry_vnf_package").is_dir():
            return candidate
    raise CsarError(
        f"the sample VNF packages are in none of {', '.join(map(str, candidates))}; "
        "install tacker_cir again"
    )


def installed_driver(name: str) -> Path:
    """Return the file of an installed management driver without importing it.

    :param name: entry point, which is also the artifact's name in a VNFD
    :raises CsarError: not installed, or installed twice
    """
    found = {
        (getattr(entry.dist, "name", "unknown distribution"), entry.value)
        for entry in importlib.metadata.entry_points(group=DRIVER_GROUP, name=name)
    }
    if not found:
        raise CsarError(
            f"no installed distribution has a management driver {name!r} (entry point group "
            f"{DRIVER_GROUP}); install tacker_cir into this Python environment"
        )
    if len(found) > 1:
        listing = ", ".join(f"{value} of {dist}" for dist, value in sorted(found))
        raise CsarError(f"management driver {name!r} is installed twice ({listing}); remove one")
    ((_, value),) = found
    module = value.partition(":")[0]
    try:
        spec = importlib.util.find_spec(module)
    except ImportError as error:
        raise CsarError(f"management driver {name!r}: {module} cannot be found: {error}") from error
    if spec is None or not spec.has_location or spec.origin is None:
        raise CsarError(f"management driver {name!r}: module {module} has no file")
    return Path(spec.origin)


def sol001_definitions(directory: Path | None = None) -> dict[str, Path]:
    """Return ETSI's type definition files by name.

    :param directory: where they are; by default those that python-tackerclient, else tacker,
        installs with its tests
    :raises CsarError: not both files are there
    """
    directories = [Path(directory)] if directory is not None else list(_shipped_directories())
    for candidate in directories:
        files = {name: candidate / name for name in SOL001_FILES}
        if all(path.is_file() for path in files.values()):
            return files
    where = " and ".join(map(str, directories)) or "python-tackerclient, which is not installed"
    raise CsarError(
        f"the ETSI SOL001 2.6.1 type definitions {' and '.join(SOL001_FILES)} were not found; "
        f"looked in {where}. To do: pip install python-tackerclient, or get both files from "
        "https://forge.etsi.org/rep/nfv/SOL001 (tag v2.6.1) and name their directory with "
        "--sol001-definitions"
    )


def _shipped_directories() -> Iterator[Path]:
    for package, directory in _SHIPPED:
        spec = importlib.util.find_spec(package)
        for root in (spec.submodule_search_locations or ()) if spec else ():
            yield Path(root) / directory
