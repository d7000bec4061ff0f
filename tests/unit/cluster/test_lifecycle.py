# SPDX-License-Identifier: Apache-2.0
"""Which nodes an operation of Tacker is about, and what is refused before anything is touched.

Heat, Tacker's database and the machines are played by recorders: what they do is shown in the lab.
"""

from __future__ import annotations

from ipaddress import ip_network
from types import SimpleNamespace

import pytest
from tacker.common import exceptions as tacker_exceptions

from tacker_cir import tacker_bridge
from tacker_cir.cluster import lifecycle
from tacker_cir.cluster.topology import ClusterNode, Topology, node_name
from tacker_cir.command import Secret
from tacker_cir.drivers.kubernetes_mgmt import (
    KubernetesMgmtDriver,
    PrivateRegistryKubernetesMgmtDriver,
)
from tacker_cir.exceptions import InvalidRequest, OperationNotSupported, VimError
from tacker_cir.inventory import Node
from tacker_cir.login import Credentials
from tacker_cir.params.k8s_cluster import ClusterParams, NodeParams
from tacker_cir.tacker_bridge import V1Instance, healed, scaled_in

LOGIN = Credentials("ubuntu", Secret("ubuntu"))
KEY = "k8s_cluster_installation_param"


def node(role, last, member):
    address = f"198.51.100.{last}"
    machine = Node("CP", address, address, f"server-{last}", member)
    return ClusterNode(role, node_name(role, address), machine, LOGIN)


MASTERS = tuple(node("master", n, f"m{n}") for n in (1, 10, 11))
WORKERS = tuple(node("worker", n, f"w{n}") for n in (2, 20, 21))
PARAMS = ClusterParams(
    NodeParams("CP1", "CP1", LOGIN, "master_instance"),
    NodeParams("CP2", "CP2", LOGIN, "worker_instance"),
    "vip_CP",
    None,
)


@pytest.fixture
def vnf_instance():
    vnfcs = [
        SimpleNamespace(
            id=f"vnfc-{n.machine.server_id}",
            compute_resource=SimpleNamespace(resource_id=n.machine.server_id),
        )
        for n in (*MASTERS, *WORKERS)
    ]
    info = SimpleNamespace(vnfc_resource_info=vnfcs, additional_params={}, flavour_id="complex")
    return SimpleNamespace(id="vnf", vnfd_id="vnfd", instantiated_vnf_info=info, vnf_metadata={})


@pytest.fixture
def done(monkeypatch):
    """What was done to the cluster and its VIM."""
    done: list[object] = []

    class Vim:
        name = "kubernetes_vim"
        used = taken = False

        def __init__(self, context, instance, name):
            pass

        def is_taken(self):
            return Vim.taken

        def check_unused(self):
            if Vim.used:
                raise VimError("still used")
            done.append("checked")

        def remove(self):
            if Vim.used:
                raise VimError("still used")
            done.append("vim removed")

        def remove_from_instance(self):
            done.append("entry removed")

    class Cluster:
        topology = Topology(MASTERS, WORKERS, "198.51.100.200", "198.51.100.200")

        @classmethod
        def read(cls, instance, params):
            done.append("read")
            return cls()

        def ensure(self):
            done.append("ensured")

        def remove(self, doomed):
            done.append(("removed", [n.name for n in doomed]))

        def forget(self, doomed):
            done.append(("forgotten", [n.name for n in doomed]))

    monkeypatch.setattr(tacker_bridge, "KubernetesVim", Vim)
    monkeypatch.setattr(lifecycle, "Cluster", Cluster)
    return SimpleNamespace(list=done, Vim=Vim)


def heal(vnf_instance, *vnfc_ids):
    request = SimpleNamespace(vnfc_instance_id=list(vnfc_ids))
    leaving = healed(vnf_instance, request)
    lifecycle.before_heal(V1Instance(None, vnf_instance), PARAMS, leaving)


def test_heal_takes_out_exactly_the_nodes_of_the_vnfcs(vnf_instance, done):
    heal(vnf_instance, "vnfc-server-20", "vnfc-server-1", "vnfc-of-something-else")
    assert done.list == ["read", ("removed", [MASTERS[0].name, WORKERS[1].name])]


def test_heal_of_the_entire_vnf_takes_the_vim_away(vnf_instance, done):
    heal(vnf_instance)
    assert done.list == ["vim removed", "entry removed"]


def test_heal_of_the_entire_vnf_is_refused_while_the_vim_is_used(vnf_instance, done):
    done.Vim.used = True
    with pytest.raises(VimError):
        heal(vnf_instance)
    assert done.list == []


def scale_in(vnf_instance, request, names):
    leaving = scaled_in({"scale_name_list": names})
    lifecycle.before_scale_in(V1Instance(None, vnf_instance), PARAMS, request.aspect_id, leaving)


@pytest.mark.parametrize("kind", ["SCALE_IN", "SCALE_OUT"])
def test_scale_takes_out_exactly_the_members_that_tacker_names(vnf_instance, done, kind):
    request = SimpleNamespace(type=kind, aspect_id="worker_instance")
    scale_in(vnf_instance, request, ["w2", "w21"])
    names = [WORKERS[0].name, WORKERS[2].name]
    assert done.list == ["read", ("removed", names), ("forgotten", names)]


def test_masters_are_not_scaled(vnf_instance, done):
    request = SimpleNamespace(type="SCALE_IN", aspect_id="master_instance")
    with pytest.raises(OperationNotSupported, match="only the workers .* 'worker_instance'"):
        scale_in(vnf_instance, request, ["m1"])
    assert done.list == []


def test_terminate_is_refused_while_the_vim_is_used(vnf_instance, done):
    lifecycle.before_terminate(V1Instance(None, vnf_instance))
    assert done.list == ["checked"]
    done.Vim.used = True
    with pytest.raises(VimError):
        lifecycle.before_terminate(V1Instance(None, vnf_instance))


def test_a_taken_vim_name_is_told_beside_the_other_faults(vnf_instance, done, package, monkeypatch):
    monkeypatch.setattr(V1Instance, "package", lambda _self: package)
    done.Vim.taken = True
    request = SimpleNamespace(
        flavour_id="complex", additional_params={KEY: {"vim_name": "kubernetes_vim"}}
    )
    with pytest.raises(InvalidRequest) as caught:
        lifecycle.check_new(V1Instance(None, vnf_instance, request))
    problems = {fault.path: fault.problem for fault in caught.value.faults}
    path = f"additionalParams.{KEY}"
    assert "another VIM is named 'kubernetes_vim'" in problems[f"{path}.vim_name"]
    assert {f"{path}.master_node", f"{path}.script_path", f"{path}.worker_node"} <= set(problems)


def test_a_flavour_whose_nodes_another_driver_labels_is_refused(
    vnf_instance, done, package, monkeypatch
):
    monkeypatch.setattr(V1Instance, "package", lambda _self: package)
    request = SimpleNamespace(flavour_id="podaffinity", additional_params={KEY: {}})
    with pytest.raises(InvalidRequest, match="labels nodes with CIS-node and kubernetes.io/zone"):
        lifecycle.check_new(V1Instance(None, vnf_instance, request))


def test_networks_of_the_nodes_must_not_be_the_clusters_own(vnf_instance, done, monkeypatch):
    subnets = {
        "net-1": ["192.168.7.0/24", "2001:db8::/64"],
        "net-2": ["10.100.0.0/16"],
        "net-3": [],
    }
    monkeypatch.setattr(lifecycle, "check", lambda *_args: PARAMS)
    monkeypatch.setattr(V1Instance, "package", lambda _self: SimpleNamespace(flavours=dict))
    monkeypatch.setattr(V1Instance, "_access_info", lambda _self: {})
    monkeypatch.setattr(
        tacker_bridge, "read_subnets", lambda _info, network: map(ip_network, subnets[network])
    )
    request = SimpleNamespace(
        additional_params={},
        flavour_id="complex",
        ext_virtual_links=[SimpleNamespace(resource_id=name) for name in ("net-1", "net-2")],
        ext_managed_virtual_links=[
            SimpleNamespace(resource_id=name) for name in ("net-3", "net-1")
        ],
    )
    with pytest.raises(InvalidRequest) as caught:
        lifecycle.check_new(V1Instance(None, vnf_instance, request))
    assert [str(fault) for fault in caught.value.faults] == [
        f"additionalParams.{KEY}.master_node.cluster_cidr: 10.96.0.0/12 overlaps subnet "
        "10.100.0.0/16 of the nodes' network net-2",
        f"additionalParams.{KEY}.master_node.pod_cidr: 192.168.0.0/16 overlaps subnet "
        "192.168.7.0/24 of the nodes' network net-1",
    ]
    request.ext_virtual_links = request.ext_managed_virtual_links = None
    assert lifecycle.check_new(V1Instance(None, vnf_instance, request)) is PARAMS


@pytest.mark.parametrize("hook", ["heal_end", "scale_end", "modify_information_end"])
def test_every_end_ensures_the_cluster(vnf_instance, done, monkeypatch, hook):
    monkeypatch.setattr(lifecycle, "check", lambda *_args: PARAMS)
    arguments = {"context": None, "vnf_instance": vnf_instance}
    if hook != "modify_information_end":
        arguments |= {"grant": None, "grant_request": None}
    request = SimpleNamespace(type="SCALE_OUT", aspect_id="worker_instance")
    name = {"heal_end": "heal_vnf_request", "scale_end": "scale_vnf_request"}
    arguments[name.get(hook, "modify_vnf_request")] = request
    getattr(PrivateRegistryKubernetesMgmtDriver(), hook)(**arguments, future_keyword=1)
    assert done.list == ["read", "ensured"]


def test_a_scaled_out_master_is_refused(vnf_instance, done, monkeypatch):
    monkeypatch.setattr(lifecycle, "check", lambda *_args: PARAMS)
    request = SimpleNamespace(type="SCALE_OUT", aspect_id="master_instance")
    with pytest.raises(tacker_exceptions.MgmtDriverOtherError, match="only the workers"):
        PrivateRegistryKubernetesMgmtDriver().scale_end(
            context=None, vnf_instance=vnf_instance, scale_vnf_request=request, grant=None,
            grant_request=None, scale_out_id_list=["x"],
        )  # fmt: skip
    assert done.list == []


def test_registries_of_the_metadata_stand_in_for_those_of_the_request(
    vnf_instance, package, monkeypatch
):
    monkeypatch.setattr(V1Instance, "package", lambda _self: package)
    vnf_instance.vnf_metadata = {"private_registry_connection_info": '[{"server": "a b"}]'}
    vnf_instance.instantiated_vnf_info.additional_params = {KEY: {}}
    with pytest.raises(InvalidRequest) as caught:
        lifecycle.check(V1Instance(None, vnf_instance))
    paths = {fault.path for fault in caught.value.faults}
    assert "metadata.private_registry_connection_info[0].connection_type" in paths


def test_only_one_driver_connects_registries():
    params = SimpleNamespace(registries=("registry",))
    assert KubernetesMgmtDriver().registries(params) == ()
    assert PrivateRegistryKubernetesMgmtDriver().registries(params) == ("registry",)
