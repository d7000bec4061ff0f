# SPDX-License-Identifier: Apache-2.0
"""What Tacker's own parser and translator say of a package.

They are asked here, by the functions that tacker-conductor calls when a package is uploaded and a
VNF instantiated: what they refuse is a fault, whatever it is.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
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


def check_by_tacker(root: Path, entry: str, flavours: Mapping[str, Flavour]) -> Iterator[Finding]:
    """Read a package as its upload would, and its flavours as an instantiation would.

    :param root: of the unpacked package
    :param entry: path of the top-level template in it
    :param flavours: by their ids
    """
    # What is wrong with a flavour the parser would say of the top-level template as well.
    found = [finding for flavour in flavours.values() for finding in _check(root, flavour)]
    yield from found
    problem = None if found else _problem(_parse, str(root / entry))
    if problem is not None:
        yield error(entry, f"Tacker cannot read the VNFD: {problem}")


def _check(root: Path, flavour: Flavour) -> Iterator[Finding]:
    instantiate = _translate if flavour.hot is None else _count
    problem = _problem(instantiate, str(root), flavour.id)
    if problem is not None:
        verb = "make a Heat template of" if flavour.hot is None else "instantiate"
        yield error(flavour.vnfd.path, f"Tacker cannot {verb} the flavour {flavour.id}: {problem}")


def _problem(attempt: Callable[..., object], *arguments: str) -> str | None:
    """Return why something cannot be done. It is tried in a process of its own, which can be ended,
    and whose log and warnings are nobody's."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_try, args=(theirs, attempt, arguments), daemon=True)
    with warnings.catch_warnings():
        # Newer Pythons warn of threads, of which this one has none that matters to the other.
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()
    theirs.close()
    try:
        said = ours.recv() if ours.poll(TIMEOUT) else f"no end after {TIMEOUT} seconds"
        return None if said is None else shown(re.sub(r"\s+", " ", said), _TOLD)
    except EOFError:
        return "it ended without an answer"
    finally:
        process.kill()
        process.join()


def _try(answer: Connection, attempt: Callable[..., object], arguments: tuple[str, ...]) -> None:
    logging.disable(logging.CRITICAL)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    try:
        attempt(*arguments)
    # Whatever it raises, the upload or an instantiation would end in it.
    except Exception as failure:
        answer.send(f"{type(failure).__name__}: {failure}")
    else:
        answer.send(None)


def _parse(entry: str) -> None:
    from tacker.common import csar_utils
    from tacker.tosca import utils
    from toscaparser.tosca_template import ToscaTemplate

    tosca = ToscaTemplate(entry, None, True, local_defs=utils.tosca_tmpl_local_defs())
    csar_utils._validate_sw_image_data_for_artifacts(tosca)


def _flavour(root: str, flavour_id: str) -> Any:
    """Return a flavour's VNFD as Tacker hands it to its other functions."""
    from tacker import objects
    from tacker.vnflcm import utils

    objects.register_all()
    vnfd: Any = utils._get_flavour_based_vnfd(root, flavour_id)
    vnfd["topology_template"]["substitution_mappings"].pop("requirements", None)
    return vnfd


def _translate(root: str, flavour_id: str) -> None:
    from tacker.vnflcm import utils
    from tacker.vnfm.infra_drivers.openstack.translate_template import TOSCAToHOT

    vnfd = _flavour(root, flavour_id)
    values = utils._get_param_data(vnfd, SimpleNamespace(additional_params={}))
    utils._create_grant_request(vnfd, "package")
    vnf = utils._make_final_vnf_dict(vnfd, "id", "name", values)
    TOSCAToHOT(vnf, _AnyHeat(), None, {}).generate_hot()


def _count(root: str, flavour_id: str) -> None:
    """Have Tacker count a flavour's VMs, which it does with a base HOT as well."""
    from tacker.vnflcm import utils

    vnfd = _flavour(root, flavour_id)
    utils._create_grant_request(vnfd, "package")
    utils._get_compute_nodes(vnfd, SimpleNamespace(instantiation_level_id=None))
