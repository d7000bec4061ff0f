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
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tacker_cir.csar.finding import Finding, error
from tacker_cir.templates.flavours import Flavour
from tacker_cir.text import shown
from tacker_cir.waiting import Deadline

#: Characters of what the translator says.
_TOLD = 400
#: Seconds for all of it: it needs five, and has no end where types derive from each other.
TIMEOUT = 60

#: A function of this module and its arguments.
_Attempt = tuple[Callable[..., None], tuple[str, ...]]


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
    attempts: list[_Attempt] = [
        (_count if flavour.hot else _translate, (str(root), flavour.id))
        for flavour in flavours.values()
    ]
    *problems, unread = _problems([*attempts, (_parse, (str(root / entry),))])
    for flavour, problem in zip(flavours.values(), problems, strict=True):
        if problem is not None:
            verb = "instantiate" if flavour.hot else "make a Heat template of"
            said = f"Tacker cannot {verb} the flavour {flavour.id}: {problem}"
            yield error(flavour.vnfd.path, said)
    # What is wrong with a flavour the parser says of the top-level template as well.
    if unread is not None and not any(problems):
        yield error(entry, f"Tacker cannot read the VNFD: {unread}")


def _problems(attempts: Sequence[_Attempt]) -> list[str | None]:
    """Return of each attempt why it fails. They are made in a process of their own, which can be
    ended, and whose log and warnings are nobody's."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_try, args=(theirs, attempts), daemon=True)
    with warnings.catch_warnings():
        # Newer Pythons warn of threads, of which this one has none that matters to the other.
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()
    theirs.close()
    try:
        deadline = Deadline(TIMEOUT)
        return [_answer(ours, deadline) for _ in attempts]
    finally:
        process.kill()
        process.join()


def _answer(connection: Connection, deadline: Deadline) -> str | None:
    try:
        if not connection.poll(deadline.remaining):
            return f"no end after {deadline.seconds:.0f} seconds"
        said = connection.recv()
    except EOFError:
        return "it ended without an answer"
    return None if said is None else shown(re.sub(r"\s+", " ", said), _TOLD)


def _try(answers: Connection, attempts: Sequence[_Attempt]) -> None:
    logging.disable(logging.CRITICAL)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    for attempt, arguments in attempts:
        try:
            attempt(*arguments)
        # Whatever it raises, the upload or an instantiation would end in it.
        except Exception as failure:
            answers.send(f"{type(failure).__name__}: {failure}")
        else:
            answers.send(None)


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
