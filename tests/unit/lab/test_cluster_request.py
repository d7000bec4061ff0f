# SPDX-License-Identifier: Apache-2.0
"""The requests that the lab's tests send for a cluster."""

from __future__ import annotations

from tacker_cir.csar import samples_dir
from tacker_cir.params import k8s_cluster
from tests.lab import cluster_vnf, vnf
from tests.testbed import kubernetes_site
from tests.testbed.machines import MachineLab
from tests.testbed.machines.parts import Prepared


def parameters(body):
    return body["additionalParams"][k8s_cluster.KEY]


def test_samples_are_where_the_lab_looks_for_them():
    assert samples_dir() / "requests" == vnf.REQUESTS


def test_members_are_changed_one_by_one():
    sample = cluster_vnf.request("complex", "vim-1")
    changes = {
        "vim_name": None,
        "master_node": {"pod_cidr": "10.0.0.0/16", "ssh_private_key": None},
    }

    body = cluster_vnf.request("complex", "vim-1", changes, "one_worker")

    assert body["vimConnectionInfo"][0]["vimId"] == "vim-1"
    assert {link["resourceId"] for link in body["extVirtualLinks"]} == {"net0"}
    assert body["instantiationLevelId"] == "one_worker"
    master = parameters(sample)["master_node"]
    del master["ssh_private_key"]
    expected = {**parameters(sample), "master_node": {**master, "pod_cidr": "10.0.0.0/16"}}
    del expected["vim_name"]
    assert parameters(body) == expected


def test_what_a_site_offers_is_sound(tmp_path):
    lab = MachineLab(tmp_path, tmp_path, "none")
    prepared = {name: tmp_path for name in ("base", "repositories", "daemons", "registry_image")}
    Prepared(**prepared, kubernetes=tmp_path, images=tmp_path).write(tmp_path / "prepared.json")
    site = kubernetes_site.KubernetesSite(lab, "a.b:5000")
    for runtime in ("docker", "containerd"):
        body = cluster_vnf.request("simple", "vim-1", site.parameters(runtime))
        parsed = k8s_cluster.parse(body["additionalParams"], None, flavour_id="simple")
        assert parsed.container_runtime == runtime
        assert parsed.packages.version == "1.20.2"
        assert parsed.image_repository == "a.b:5000"
        assert [r.server for r in parsed.registries] == ["a.b:5000"]
