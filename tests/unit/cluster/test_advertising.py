# SPDX-License-Identifier: Apache-2.0
"""When a registry is advertised, when no longer, and whose object stays as it is."""

from __future__ import annotations

import json

import pytest

from tacker_cir.cluster.advertising import OBJECT, ensure_advertised
from tacker_cir.cluster.kubectl import Kubectl
from tacker_cir.exceptions import CommandFailed, HostError
from tacker_cir.params.registry_connection import RegistryConnection
from tacker_cir.render.local_registry import config_map
from tests.unit.answering import Answering

PLAIN = RegistryConnection("10.0.0.1:5000", https=False)
TOLD = RegistryConnection("10.0.0.5:443", https=True, advertise=True)
READ, WRITE, TAKE = (
    "read configmap local-registry-hosting",
    "advertise the registry",
    "withdraw the registry",
)
FOREIGN = {"metadata": {"name": "local-registry-hosting"}, "data": {}}


def others(**metadata):
    return {**FOREIGN, "metadata": {**FOREIGN["metadata"], **metadata}}


def ensure(registries, found, *, known=True, **answers):
    connection = Answering({READ: "" if found is None else json.dumps(found), **answers})
    objects = {} if found is None else {OBJECT: found}
    kubectl = Kubectl(connection, timeout=1)
    ensure_advertised(kubectl, registries, objects if known else None)
    return connection


@pytest.mark.parametrize("known", [True, False])
def test_it_is_written_and_left_alone_and_taken_away(known):
    asked = [] if known else [READ]
    connection = ensure([PLAIN, TOLD], None, known=known)
    assert connection.taken() == [*asked, WRITE]
    assert json.loads(connection.inputs[-1]) == config_map("10.0.0.5:443")
    assert ensure([PLAIN, TOLD], config_map("10.0.0.5:443"), known=known).taken() == asked
    assert ensure([TOLD], config_map("10.0.0.4:443"), known=known).taken() == [*asked, WRITE]
    connection = ensure([PLAIN], config_map("10.0.0.5:443"), known=known)
    assert connection.taken() == [*asked, TAKE]
    words = " ".join(connection.asked[-1].argv)
    assert words.endswith(
        "delete configmap --namespace=kube-public --selector=app.kubernetes.io/"
        "managed-by=tacker-cir --field-selector=metadata.name=local-registry-hosting"
    )
    assert ensure([PLAIN], None, known=known).taken() == asked


@pytest.mark.parametrize(
    "found",
    [
        FOREIGN,
        others(labels=None),
        others(labels={}),
        others(labels={"app.kubernetes.io/managed-by": "tilt"}),
        {**others(), "data": config_map("10.0.0.5:443")["data"]},
    ],
)
def test_what_others_wrote_stays_and_is_told(found, caplog):
    assert ensure([PLAIN], found).taken() == []
    assert caplog.text == ""
    assert ensure([TOLD], found).taken() == []
    assert "registry 10.0.0.5:443 is not advertised" in caplog.text
    assert "kube-public/local-registry-hosting is there, written by somebody else" in caplog.text


@pytest.mark.parametrize("data", [None, {}, {"localRegistryHosting.v1": "x"}])
def test_what_was_changed_in_ours_is_written_again(data):
    changed = {**config_map("10.0.0.5:443"), "data": data}
    assert ensure([TOLD], changed).taken() == [WRITE]


def test_what_others_add_to_ours_is_no_difference():
    ours = config_map("10.0.0.5:443")
    ours["data"]["theirs"] = "x"
    ours["metadata"]["labels"] = {**ours["metadata"]["labels"], "theirs": "x"}
    assert ensure([TOLD], ours).taken() == []


@pytest.mark.parametrize("found", [{}, {"metadata": {"labels": 1}}, others(labels=["x"])])
def test_an_answer_that_is_none(found):
    with pytest.raises(HostError, match="read configmap local-registry-hosting"):
        ensure([TOLD], found)


@pytest.mark.parametrize(("registries", "step"), [([TOLD], WRITE), ([PLAIN], TAKE)])
def test_a_failure_names_the_step(registries, step):
    with pytest.raises(CommandFailed, match=step):
        ensure(registries, config_map("10.0.0.4:443"), **{step: 1})
