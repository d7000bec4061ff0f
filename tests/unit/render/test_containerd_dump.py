# SPDX-License-Identifier: Apache-2.0
"""What containerd makes of its files: dumps of Debian's 1.6.20, 1.7.24 and 2.1.9, with the file
that we write (plain), with a drop-in besides that sets mirrors (registry) or a runtime (nvidia), or
with an empty file (none)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tacker_cir.render import containerd_config, containerd_dump
from tacker_cir.render.containerd_config import tomllib

DUMPS = Path(__file__).parents[1] / "data/containerd"
CERTS_D, PAUSE = "/etc/containerd/certs.d", "registry.k8s.io/pause:3.9"
NO_PLUGINS = "network plugins are not looked for in /opt/cni/bin"
OFF = "SystemdCgroup of the default runtime {!r} is off"
LOST = f"registry.config_path is '', not '{CERTS_D}'"


def read(name: str) -> containerd_dump.Effective:
    effective = containerd_dump.parse((DUMPS / f"{name}.toml").read_text())
    assert effective is not None
    return effective


def shortfalls(name: str) -> list[str]:
    return read(name).shortfalls(CERTS_D, PAUSE, True)


def test_nothing_stands_against_the_file():
    assert shortfalls("1.6_plain") == shortfalls("2.1_plain") == []
    # Debian's 1.7 has another default; the file has to say it.
    assert shortfalls("1.7_plain") == [NO_PLUGINS]
    assert read("1.6_plain").shortfalls(CERTS_D, None, False) == []


@pytest.mark.parametrize("version", ["1.6", "1.7"])
def test_a_drop_in_takes_the_place_of_the_whole_section(version):
    pause = f"the sandbox image is {read(f'{version}_none').sandbox_image!r}, not {PAUSE!r}"
    rest = [NO_PLUGINS] if version == "1.7" else []
    mirrors = "registry.mirrors is there beside config_path"
    found = shortfalls(f"{version}_registry")
    assert found == [LOST, mirrors, pause, OFF.format("runc"), *rest]
    assert shortfalls(f"{version}_nvidia") == [LOST, pause, OFF.format("nvidia"), *rest]
    assert "/etc/containerd/conf.d/a.toml" in read(f"{version}_registry").imports


def test_containerd_2_merges_the_sections():
    assert shortfalls("2.1_registry") == ["registry.mirrors is there beside config_path"]
    assert shortfalls("2.1_nvidia") == [OFF.format("nvidia")]
    assert read("2.1_nvidia").imports == ("/etc/containerd/conf.d/*.toml",)


@pytest.mark.parametrize("text", ["", "not TOML", "version = 2\n", "a = 1\n"])
def test_what_is_no_dump(text):
    assert containerd_dump.parse(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "[plugins.'io.containerd.grpc.v1.cri']\ncontainerd = 1\nregistry = []\ncni = 'x'\n",
        "disabled_plugins = 1\nimports = {}\n[plugins.a]\n",
        "[plugins.'io.containerd.grpc.v1.cri'.registry]\nconfig_path = 1\nconfigs = {a = 1}\n",
    ],
)
def test_a_dump_of_another_shape_is_read_all_the_same(text):
    assert containerd_dump.parse(text).shortfalls(CERTS_D, PAUSE, True)


def merge(text: str | None, effective: containerd_dump.Effective | None = None, **other):
    in_effect = {}
    if effective:
        in_effect["default_runtime"] = (effective.default_runtime, effective.runtime_type)
        in_effect["plugin_directories"] = effective.plugin_directories
    return containerd_config.merge(
        text, certs_d=CERTS_D, sandbox_image=PAUSE, **{"major": 1, "systemd_cgroup": True, **other},
        **in_effect,
    )  # fmt: skip


def runtimes(text: str, section: str = containerd_config.CRI) -> dict[str, bool | None]:
    found = tomllib.loads(text)["plugins"][section]["containerd"]["runtimes"]
    return {
        name: runtime.get("options", {}).get("SystemdCgroup") for name, runtime in found.items()
    }


NVIDIA = """\
version = 2
[plugins."io.containerd.grpc.v1.cri".containerd]
default_runtime_name = "nvidia"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.nvidia]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.nvidia.options]
BinaryName = "/usr/bin/nvidia-container-runtime"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.kata]
runtime_type = "io.containerd.kata.v2"
"""


def test_all_runtimes_of_runcs_type_make_their_cgroups_in_one_way():
    once = merge(NVIDIA)
    assert runtimes(once.text) == {"nvidia": True, "kata": None, "runc": True}
    assert "nvidia-container-runtime" in once.text
    assert merge(once.text).text == once.text
    assert runtimes(merge(NVIDIA, systemd_cgroup=False).text) == {"nvidia": None, "kata": None}


def test_a_default_runtime_of_another_type_is_left_alone():
    text = NVIDIA.replace('"nvidia"\n', '"kata"\n', 1)
    assert runtimes(merge(text).text)["kata"] is None


def test_the_default_runtime_of_a_drop_in_is_told_by_the_dump():
    once = merge(None, read("2.1_nvidia"), major=2)
    assert runtimes(once.text, containerd_config.RUNTIME) == {"runc": True, "nvidia": True}


def test_where_plugins_are_by_default_is_told_by_the_dump():
    once = merge(None, read("1.7_none"))
    cri = tomllib.loads(once.text)["plugins"][containerd_config.CRI]
    assert cri["cni"] == {"bin_dir": "/opt/cni/bin"} and once.left_plugins == ("/usr/lib/cni",)
    assert merge(once.text, read("1.7_none")).text == once.text
    for other in ("1.6_none", "2.1_none"):
        assert "/opt/cni/bin" not in merge(None, read(other)).text
