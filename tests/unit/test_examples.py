# SPDX-License-Identifier: Apache-2.0
"""Examples of README, guide, samples and messages go together, and with the defaults."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path

import pytest

from tacker_cir.params.k8s_cluster import DEFAULT_CLUSTER_CIDR, DEFAULT_POD_CIDR

ROOT = Path(__file__).resolve().parents[2]
TEXTS = [
    ROOT / "README.md",
    *sorted((ROOT / "doc" / "source").rglob("*.rst")),
    *sorted((ROOT / "samples").rglob("*.*")),
    *sorted((ROOT / "tacker_cir" / "params").glob("*_schema.py")),
]
_ADDRESS = re.compile(r"(?<![\d./])(\d{1,3}(?:[.-]\d{1,3}){3})(?![\d./])")
_ARCHIVE = re.compile(r"(?:--image |Files/images/|docker save -o )([\w-]+\.tar)")


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", TEXTS, ids=_name)
def test_no_machine_has_an_address_of_the_default_networks_of_pods_and_services(path):
    found = _ADDRESS.findall(path.read_text())
    addresses = {ipaddress.ip_address(text.replace("-", ".")) for text in found}
    inside = [a for a in addresses if a in DEFAULT_POD_CIDR or a in DEFAULT_CLUSTER_CIDR]
    assert inside == []


def test_an_archive_has_one_name():
    names = {name for path in TEXTS for name in _ARCHIVE.findall(path.read_text())}
    # Beside it stands the one of the cluster's images.
    assert names == {"private_registry.tar", "kube.tar"}
