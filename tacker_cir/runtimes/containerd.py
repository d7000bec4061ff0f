# SPDX-License-Identifier: Apache-2.0
"""containerd: what requests may ask of it."""

from __future__ import annotations

from tacker_cir.runtimes.base import Runtime


class Containerd(Runtime):
    """containerd, to which the kubelet speaks by its CRI."""

    name, title = "containerd", "containerd"
    socket = "/run/containerd/containerd.sock"
