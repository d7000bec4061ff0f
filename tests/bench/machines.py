# SPDX-License-Identifier: Apache-2.0
"""Machines that cost nothing: addresses of loopback behind one real sshd, each with a root of its
own, where stand-ins (standins.sh) play the programs of a node.

Meant for a process in namespaces of its own for mounts and network (:func:`isolate`): port 22 is
free there, and nothing of it is left on the machine.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tacker_cir.cluster import credentials
from tests.certificates import Authority
from tests.functional import program
from tests.functional.server import Sshd

HERE = Path(__file__).parent
#: Where the tmpfs with the machines' roots is mounted, in the process's own namespace.
TOP = Path("/mnt")
NETWORK = "127.1.0"
STAND_INS = (
    "containerd", "ctr", "kubeadm", "kubectl", "systemctl", "dpkg", "dpkg-query", "cloud-init",
)  # fmt: skip
#: What a machine sees of the one that it is on.
_SEEN = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "dev", "proc", "sys")
#: Directories of its own.
_OWN = ("etc", "run", "var", "root", "tmp", "state", "stand-ins", "local")
#: What it has as the one that it is on.
_FILES = ("etc/ssl/certs/ca-certificates.crt", "etc/alternatives/awk", "etc/ld.so.cache")
_ISOLATED = "TACKER_CIR_BENCH_ISOLATED"

# What runs every remote command: it takes its time, notes the command and runs it.
_FORCE = """#!/bin/sh
read -r latency </state/latency
[ "$latency" = 0 ] || sleep "$latency"
printf '%s\\0' "$SSH_ORIGINAL_COMMAND" >>/state/commands
PATH=/stand-ins:$PATH exec sh -c "$SSH_ORIGINAL_COMMAND"
"""


def isolate() -> None:
    """Go on in namespaces of our own, in which processes end with us."""
    if os.environ.get(_ISOLATED):
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", str(TOP)], check=True)
        return
    if os.geteuid() != 0:
        sys.exit("the bench makes namespaces and mounts: run it as root")
    # Where it is not there yet it is fetched, for which the machine's network is needed.
    program.find()
    os.environ[_ISOLATED] = "1"
    spaces = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    module = sys.modules["__main__"].__spec__
    assert module is not None
    os.execvp(spaces[0], [*spaces, sys.executable, "-m", module.name, *sys.argv[1:]])


class Machines:
    """Machines with the addresses of numbers from 1 on; the first one becomes the master.

    They are made once: what a run leaves in them is taken away by :meth:`make_blank`.
    """

    def __init__(self, number: int):
        self.top = TOP / "machines"
        self.addresses = [f"{NETWORK}.{n}" for n in range(1, number + 1)]
        roles = ["master", *["worker"] * (number - 1)]
        pairs = zip(roles, self.addresses, strict=True)
        self._names = [f"{role}-{address.replace('.', '-')}" for role, address in pairs]
        options = []
        for address in self.addresses:
            options += [
                f"Match LocalAddress {address}",
                f"ChrootDirectory {self._root(address)}",
                "ForceCommand /force",
            ]
        self._cluster_ca = Authority("cluster").pem
        self.sshd = Sshd(program.find(), TOP / "sshd", port=22, address="0.0.0.0", options=options)
        for address in self.addresses:
            self._mount(self._root(address))

    def make_blank(self, latency: float) -> None:
        """Let the machines be as on their first day.

        :param latency: seconds before each remote command
        """
        shared = self.top / "shared"
        _empty(shared)
        (shared / "nodes").mkdir()
        (shared / "ca.crt").write_text(self._cluster_ca)
        metadata = {"name": "kubeadm-config", "namespace": credentials.NAMESPACE}
        data = {"ClusterConfiguration": "kubernetesVersion: v1.34.8\n"}
        configuration = {"kind": "ConfigMap", "metadata": metadata, "data": data}
        (shared / "configmap-kubeadm-config").write_text(json.dumps(configuration))
        (shared / "admin").mkdir()
        for item in credentials.admin_manifest()["items"]:
            if item["kind"] == "Secret":
                token = {"token": b"header.claims.signature", "ca.crt": self._cluster_ca.encode()}
                item["data"] = {k: base64.b64encode(v).decode() for k, v in token.items()}
            file = f"{item['kind'].lower()}-{item['metadata']['name']}"
            (shared / "admin" / file).write_text(json.dumps(item))
        for address, name in zip(self.addresses, self._names, strict=True):
            _fill(self._root(address), name, latency)

    def commands(self) -> list[list[str]]:
        """Return the remote commands of each machine since :meth:`forget_commands`."""
        return [f.read_text().split("\0")[:-1] for f in self._notes()]

    def forget_commands(self) -> None:
        for file in self._notes():
            file.write_text("")

    def _root(self, address: str) -> Path:
        return self.top / address

    def _notes(self) -> list[Path]:
        return [self._root(address) / "state/commands" for address in self.addresses]

    def _mount(self, root: Path) -> None:
        root.mkdir(parents=True)
        for seen in _SEEN:
            source = Path("/", seen)
            if source.is_symlink():
                (root / seen).symlink_to(source.readlink())
            elif source.exists():
                _bind(source, root / seen)
        (root / "local").mkdir()
        _bind(root / "local", root / "usr/local")
        _bind(self.top / "shared", root / "shared")


def _bind(source: Path, target: Path) -> None:
    source.mkdir(exist_ok=True)
    target.mkdir(exist_ok=True)
    subprocess.run(["mount", "--bind", str(source), str(target)], check=True)


def _fill(root: Path, name: str, latency: float) -> None:
    for own in _OWN:
        _empty(root / own)
    (root / "var/lib").mkdir()
    for file in _FILES:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        if Path("/", file).exists():
            shutil.copy(Path("/", file), root / file, follow_symlinks=False)
    (root / "etc/os-release").write_text('ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian 12"\n')
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\n")
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n")
    (root / "state/name").write_text(name + "\n")
    (root / "state/latency").write_text(f"{latency:g}\n")
    (root / "state/commands").touch()
    (root / "force").write_text(_FORCE)
    (root / "force").chmod(0o755)
    for program_name in STAND_INS:
        shutil.copy(HERE / "standins.sh", root / "stand-ins" / program_name)
        (root / "stand-ins" / program_name).chmod(0o755)


def _empty(directory: Path) -> None:
    """Leave nothing in a directory below which nothing is mounted; it may be mounted elsewhere."""
    directory.mkdir(parents=True, exist_ok=True)
    for entry in directory.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
