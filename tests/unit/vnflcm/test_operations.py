# SPDX-License-Identifier: Apache-2.0
"""The other requests, what tells them apart, and what is of another version of the API."""

import pytest

from tacker_cir.vnflcm import find_request_faults
from tacker_cir.vnflcm.kinds import kind_of
from tests.unit.vnflcm.conftest import sample

SCALE = {"type": "SCALE_OUT", "aspectId": "worker_instance"}
REGISTRY = {"connection_type": "0", "server": "192.0.2.10:5000"}


def faults(body, package=None, kind=None):
    return {fault.path: fault.problem for fault in find_request_faults(body, package, kind)}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("instantiate_kubernetes_complex", "instantiate"),
        ("instantiate_private_registry", "instantiate"),
        ("scale_out_workers", "scale"),
        ("scale_in_workers", "scale"),
        ("heal_vnf", "heal"),
        ("heal_vnfc", "heal"),
        ("terminate", "terminate"),
    ],
)
def test_the_members_tell_the_samples_apart(name, kind, cluster_package):
    assert kind_of(sample(name)) == kind
    if kind != "instantiate":
        assert faults(sample(name), cluster_package) == {}


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"metadata": {}}, "update"),
        ({"vnfInstanceName": "x"}, "update"),
        ({"vimConnectionInfo": []}, None),
        ({"aspectID": "x"}, "scale"),
        ({"flavorId": "simple"}, "instantiate"),
        ({"additionalParams": {"k8s_cluster_instalation_param": {}}}, "instantiate"),
        ({"additionalParams": {}}, None),
        (SCALE | {"additionalParams": {"k8s_cluster_installation_param": {}}}, "scale"),
        ({}, None),
        ({"colour": 1}, None),
    ],
)
def test_few_members_are_enough(body, kind):
    assert kind_of(body) == kind


@pytest.mark.parametrize(
    ("body", "path", "problem"),
    [
        (SCALE | {"aspectId": "workers"}, "aspectId", "did you mean worker_instance?"),
        (SCALE | {"aspectId": "master_instance"}, "aspectId", "does not scale (max_scale_level 0)"),
        (SCALE | {"numberOfSteps": 10}, "numberOfSteps", "expected at most 9"),
        (SCALE | {"numberOfSteps": 0}, "numberOfSteps", "from 1 on; got 0"),
        (SCALE | {"numberOfSteps": "1"}, "numberOfSteps", "from 1 on; got '1'"),
        (SCALE | {"type": "OUT"}, "type", 'expected "SCALE_OUT" or "SCALE_IN"'),
        (SCALE | {"steps": 1}, "steps", "unknown key"),
        (SCALE | {"additionalParams": {"a": 1}}, "additionalParams.a", "has no effect"),
        ({"vnfcInstanceId": ["x"]}, "vnfcInstanceId[0]", "a UUID"),
        ({"vnfcInstanceId": []}, "vnfcInstanceId", "to heal the entire VNF; got an empty list"),
        ({"vnfcInstanceId": "x"}, "vnfcInstanceId", "expected a list"),
        ({"cause": "x", "healScript": "y"}, "healScript", "unknown key"),
        ({"terminationType": "KIND"}, "terminationType", '"GRACEFUL" or "FORCEFUL"'),
        ({"gracefulTerminationTimeout": 1}, "terminationType", "is missing"),
        (
            {"terminationType": "FORCEFUL", "gracefulTerminationTimeout": 1},
            "gracefulTerminationTimeout",
            "GRACEFUL only",
        ),
        ({"vnfdId": "x"}, "vnfdId", "a UUID"),
        ({"metadata": {"a": "x" * 1025}}, "metadata.a", "at most 1024 characters"),
        ({"metadata": {"a!": "x"}}, "metadata", "names of letters"),
        (
            {"metadata": {"private_registry_connection_info": "192.0.2.10:5000"}},
            "metadata.private_registry_connection_info",
            "written as JSON in one string",
        ),
        (
            {"metadata": {"private-registry-connection-info": "[]"}},
            "metadata.private-registry-connection-info",
            "is not read",
        ),
        (
            {"metadata": {"private_registry_connection_info": '[{"server": "a/b"}]'}},
            "metadata.private_registry_connection_info[0].server",
            "without a path",
        ),
        (
            {"metadata": {"private_registry_connection_info": '[{"server": "a.b"}]'}},
            "metadata.private_registry_connection_info[0].connection_type",
            "is missing",
        ),
    ],
)
def test_faults_of_each_request(body, path, problem, cluster_package):
    found = faults(body, cluster_package)
    assert problem in found.get(path, ""), found


def test_paths_of_an_update_lead_into_the_package(cluster_package):
    text = '[{"connection_type": "1", "server": "a.b", "certificate_path": "Files/ca.crt"}]'
    body = {"metadata": {"private_registry_connection_info": text}}
    assert faults(body) == {}
    path = "metadata.private_registry_connection_info[0].certificate_path"
    assert faults(body, cluster_package) == {path: "'Files/ca.crt' is not in the VNF package"}


def test_a_registry_does_not_scale(registry_package):
    assert "the VNF does not scale" in faults(SCALE, registry_package)["aspectId"]


def test_a_key_that_is_taken_away():
    assert faults({"metadata": {"private_registry_connection_info": None}}) == {}


V2 = "of version 2 of the API; a VNF of these drivers has version 1 (/vnflcm/v1)"


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (lambda body: body.update(vimConnectionInfo={"vim1": {}}), "vimConnectionInfo"),
        (
            lambda body: body["vimConnectionInfo"][0].update(
                vimType="ETSINFV.OPENSTACK_KEYSTONE.V_3"
            ),
            "vimConnectionInfo[0].vimType",
        ),
        (
            lambda body: body["extVirtualLinks"][0]["extCps"][0].update(cpConfig={"a": {}}),
            "extVirtualLinks[0].extCps[0].cpConfig",
        ),
        (
            lambda body: body["additionalParams"]["k8s_cluster_installation_param"][
                "master_node"
            ].update(vdu_id="masterNode"),
            "additionalParams.k8s_cluster_installation_param.master_node.vdu_id",
        ),
    ],
)
def test_a_body_of_version_2_is_called_that(change, path, cluster_package):
    body = sample("instantiate_kubernetes_complex")
    change(body)
    found = faults(body, cluster_package)
    assert set(found) == {path} and V2 in found[path]


def test_a_heal_of_version_2_is_called_that():
    body = {"vnfcInstanceId": ["masterNode-1a5d9f5e-1f0f-4d0f-8f0f-0f0f0f0f0f0f"]}
    assert V2 in faults(body)["vnfcInstanceId[0]"]


def test_an_update_of_version_2_is_called_that():
    assert V2 in faults({"metadata": {}, "vnfcInfoModifications": []})["vnfcInfoModifications"]
