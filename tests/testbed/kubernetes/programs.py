# SPDX-License-Identifier: Apache-2.0
"""The programs of Kubernetes and of the lab's own stand-ins, compiled once into the cache."""

from __future__ import annotations

import platform
import subprocess
import time
from collections import deque
from pathlib import Path

from tests.testbed.kubernetes.release import GO, VERSION
from tests.testbed.kubernetes.source import IMPORT_PATH, REFLECT2, Workspace
from tests.testbed.machines import apt
from tests.testbed.machines.host import (
    PROGRAMS,
    LabError,
    ended_with_the_others,
    remove,
    run,
    say,
    step,
)
from tests.testbed.machines.parts import Part

KUBERNETES = [
    "kubeadm",
    "kubelet",
    "kubectl",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
]
OWN_SOURCE = Path(__file__).with_name("go")

# The SDKs of the cloud providers are a third of all there is to compile. No dockerless: the
# kubelet shall have its part for Docker.
TAGS = "providerless"

# A cluster's programs have no use for symbols and paths of the machine that compiled them.
FLAGS = ["-trimpath", "-tags", TAGS]
LINKER_FLAGS = ["-s", "-w"]
STAMPS = {
    "gitVersion": f"v{VERSION}",
    "gitMajor": VERSION.split(".")[0],
    "gitMinor": VERSION.split(".")[1],
    "gitTreeState": "archive",
}
STAMPED = ["component-base/version", "client-go/pkg/version"]

# Others may use the machine meanwhile; without them it is as fast as ever.
POLITELY = ["nice", "-n", "15"]
SECONDS_BETWEEN_LINES = 30


def part(distribution: apt.Distribution) -> Part:
    """The directory with all programs. Compiling needs two gigabytes of disk meanwhile."""
    own = {path.parent.name: path.read_bytes() for path in sorted(OWN_SOURCE.glob("*/*.go"))}
    # Of these the result depends. A hash of this file would compile all anew for a comment.
    recipe = (VERSION, GO, REFLECT2, KUBERNETES, FLAGS, LINKER_FLAGS, STAMPS, STAMPED, own)
    name = apt.fingerprint(platform.machine(), *recipe)
    return Part(
        f"Kubernetes {VERSION}, compiled from source",
        PROGRAMS / name,
        lambda path: _build(path, own, distribution),
        490,
        7,
    )


def _build(target: Path, own: dict[str, bytes], distribution: apt.Distribution) -> None:
    target.mkdir()
    workspace = Workspace(target / "workspace")
    workspace.top.mkdir()
    workspace.prepare(distribution)
    for name, source in own.items():  # in the tree, so that they find the vendored libraries
        directory = workspace.tree / "cmd/lab" / name
        directory.mkdir(parents=True)
        (directory / "main.go").write_bytes(source)
    packages = [f"./cmd/{name}" for name in KUBERNETES] + [f"./cmd/lab/{name}" for name in own]
    with step(f"compiling {len(packages)} programs"):
        compile_into(target, workspace, packages)
    # Go makes directories of its cache that even their owner may not change.
    run(["chmod", "-R", "u+w", workspace.top])
    remove(workspace.top)


def compile_into(target: Path, workspace: Workspace, packages: list[str]) -> None:
    """Compile programs into a directory, and say now and then how far it has come."""
    environment = workspace.environment
    listed = run(
        [workspace.go, "list", "-tags", TAGS, "-deps", *packages],
        cwd=workspace.tree,
        env=environment,
    )
    total = len(listed.stdout.splitlines())
    linker_flags = " ".join([*LINKER_FLAGS, *_stamps()])
    argv = [*POLITELY, str(workspace.go), "build", "-v", *FLAGS, "-ldflags", linker_flags]
    _follow([*argv, "-o", f"{target}/", *packages], workspace.tree, environment, total)


def _stamps() -> list[str]:
    """Linker flags for the version that programs report, which a tarball does not know."""
    return [
        f"-X {IMPORT_PATH}/vendor/k8s.io/{package}.{key}={value}"
        for package in STAMPED
        for key, value in STAMPS.items()
    ]


def _follow(argv: list[str], cwd: Path, environment: dict[str, str], total: int) -> None:
    """Run a `go build -v`, which writes a line per package that it compiles."""
    process = subprocess.Popen(
        argv,
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a Ctrl-C is for us; we end it with all its compilers
    )
    assert process.stderr
    last, said = deque[str](maxlen=20), time.monotonic()
    with ended_with_the_others(process):
        for count, line in enumerate(process.stderr, 1):
            last.append(line)
            if time.monotonic() > said + SECONDS_BETWEEN_LINES:
                say(f"compiled {count} of {total} packages")
                said = time.monotonic()
        process.wait()
    if process.returncode != 0:
        raise LabError(f"go build failed with exit {process.returncode}:\n{''.join(last)}")
