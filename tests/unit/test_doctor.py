# SPDX-License-Identifier: Apache-2.0
"""What the doctor says of a conductor's configuration."""

from __future__ import annotations

import importlib.metadata

import pytest
from oslo_config import cfg

from tacker_cir import config
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
    found = faults(DOMAINS)
    assert set(found) == {"[tacker] vnflcm_mgmt_driver"}
    (line,) = found.values()
    assert line.partition("set vnflcm_mgmt_driver = ")[2].split(",")[0] == "vnflcm_noop"
    assert set(line.partition(" = ")[2].split(",")) == set(BOTH.split(","))


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


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("vnflcm_noop,mgmt-drivers-kubernets", "vnflcm_noop,mgmt-drivers-kubernetes"),
        ("mgmt-driver-private-registry", "mgmt-drivers-private-registry"),
        ("mgmt-drivers-kubernetes,mgmt_drivers_kubernetes", "mgmt-drivers-kubernetes"),
    ],
)
def test_a_misspelt_driver_is_put_right_in_the_line(faults, given, wanted):
    found = faults(f"[tacker]\nvnflcm_mgmt_driver = {given}\n{DOMAINS}")
    assert set(found) == {"[tacker] vnflcm_mgmt_driver"}
    assert found["[tacker] vnflcm_mgmt_driver"].endswith(f"set vnflcm_mgmt_driver = {wanted}")


def test_somebody_elses_driver_of_a_name_alike_stays(faults, monkeypatch):
    """Only what nobody has installed can be misspelt."""
    other = "mgmt-drivers-kubernetes-more"
    entries = importlib.metadata.entry_points

    def with_other(**wanted):
        found = entries(**wanted)
        if "name" in wanted:
            return found
        more = importlib.metadata.EntryPoint(other, "other:Driver", wanted["group"])
        return importlib.metadata.EntryPoints([*found, more])

    monkeypatch.setattr(importlib.metadata, "entry_points", with_other)
    assert faults(f"[tacker]\nvnflcm_mgmt_driver = {BOTH},{other}\n{DOMAINS}") == {}


WRONG = {
    "registry_timeout = abc": "expected a whole number from 1 on; got 'abc'",
    "image_timeout = 0": "expected a whole number from 1 on; got '0'",
    "host_key_policy = toful": "expected one of tofu, strict, off; got 'toful'",
}


def test_every_option_of_ours_is_read(faults):
    lines = [f"{option.name} = x" for option in config.OPTS if isinstance(option, cfg.IntOpt)]
    found = faults("\n".join(["[tacker_cir]", *lines, "[tacker]", f"vnflcm_mgmt_driver = {BOTH}"]))
    for line in lines:
        assert f"[tacker_cir] {line.split()[0]}" in found


@pytest.mark.parametrize("line", WRONG)
def test_a_value_that_is_not_valid(faults, line):
    found = faults(f"[tacker]\nvnflcm_mgmt_driver = {BOTH}\n{DOMAINS}[tacker_cir]\n{line}")
    assert found == {f"[tacker_cir] {line.split()[0]}": WRONG[line]}


@pytest.mark.parametrize(
    ("text", "subject", "hint"),
    [
        (
            "[tacker_cir]\nregistry-timeout = 3",
            "[tacker_cir] registry-timeout",
            "registry_timeout?",
        ),
        ("[tacker_cir]\nwaiting = 3", "[tacker_cir] waiting", "known: api_timeout"),
        ("[tacker-cir]\nregistry_timeout = 3", "[tacker-cir]", "did you mean [tacker_cir]?"),
        ("[tacker]\nvnflcm_mgmt_drivers = x", "[tacker] vnflcm_mgmt_drivers", "_driver?"),
    ],
)
def test_a_name_that_nobody_reads(faults, text, subject, hint):
    found = faults(f"[tacker]\nvnflcm_mgmt_driver = {BOTH}\n{DOMAINS}{text}")
    assert set(found) == {subject} and hint in found[subject]


def test_tackers_own_options_are_none_of_ours(faults):
    text = f"[tacker]\nvnflcm_mgmt_driver = {BOTH}\nmonitor_driver = a\n{DOMAINS}auth_url = b\n"
    assert faults(text + "[vnf_lcm]\nx = 1\n[DEFAULT]\ndebug = true") == {}


def test_an_entry_point_of_two_distributions(tmp_path, monkeypatch, faults):
    """As upstream's guide registers its sample: tacker-conductor ends at its start."""
    info = tmp_path / "tacker_too-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tacker-too\nVersion: 1\n")
    entry = (
        "mgmt-drivers-kubernetes = tacker.vnfm.mgmt_drivers.kubernetes_mgmt:KubernetesMgmtDriver"
    )
    (info / "entry_points.txt").write_text(f"[tacker.tacker.mgmt.drivers]\n{entry}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = faults(f"[tacker]\nvnflcm_mgmt_driver = {BOTH}\n{DOMAINS}")
    assert set(found) == {"driver mgmt-drivers-kubernetes"}
    assert "installed twice" in found["driver mgmt-drivers-kubernetes"]
    assert "of tacker-too" in found["driver mgmt-drivers-kubernetes"]
