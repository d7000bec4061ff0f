# SPDX-License-Identifier: Apache-2.0
"""The deployment flavours of a VNF package, each with its VNFD and its base HOT."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tacker_cir.templates.hot import BaseHot, read_base_hots
from tacker_cir.templates.vnfd import FlavourVnfd


@dataclass(frozen=True)
class Flavour:
    """A deployment flavour.

    :param id: ``flavourId`` of a request
    :param hot: None where Tacker makes the template from the VNFD
    """

    id: str
    vnfd: FlavourVnfd
    hot: BaseHot | None

    def count(self, aspect: str | None, level: str | None = None) -> int | None:
        """Return how many members an aspect's group has at an instantiation, None where that
        cannot be told.

        :param level: instantiation level; None for the default
        """
        counts = [
            self.vnfd.count(vdu, level)
            for vdu in self.vnfd.vdus
            if aspect is not None and self.vnfd.aspect_of(vdu) == aspect
        ]
        return max((count for count in counts if count is not None), default=None)


def read_flavours(templates: Mapping[str, Any]) -> dict[str, Flavour]:
    """Return the flavours by their ids.

    :param templates: decoded YAML files by path in the package
    """
    hots = read_base_hots(templates)
    found: dict[str, Flavour] = {}
    for path, document in templates.items():
        # As Tacker looks for them: in the top directory and the directories in it.
        if path.count("/") < 2:
            vnfd = FlavourVnfd(path, document)
            if vnfd.id is not None:
                found.setdefault(vnfd.id, Flavour(vnfd.id, vnfd, hots.get(vnfd.id)))
    return found
