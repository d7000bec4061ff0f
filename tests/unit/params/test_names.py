# SPDX-License-Identifier: Apache-2.0
"""Names and URLs: what every program that reads them takes for the same, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from tacker_cir.exceptions import InvalidRequest
from tacker_cir.params import private_registry
from tacker_cir.params.names import (
    is_no_proxy_entry,
    is_proxy_url,
    is_repository,
    is_site_url,
    split_image,
)
from tacker_cir.render import apt, docker, haproxy, hosts, keepalived

P = "additionalParams.private_registry_installation_param."
MINIMUM = {"ssh_cp_name": "CP1", "ssh_username": "ubuntu", "ssh_password": "MARK"}


def parse(**members: Any):
    return private_registry.parse({private_registry.KEY: {**MINIMUM, **members}}, None)


def faults_of(**members: Any) -> dict[str, str]:
    with pytest.raises(InvalidRequest) as caught:
        parse(**members)
    assert "MARK" not in str(caught.value)
    return {fault.path.removeprefix(P): fault.problem for fault in caught.value.faults}


@pytest.mark.parametrize(
    "url",
    [
        "http://proxy",
        "http://proxy:8080",
        "http://proxy:8080/",
        "https://my_proxy.example:65535",
        "http://10.0.0.1:3128",
        "https://[2001:db8::9]:3129",
        "http://user@proxy",
        "http://user:@proxy",
        "http://user:p%40ss%25w%C3%B6rd@proxy",
        "http://u-s.e_r~!$&()*+,;=:p!$&()*+,;=-@proxy:1/",
    ],
)
def test_proxies(url):
    assert is_proxy_url(url)
    assert parse(proxy={"http_proxy": url}).proxy.http.reveal() == url


@pytest.mark.parametrize(
    "url",
    [
        "http://MARK:abc%G4g@proxy:8080/",
        "http://MARK%@proxy",
        "http://MARK%4@proxy",
        "http://MARK:a%0Ab@proxy",
        "http://MARK:a%00b@proxy",
        "http://MARK%3Ab:c@proxy",
        "http://MARK@b@proxy",
        "http://MARK:a:b@proxy",
        "http://MARK:a/b@proxy",
        "http://MARK:a#b@proxy",
        "http://MARK:a?b@proxy",
        "http://MARK:[a]@proxy",
        "http://:MARK@proxy",
        "http://@MARK",
        "http://MARK:",
        "http://MARK:0",
        "http://MARK:08080",
        "http://MARK:65536",
        "http://MARK:8080/path",
        "http://MARK?x",
        "http://MARK#x",
        "http://MARK%2eexample",
        "http://[fe80::1%25eth0]/MARK",
        "http://[::MARK]",
        "http://[10.0.0.1]",
        "http://2001:db8::1",
        "http://10.0.0.300",
        "http://10.0.1",
        "http://-MARK",
        "http://MARK-",
        "http://MARK.",
        "http://MARK..x",
        "http://märk",
        "http://MARK`x`",
        "http://MARK'x'",
        "http://MARK;x",
        "http:///MARK",
        "HTTP://MARK",
        "socks5://MARK",
        "http:MARK",
        "MARK:8080",
        "http://MARK\u202e",
    ],
)
def test_what_is_no_proxy_to_one_of_its_readers(url):
    assert not is_proxy_url(url)
    found = faults_of(proxy={"https_proxy": url})
    assert set(found) == {"proxy.https_proxy"}


NO_PROXY = ["localhost", "example.com", ".example.com", "*.example.com", "*", "10.0.0.1", "::1",
            "10.0.0.0/8", "2001:db8::/32", "host:5000", "[2001:db8::1]:5000", "my_host", "a.svc",
            "10.0.0.1:80", "Example.COM"]  # fmt: skip


def test_what_no_proxy_may_hold():
    text = ",".join([*NO_PROXY, "", ""])
    given = {"http_proxy": "http://proxy:1", "no_proxy": text}
    assert parse(proxy=given).proxy.no_proxy == text


@pytest.mark.parametrize(
    "entry",
    [
        "a;DPkg::Pre-Invoke{touch${IFS}/x};b",
        "a{b}",
        "a//b",
        "a/*b*/",
        "#clear",
        "a#b",
        "$(x)",
        "`x`",
        "a|b",
        "http://example.com",
        "example.com/",
        "example.com/24",
        "10.0.0.0/33",
        "10.0.0.0/255.0.0.0",
        "10.0.0.*",
        "10.0.0",
        "[::1]",
        "::1%eth0",
        "host:",
        "host:0",
        "host:65536",
        "host:port",
        "-a",
        "a.",
        "..a",
        "**.a",
        "*a*",
        "hö",
        "=",
    ],
)
def test_what_means_nothing_in_no_proxy(entry):
    assert not is_no_proxy_entry(entry)
    found = faults_of(proxy={"http_proxy": "http://proxy:1", "no_proxy": f"localhost,{entry}"})
    assert set(found) == {"proxy.no_proxy"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("registry", (None, "registry")),
        ("registry:2", (None, "registry:2")),
        ("user/registry", (None, "user/registry")),
        ("localhost/a", ("localhost", "a")),
        ("a.example/b/c_d__e-f--g.h:Tag.1", ("a.example", "b/c_d__e-f--g.h:Tag.1")),
        ("host:5000/a@sha256:" + "0" * 64, ("host:5000", "a@sha256:" + "0" * 64)),
        ("[2001:db8::1]:5000/a", ("[2001:db8::1]:5000", "a")),
        ("quay.io/" + "a" * 247, ("quay.io", "a" * 247)),
    ],
)
def test_images(text, expected):
    assert split_image(text) == expected
    assert parse(registry_image=text).registry_image.startswith(text)


@pytest.mark.parametrize(
    "text",
    [
        "-v/etc/x",
        "-v",
        "--privileged/x",
        "-v.x/a",
        "a.example:99999/b",
        "a.example:0/b",
        "-a.example/b",
        "a-.example/b",
        "a..example/b",
        "a_b.example/c",
        "10.0.0.300/a",
        "Foo/bar",
        "a.example/B",
        "a.example/",
        "a//b",
        "a..b",
        "a.-b",
        "a___b",
        "a_",
        "a-",
        "a/-b",
        "a:-b",
        "a:",
        "a:b:c",
        "a@sha256:" + "0" * 63,
        "a@sha512:" + "0" * 128,
        "0" * 64,
        "quay.io/" + "a" * 248,
        "[::1/a",
        "a b",
        "a\n",
    ],
)
def test_what_is_no_image(text):
    assert set(faults_of(registry_image=text)) == {"registry_image"}


def test_repositories():
    assert is_repository("a/b_c/d__e") and is_repository("k8s")
    assert not any(map(is_repository, ["", "/a", "a/", "A", "a//b", "-a", "a..b", "a:1", "a/../b"]))


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("https://repo.example/debian", True),
        ("http://10.0.0.1:8080/a/$(ARCH)/b:c/%20~", True),
        ("https://user@repo.example/", False),
        ("https://repo.example/a?b", False),
        ("https://repo.example/a#b", False),
        ("https://repo.example/a@b", False),
        ("https://repo.example/[a]", False),
        ("https://repo.example:x/a", False),
        ("https://repo.example/%zz", False),
        ("https:///a", False),
    ],
)
def test_sites(text, right):
    assert is_site_url(text) is right


@pytest.mark.parametrize(
    "path", ["/srv/registry", "/data", "/var/lib/registry", "/home/u/registry", "/root/registry",
             "/mnt/disk1", "/opt/a/b", "/var/registry", "/etcetera", "/var/lib/docker-registry"],
)  # fmt: skip
def test_directories_for_data(path):
    assert parse(data_path=path).data_path == path


@pytest.mark.parametrize(
    "path",
    ["/etc/ssh", "/etc", "/etc/", "//etc/ssh", "/etc//ssh", "/srv/../etc/ssh", "/./etc/ssh",
     "/usr/local/x", "/var/run/x", "/run/x", "/lib/x", "/lib64/x", "/bin/x", "/proc/self/root/etc",
     "/dev/shm/x", "/sys/x", "/boot/x", "/tmp/x", "/var/tmp/x", "/var/lib/docker/volumes",
     "/var/lib/kubelet", "/var/lib/containerd/x", "/var/lib/dpkg", "/var/lib/systemd/x",
     "/var/spool/cron", "/var/lib", "/var", "/srv", "/root", "/root/.ssh", "/home", "/home/ubuntu",
     "/home/ubuntu/.ssh/x", "/srv/.x", "/srv/..x", "/srv/registry/", "srv", "/srv/a b", "/srv/a:b",
     "/var/log/x", "/var/lib/tacker-cir"],
)  # fmt: skip
def test_what_is_no_directory_for_data(path):
    assert set(faults_of(data_path=path)) == {"data_path"}


def test_a_suite_that_is_a_path_has_no_components(package):
    repository = {"uri": "https://r.example", "keyring_path": "Files/keys/docker.asc"}

    def read(**more):
        given = {"name": "docker-ce", "apt_repository": {**repository, **more}}
        given = {**MINIMUM, "ssh_cp_name": "CP_FIP", "docker_package": given}
        return private_registry.parse({private_registry.KEY: given}, package)

    assert read(suite="a/").docker_package.apt_repository.components == ()
    with pytest.raises(InvalidRequest, match="components: expected none, as the suite is a path"):
        read(suite="a/", components=["stable"])


ENDERS = ['"', "\\", "\n", "\0", "\x1b", "\u2028"]


@pytest.mark.parametrize("character", ENDERS)
def test_no_value_ends_the_string_that_it_stands_in(character):
    with pytest.raises(ValueError):
        apt.proxy_conf(f"http://a{character}b", None)
    for entry in (character, ";", "{", "}", "#", "a//b;"):
        if "/" not in entry:
            with pytest.raises(ValueError):
                apt.proxy_conf("http://a", None, f"x{entry}y")
    for place in range(3):
        values = ["https://r.example", "suite", "/key"]
        values[place] += character if not character.isprintable() else " x"
        with pytest.raises(ValueError):
            apt.deb822_source(values[0], values[1], (), values[2], "amd64")
    if not character.isprintable():
        with pytest.raises(ValueError):
            docker.proxy_environment(f"http://a{character}b", None)
        for name in (f"a{character}b", "a b", "a#", ""):
            with pytest.raises(ValueError):
                hosts.line("10.0.0.1", [name])
    with pytest.raises(ValueError):
        hosts.line(f"10.0.0.1{character}", ["a"])
    with pytest.raises(ValueError):
        haproxy.config([(f"a{character}", "10.0.0.1")])
    with pytest.raises(ValueError):
        haproxy.config([("a", f"10.0.0.1{character}")])
    for interface, master in ((f"eth0{character}", "10.0.0.2"), ("eth0", f"10.0.0.2{character}")):
        with pytest.raises(ValueError):
            keepalived.config("10.0.0.9", interface, "10.0.0.1", ["10.0.0.1", master])
