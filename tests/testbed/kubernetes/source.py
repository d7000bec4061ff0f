# SPDX-License-Identifier: Apache-2.0
"""The source of Kubernetes and the Go to compile it with, both from the host's distribution.

Nothing of it is installed; apt checks the signatures as for every package.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from tests.testbed.kubernetes.release import GO, VERSION
from tests.testbed.machines import apt
from tests.testbed.machines.host import LabError, remove, run, step

HOST_PACKAGES = ["dpkg-dev", "patch", "xz-utils"]
IMPORT_PATH = "k8s.io/kubernetes"

REFLECT2 = "golang-github-modern-go-reflect2-dev"
"""The release's own copy of reflect2 crashes when compiled with Go 1.18 or later."""

OPENAPI_MARK = "// +k8s:openapi-gen="
# Trees of examples and tools, which are no part of any API.
OPENAPI_NOT_IN = ("code-generator", "sample-apiserver", "sample-controller")


@dataclass(frozen=True)
class Workspace:
    """A directory with everything that a compilation reads and writes.

    The tree lies in a GOPATH: it predates what Go modules demand of a vendor directory.
    """

    top: Path

    @property
    def tree(self) -> Path:
        """The source tree of Kubernetes."""
        return self.top / "gopath/src" / IMPORT_PATH

    @property
    def go(self) -> Path:
        """The go command."""
        return self.top / f"go/usr/lib/go-{GO}/bin/go"

    @property
    def environment(self) -> dict[str, str]:
        """Environment of the go command: no network, no C compiler, nothing written elsewhere."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.top),
            "GOROOT": str(self.go.parents[1]),
            "GOPATH": str(self.top / "gopath"),
            "GOCACHE": str(self.top / "gocache"),
            "GOENV": "off",
            "GO111MODULE": "off",
            "GOPROXY": "off",
            "CGO_ENABLED": "0",
        }

    def prepare(self, distribution: apt.Distribution) -> None:
        """Fetch and unpack everything, and complete the tree to what can be compiled.

        :raises LabError: when the distribution has another release of Kubernetes, or none.
        """
        with step(f"source of Kubernetes {VERSION} and Go {GO}, from the distribution"):
            self._unpack_source(distribution)
            packages = [f"golang-{GO}-go", f"golang-{GO}-src", REFLECT2]
            distribution.unpack(self.top / "go", packages)
        self._replace_reflect2()
        with step("generating the API server's OpenAPI definitions"):
            self._generate_openapi()

    def _unpack_source(self, distribution: apt.Distribution) -> None:
        files = self.top / "source"
        description = distribution.source_package("kubernetes", files)
        if not re.search(rf"[_y]{re.escape(VERSION)}\b", description.name):
            raise LabError(
                f"the distribution's source package is {description.stem}, "
                f"the lab needs Kubernetes {VERSION} (Debian 12 has it)"
            )
        self.tree.parent.mkdir(parents=True)
        run(["dpkg-source", "--no-copy", "-x", description, self.tree])
        remove(files)

    def _replace_reflect2(self) -> None:
        (newer,) = (self.top / "go").glob("usr/share/gocode/src/github.com/*/reflect2")
        vendored = self.tree / "vendor/github.com/modern-go/reflect2"
        remove(vendored)
        newer.rename(vendored)

    def _generate_openapi(self) -> None:
        """Make pkg/generated/openapi, which release tarballs lack and kube-apiserver imports."""
        generator = self.top / "openapi-gen"
        command = "./vendor/k8s.io/kube-openapi/cmd/openapi-gen"
        run([self.go, "build", "-o", generator, command], cwd=self.tree, env=self.environment)
        run(
            [
                generator,
                "--input-dirs=" + ",".join(self._openapi_packages()),
                f"--output-package={IMPORT_PATH}/pkg/generated/openapi",
                f"--output-base={self.top / 'gopath/src'}",
                "--output-file-base=zz_generated.openapi",
                "--go-header-file=vendor/k8s.io/code-generator/hack/boilerplate.go.txt",
                f"--report-filename={os.devnull}",
            ],
            cwd=self.tree,
            env={**self.environment, "PATH": f"{self.go.parent}:{os.environ['PATH']}"},
        )

    def _openapi_packages(self) -> list[str]:
        """Import paths of the packages that are marked as part of the API."""
        listed = run(
            ["grep", "-rl", "--include=*.go", f"^{OPENAPI_MARK}", "pkg", "staging/src/k8s.io"],
            cwd=self.tree,
        ).stdout.splitlines()
        directories = {str(Path(name).parent) for name in listed}
        # vendor/k8s.io has links to staging, and imports go through them.
        return sorted(
            f"{IMPORT_PATH}/{directory.replace('staging/src/', 'vendor/')}"
            for directory in directories
            if not any(part in OPENAPI_NOT_IN for part in Path(directory).parts)
        )
