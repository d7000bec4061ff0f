# SPDX-License-Identifier: Apache-2.0
"""Nodes made with kubeadm by hand, not by the drivers, so that a fault is found where it is."""

from __future__ import annotations

import shlex

from tests.testbed.kubernetes import archives, release, repository
from tests.testbed.machines import MachineLab
from tests.testbed.machines.base import GATEWAY

KUBECTL = "kubectl --kubeconfig /etc/kubernetes/admin.conf"
CONFIG = "/root/kubeadm.yaml"

#: The package of each runtime, and what loads an archive of images from its standard input.
PACKAGE = {"docker": "docker.io", "containerd": "containerd"}
LOAD = {"docker": "docker load", "containerd": "ctr -n k8s.io images import -"}

_INSTALL = f"""
curl -fsS http://{GATEWAY}/kubernetes/{repository.KEY} > /etc/apt/keyrings/kubernetes.asc
echo 'deb [signed-by=/etc/apt/keyrings/kubernetes.asc] http://{GATEWAY}/kubernetes/ ./' \
    > /etc/apt/sources.list.d/kubernetes.list
apt-get -q update
export DEBIAN_FRONTEND=noninteractive
apt-get -q -y install --no-install-recommends PACKAGE kubelet='{release.VERSION}-*' \
    kubeadm='{release.VERSION}-*' kubectl='{release.VERSION}-*'
printf '%s\\n' net.ipv4.ip_forward=1 net.bridge.bridge-nf-call-iptables=1 \
    > /etc/sysctl.d/90-kubernetes.conf
sysctl --system
"""
# containerd asks for a newer pause unless told which there is.
_SANDBOX_IMAGE = f"""
sed -i '/\\[plugins."io.containerd.grpc.v1.cri"\\]/a sandbox_image = \
"{release.IMAGE_REPOSITORY}/{release.PAUSE_IMAGE}"' /etc/containerd/config.toml
systemctl restart containerd
"""
# kube-proxy cannot change the number of tracked connections from within a container.
_CONFIGURATION = f"""\
apiVersion: kubeadm.k8s.io/v1beta2
kind: ClusterConfiguration
kubernetesVersion: v{release.VERSION}
networking: {{podSubnet: 10.244.0.0/16}}
ENDPOINT
---
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
conntrack: {{maxPerCore: 0}}
"""


def serve(lab: MachineLab) -> None:
    """Let the machines fetch what :func:`prepare` installs."""
    lab.serve("kubernetes", lab.prepared.kubernetes)
    lab.serve("images", lab.prepared.images)


def prepare(lab: MachineLab, machine: str, runtime: str) -> None:
    """Install what kubeadm turns into a node, with all images.

    :param runtime: ``docker`` or ``containerd``
    """
    lab.sh(machine, _INSTALL.replace("PACKAGE", PACKAGE[runtime]))
    load_images(lab, machine, runtime)


def load_images(lab: MachineLab, machine: str, runtime: str) -> None:
    """Load all images of the control plane, and tell containerd which pause there is."""
    if runtime == "containerd":
        lab.sh(machine, _SANDBOX_IMAGE)
    for archive in archives.by_reference(lab.prepared.images).values():
        lab.sh(machine, f"curl -fsS http://{GATEWAY}/images/{archive.name} | {LOAD[runtime]}")


def init(lab: MachineLab, machine: str, endpoint: str | None = None) -> None:
    """Make the first master, with the network of pods.

    :param endpoint: HOST:PORT of a load balancer, for more masters to come
    """
    words = f"controlPlaneEndpoint: {endpoint}" if endpoint else ""
    text = _CONFIGURATION.replace("ENDPOINT\n", f"{words}\n" if words else "")
    options = "--upload-certs" if endpoint else ""
    lab.sh(machine, f"cat > {CONFIG} <<< {shlex.quote(text)}")
    lab.sh(machine, f"kubeadm init --config {CONFIG} {options}")
    apply(lab, machine, release.POD_NETWORK.read_text())


def apply(lab: MachineLab, master: str, manifest: str) -> None:
    """Apply a manifest on a master with the administrator's credentials."""
    lab.sh(master, f"{KUBECTL} apply -f - <<< {shlex.quote(manifest)}")
