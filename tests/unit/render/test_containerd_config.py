# SPDX-License-Identifier: Apache-2.0
"""containerd's config.toml: golden, run twice, in both versions of the format."""

from __future__ import annotations

import pytest

from tacker_cir.render import containerd_config
from tacker_cir.render.containerd_config import tomllib

CERTS_D = "/etc/containerd/certs.d"
PAUSE = "registry.example.com:5000/pause:3.2"

# As Debian's package of containerd 1.6 to 2.1 brings it.
DEBIAN = """\
version = 2

[plugins]
  [plugins."io.containerd.grpc.v1.cri"]
    [plugins."io.containerd.grpc.v1.cri".cni]
      bin_dir = "/usr/lib/cni"
      conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.internal.v1.opt"]
    path = "/var/lib/containerd/opt"
"""
# As Docker's package containerd.io brings it.
DOCKER = """\
#   Copyright 2018-2022 Docker Inc.

disabled_plugins = ["cri"]

#root = "/var/lib/containerd"
"""
# What `containerd config default` of 1.7 and 2.1 begins and goes on with, shortened.
DUMP_2 = """\
disabled_plugins = []
oom_score = 0
version = 2
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "registry.k8s.io/pause:3.8"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false
ShimCgroup = ""
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/opt/cni/bin"
[plugins."io.containerd.grpc.v1.cri".registry]
config_path = ""
[plugins."io.containerd.grpc.v1.cri".registry.configs]
[plugins."io.containerd.grpc.v1.cri".registry.mirrors]
"""
DUMP_3 = """\
version = 3
disabled_plugins = []
oom_score = 0
[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = 'registry.k8s.io/pause:3.10'
[plugins.'io.containerd.cri.v1.images'.registry]
config_path = '/etc/other/certs.d'
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
runtime_type = 'io.containerd.runc.v2'
sandboxer = 'podsandbox'
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
SystemdCgroup = false
[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dir = ''
bin_dirs = ['/usr/lib/cni']
"""
FILES = {
    "debian": (DEBIAN, 1, False),
    "docker": (DOCKER, 1, True),
    "dump_2": (DUMP_2, 1, True),
    "dump_3": (DUMP_3, 2, True),
    "none_1": (None, 1, True),
    "none_2": (None, 2, False),
}


def merge(text, major=1, systemd=False, sandbox=PAUSE):
    return containerd_config.merge(
        text, major=major, certs_d=CERTS_D, sandbox_image=sandbox, systemd_cgroup=systemd
    )


@pytest.mark.parametrize("name", FILES)
def test_golden_and_twice(golden, name):
    text, major, systemd = FILES[name]
    once = merge(text, major, systemd)
    golden(f"containerd_config_{name}.toml", once.text)
    again = merge(once.text, major, systemd)
    assert again == containerd_config.Merged(once.text)
    assert containerd_config.has_systemd_cgroup(once.text) is systemd


def test_what_is_there_stays():
    text = (
        DEBIAN
        + 'note = "wärn"\n[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.nvidia]\n'
        + 'runtime_type = "io.containerd.runc.v2"\n'
    )
    before, after = tomllib.loads(text), tomllib.loads(merge(text).text)
    cri = after["plugins"]["io.containerd.grpc.v1.cri"]
    assert cri["containerd"] == before["plugins"]["io.containerd.grpc.v1.cri"]["containerd"]
    opt = "io.containerd.internal.v1.opt"
    assert after["plugins"][opt] == before["plugins"][opt]


def test_a_directory_of_plugins_that_is_left_is_told():
    assert merge(DEBIAN).left_plugins == ("/usr/lib/cni",)
    assert merge(DUMP_2).left_plugins == ()


def test_a_text_that_says_it_already_is_kept_to_the_letter():
    text = (
        '# ours\nversion=2\n[plugins."io.containerd.grpc.v1.cri"]\n'
        f'sandbox_image = "{PAUSE}" # near\n'
        f'registry.config_path = "{CERTS_D}:/etc/docker/certs.d"\n'
    )
    assert merge(text).text == text


def test_without_a_sandbox_image_the_default_stays():
    read = tomllib.loads(merge(None, sandbox=None).text)
    assert "sandbox_image" not in read["plugins"]["io.containerd.grpc.v1.cri"]


@pytest.mark.parametrize("path", ["/etc/other", f"/etc/other:{CERTS_D}"])
def test_our_directory_is_the_first_one(path):
    text = f'version = 2\n[plugins."io.containerd.grpc.v1.cri".registry]\nconfig_path = "{path}"\n'
    read = tomllib.loads(merge(text).text)
    registry = read["plugins"]["io.containerd.grpc.v1.cri"]["registry"]
    assert registry["config_path"] == f"{CERTS_D}:/etc/other"


REGISTRY = 'version = 2\n[plugins."io.containerd.grpc.v1.cri".registry'


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("version = ", "is not TOML"),
        ("[plugins.cri]\n", "has version 1 of its format; write it in version 2"),
        ("version = 4\n", "has version 4 of its format"),
        (f'{REGISTRY}.mirrors."docker.io"]\nendpoint = []\n', "has registry.mirrors, which"),
        (f'{REGISTRY}.configs."r:5000".tls]\nca_file = ""\n', "has registry.configs, which"),
    ],
)
def test_what_cannot_be_completed(text, problem):
    with pytest.raises(ValueError, match=problem):
        merge(text)


def test_an_old_login_does_not_hinder():
    text = f'{REGISTRY}.configs."r:5000".auth]\nusername = "u"\n'
    assert 'username = "u"' in merge(text).text


@pytest.mark.parametrize(
    ("text", "expected"), [(None, False), ("", False), (DUMP_2, False), ("version = 3\n", False)]
)
def test_who_makes_the_cgroups(text, expected):
    assert containerd_config.has_systemd_cgroup(text) is expected
    if text:
        on = text.replace("SystemdCgroup = false", "SystemdCgroup = true")
        assert containerd_config.has_systemd_cgroup(on) is ("SystemdCgroup" in text)


CRI = 'version = 2\n[plugins."io.containerd.grpc.v1.cri"]\n'


@pytest.mark.parametrize(
    "text",
    [
        "plugins = 1",
        'version = 2\n[plugins]\n"io.containerd.grpc.v1.cri" = 1',
        f"{CRI}registry = 1",
        f"{CRI}registry = {{configs = 1}}",
        f"{CRI}registry = {{configs = {{a = 1}}}}",
        f"{CRI}registry = {{config_path = 1}}",
        f"{CRI}cni = 1",
        f"{CRI}cni = {{bin_dirs = 1}}",
        f"{CRI}containerd = 1",
        f"{CRI}containerd = {{runtimes = {{runc = 5}}}}",
        f"{CRI}containerd = {{runtimes = {{runc = {{options = 1}}}}}}",
        "a = " + "[" * 5000,
        "version = [2]",
        "version = '2'",
    ],
    ids=lambda text: text[-40:],
)
def test_values_of_another_type_are_one_kind_of_error(text):
    with pytest.raises(ValueError):
        containerd_config.merge(text, major=1, certs_d="/c", sandbox_image="x", systemd_cgroup=True)
