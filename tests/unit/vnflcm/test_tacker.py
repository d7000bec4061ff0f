# SPDX-License-Identifier: Apache-2.0
"""What passes here, Tacker's API does not refuse: judged by its own schemas and objects."""

import copy
from types import SimpleNamespace

import jsonschema
import pytest
from tacker import objects
from tacker.api.schemas import vnf_lcm as tacker_schemas
from tacker.api.validation import validators as _registers_formats  # noqa: F401
from tacker.common.utils import convert_camelcase_to_snakecase

from tacker_cir.vnflcm import find_request_faults
from tests.unit.vnflcm.conftest import sample
from tests.unit.vnflcm.test_instantiate import fixed

objects.register_all()

ADDRESSES = sample("instantiate_private_registry_all_options")
LONG = sample("instantiate_kubernetes_complex") | {"instantiationLevelId": "one_worker"}
LONG["extVirtualLinks"][0]["extCps"][2]["cpConfig"] = fixed("192.0.2.7")
BODIES = {
    "instantiate": [LONG, ADDRESSES],
    "scale": [sample("scale_out_workers") | {"additionalParams": {"is_reverse": "True"}}],
    "heal": [sample("heal_vnfc")],
    "terminate": [sample("terminate") | {"gracefulTerminationTimeout": 1, "additionalParams": {}}],
    "update": [
        {
            "vnfInstanceName": "a",
            "vnfInstanceDescription": "b",
            "vnfdId": "1a5d9f5e-1f0f-4d0f-8f0f-0f0f0f0f0f0f",
            "metadata": {"a": "b"},
            "vimConnectionInfo": LONG["vimConnectionInfo"],
        }
    ],
}
VALUES = (None, "", [], {}, 0, -1, 1.5, True, "x", "x" * 256, "x" * 1025, [1], {"a": 1}, ["x"])
OURS = "k8s_cluster_installation_param", "private_registry_installation_param"


def variants(value):
    """Yield a document with each of its values left out or replaced by each of VALUES."""
    members = value.items() if isinstance(value, dict) else enumerate(value)
    for key, member in list(members):
        if key in OURS:
            continue
        for other in VALUES:
            yield _replaced(value, key, other)
        left = copy.deepcopy(value)
        del left[key]
        yield left
        if isinstance(member, dict | list):
            for inner in variants(member):
                yield _replaced(value, key, inner)


def _replaced(value, key, other):
    found = copy.deepcopy(value)
    found[key] = other
    return found


@pytest.mark.parametrize("kind", BODIES)
def test_what_passes_here_tacker_takes(kind):
    checker = jsonschema.FormatChecker()
    validator = jsonschema.Draft7Validator(getattr(tacker_schemas, kind), format_checker=checker)
    passed = 0
    for body in BODIES[kind]:
        assert find_request_faults(body, None, kind) == []
        for other in variants(body):
            if find_request_faults(other, None, kind) == []:
                passed += 1
                assert list(validator.iter_errors(other)) == [], other
                _made_an_object(kind, other)
    assert passed > 3


def _made_an_object(kind, body):
    """As Tacker's controller does; it does so with no update."""
    data, context = convert_camelcase_to_snakecase(copy.deepcopy(body)), SimpleNamespace()
    if kind == "heal":
        objects.HealVnfRequest(context=context, **data)
    elif kind != "update":
        name = f"{kind.capitalize()}VnfRequest"
        getattr(objects, name).obj_from_primitive(data, context)
