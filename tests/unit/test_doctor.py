# SPDX-License-Identifier: Apache-2.0
"""What the doctor says of a conductor's configuration."""

from __future__ import annotations

import pytest

from tacker_cir.doctor import check_conductor

BOTH = "vnflcm_noop,mgmt-drivers-private-registry,mgmt-drivers-kubernetes"
DOMAINS = "[keystone_authtoken]\nuser_domain_name = Default\nproject_domain_name = Default\n"


@pytest.fixture
def faults(tmp_path):
    """Returns the faults that are found in a configuration, by what was looked at."""

    def find(text):
        file = tmp_path / "tacker.conf"
        file.write_text(f"{text}\n[tacker_cir]\nstate_path = {tmp_path}\n")
        return {check.subject: check.fault for check in check_conductor([file]) if check.fault}

    return find


def test_all_is_right(faults):
    assert faults(f"[tacker]\nvnflcm_mgmt_driver = {BOTH}\n{DOMAINS}") == {}


def test_one_driver_is_enough(faults):
    assert faults("[tacker]\nvnflcm_mgmt_driver = mgmt-drivers-private-registry") == {}


def test_no_driver_is_enabled(faults):
    found = faults("")
    assert set(found) == {
        "[tacker] vnflcm_mgmt_driver has mgmt-drivers-private-registry",
        "[tacker] vnflcm_mgmt_driver has mgmt-drivers-kubernetes",
    }
    assert all("set vnflcm_mgmt_driver = vnflcm_noop,mgmt-drivers-" in f for f in found.values())


def test_what_a_kubernetes_vim_needs(faults):
    found = faults(
        f"[tacker]\nvnflcm_mgmt_driver = {BOTH}\n[nfvo_vim]\nvim_drivers = openstack\n"
        "[k8s_vim]\nuse_barbican = false\n[keystone_authtoken]\nuser_domain_id = default\n"
    )
    assert set(found) == {
        "[nfvo_vim] vim_drivers has kubernetes",
        "[k8s_vim] use_barbican",
        "[keystone_authtoken] user_domain_name",
        "[keystone_authtoken] project_domain_name",
    }
    fault = found["[nfvo_vim] vim_drivers has kubernetes"]
    assert "set vim_drivers = openstack,kubernetes" in fault


def test_a_file_that_is_not_there(tmp_path):
    (found,) = (c for c in check_conductor([tmp_path / "none.conf"]) if c.fault)
    assert "no such file" in found.fault


def test_a_client_that_sends_no_token(faults, monkeypatch):
    from kubernetes import client

    monkeypatch.setattr(client.Configuration, "auth_settings", lambda _self: {})
    found = faults(f"[tacker]\nvnflcm_mgmt_driver = {BOTH}\n{DOMAINS}")
    fault = found["Python package kubernetes"]
    assert fault == "sends no token for Tacker; pip install 'kubernetes>=36,<37'"


def test_a_client_that_is_newer_than_tacker(faults, monkeypatch):
    """Tacker before 16 names a token as clients before 36 did: newer ones send it incomplete."""
    from kubernetes import client
    from tacker.common.container.kubernetes_utils import KubernetesHTTPAPI

    settings = client.Configuration()
    settings.api_key["authorization"], settings.api_key_prefix["authorization"] = "token", "Bearer"
    monkeypatch.setattr(
        KubernetesHTTPAPI, "get_k8s_client", lambda _self, _login: client.ApiClient(settings)
    )
    found = faults(f"[tacker]\nvnflcm_mgmt_driver = {BOTH}\n{DOMAINS}")
    fault = found["Python package kubernetes"]
    assert fault == "sends no token for Tacker; pip install 'kubernetes<36'"


def test_a_client_that_refuses_what_tacker_gives_it(faults, monkeypatch):
    from kubernetes import client

    def refuse(**_arguments):
        raise ValueError("extra inputs are not permitted")

    monkeypatch.setattr(client, "V1ConfigMap", refuse)
    found = faults(f"[tacker]\nvnflcm_mgmt_driver = {BOTH}\n{DOMAINS}")
    assert "Tacker makes no CNF with it" in found["Python package kubernetes"]
