# SPDX-License-Identifier: Apache-2.0
"""What Tacker's own parser and translator say of a VNFD without a base HOT.

They are asked here, by the functions that tacker-conductor calls.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import re
import warnings
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tacker_cir.csar.finding import Finding, error
from tacker_cir.templates.flavours import Flavour
from tacker_cir.text import shown

#: Characters of what the translator says.
_TOLD = 400
#: Seconds for it: it needs two, but ends never where types derive from each other in a circle.
TIMEOUT = 60


class _AnyHeat:
    """Stands in for Heat's answer to what properties its resources have: all of them."""

    def resource_attr_support(self, _resource: str, _property: str) -> bool:
        return True


def check_translation(root: Path, flavour: Flavour) -> Iterator[Finding]:
    """Translate a flavour as an instantiation would.

    :param root: of the unpacked package
    :param flavour: one without a base HOT
    """
    problem = _problem(root, flavour.id)
    if problem is not None:
        said = shown(re.sub(r"\s+", " ", problem), _TOLD)
        where = flavour.vnfd.path
        yield error(
            where, f"Tacker cannot make a Heat template of the flavour {flavour.id}: {said}"
        )


def _problem(root: Path, flavour_id: str) -> str | None:
    """Return why it cannot be translated. It is tried in a process of its own, which can be ended,
    and whose log and warnings are nobody's."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_try, args=(theirs, root, flavour_id), daemon=True)
    with warnings.catch_warnings():
        # Newer Pythons warn of threads, of which this one has none that matters to the other.
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()
    theirs.close()
    try:
        return ours.recv() if ours.poll(TIMEOUT) else f"no end after {TIMEOUT} seconds"
    except EOFError:
        return "it ended without an answer"
    finally:
        process.kill()
        process.join()


def _try(answer: Connection, root: Path, flavour_id: str) -> None:
    logging.disable(logging.CRITICAL)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    try:
        _translate(root, flavour_id)
    # Whatever it raises, an instantiation would end in it.
    except Exception as failure:
        answer.send(f"{type(failure).__name__}: {failure}")
    else:
        answer.send(None)


def _translate(root: Path, flavour_id: str) -> None:
    from tacker import objects
    from tacker.vnflcm import utils
    from tacker.vnfm.infra_drivers.openstack.translate_template import TOSCAToHOT

    objects.register_all()
    vnfd: Any = utils._get_flavour_based_vnfd(str(root), flavour_id)
    vnfd["topology_template"]["substitution_mappings"].pop("requirements", None)
    values = utils._get_param_data(vnfd, SimpleNamespace(additional_params={}))
    utils._create_grant_request(vnfd, "package")
    vnf = utils._make_final_vnf_dict(vnfd, "id", "name", values)
    TOSCAToHOT(vnf, _AnyHeat(), None, {}).generate_hot()
