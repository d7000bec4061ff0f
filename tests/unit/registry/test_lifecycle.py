# SPDX-License-Identifier: Apache-2.0
"""Which machine the registry VNF has, and how its clients get there."""

from __future__ import annotations

import pytest

from tacker_cir.exceptions import InventoryError
from tacker_cir.inventory import Node, Resource
from tacker_cir.params import k8s_cluster, private_registry
from tacker_cir.params.registry_vnf import RegistryVnf
from tacker_cir.registry import lifecycle
from tacker_cir.registry.server import Report
from tests.certificates import Authority
from tests.unit.cluster_requests import MINIMUM, write_package

KEY = private_registry.KEY
LOGIN = {"ssh_cp_name": "CP1", "ssh_username": "ubuntu", "ssh_password": "ubuntu"}


def test_a_registry_has_exactly_one_machine():
    ports = [
        Resource("CP1", "OS::Neutron::Port", f"port-{n}", f"stack-{n}", (),
                 {"fixed_ips": [{"ip_address": f"198.51.100.{n}"}]})
        for n in (1, 2)
    ]  # fmt: skip
    assert lifecycle._only_node(ports[:1], "CP1").ssh_address == "198.51.100.1"
    with pytest.raises(InventoryError, match=r"has 2 VMs with CP 'CP1' \(198.51.100.1, 198.51.1"):
        lifecycle._only_node(ports, "CP1")


@pytest.mark.parametrize(
    ("covered", "address", "server", "hosts"),
    [
        (("registry.example", "192.0.2.5"), "192.0.2.5", "192.0.2.5:443", None),
        (("192.0.2.6", "registry.example"), "192.0.2.5", "registry.example:443", "192.0.2.5"),
        (("registry.example",), "2001:db8::5", "registry.example:443", "2001:db8::5"),
        (("192.0.2.6", "*.example"), "192.0.2.5", "192.0.2.6:443", None),
    ],
)
def test_a_cluster_reaches_what_the_registry_shows(tmp_path, covered, address, server, hosts):
    """By a name that its certificate is for, which the nodes can resolve."""
    authority = Authority("registry")
    certificate, key = authority.issue(*covered)
    request = {KEY: {**LOGIN, "tls": {"certificate_path": certificate, "key_path": key}}}
    params = private_registry.parse(request, None)
    node = Node("CP1", address, address, None)
    shown = lifecycle._shown(node, params, Report(ca=authority.pem)).values()
    metadata = {key: text for key, text in shown.items() if text is not None}
    vnf = RegistryVnf("id-1", "registry", True, request, metadata)
    entries = {"private_registry_connection_info": [{"vnf_instance": "registry"}]}
    (found,) = k8s_cluster.parse(
        {k8s_cluster.KEY: MINIMUM | entries},
        write_package(tmp_path),
        flavour_id="complex",
        find_vnf=lambda _: vnf,
    ).registries
    assert (found.server, found.https, found.ca) == (server, True, authority.pem)
    assert (found.hosts.address if found.hosts else None) == hosts
    assert not found.hosts or found.hosts.names == ("registry.example",)
