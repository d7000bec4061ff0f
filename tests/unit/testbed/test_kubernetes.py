# SPDX-License-Identifier: Apache-2.0
"""What is made of the compiled Kubernetes: packages, and images from unpacked packages."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from tests.testbed.kubernetes import archives, debs, programs, release, source

needs_dpkg = pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="needs dpkg-deb")


def output(*argv) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def packages(tmp_path):
    """The built packages by name: of programs that are none, and one plugin."""
    compiled, plugins, built = (tmp_path / name for name in ("compiled", "plugins", "built"))
    for directory in (compiled, plugins / "usr/lib/cni", plugins / "DEBIAN", built):
        directory.mkdir(parents=True)
    for name in ("kubelet", "kubeadm", "kubectl", "crictl"):
        (compiled / name).write_text(name)
        (compiled / name).chmod(0o755)
    (plugins / "usr/lib/cni/host-local").touch()
    control = (
        "Package: x\nVersion: 1.1.1+ds1-3+b5\nArchitecture: all\nMaintainer: x\nDescription: x\n"
    )
    (plugins / "DEBIAN/control").write_text(control)
    output("dpkg-deb", "-b", plugins, tmp_path / "plugins.deb")
    debs.build_all(compiled, tmp_path / "plugins.deb", built)
    return {path.name.split("_")[0]: path for path in built.iterdir()}


@needs_dpkg
def test_packages_have_the_names_versions_and_dependencies_of_the_originals(packages):
    assert set(packages) == {"kubelet", "kubeadm", "kubectl", "kubernetes-cni", "cri-tools"}
    for name in ("kubelet", "kubeadm", "kubectl"):
        assert output("dpkg-deb", "-f", packages[name], "Version") == f"{release.VERSION}-1\n"
    needed = output("dpkg-deb", "-f", packages["kubeadm"], "Depends")
    assert all(name in needed for name in ("kubelet", "kubectl", "kubernetes-cni", "cri-tools"))
    assert "conntrack" in output("dpkg-deb", "-f", packages["kubelet"], "Depends")


@needs_dpkg
def test_packages_put_files_where_kubeadm_and_the_kubelet_look_for_them(packages, tmp_path):
    for deb in packages.values():
        output("dpkg-deb", "-x", deb, tmp_path / "root")
    root = tmp_path / "root"
    assert (root / "usr/bin/kubelet").read_text() == "kubelet"
    assert (root / "etc/kubernetes/manifests").is_dir()
    assert (root / "opt/cni/bin/host-local").readlink().as_posix() == "/usr/lib/cni/host-local"
    unit = (root / "lib/systemd/system/kubelet.service").read_text()
    assert "ExecStart=/usr/bin/kubelet\n" in unit
    drop_in = (root / "etc/systemd/system/kubelet.service.d/10-kubeadm.conf").read_text()
    assert "\nExecStart=\nExecStart=/usr/bin/kubelet $KUBELET_KUBECONFIG_ARGS" in drop_in


@needs_dpkg
def test_the_stand_in_of_the_plugins_has_their_version(packages):
    assert output("dpkg-deb", "-f", packages["kubernetes-cni"], "Version") == "1.1.1-1\n"


def test_links_are_followed_inside_the_tree_that_they_are_in(tmp_path):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib64").mkdir()
    (tmp_path / "lib/loader-2.36").write_text("loader")
    (tmp_path / "lib/loader").symlink_to("loader-2.36")
    (tmp_path / "lib64/loader").symlink_to("/lib/loader")
    assert archives._inside(tmp_path, "/lib64/loader") == tmp_path / "lib/loader-2.36"


def test_archives_have_names_of_their_own():
    names = [archives.file_name(reference) for reference in archives.references()]
    assert "k8s.gcr.io_pause_3.2.tar" in names
    assert len(set(names)) == len(names)


def test_programs_say_which_release_they_are():
    stamp = "-X k8s.io/kubernetes/vendor/k8s.io/client-go/pkg/version.gitVersion=v1.20.2"
    assert stamp in programs._stamps()


def test_only_api_packages_go_into_the_api_definitions(tmp_path):
    workspace = source.Workspace(tmp_path)
    for path, text in {
        "pkg/apis/abac/v0/doc.go": "// +k8s:openapi-gen=true\n",
        "pkg/kubelet/kubelet.go": "package kubelet\n",
        "staging/src/k8s.io/api/core/v1/doc.go": "// +k8s:openapi-gen=true\n",
        "staging/src/k8s.io/sample-apiserver/pkg/doc.go": "// +k8s:openapi-gen=true\n",
    }.items():
        (workspace.tree / path).parent.mkdir(parents=True)
        (workspace.tree / path).write_text(text)
    assert workspace._openapi_packages() == [
        "k8s.io/kubernetes/pkg/apis/abac/v0",
        "k8s.io/kubernetes/vendor/k8s.io/api/core/v1",
    ]
