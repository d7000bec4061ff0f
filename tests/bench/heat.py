# SPDX-License-Identifier: Apache-2.0
"""A local answerer in the place of Keystone and Heat: it knows one stack, and counts its calls."""

from __future__ import annotations

import json
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

STACK = "stack"


class Heat:
    """Answers as Keystone and Heat do for a stack with two groups of machines.

    :param masters: addresses
    :param workers: addresses
    """

    def __init__(self, masters: Sequence[str], workers: Sequence[str]):
        self.calls = 0
        groups = {"master_instance": ("masterNode", "CP1", masters)}
        groups["worker_instance"] = ("workerNode", "CP2", workers)
        resources = []
        for group, (vdu, cp, addresses) in groups.items():
            resources.append(_resource(STACK, group, "OS::Heat::AutoScalingGroup", group))
            for address in addresses:
                member = f"{group}-{address}"
                resources.append(_resource(group, member, "nested.yaml", member))
                server = f"server-{address.replace('.', '-')}"
                resources.append(_resource(member, vdu, "OS::Nova::Server", server))
                port = _resource(member, f"{vdu}_{cp}", "OS::Neutron::Port", f"port-{address}")
                port["attributes"] = {"fixed_ips": [{"ip_address": address}]}
                port["required_by"] = [vdu]
                resources.append(port)
        heat = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if self.path.startswith("/v3"):
                    self._answer({"version": {"id": "v3.14", "status": "stable", "links": []}})
                else:
                    heat.calls += 1
                    self._answer({"resources": resources})

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self._answer({"token": heat.token()}, 201, **{"X-Subject-Token": "token"})

            def _answer(self, body: Any, status: int = 200, **headers: str) -> None:
                data = json.dumps(body).encode()
                self.send_response(status)
                for name, value in {"Content-Length": str(len(data)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def access_info(self) -> dict[str, str]:
        """``accessInfo`` of the VIM."""
        names = ("username", "password", "project_name", "user_domain_name", "project_domain_name")
        return {"auth_url": f"{self.url}/v3", "region": "RegionOne", **dict.fromkeys(names, "x")}

    def token(self) -> dict[str, Any]:
        endpoint = {
            "interface": "public", "region": "RegionOne", "region_id": "RegionOne",
            "url": f"{self.url}/heat", "id": "1",
        }  # fmt: skip
        service = {"type": "orchestration", "name": "heat", "id": "1", "endpoints": [endpoint]}
        return {"expires_at": "2099-01-01T00:00:00.000000Z", "catalog": [service]}

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _resource(stack: str, name: str, kind: str, physical_id: str) -> dict[str, Any]:
    return {
        "resource_name": name,
        "resource_type": kind,
        "physical_resource_id": physical_id,
        "links": [{"rel": "stack", "href": f"http://heat/v1/x/stacks/{stack}/{stack}"}],
        "required_by": [],
        "attributes": {},
    }
