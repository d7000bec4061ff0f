# SPDX-License-Identifier: Apache-2.0
"""Which images a control plane of kubeadm needs, as ``kubeadm config images list`` tells.

The four of Kubernetes itself have its version. The versions of the others are constants of kubeadm
(cmd/kubeadm/app/constants/constants.go of github.com/kubernetes/kubernetes) that change with
patches, too; those of 1.20 to 1.31 were read from what minikube keeps of each release
(pkg/minikube/constants/constants_kubeadm_images.go), later ones from kubeadm's own list.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tacker_cir.kubernetes_versions import NEWEST, OLDEST, minor

_KUBERNETES = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy")
_VERSION = re.compile(r"v?(1\.[0-9]{1,3}\.[0-9]{1,3})")

# From which patch on: etcd, CoreDNS, pause. Where it is not known which patch brought a new etcd,
# all that a minor version had stand there.
_COMPANIONS: dict[int, dict[int, tuple[str, str, str]]] = {
    20: {0: ("3.4.13-0", "1.7.0", "3.2")},
    21: {0: ("3.4.13-0", "v1.8.0", "3.4.1")},
    22: {0: ("3.5.0-0", "v1.8.4", "3.5"), 17: ("3.5.6-0", "v1.8.4", "3.5")},
    23: {
        0: ("3.5.1-0", "v1.8.6", "3.6"),
        14: ("3.5.5-0", "v1.8.6", "3.6"),
        15: ("3.5.6-0", "v1.8.6", "3.6"),
    },
    24: {
        0: ("3.5.3-0", "v1.8.6", "3.7"),
        8: ("3.5.5-0", "v1.8.6", "3.7"),
        9: ("3.5.6-0", "v1.8.6", "3.7"),
    },
    25: {
        0: ("3.5.4-0", "v1.9.3", "3.8"),
        4: ("3.5.5-0", "v1.9.3", "3.8"),
        5: ("3.5.6-0", "v1.9.3", "3.8"),
        15: ("3.5.9-0", "v1.9.3", "3.8"),
    },
    26: {
        0: ("3.5.6-0", "v1.9.3", "3.9"),
        10: ("3.5.9-0", "v1.9.3", "3.9"),
        13: ("3.5.10-0", "v1.9.3", "3.9"),
    },
    27: {
        0: ("3.5.7-0", "v1.10.1", "3.9"),
        7: ("3.5.9-0", "v1.10.1", "3.9"),
        10: ("3.5.10-0", "v1.10.1", "3.9"),
        12: ("3.5.12-0", "v1.10.1", "3.9"),
    },
    28: {
        0: ("3.5.9-0", "v1.10.1", "3.9"),
        6: ("3.5.10-0", "v1.10.1", "3.9"),
        8: ("3.5.12-0", "v1.10.1", "3.9"),
        14: ("3.5.15-0", "v1.10.1", "3.9"),
    },
    29: {
        0: ("3.5.10-0", "v1.11.1", "3.9"),
        3: ("3.5.12-0", "v1.11.1", "3.9"),
        9: ("3.5.15-0", "v1.11.1", "3.9"),
        11: ("3.5.15-0 3.5.16-0", "v1.11.1", "3.9"),
    },
    30: {
        0: ("3.5.12-0", "v1.11.1", "3.9"),
        5: ("3.5.15-0", "v1.11.3", "3.9"),
    },
    31: {
        0: ("3.5.15-0", "v1.11.1", "3.10"),
        1: ("3.5.15-0", "v1.11.3", "3.10"),
        3: ("3.5.15-0 3.5.24-0", "v1.11.3", "3.10"),
    },
    32: {0: ("3.5.16-0", "v1.11.3", "3.10"), 2: ("3.5.16-0 3.5.24-0", "v1.11.3", "3.10")},
    33: {0: ("3.5.21-0", "v1.12.0", "3.10"), 1: ("3.5.21-0 3.5.24-0", "v1.12.0", "3.10")},
    34: {0: ("3.6.4-0", "v1.12.1", "3.10.1"), 2: ("3.6.4-0 3.6.5-0", "v1.12.1", "3.10.1")},
    35: {0: ("3.6.6-0", "v1.13.1", "3.10.1")},
    36: {0: ("3.6.8-0", "v1.14.2", "3.10.2")},
}


@dataclass(frozen=True)
class NeededImage:
    """An image that a control plane needs.

    :param name: without registry, as in a repository of one's own
    :param tags: one of them
    """

    name: str
    tags: tuple[str, ...]

    def __str__(self) -> str:
        others = f" (or {', '.join(self.tags[1:])})" if self.tags[1:] else ""
        return f"{self.name}:{self.tags[0]}{others}"


def control_plane_images(version: str) -> list[NeededImage]:
    """Return what ``kubeadm config images list`` tells for a version.

    :param version: ``1.NN.P``, with or without v
    :raises ValueError: none that is known, with what is expected instead
    """
    match = _VERSION.fullmatch(version)
    if match is None or minor(match[1]) not in _COMPANIONS:
        raise ValueError(f"expected a version of Kubernetes, 1.{OLDEST}.P to 1.{NEWEST}.P")
    patch = int(match[1].split(".")[2])
    rows = _COMPANIONS[minor(match[1])]
    etcd, coredns, pause = rows[max(first for first in rows if first <= patch)]
    needed = [NeededImage(name, (f"v{match[1]}",)) for name in _KUBERNETES]
    others = {"pause": pause, "etcd": etcd, "coredns": coredns}
    return needed + [NeededImage(name, tuple(tags.split())) for name, tags in others.items()]
