# SPDX-License-Identifier: Apache-2.0
"""Options of group ``[tacker_cir]``, read from tacker.conf by tacker-conductor."""

from __future__ import annotations

from dataclasses import dataclass, fields

from oslo_config import cfg

GROUP = "tacker_cir"

OPTS = [
    cfg.IntOpt(
        "ssh_wait_timeout",
        default=600,
        min=1,
        help="Seconds to wait until a new VM answers on SSH.",
    ),
    cfg.IntOpt(
        "ssh_connect_timeout",
        default=10,
        min=1,
        help="Seconds for one attempt to open an SSH connection.",
    ),
    cfg.IntOpt(
        "ssh_auth_timeout",
        default=60,
        min=0,
        help=(
            "Seconds during which a refused login is tried again: cloud-init may set the "
            "password only after sshd is up. 0 reports a refused login at once."
        ),
    ),
    cfg.IntOpt(
        "command_timeout",
        default=120,
        min=1,
        help="Seconds for one ordinary remote command.",
    ),
    cfg.IntOpt(
        "first_boot_timeout",
        default=900,
        min=1,
        help=(
            "Seconds to wait for the first boot to settle: cloud-init to finish and another "
            "program (unattended-upgrades) to release the apt and dpkg locks."
        ),
    ),
    cfg.IntOpt(
        "package_timeout",
        default=1800,
        min=1,
        help="Seconds for apt to download and install packages.",
    ),
    cfg.IntOpt(
        "image_timeout",
        default=3600,
        min=1,
        help=(
            "Seconds to transfer and load, or to pull, the registry's image, and for a node of a "
            "cluster to pull the test_image of a registry."
        ),
    ),
    cfg.IntOpt(
        "service_timeout",
        default=120,
        min=1,
        help=(
            "Seconds for the container runtime, the registry or the load balancer to serve after "
            "its start."
        ),
    ),
    cfg.IntOpt(
        "registry_timeout",
        default=30,
        min=1,
        help=(
            "Seconds during which each private registry is asked again by a node of a cluster, "
            "while it does not answer or refuses."
        ),
    ),
    cfg.IntOpt(
        "kubeadm_timeout",
        default=900,
        min=1,
        help=(
            "Seconds for each step of kubeadm (init, join, reset), and for a new control plane's "
            "images and the network of pods."
        ),
    ),
    cfg.IntOpt(
        "api_timeout",
        default=180,
        min=1,
        help=(
            "Seconds during which a call of the Kubernetes API is tried again while the API does "
            "not answer, as when etcd's members change or a master was rebooted."
        ),
    ),
    cfg.IntOpt(
        "node_ready_timeout",
        default=600,
        min=1,
        help="Seconds for a node to be ready after it has joined its cluster.",
    ),
    cfg.IntOpt(
        "drain_timeout",
        default=300,
        min=1,
        help=(
            "Seconds for the pods of a node that will be removed to stop. If they do not, the "
            "operation fails before the VM is removed."
        ),
    ),
    cfg.StrOpt(
        "host_key_policy",
        default="tofu",
        choices=[
            ("tofu", "trust the key of the first connection to a VM, pin it for that VM's life"),
            ("strict", "accept only a key from known_hosts, the request or the Heat stack"),
            ("off", "accept every key (a warning is logged); anyone on the path can listen"),
        ],
        help="How the SSH host key of a VM is checked.",
    ),
    cfg.StrOpt(
        "known_hosts",
        default="/etc/tacker/known_hosts",
        help="OpenSSH known_hosts file that policy strict reads.",
    ),
    cfg.StrOpt(
        "state_path",
        default="/var/lib/tacker/tacker_cir",
        help=(
            "Directory for the pinned SSH host keys. Conductors that share the work must share it."
        ),
    ),
]


@dataclass(frozen=True)
class TimeLimits:
    """How long each thing may take in one operation: seconds, named as the options that tell."""

    ssh_wait_timeout: float
    ssh_connect_timeout: float
    ssh_auth_timeout: float
    command_timeout: float
    first_boot_timeout: float
    package_timeout: float
    image_timeout: float
    service_timeout: float
    registry_timeout: float
    kubeadm_timeout: float
    api_timeout: float
    node_ready_timeout: float
    drain_timeout: float

    @classmethod
    def of(cls, conf: cfg.ConfigOpts) -> TimeLimits:
        """Return what the configuration says now."""
        group = conf[GROUP]
        return cls(**{field.name: group[field.name] for field in fields(cls)})


def register_opts(conf: cfg.ConfigOpts) -> cfg.ConfigOpts:
    """Register the options with ``conf`` (harmless when done before) and return it."""
    conf.register_opts(OPTS, group=GROUP)
    return conf


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Entry point ``oslo.config.opts``: the options for oslo-config-generator and the docs."""
    return [(GROUP, OPTS)]
