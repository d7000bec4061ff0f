# SPDX-License-Identifier: Apache-2.0
"""From Heat's resource lists to machines."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tacker_cir.exceptions import InventoryError
from tacker_cir.inventory import (
    Heat,
    Node,
    Resource,
    _resource,
    find_nodes,
    find_volume,
    read_subnets,
)

ROOT = "0f5ae6d8-6f0a-4a5b-9a73-2c8a0c5a1d10"
NESTED = "7c1d2a55-95a8-4d4f-8a04-0a2d5d6f3b21"
NESTED_2 = "9e2f7b13-1f0c-4a35-bb0f-7d1a9f7b4c32"


def resource(
    name: str, kind: str, physical_id: str, stack: str = ROOT, required_by=(), **attributes: Any
) -> dict[str, Any]:
    """Return a resource as Heat lists it with nested_depth and with_detail."""
    url = f"http://heat.example:8004/v1/4f1e/stacks/vnf-{stack[:4]}/{stack}"
    return {
        "resource_name": name,
        "links": [
            {"href": f"{url}/resources/{name}", "rel": "self"},
            {"href": url, "rel": "stack"},
        ],
        "logical_resource_id": name,
        "creation_time": "2026-11-24T18:20:01Z",
        "updated_time": "2026-11-24T18:20:01Z",
        "required_by": list(required_by),
        "resource_status": "CREATE_COMPLETE",
        "resource_status_reason": "state changed",
        "physical_resource_id": physical_id,
        "resource_type": kind,
        "parent_resource": None,
        "description": "",
        "attributes": attributes,
    }


def port(name, *addresses, stack=ROOT, physical_id=None, server="VDU1"):
    fixed_ips = [{"subnet_id": "s", "ip_address": address} for address in addresses]
    return resource(name, "OS::Neutron::Port", physical_id or f"port-{name}-{stack[:4]}", stack,
                    [server] if server else [], fixed_ips=fixed_ips, status="ACTIVE")  # fmt: skip


def server(name="VDU1", stack=ROOT, number=1):
    return resource(name, "OS::Nova::Server", f"server-{number}", stack, accessIPv4="")


def floating_ip(name, address, port_id, stack=ROOT):
    return resource(name, "OS::Neutron::FloatingIP", f"fip-{name}", stack,
                    floating_ip_address=address, port_id=port_id)  # fmt: skip


FLAT = [server(), port("CP1", "198.51.100.10"), resource("VDU1_flavor", "OS::Nova::Flavor", "f")]
GROUP = [
    resource("group", "OS::Heat::AutoScalingGroup", "asg"),
    server(stack=NESTED, number=1),
    port("CP1", "198.51.100.11", stack=NESTED),
    server(stack=NESTED_2, number=2),
    port("CP1", "198.51.100.2", stack=NESTED_2),
]
TWO_NICS = [
    server(),
    server("VDU2", number=2),
    port("CP1", "198.51.100.10"),
    port("CP2", "203.0.113.10"),
    port("CP3", "198.51.100.20", server="VDU2"),
]
WITH_FLOATING_IP = [*FLAT, floating_ip("CP1_FIP", "203.0.113.7", f"port-CP1-{ROOT[:4]}")]
NESTED_FLOATING_IP = [
    server(stack=NESTED),
    server("other", number=9),
    port("CP1", "198.51.100.11", stack=NESTED),
    floating_ip("CP1_FIP", "203.0.113.7", f"port-CP1-{NESTED[:4]}"),
]


@pytest.mark.parametrize(
    ("resources", "cp_name", "nodes"),
    [
        (FLAT, "CP1", [("198.51.100.10", "198.51.100.10", "server-1")]),
        (GROUP, "CP1", [("198.51.100.11", "198.51.100.11", "server-1"),
                        ("198.51.100.2", "198.51.100.2", "server-2")]),
        (TWO_NICS, "CP2", [("203.0.113.10", "203.0.113.10", "server-1")]),
        (TWO_NICS, "CP3", [("198.51.100.20", "198.51.100.20", "server-2")]),
        (WITH_FLOATING_IP, "CP1_FIP", [("203.0.113.7", "198.51.100.10", "server-1")]),
        (WITH_FLOATING_IP, "CP1", [("198.51.100.10", "198.51.100.10", "server-1")]),
        (NESTED_FLOATING_IP, "CP1_FIP", [("203.0.113.7", "198.51.100.11", "server-1")]),
        ([server(), floating_ip("FIP", "203.0.113.7", "port-elsewhere")], "FIP",
         [("203.0.113.7", "203.0.113.7", "server-1")]),
        ([server(), port("CP1", "2001:db8::5", "198.51.100.10")], "CP1",
         [("198.51.100.10", "198.51.100.10", "server-1")]),
        ([server(), port("CP1", "2001:db8::5")], "CP1",
         [("2001:db8::5", "2001:db8::5", "server-1")]),
        ([server(), port("CP1", "198.51.100.10", server=None)], "CP1",
         [("198.51.100.10", "198.51.100.10", "server-1")]),
        ([server(), server("VDU2"), port("CP1", "198.51.100.10", server=None)], "CP1",
         [("198.51.100.10", "198.51.100.10", None)]),
    ],
    ids=["flat", "group", "two-nics-1", "two-nics-2", "floating", "fixed-beside-floating",
         "floating-of-nested", "floating-of-foreign-port", "ipv6-first", "ipv6-only",
         "one-server", "server-unknown"],
)  # fmt: skip
def test_machines_of_a_stack(resources, cp_name, nodes):
    found = find_nodes([_resource(item) for item in resources], cp_name)
    assert found == [Node(cp_name, *node) for node in nodes]
    assert str(found[0]) == f"{cp_name} ({found[0].ssh_address})"


@pytest.mark.parametrize(
    ("resources", "cp_name", "problem"),
    [
        (FLAT, "CP2", "no port or floating IP named 'CP2'; did you mean CP1?"),
        (FLAT, "VDU1", "no port or floating IP named 'VDU1'; known: CP1"),
        ([server()], "CP1", "the stack has no port at all"),
        ([], "CP1", "the stack has no port at all"),
        ([port("CP1")], "CP1", "port 'CP1' has no IP address; its network needs a subnet"),
        ([floating_ip("FIP", None, "p")], "FIP", "floating IP 'FIP' has no address yet"),
    ],
)
def test_what_is_no_machine(resources, cp_name, problem):
    with pytest.raises(InventoryError, match=problem.replace("?", r"\?")):
        find_nodes([_resource(item) for item in resources], cp_name)


class OpenStack:
    """Stand-in for Keystone, Heat and Neutron: plays recorded answers and keeps what it was asked.

    The lab asks the real ones.
    """

    def __init__(self) -> None:
        self.resources: list[dict[str, Any]] = []
        self.outputs: list[dict[str, Any]] = []
        self.requests: list[str] = []
        self.failure: int | None = None
        self.network_path: str | None = ""
        self.subnets: list[dict[str, Any]] = []
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                stand_in.requests.append(f"POST {self.path}")
                password = body["auth"]["identity"]["password"]["user"]["password"]
                if password != "right":
                    self.answer(401, {"error": {"code": 401, "message": "wrong", "title": "x"}})
                    return
                self.answer(201, stand_in.token(), {"X-Subject-Token": "token"})

            def do_GET(self) -> None:
                stand_in.requests.append(f"GET {self.path}")
                assert self.headers["X-Auth-Token"] == "token"
                base = f"/v1/4f1e/stacks/{ROOT}"
                if stand_in.failure:
                    self.answer(stand_in.failure, {"error": {"message": "broken"}, "code": 0})
                elif self.path.startswith("/v2.0/subnets"):
                    self.answer(200, {"subnets": stand_in.subnets})
                elif self.path.startswith(base):
                    # Heat sends who knows only a stack's id to the address with its name.
                    rest = self.path.removeprefix(base)
                    there = f"{stand_in.url}/v1/4f1e/stacks/vnf/{ROOT}{rest}"
                    self.answer(302, {}, {"Location": there})
                elif "/resources" in self.path:
                    self.answer(200, {"resources": stand_in.resources})
                else:
                    self.answer(200, {"stack": {"id": ROOT, "outputs": stand_in.outputs}})

            def answer(self, status: int, body: Any, headers: dict[str, str] | None = None):
                data = json.dumps(body).encode()
                self.send_response(status)
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def token(self) -> dict[str, Any]:
        def endpoint(url: str, region: str) -> dict[str, str]:
            names = {"interface": "public", "region": region, "region_id": region}
            return {"id": region, "url": f"{url}/v1/4f1e", **names}

        endpoints = [endpoint(self.url, "RegionOne"), endpoint("http://192.0.2.1", "RegionTwo")]
        catalog = [{"type": "orchestration", "id": "h", "name": "heat", "endpoints": endpoints}]
        if self.network_path is not None:
            neutron = endpoint(self.url, "RegionOne") | {"url": self.url + self.network_path}
            catalog += [{"type": "network", "id": "n", "name": "neutron", "endpoints": [neutron]}]
        return {
            "token": {
                "methods": ["password"],
                "issued_at": "2026-11-24T18:20:01.000000Z",
                "expires_at": "2036-11-24T18:20:01.000000Z",
                "user": {"id": "u", "name": "nfv_user", "domain": {"id": "default", "name": "D"}},
                "project": {"id": "4f1e", "name": "nfv", "domain": {"id": "default", "name": "D"}},
                "roles": [],
                "catalog": catalog,
            }
        }

    def access_info(self, **more: Any) -> dict[str, Any]:
        """Return a VIM's accessInfo as Tacker keeps it."""
        return {
            "auth_url": f"{self.url}/v3",
            "username": "nfv_user",
            "password": "right",
            "project_name": "nfv",
            "user_domain_name": "Default",
            "project_domain_name": "Default",
            "project_id": None,
            "cert_verify": "False",
            "region": "RegionOne",
            **more,
        }

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def openstack() -> Iterator[OpenStack]:
    stand_in = OpenStack()
    try:
        yield stand_in
    finally:
        stand_in.close()


@pytest.mark.parametrize("size", [1, 200])
def test_one_list_call_whatever_the_size(openstack, size):
    for number in range(size):
        stack = f"{number:08d}-0000-0000-0000-000000000000"
        openstack.resources += [server(stack=stack, number=number),
                                port("CP1", f"198.51.100.{number + 1}", stack=stack)]  # fmt: skip
    nodes = find_nodes(Heat(openstack.access_info()).resources(ROOT), "CP1")
    assert len(nodes) == size and {node.server_id for node in nodes} == {
        f"server-{number}" for number in range(size)
    }
    assert [request.split("?")[0] for request in openstack.requests] == [
        "POST /v3/auth/tokens",
        f"GET /v1/4f1e/stacks/{ROOT}/resources",
        f"GET /v1/4f1e/stacks/vnf/{ROOT}/resources",
    ]
    assert "nested_depth=10" in openstack.requests[1]
    assert "with_detail=True" in openstack.requests[1]


def test_a_wrong_password_is_reported_without_it(openstack):
    with pytest.raises(InventoryError, match="Heat does not list the resources") as caught:
        Heat(openstack.access_info(password="MARK")).resources(ROOT)
    assert "HTTP 401" in str(caught.value) and "MARK" not in str(caught.value)


@pytest.mark.parametrize("status", [404, 500, 503])
def test_heat_that_fails(openstack, status):
    heat = Heat(openstack.access_info())
    openstack.failure = status
    with pytest.raises(InventoryError, match="then retry the operation"):
        heat.resources(ROOT)
    with pytest.raises(InventoryError, match=f"Heat does not show stack {ROOT}"):
        heat.host_keys(ROOT)


def test_no_cloud_at_all(openstack):
    info = openstack.access_info(auth_url="http://127.0.0.1:1/v3")
    with pytest.raises(InventoryError, match="Heat does not list the resources"):
        Heat(info).resources(ROOT)


@pytest.mark.parametrize("path", ["", "/", "/v2.0", "/v2.0/"])
def test_the_subnets_of_a_network(openstack, path):
    openstack.network_path = path
    openstack.subnets = [{"cidr": "198.51.100.0/24"}, {"cidr": "2001:db8::/64"}]
    found = read_subnets(openstack.access_info(), "net-1")
    assert [str(subnet) for subnet in found] == ["198.51.100.0/24", "2001:db8::/64"]
    assert openstack.requests[-1] == "GET /v2.0/subnets?network_id=net-1&fields=cidr"


def test_subnets_that_nobody_tells(openstack):
    openstack.network_path = None
    assert read_subnets(openstack.access_info(), "net-1") == []
    openstack.network_path = ""
    assert read_subnets(openstack.access_info(), "net-1") == []
    openstack.failure = 403
    assert read_subnets(openstack.access_info(), "net-1") == []
    openstack.failure, openstack.subnets = None, [{"cidr": "nonsense"}]
    assert read_subnets(openstack.access_info(), "net-1") == []


KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"


@pytest.mark.parametrize(
    ("outputs", "count"),
    [
        ([], 0),
        ([{"output_key": "other", "output_value": 1}], 0),
        ([{"output_key": "ssh_host_keys", "output_value": f"{KEY} root@vm\n\n{KEY}\n"}], 2),
        ([{"output_key": "ssh_host_keys", "output_value": [KEY]}], 1),
        ([{"output_key": "ssh_host_keys", "output_value": ""}], 0),
    ],
)
def test_host_keys_of_the_stack(openstack, outputs, count):
    openstack.outputs = outputs
    assert Heat(openstack.access_info()).host_keys(ROOT) == [tuple(KEY.split(" "))] * count


@pytest.mark.parametrize("value", ["no key", ["x"], [1], 5, None])
def test_an_output_that_is_no_host_key(openstack, value):
    openstack.outputs = [{"output_key": "ssh_host_keys", "output_value": value}]
    with pytest.raises(InventoryError, match="output ssh_host_keys of stack"):
        Heat(openstack.access_info()).host_keys(ROOT)


VOLUME_ID = "9c8b1d2e-3f4a-4b5c-8d6e-7f8091a2b3c4"
VOLUME, ATTACHMENT = "OS::Cinder::Volume", "OS::Cinder::VolumeAttachment"


@pytest.mark.parametrize("kind", [VOLUME, ATTACHMENT])
def test_the_volume_that_a_resource_makes_or_attaches(kind):
    resources = [
        Resource("other", VOLUME, "0" * 8 + VOLUME_ID[8:], ROOT, (), {}),
        Resource("data", kind, VOLUME_ID, ROOT, (), {}),
        Resource("data", "OS::Nova::Server", "server", ROOT, (), {}),
    ]
    assert find_volume(resources, "data") == VOLUME_ID


@pytest.mark.parametrize(
    ("ids", "problem"),
    [
        ([], "has no volume or attachment named 'data'; the stack has no volume at all"),
        ([VOLUME_ID, VOLUME_ID.replace("9", "8")], "has 2 volumes named 'data'"),
        ([""], "volume 'data' of the stack is not made"),
        (["../../sda"], "has the id '../../sda', not that of a volume"),
        (["a\nb"], "not that of a volume"),
        (["*"], "not that of a volume"),
        (["\x1b[2J"], "not that of a volume"),
    ],
)
def test_what_is_no_volume(ids, problem):
    resources = [Resource("data", ATTACHMENT, found, f"stack{n}", (), {})
                 for n, found in enumerate(ids)]  # fmt: skip
    with pytest.raises(InventoryError) as caught:
        find_volume(resources, "data")
    assert problem in str(caught.value)
