# SPDX-License-Identifier: Apache-2.0
"""A STAND-IN for Glance: as much of its API as Tacker needs to put a package's images there.

It keeps name and checksums of an image, not its bytes: a machine of the lab is made from the
guest image that has the Glance image's name. Tokens are not checked.

It stands in for Neutron too, with one answer: every network has the lab's as its only subnet.

Run as: python -m tests.testbed.cloud.images PORT RECORDS
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import uuid
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tests.testbed.cloud.records import Record, Records
from tests.testbed.machines.base import GATEWAY
from tests.testbed.machines.network import NETWORK

BLOCK = 1 << 20


class Handler(BaseHTTPRequestHandler):
    """One request to the image service."""

    protocol_version = "HTTP/1.1"
    records: Records

    def do_GET(self) -> None:
        """Versions, one image, the images of a name, or a network's subnet."""
        url = urlsplit(self.path)
        if url.path in ("/", "/v2", "/v2/"):
            link = {"rel": "self", "href": f"http://{self.headers['Host']}/v2/"}
            version = {"id": "v2.9", "status": "CURRENT", "links": [link]}
            self._answer(HTTPStatus.OK, {"versions": [version]})
        elif url.path == "/v2/images":
            names = parse_qs(url.query).get("name")
            images = [i for i in self.records.all("images") if not names or i["name"] in names]
            self._answer(HTTPStatus.OK, {"images": images})
        elif url.path == "/v2.0/subnets":
            of_network = parse_qs(url.query).get("network_id", ["net0"])[0]
            subnet = {"id": f"subnet-of-{of_network}", "network_id": of_network,
                      "cidr": str(NETWORK), "gateway_ip": GATEWAY, "ip_version": 4}  # fmt: skip
            self._answer(HTTPStatus.OK, {"subnets": [subnet]})
        elif image := self._image(url.path):
            self._answer(HTTPStatus.OK, image)
        else:
            self._answer(HTTPStatus.NOT_FOUND, {})

    def do_POST(self) -> None:
        """A new image without data."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if urlsplit(self.path).path != "/v2/images":
            self._answer(HTTPStatus.NOT_IMPLEMENTED, {})
            return
        image = {"id": str(uuid.uuid4()), "status": "queued", **json.loads(body)}
        self.records.put("images", image)
        self._answer(HTTPStatus.CREATED, image)

    def do_PUT(self) -> None:
        """The data of an image."""
        sums = {"checksum": hashlib.md5(), "os_hash_value": hashlib.sha512()}
        size = 0
        for block in self._body():
            size += len(block)
            for digest in sums.values():
                digest.update(block)
        image = self._image(self.path)
        if image is None or not self.path.endswith("/file"):
            self._answer(HTTPStatus.NOT_FOUND, {})
            return
        known = {name: digest.hexdigest() for name, digest in sums.items()}
        self.records.put(
            "images", {**image, **known, "os_hash_algo": "sha512", "size": size, "status": "active"}
        )
        self._answer(HTTPStatus.NO_CONTENT)

    def do_DELETE(self) -> None:
        """Remove an image."""
        image = self._image(self.path)
        if image is None:
            self._answer(HTTPStatus.NOT_FOUND, {})
            return
        self.records.delete("images", image["id"])
        self._answer(HTTPStatus.NO_CONTENT)

    def _image(self, path: str) -> Record | None:
        found = re.match(r"/v2/images/([0-9a-f-]{36})(?:/file)?$", path)
        return self.records.get("images", found[1]) if found else None

    def _body(self):
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while size := int(self.rfile.readline(), 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return
        left = int(self.headers.get("Content-Length", 0))
        while left:
            block = self.rfile.read(min(left, BLOCK))
            if not block:
                return
            left -= len(block)
            yield block

    def _answer(self, status: HTTPStatus, content: object = None) -> None:
        body = b"" if content is None else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    Handler.records = Records(Path(sys.argv[2]))
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
