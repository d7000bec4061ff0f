# SPDX-License-Identifier: Apache-2.0
"""What a cluster knows of itself, from kubectl's output, and whether Tacker's account is right."""

from __future__ import annotations

import base64
import copy
import json

import pytest

from tacker_cir.cluster import credentials
from tacker_cir.cluster.state import glance, parse
from tests.certificates import Authority

TOKEN, CA = "MARK.claims.signature", Authority("kubernetes").pem

NODES = {
    "kind": "List",
    "items": [
        {
            "metadata": {"name": name, "labels": {}},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        }
        for name in ("master-1", "worker-1")
    ],
}


def encoded(**values: str) -> dict[str, str]:
    return {k.replace("_", "."): base64.b64encode(v.encode()).decode() for k, v in values.items()}


def account() -> dict[str, dict]:
    """The account as the API server shows it: with more than was given."""
    objects = {}
    for item in copy.deepcopy(credentials.admin_manifest()["items"]):
        item["metadata"] |= {"uid": "1", "resourceVersion": "2"}
        if item["kind"] == "Secret":
            item["data"] = encoded(token=TOKEN, ca_crt=CA)
        objects[f"{item['kind']}/{item['metadata']['name']}"] = item
    return objects


def test_nodes_and_objects_are_found():
    notes = {"kind": "ConfigMap", "metadata": {"name": "tacker-cir"}}
    state = parse(f"{json.dumps(NODES)}\n{json.dumps({'kind': 'List', 'items': [notes]})}\n")
    assert sorted(state.nodes) == ["master-1", "worker-1"] and state.nodes["master-1"].ready
    assert state.objects == {"ConfigMap/tacker-cir": notes}
    # kubectl prints an object by itself where only one is found.
    assert parse(f"{json.dumps(NODES)}\n{json.dumps(notes)}").objects == state.objects
    # Of another namespace before the cluster's own.
    other = {"kind": "ConfigMap", "metadata": {"name": "local-registry-hosting"}}
    state = parse(f"{json.dumps(NODES)}\n{json.dumps(other)}\n{json.dumps(notes)}\n")
    assert list(state.objects) == ["ConfigMap/local-registry-hosting", "ConfigMap/tacker-cir"]


@pytest.mark.parametrize(
    "text",
    ["", "{}", json.dumps(NODES), json.dumps(NODES)[:-1], "[] []", "1 2", '{"items": [1]} {}',
     '{"items": []} {"kind": "List"}', '{"items": []} {"kind": "List", "items": [{}]}',
     "The connection to the server was refused\n"],
)  # fmt: skip
def test_what_is_not_whole_is_not_known(text):
    assert parse(text) is None


def test_the_token_is_no_part_of_what_is_shown():
    secret = {"kind": "Secret", "metadata": {"name": "x"}, "data": encoded(token="MARK")}
    state = parse(f"{json.dumps(NODES)} {json.dumps(secret)}")
    assert encoded(token="MARK")["token"] not in repr(state)
    assert glance("/marker").confidential


def test_an_account_that_is_right_is_used():
    token, ca = credentials.known_admin_token(account())
    assert (token.reveal(), ca) == (TOKEN, CA)


def test_an_account_that_lacks_something_is_made_again():
    for name in account():
        objects = account()
        del objects[name]
        assert credentials.known_admin_token(objects) is None
    binding = "ClusterRoleBinding/tacker-cir-admin"
    secret = "Secret/tacker-cir-admin-token"
    for name, key, value in (
        (binding, "roleRef", {"kind": "ClusterRole", "name": "view"}),
        (binding, "subjects", []),
        (binding, "subjects", None),
        (secret, "type", "Opaque"),
        (secret, "data", None),
        (secret, "data", encoded(token=TOKEN)),
        (secret, "data", encoded(ca_crt=CA)),
        (secret, "data", encoded(token=TOKEN, ca_crt="")),
        (secret, "data", encoded(token=TOKEN, ca_crt="None")),
        (secret, "data", encoded(token=TOKEN + "\n", ca_crt=CA)),
        (secret, "data", {"token": "/w==", "ca.crt": "Q0E="}),
    ):
        objects = account()
        objects[name][key] = value
        assert credentials.known_admin_token(objects) is None, (name, key, value)
