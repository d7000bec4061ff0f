# SPDX-License-Identifier: Apache-2.0
"""Debian packages with the names, paths and units of the Kubernetes project's own.

kubelet, kubeadm and kubectl are the compiled programs. Two are stand-ins, and say so:
kubernetes-cni brings nothing but links to the plugins of Debian's containernetworking-plugins,
cri-tools has the lab's small crictl (go/crictl).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from tests.testbed.kubernetes.release import DEB_VERSION
from tests.testbed.machines.host import run

CNI_PLUGINS = "containernetworking-plugins"
CRI_TOOLS_VERSION = "1.20.0-1"

KUBELET_UNIT = """\
[Unit]
Description=kubelet, the Kubernetes agent of a node
Documentation=https://kubernetes.io/docs/
Wants=network-online.target
After=network-online.target

[Service]
ExecStart=/usr/bin/kubelet
Restart=always
StartLimitInterval=0
RestartSec=10

[Install]
WantedBy=multi-user.target
"""

# What kubeadm relies on: the paths of the files that it writes for the kubelet.
KUBEADM_DROP_IN = """\
[Service]
Environment="KUBELET_KUBECONFIG_ARGS=--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf \
--kubeconfig=/etc/kubernetes/kubelet.conf"
Environment="KUBELET_CONFIG_ARGS=--config=/var/lib/kubelet/config.yaml"
# kubeadm init and join write KUBELET_KUBEADM_ARGS there.
EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
# The administrator's place for KUBELET_EXTRA_ARGS.
EnvironmentFile=-/etc/default/kubelet
ExecStart=
ExecStart=/usr/bin/kubelet $KUBELET_KUBECONFIG_ARGS $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS \
$KUBELET_EXTRA_ARGS
"""

# As the originals do: the kubelet is enabled and started, and restarts until kubeadm has
# configured it.
KUBELET_POSTINST = """\
#!/bin/sh
set -e
if [ "$1" = configure ] && [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    deb-systemd-helper enable kubelet.service >/dev/null
    deb-systemd-invoke restart kubelet.service
fi
"""
KUBELET_PRERM = """\
#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
    deb-systemd-invoke stop kubelet.service
fi
"""
KUBELET_POSTRM = """\
#!/bin/sh
set -e
if [ "$1" = purge ]; then
    deb-systemd-helper purge kubelet.service >/dev/null
fi
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
fi
"""
KUBEADM_POSTINST = """\
#!/bin/sh
set -e
if [ "$1" = configure ] && [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    deb-systemd-invoke try-restart kubelet.service
fi
"""


@dataclass(frozen=True)
class Package:
    """A package to build: its control fields, programs, text files, empty directories, links,
    maintainer scripts."""

    name: str
    version: str
    depends: list[str]
    description: str
    programs: list[str] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    directories: list[str] = field(default_factory=list)
    links: dict[str, str] = field(default_factory=dict)
    scripts: dict[str, str] = field(default_factory=dict)


def build_all(programs: Path, plugins: Path, into: Path) -> None:
    """Build all packages.

    :param programs: directory of the compiled programs.
    :param plugins: the .deb file of containernetworking-plugins, to link to what is in it.
    :param into: an existing directory for the packages.
    """
    for package in _packages(plugins):
        tree = into / f".{package.name}"
        _build(package, programs, tree)
        run(["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "-b", tree, into])
        run(["rm", "-r", tree])


def _packages(plugins: Path) -> list[Package]:
    cni_version, cni_links = _plugins(plugins)
    return [
        Package(
            "kubelet",
            DEB_VERSION,
            [
                "iptables (>= 1.4.21)",
                "kubernetes-cni (>= 0.8.7)",
                "iproute2",
                "socat",
                "util-linux",
                "mount",
                "ebtables",
                "ethtool",
                "conntrack",
            ],
            "Kubernetes' agent of a node",
            programs=["kubelet"],
            texts={"lib/systemd/system/kubelet.service": KUBELET_UNIT},
            directories=[
                "etc/kubernetes/manifests"
            ],  # without it, the kubelet complains each second
            scripts={
                "postinst": KUBELET_POSTINST,
                "prerm": KUBELET_PRERM,
                "postrm": KUBELET_POSTRM,
            },
        ),
        Package(
            "kubeadm",
            DEB_VERSION,
            [
                "kubelet (>= 1.13.0)",
                "kubectl (>= 1.13.0)",
                "kubernetes-cni (>= 0.8.7)",
                "cri-tools (>= 1.13.0)",
            ],
            "Kubernetes' tool to set up a cluster",
            programs=["kubeadm"],
            texts={"etc/systemd/system/kubelet.service.d/10-kubeadm.conf": KUBEADM_DROP_IN},
            scripts={"postinst": KUBEADM_POSTINST},
        ),
        Package(
            "kubectl", DEB_VERSION, [], "Kubernetes' command line client", programs=["kubectl"]
        ),
        Package(
            "kubernetes-cni",
            cni_version,
            [CNI_PLUGINS],
            "stand-in: links to the network plugins of Debian",
            links=cni_links,
        ),
        Package(
            "cri-tools",
            CRI_TOOLS_VERSION,
            [],
            "stand-in: a crictl with the commands that kubeadm calls",
            programs=["crictl"],
        ),
    ]


def _plugins(deb: Path) -> tuple[str, dict[str, str]]:
    """Version of the packaged plugins, and where Kubernetes looks for each: path, link target."""
    version = re.match(r"[0-9.]*[0-9]", run(["dpkg-deb", "-f", deb, "Version"]).stdout)
    assert version, deb
    listed = run(["dpkg-deb", "-c", deb]).stdout
    names = re.findall(r" \./usr/lib/cni/([a-z0-9-]+)$", listed, re.MULTILINE)
    assert names, deb
    return f"{version[0]}-1", {f"opt/cni/bin/{name}": f"/usr/lib/cni/{name}" for name in names}


def _build(package: Package, programs: Path, tree: Path) -> None:
    """Lay a package's tree out as dpkg-deb wants it."""
    for name in package.programs:
        _put(tree / "usr/bin" / name).hardlink_to(programs / name)
    for path, text in package.texts.items():
        _put(tree / path).write_text(text)
    for path in package.directories:
        (tree / path).mkdir(parents=True)
    for path, target in package.links.items():
        _put(tree / path).symlink_to(target)
    for name, text in package.scripts.items():
        script = _put(tree / "DEBIAN" / name)
        script.write_text(text)
        script.chmod(0o755)
    configured = [path for path in package.texts if path.startswith("etc/")]
    if configured:
        lines = "".join(f"/{path}\n" for path in configured)
        _put(tree / "DEBIAN/conffiles").write_text(lines)
    _put(tree / "DEBIAN/control").write_text(_control(package))


def _put(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _control(package: Package) -> str:
    fields = {
        "Package": package.name,
        "Version": package.version,
        "Architecture": run(["dpkg", "--print-architecture"]).stdout.strip(),
        "Maintainer": "tacker_cir lab <lab@localhost>",
        "Section": "admin",
        "Priority": "optional",
        "Depends": ", ".join(package.depends),
        "Description": f"{package.description}\n Built by the tacker_cir lab from Debian's source.",
    }
    return "".join(f"{key}: {value}\n" for key, value in fields.items() if value)
