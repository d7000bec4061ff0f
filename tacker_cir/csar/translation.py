# SPDX-License-Identifier: Apache-2.0
"""What Tacker's own parser and translator say of a VNFD without a base HOT.

They are asked here, by the functions that tacker-conductor calls, and with what they say to the log
and to standard error kept from the user: the same comes back as findings.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tacker_cir.csar.finding import Finding, error
from tacker_cir.templates.flavours import Flavour
from tacker_cir.text import shown

#: Characters of what the translator says.
_TOLD = 400


class _AnyHeat:
    """Stands in for Heat's answer to what properties its resources have: all of them."""

    def resource_attr_support(self, _resource: str, _property: str) -> bool:
        return True


def check_translation(root: Path, flavour: Flavour) -> Iterator[Finding]:
    """Translate a flavour as an instantiation would.

    :param root: of the unpacked package
    :param flavour: one without a base HOT
    """
    try:
        with _quiet():
            _translate(root, flavour.id)
    # Whatever it raises, an instantiation would end in it.
    except Exception as failure:
        said = re.sub(r"\s+", " ", str(failure)) or "no more is said"
        yield error(
            flavour.vnfd.path,
            f"Tacker cannot make a Heat template of the flavour {flavour.id}: "
            f"{type(failure).__name__}: {shown(said, _TOLD)}",
        )


def _translate(root: Path, flavour_id: str) -> None:
    from tacker.vnflcm import utils
    from tacker.vnfm.infra_drivers.openstack.translate_template import TOSCAToHOT

    vnfd: Any = utils._get_flavour_based_vnfd(str(root), flavour_id)
    vnfd["topology_template"]["substitution_mappings"].pop("requirements", None)
    values = utils._get_param_data(vnfd, SimpleNamespace(additional_params={}))
    utils._create_grant_request(vnfd, "package")
    vnf = utils._make_final_vnf_dict(vnfd, "id", "name", values)
    TOSCAToHOT(vnf, _AnyHeat(), None, {}).generate_hot()


@contextmanager
def _quiet() -> Iterator[None]:
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
