# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a VNF package."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tacker_cir.csar.archive import CsarError


@dataclass(frozen=True)
class Finding:
    """Something that is wrong with a VNF package.

    :param level: ``error`` where Tacker refuses the package or an operation will fail, ``warning``
        where that depends on the conductor's host
    :param where: path in the package
    :param message: what is wrong, and what to do
    """

    level: Literal["error", "warning"]
    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


def warning(where: str, message: object) -> Finding:
    """Return what depends on something that cannot be seen here."""
    return Finding("warning", where, str(message))


def error(where: str, message: object) -> Finding:
    """Return what will fail."""
    return Finding("error", where, str(message))


class PackageFaults(CsarError):
    """A package would be refused, or fail when it is used; it was not written.

    :param findings: every error that was found
    """

    def __init__(self, findings: Sequence[Finding]):
        self.findings = tuple(findings)
        super().__init__("the VNF package has faults: " + "; ".join(map(str, findings)))
