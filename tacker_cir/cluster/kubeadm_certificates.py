# SPDX-License-Identifier: Apache-2.0
"""How long the certificates hold that kubeadm has made on a master.

kubeadm makes them for one year, and renews them where Kubernetes is upgraded: a cluster that is
left as it is stops after a year, its API first. So each operation tells what it sees, in time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from tacker_cir import expiry
from tacker_cir import log as logging
from tacker_cir.reading import Unreadable

LOG = logging.getLogger(__name__)

_TOP = "/etc/kubernetes"
_AUTHORITIES = tuple(f"{_TOP}/pki/{name}.crt" for name in ("ca", "etcd/ca", "front-proxy-ca"))
_LEAVES = (
    *(
        f"{_TOP}/pki/{name}.crt"
        for name in (
            "apiserver",
            "apiserver-etcd-client",
            "apiserver-kubelet-client",
            "front-proxy-client",
            "etcd/healthcheck-client",
            "etcd/peer",
            "etcd/server",
        )
    ),
    # The kubelet renews its own.
    *(
        f"{_TOP}/{name}.conf"
        for name in ("admin", "controller-manager", "scheduler", "super-admin")
    ),
)

#: For :func:`tacker_cir.facts.gather`: what is not there, as on workers, is left out.
FILES = (*_AUTHORITIES, *_LEAVES)


def tell(node: str, certificates: Mapping[str, bytes]) -> None:
    """Log which of a master's certificates ends first, and warn of those that end soon.

    :param certificates: in PEM by their files; of a machine without any nothing is told
    """
    ends: dict[str, datetime] = {}
    for path, pem in certificates.items():
        try:
            ends[path] = expiry.ends(pem)[0]
        except Unreadable as error:
            LOG.warning("%s: %s: %s", node, path, error)
    paths = sorted(ends, key=ends.__getitem__)
    told = {path: f"{path}, {expiry.told(ends[path])}" for path in paths}
    if paths:
        LOG.info("%s: of Kubernetes' certificates the first to end is %s", node, told[paths[0]])
        _warn(node, [path for path in paths if expiry.is_soon(ends[path])], told)


def _warn(node: str, soon: Sequence[str], told: Mapping[str, str]) -> None:
    leaves = [told[path] for path in soon if path not in _AUTHORITIES]
    if leaves:
        LOG.warning(
            "%s: certificates of Kubernetes end: %s. To do: run 'kubeadm certs renew all' on each "
            "master and restart its control plane, as the user guide says",
            node,
            "; ".join(leaves),
        )
    authorities = [told[path] for path in soon if path in _AUTHORITIES]
    if authorities:
        LOG.warning(
            "%s: authorities of Kubernetes end, which 'kubeadm certs renew' does not renew: %s. "
            "To do: heal the entire VNF, which makes a new cluster, or follow Kubernetes' page on "
            "the manual rotation of CA certificates",
            node,
            "; ".join(authorities),
        )
