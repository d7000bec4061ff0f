# SPDX-License-Identifier: Apache-2.0
"""Pulls through the Container Runtime Interface as a kubelet does, on any version of containerd.

No kubelet that could be had speaks to containerd 2.x; this client asks the same question.
Messages are those of kubernetes/cri-api, runtime.v1, encoded by hand: they have few fields.
"""

from __future__ import annotations

import grpc

from tests.testbed.machines import MachineLab

_PULL = "/runtime.v1.ImageService/PullImage"
_SOCKET = "/run/containerd/containerd.sock"
TIMEOUT = 60


class PullFailed(Exception):
    """containerd said no, and why."""


def pull(lab: MachineLab, machine: str, image: str, login: tuple[str, str] | None = None) -> str:
    """Pull an image on a machine and return the reference that containerd gives it.

    :param login: user and password, as the kubelet would hand them on
    :raises PullFailed: it was not pulled
    """
    request = _field(1, _field(1, image.encode()))
    if login is not None:
        request += _field(2, b"".join(_field(n, text.encode()) for n, text in enumerate(login, 1)))
    # The socket lies in the machine's file system, which its first process leads to.
    root = f"/proc/{lab.state(machine)['leader']}/root"
    with grpc.insecure_channel(f"unix:{root}{_SOCKET}") as channel:
        ask = channel.unary_unary(_PULL)
        try:
            answer = ask(request, timeout=TIMEOUT, wait_for_ready=True)
        except grpc.RpcError as error:
            raise PullFailed(error.details()) from None
    # PullImageResponse has one field, image_ref: tag, length, text.
    return answer[2:].decode()


def _field(number: int, content: bytes) -> bytes:
    """Encode a field of bytes, text or a message (protobuf's wire type 2)."""
    length = len(content)
    encoded = b""
    while length > 127:
        encoded += bytes([length & 127 | 128])
        length >>= 7
    return bytes([number << 3 | 2]) + encoded + bytes([length]) + content
