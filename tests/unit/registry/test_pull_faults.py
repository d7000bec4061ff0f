# SPDX-License-Identifier: Apache-2.0
"""What programs say of a pull that failed, as they said it in public reports and in their sources,
and what the user is told."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tacker_cir.registry.pull_faults import tell

IMAGE = "registry.example.com:5000/team/app:1.0"
# containerd's words before the reason: crictl's, and ctr's.
CRI = (
    f'rpc error: code = Unknown desc = failed to pull and unpack image "{IMAGE}": failed to '
    f'resolve reference "{IMAGE}": failed to do request: Head '
    '"https://registry.example.com:5000/v2/team/app/manifests/1.0": '
)
CTR = f'ctr: failed to resolve reference "{IMAGE}": '
DOCKER = "Error response from daemon: "
GET = f'{DOCKER}Get "https://registry.example.com:5000/v2/": '


def texts() -> list[tuple[str, ...]]:
    """Return kind, words of the remedy and text of each line of the table."""
    lines = (Path(__file__).parents[1] / "data" / "pull_faults.txt").read_text().splitlines()
    rows = [line.split(" | ", 2) for line in lines]
    words = {"{CRI}": CRI, "{CTR}": CTR, "{GET}": GET, "{DOCKER}": DOCKER, "{IMAGE}": IMAGE}
    for row in rows:
        for name, text in words.items():
            row[2] = row[2].replace(name, text)
    return [tuple(row) for row in rows]


@pytest.mark.parametrize(("kind", "remedy", "said"), texts())
def test_what_is_said(kind, remedy, said):
    fault = tell(said, IMAGE)
    assert fault is not None and fault.kind == kind and remedy in fault.remedy


@pytest.mark.parametrize(
    "image",
    [
        "r.io/certificate-manager:1",
        "r.io/forbidden/denied:403",
        "r.io/x509/unauthorized:401",
        "10.0.4.29:5000/lookup/no-such-host:429",
        "proxyconnect.io/proxyconnect/tls:407",
        "r.io/toomanyrequests/manifest-unknown:5",
    ],
)
@pytest.mark.parametrize(
    ("reason", "kind"), [("not found", "HTTP 404"), ("500 Internal Server Error", "HTTP 5xx")]
)
def test_names_are_no_reasons(image, reason, kind):
    fault = tell(f'failed to resolve reference "{image}": {image}: {reason}', image)
    assert fault is not None and fault.kind == kind


def test_a_text_that_nobody_knows():
    assert tell("something new: certificate, denied, 403", IMAGE) is None


def test_the_work_is_bounded():
    start = time.process_time()
    for word in ("lookup ", "manifest.v1 ", '"', "x509: ", "http://", "get : ", " "):
        tell(word * (4_000_000 // len(word)), IMAGE)
    assert time.process_time() - start < 5
