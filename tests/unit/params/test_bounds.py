# SPDX-License-Identifier: Apache-2.0
"""A request of any size and kind costs little and is answered with little."""

from __future__ import annotations

import json
import time
import tracemalloc
from typing import Any

import pytest

from tacker_cir.exceptions import SHOWN_FAULTS, Fault, InvalidRequest
from tacker_cir.params import bounds, k8s_cluster, private_registry, registry_metadata
from tests.unit.cluster_requests import MINIMUM

KEY = "private_registry_connection_info"
REGISTRY = {"connection_type": "0", "server": "192.168.0.10:5000"}
REGISTRY_VNF = {"ssh_cp_name": "CP1", "ssh_username": "u", "ssh_password": "p"}


def registry_vnf(**members: Any) -> dict[str, Any]:
    return {private_registry.KEY: {**REGISTRY_VNF, **members}}


def hosts(text: str, count: int) -> dict[str, Any]:
    return cluster(**{KEY: [REGISTRY | {"hosts_string": f"10.0.0.1{text}"}] * count})


#: Seconds of processor time, bytes of memory and characters that a refusal may take.
SECONDS, MEMORY, CHARACTERS = 20, 64 * 1024**2, 32 * 1024


def cluster(**members: Any) -> dict[str, Any]:
    return {k8s_cluster.KEY: {**MINIMUM, **members}}


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


LARGE = {
    "names in hosts_string": hosts(" a_b" * 15_000, 1),
    "short bad names": hosts(" _" * 500, 200),
    "registries": cluster(**{KEY: [{}] * 80_000}),
    "registries of many unknown keys": cluster(**{KEY: [{f"k{i}": 1 for i in range(60)}] * 250}),
    "some registries of them": cluster(**{KEY: [{f"k{i}": 1 for i in range(60)}] * 120}),
    "unknown keys": {k8s_cluster.KEY: {f"key{i}": i for i in range(15_000)}},
    "unknown parameters": {f"key{i}": i for i in range(15_000)},
    "a long key": {k8s_cluster.KEY: {"k" * 200_000: 1}},
    "a long text": cluster(vim_name="x" * 250_000),
    "ten megabytes": cluster(vim_name="x" * 10_000_000),
    "a number": cluster(vim_name=10**5000),
    "not a number": cluster(vim_name=float("nan")),
    "depth": cluster(vim_name=nested(500)),
    "more depth than Python has": cluster(vim_name=nested(100_000)),
    "another value than JSON has": cluster(vim_name={1, 2}),
    "half a character": cluster(vim_name="\ud800"),
    "no_proxy": cluster(proxy={"http_proxy": "http://a:1", "no_proxy": "a_b c," * 40_000}),
    "host keys": registry_vnf(ssh_host_keys=["x"] * 250),
    "a long host key": registry_vnf(ssh_host_keys=["ssh-rsa " + "A" * 200_000]),
    "a long image": registry_vnf(registry_image="a-" * 100_000),
    "a long private key": registry_vnf(ssh_private_key="-----BEGIN" + "A" * 200_000),
}  # fmt: skip


@pytest.mark.parametrize("given", LARGE.values(), ids=LARGE.keys())
def test_a_refusal_is_cheap_and_short(given):
    tracemalloc.start()
    began = time.process_time()
    try:
        for parse in (k8s_cluster.parse, private_registry.parse):
            with pytest.raises(InvalidRequest) as caught:
                parse(given, None)
            assert len(str(caught.value)) < CHARACTERS
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()
    assert time.process_time() - began < SECONDS


def test_a_request_that_is_large_and_right():
    """Some 200 kB: as many registries as a list may have, each with what it may have."""
    registries = [
        REGISTRY
        | {"server": f"r{i}.example:5000", "hosts_string": f"10.0.0.1 r{i}.example" + " a.b" * 200}
        for i in range(bounds.MAX_ITEMS)
    ]
    params = k8s_cluster.parse(cluster(**{KEY: registries}), None)
    assert len(params.registries) == bounds.MAX_ITEMS
    with pytest.raises(InvalidRequest, match="expected at most 256 entries; got 257"):
        k8s_cluster.parse(cluster(**{KEY: registries[:1] * 257}), None)


def test_other_members_are_not_ours_to_judge():
    given = cluster() | {"user_data": "x" * 100_000, "list": [1] * 1000}
    assert k8s_cluster.parse(given, None)


def test_of_many_faults_the_first_are_shown():
    faults = [Fault(f"a[{i:04}]", "x" * 10_000) for i in range(5000)]
    error = InvalidRequest(faults)
    assert len(error.faults) == 5000
    assert "the request has 5000 faults" in str(error)
    assert str(error).endswith(f"; and {5000 - SHOWN_FAULTS} more")
    assert f"({SHOWN_FAULTS}) a[{SHOWN_FAULTS - 1:04}]: xxx" in str(error)
    assert len(str(error)) < CHARACTERS


def test_a_fault_is_one_line_of_what_can_be_printed():
    fault = Fault("a.\x1b]0;x\x07", "b\n\u202ec\ud800")
    assert str(fault) == r"a.\x1b]0;x\x07: b \u202ec\ud800"


def test_metadata_have_bounds_too():
    for value in (
        json.dumps([REGISTRY] * 300),
        "[" * 500 + "]" * 500,
        "[" * 100_000,
        '["' + "x" * 20_000 + '"]',
        "[" + "9" * 5000 + "]",
        "x" * 10_000_000,
    ):
        with pytest.raises(InvalidRequest) as caught:
            registry_metadata.read({KEY: value})
        assert len(str(caught.value)) < CHARACTERS
