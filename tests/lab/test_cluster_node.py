# SPDX-License-Identifier: Apache-2.0
"""The install script on real machines: Docker and containerd, repeated, and cut off anywhere.

No Tacker and no registry here: the images of the control plane are loaded from archives.
"""

from __future__ import annotations

import itertools
import logging
import re
import shlex
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tacker_cir.cluster import install
from tacker_cir.cluster.install import Installed
from tacker_cir.command import Secret
from tacker_cir.exceptions import CommandFailed, HostError
from tacker_cir.host.apt import Source
from tacker_cir.params.k8s_cluster import KubernetesPackages
from tacker_cir.params.proxy import Proxy
from tacker_cir.params.reader import AptRepository
from tests.lab.conftest import OWN_ADDRESSES
from tests.lab.node_machine import KUBECTL, MARKER, Node
from tests.testbed.kubernetes import release, repository
from tests.testbed.machines.base import GATEWAY
from tests.testbed.machines.host import wait_for

URI = f"http://{GATEWAY}/kubernetes/"
RUNTIMES = ("docker", "containerd")


class OwnSite(KubernetesPackages):
    """The lab's repository in the place of pkgs.k8s.io, with its key where that has it."""

    default_uri = URI


@pytest.fixture(scope="module")
def mirror(lab) -> KubernetesPackages:
    """The lab's Kubernetes, as from a site's mirror."""
    directory = lab.prepared.kubernetes
    lab.serve("kubernetes", directory)
    lab.serve("images", lab.prepared.images)
    key = (directory / repository.KEY).read_bytes()
    return KubernetesPackages(release.VERSION, AptRepository(URI, "/", (), key))


@pytest.fixture
def machine(lab, mirror) -> Iterator[Callable[..., Node]]:
    """Makes machines: ``machine(runtime) -> Node``; they are gone after the test."""
    numbers = itertools.count()
    made: list[Node] = []

    def make(runtime: str = "docker", image: str = "debian-12-k8s") -> Node:
        number = next(numbers)
        node = Node(lab, f"own-{number}", OWN_ADDRESSES[number], mirror, runtime)
        lab.create(node.name, node.address, image)
        made.append(node)
        return node

    yield make
    for node in made:
        if node.connection is not None:
            node.connection.close()
        lab.delete(node.name)


def timed(work: Callable[[], object]) -> tuple[object, float]:
    """Return what a step returned and how many seconds it took."""
    start = time.monotonic()
    return work(), time.monotonic() - start


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_every_step_once_and_again(machine, runtime):
    node = machine(runtime)
    assert node.prepare()
    assert node.prepare() == frozenset()
    node.sh("echo '/swap.img none swap' >>/etc/fstab; systemctl daemon-reload")
    steps: dict[str, Callable[[], object]] = {
        "install": node.install,
        "pull": lambda: node.script.pull(node.init_file()),
        "pull for a worker": lambda: node.script.pull(node.init_file(), worker=True),
        "init": lambda: node.script.init(node.init_file()),
        "network": lambda: node.script.network(release.POD_NETWORK.read_text()),
    }
    for name, step in steps.items():
        done, seconds = timed(step)
        if name == "install":
            assert done == Installed(changed=True, in_container=True)
            node.load_images()
        else:
            # The images are there.
            assert done is ("pull" not in name), name
        before = node.started()
        again, seconds_again = timed(step)
        assert again in (False, Installed(changed=False, in_container=True)), name
        assert node.started() == before, name
        print(f"{runtime}: {name} {seconds:.1f} s, again {seconds_again:.1f} s")
    node.wait_ready("node", node.hostname)
    assert node.install() == Installed(changed=False, in_container=True)
    path = shlex.quote("{.items[*].status.nodeInfo.containerRuntimeVersion}")
    assert node.sh(f"{KUBECTL} get nodes -o jsonpath={path}").startswith(runtime)
    assert_no_secret_was_printed(node)
    # What the machine is now.
    assert node.sh("hostname; cat /etc/hostname").split() == [node.hostname] * 2
    assert node.sh("apt-mark showhold").split() == ["kubeadm", "kubectl", "kubelet"]
    assert node.sh("systemctl is-enabled kubelet " + runtime).split() == ["enabled"] * 2
    assert node.sh("grep swap.img /etc/fstab") == "#/swap.img none swap"
    assert node.sh("systemctl is-enabled swap.target || true") == "masked"
    settings = "net.ipv4.ip_forward net.bridge.bridge-nf-call-iptables"
    assert node.sh(f"sysctl -n {settings}").split() == ["1", "1"]
    # Leaving takes the traces along, and a node that left can begin again.
    assert node.script.reset() is True
    assert node.script.reset() is False
    assert node.sh("ls /etc/cni/net.d /etc/kubernetes/manifests 2>/dev/null || true").split() == [
        "/etc/cni/net.d:", "/etc/kubernetes/manifests:"
    ]  # fmt: skip
    assert node.sh("ls /sys/class/net").split().count("cni0") == 0
    assert node.script.init(node.init_file()) is True


def assert_no_secret_was_printed(node: Node) -> None:
    """Neither a token nor the certificates' key, which kubeadm shows unless told otherwise."""
    printed = node.sh("cat /var/log/tacker-cir-node.log")
    assert "control-plane has initialized successfully" in printed
    lives = node.sh("kubeadm token list -o jsonpath='{.expires}{\"\\n\"}'").split()
    limit = int(node.sh("date +%s")) + 2 * 3600
    assert lives and all(int(node.sh(f"date -d {life} +%s")) <= limit for life in lives)
    tokens = node.sh("kubeadm token list -o jsonpath='{.token}{\"\\n\"}'").split()
    assert tokens and not any(token in printed for token in tokens)
    assert not re.search(r"\b[a-z0-9]{6}\.[a-z0-9]{16}\b|certificate-key [0-9a-f]|^[0-9a-f]{64}$",
                         printed, re.MULTILINE)  # fmt: skip
    assert node.sh("stat -c %a /var/log/tacker-cir-node.log") == "600"
    # What went through the standard input is not left on the disk.
    assert node.sh("ls -d /run/tacker-cir.* 2>/dev/null || true") == ""


@pytest.mark.thorough
def test_power_cut_while_packages_install(machine):
    node = machine()
    node.prepare()
    cut = node.when("[ -e /usr/bin/kubelet ]", "sync; reboot --force --force")
    with pytest.raises(HostError):
        node.install()
    cut.join()
    node.login()
    assert node.install().changed is True
    assert node.install().changed is False
    node.load_images()
    assert node.script.init(node.init_file()) is True


@pytest.mark.thorough
def test_connection_that_breaks_while_packages_install(machine, caplog):
    """The first run goes on without us; the second waits for it instead of running beside it."""
    caplog.set_level(logging.INFO)
    node = machine("containerd")
    node.prepare()
    cut = node.when("pgrep -f '[a]pt-get .*install' >/dev/null", "pkill -f '[s]shd: ubuntu'")
    with pytest.raises(HostError, match="SSH connection broke"):
        node.install()
    cut.join()
    node.login()
    assert node.install().changed is False
    assert "an earlier run of this script is still at work" in caplog.text
    assert node.sh("dpkg --audit") == ""


@pytest.mark.thorough
def test_connection_that_breaks_while_kubeadm_works(machine, caplog):
    """kubeadm comes to its end although nobody reads what it says."""
    caplog.set_level(logging.INFO)
    node = machine()
    node.ready()
    cut = node.when("[ -e /etc/kubernetes/pki/ca.key ]", "pkill -f '[s]shd: ubuntu'")
    with pytest.raises(HostError, match="SSH connection broke"):
        node.script.init(node.init_file())
    cut.join()
    node.login()
    node.first_boot_timeout = 120
    assert node.script.init(node.init_file()) is False
    assert "an earlier run of this script is still at work" in caplog.text
    assert node.sh("cat " + MARKER) == "init"


def test_lock_of_another_program(machine, caplog):
    caplog.set_level(logging.INFO)
    node = machine(image="debian-12-late")
    node.prepare()
    node.first_boot_timeout = 2
    with pytest.raises(HostError, match="at work for 2 seconds.*lock"):
        node.install()
    node.first_boot_timeout = 60
    assert node.install().changed is True
    assert "lock" in caplog.text


@pytest.mark.parametrize(
    ("runtime", "moment"),
    [
        ("docker", "[ -d /var/lib/etcd/member ]"),
        pytest.param("docker", "[ -e /etc/kubernetes/pki/ca.key ]", marks=pytest.mark.thorough),
        pytest.param(
            "containerd",
            "[ -e /etc/kubernetes/manifests/etcd.yaml ]",
            marks=pytest.mark.thorough,
        ),
    ],
)
def test_init_that_was_cut_off_begins_again(machine, runtime, moment):
    node = machine(runtime)
    node.ready()
    cut = node.when(moment, "pkill -KILL -f '[k]ubeadm init'")
    with pytest.raises(CommandFailed):
        node.script.init(node.init_file())
    cut.join()
    assert node.script.init(node.init_file()) is True
    assert node.script.init(node.init_file()) is False
    assert node.sh(f"{KUBECTL} get nodes -o name") == f"node/{node.hostname}"


@pytest.mark.thorough
def test_join_and_a_join_that_was_cut_off(machine):
    master, worker = machine(), machine()
    preparing = threading.Thread(target=worker.ready)
    preparing.start()
    master.ready()
    master.script.init(master.init_file())
    master.script.network(release.POD_NETWORK.read_text())
    preparing.join()
    config = worker.join_file(master)
    # Cut when the cluster knows the node as ready, and only the script's mark is missing.
    cut = worker.when("[ -e /etc/kubernetes/kubelet.conf ]", "pkill -KILL -f '[k]ubeadm join'")
    with pytest.raises(CommandFailed):
        worker.script.join(config)
    cut.join()
    wait_for(lambda: worker.hostname in master.sh(f"{KUBECTL} get nodes"), "the node", 60)
    master.wait_ready("node", worker.hostname)
    done, seconds = timed(lambda: worker.script.join(config))
    print(f"join after a cut: {seconds:.1f} s")
    assert done is True
    assert worker.script.join(config) is False
    master.wait_ready("node", "--all")
    # A cluster with several nodes is not taken for a half-done one.
    master.sh(f"rm {MARKER}")
    with pytest.raises(CommandFailed, match="control plane of a cluster that was not made by"):
        master.script.init(master.init_file())
    master.wait_ready("node", "--all")
    with pytest.raises(CommandFailed, match="member of a cluster that another machine began"):
        worker.script.init(worker.init_file())


@pytest.mark.thorough
def test_control_plane_that_joins_and_is_cut_off(machine):
    """etcd's new member is taken out again, so that the cluster keeps its quorum."""
    first, second = machine("containerd"), machine("containerd")
    preparing = threading.Thread(target=second.ready)
    preparing.start()
    first.ready()
    first.script.init(first.init_file())
    first.script.network(release.POD_NETWORK.read_text())
    preparing.join()
    key = first.sh("kubeadm init phase upload-certs --upload-certs | tail -n 1")
    config = second.join_file(first, key)
    cut = second.when("[ -d /var/lib/etcd/member ]", "pkill -KILL -f '[k]ubeadm join'")
    with pytest.raises(CommandFailed):
        second.script.join(config)
    cut.join()
    done, seconds = timed(lambda: second.script.join(config))
    print(f"join of a master after a cut: {seconds:.1f} s")
    assert done is True
    etcdctl = (
        f"{KUBECTL} -n kube-system exec etcd-{first.hostname} -- etcdctl "
        "--cacert /etc/kubernetes/pki/etcd/ca.crt --cert /etc/kubernetes/pki/etcd/peer.crt "
        "--key /etc/kubernetes/pki/etcd/peer.key --endpoints https://127.0.0.1:2379"
    )
    members = first.sh(f"{etcdctl} member list").splitlines()
    assert len(members) == 2 and all(", started," in line for line in members)


@pytest.mark.thorough
def test_programs_of_the_image(machine):
    node = machine()
    node.prepare()
    node.install()
    node.packages = KubernetesPackages(release.VERSION, in_image=True)
    source = Source(install.SOURCE)
    assert node.prepare() == {source.path, source.armored_key}
    node.sh("apt-mark unhold kubelet kubeadm kubectl; rm -rf /var/lib/apt/lists")
    assert node.install() == Installed(changed=False, in_container=True)
    node.packages = KubernetesPackages("1.20.3", in_image=True)
    with pytest.raises(CommandFailed, match=r"image has kubelet v1\.20\.2, not v1\.20\.3"):
        node.install()
    bare = machine()
    bare.packages = node.packages
    bare.prepare()
    with pytest.raises(CommandFailed, match="image has no kubelet"):
        bare.install()


@pytest.mark.thorough
def test_key_of_the_repository_is_fetched_through_the_proxy(machine, lab, proxy_url):
    """As with pkgs.k8s.io: the key is beside the repository, and apt's proxy leads there."""
    node = machine()
    node.packages = OwnSite(release.VERSION)
    node.prepare(Proxy(Secret(proxy_url), None, ""))
    assert node.install().changed is True
    assert node.sh("stat -c %a /etc/apt/keyrings/tacker-cir-kubernetes.asc") == "644"
    assert f"GET {URI}Release.key" in "\n".join(lab.proxy_log())
    assert node.install().changed is False


def test_version_that_the_repository_does_not_have(machine):
    node = machine()
    node.packages = KubernetesPackages("1.20.15", node.packages.mirror)
    node.prepare()
    with pytest.raises(CommandFailed, match=r"no kubelet 1\.20\.15; they have: 1\.20\.2-1"):
        node.install()


@pytest.mark.thorough
def test_settings_that_the_image_brings(machine):
    """Swap itself cannot be turned on in a container of this host, and cloud-init is not there:
    only what they would read at the next boot is looked at."""
    node = machine()
    node.prepare()
    lines = "/swap.img\\tnone\\tswap\\tsw\\t0\\t0\\n/dev/vdb1 /data ext4 noauto 0 2\\n"
    node.sh(f"printf '{lines}' >/etc/fstab; mkdir -p /etc/cloud/cloud.cfg.d")
    node.install()
    assert node.sh("cat /etc/fstab").splitlines() == [
        "#/swap.img\tnone\tswap\tsw\t0\t0", "/dev/vdb1 /data ext4 noauto 0 2"
    ]  # fmt: skip
    settings = node.sh("cat /etc/cloud/cloud.cfg.d/99-tacker-cir-kubernetes.cfg")
    assert settings == "preserve_hostname: true"
    assert node.install().changed is False
    # An operator may upgrade a cluster with kubeadm: a member is not taken back.
    node.sh(f"mkdir -p /etc/kubernetes; echo join >{MARKER}")
    node.packages = KubernetesPackages("1.20.1", node.packages.mirror)
    assert node.install() == Installed(changed=False, in_container=True)
