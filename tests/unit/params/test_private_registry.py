# SPDX-License-Identifier: Apache-2.0
"""additionalParams of the registry VNF: what is right, and each fault with its path."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from tacker_cir.command import Secret
from tacker_cir.exceptions import InvalidRequest
from tacker_cir.params import private_registry
from tacker_cir.params.private_registry import DockerPackage
from tacker_cir.params.proxy import Proxy
from tacker_cir.params.reader import AptRepository
from tacker_cir.params.registry_volume import DataVolume
from tacker_cir.params.schema import did_you_mean
from tests.unit.conftest import docker_archive, oci_archive, write_tar

P = "additionalParams.private_registry_installation_param"
MINIMUM = {
    "ssh_cp_name": "PrivateRegistryVDU_CP1",
    "ssh_username": "ubuntu",
    "ssh_password": "MARK-password",
}
HOST_KEY = "AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
REPOSITORY = {"uri": "https://repo.example/linux/debian", "keyring_path": "Files/keys/docker.asc"}


def parse(package, given: Any):
    return private_registry.parse({private_registry.KEY: given}, package, flavour_id="simple")


def faults_of(package, given: Any) -> dict[str, str]:
    """Return the faults as path below the parameter -> problem."""
    with pytest.raises(InvalidRequest) as caught:
        parse(package, given)
    assert all(str(fault) in str(caught.value) for fault in caught.value.faults)
    return {fault.path.removeprefix(P).lstrip("."): fault.problem for fault in caught.value.faults}


def new_key(kind: str, form: str, passphrase: bytes | None = None) -> str:
    key = {
        "ed25519": ed25519.Ed25519PrivateKey.generate,
        "ecdsa": lambda: ec.generate_private_key(ec.SECP384R1()),
        "rsa": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
    }[kind]()
    encryption = (
        serialization.BestAvailableEncryption(passphrase)
        if passphrase
        else serialization.NoEncryption()
    )
    return key.private_bytes(
        serialization.Encoding.PEM, getattr(serialization.PrivateFormat, form), encryption
    ).decode()


def test_the_least_that_must_be_given(package):
    params = parse(package, MINIMUM)
    assert params.ssh_cp_name == "PrivateRegistryVDU_CP1"
    assert params.credentials.username == "ubuntu"
    assert params.credentials.password == Secret("MARK-password")
    assert params.credentials.private_key is None
    assert params.image is None and params.proxy is None and params.data_path is None
    assert (params.port_no, params.registry_image) == (5000, "registry:latest")
    assert params.docker_package == DockerPackage("docker.io", requested=False)
    assert params.ssh_host_keys == ()
    assert params.secrets == (Secret("MARK-password"),)


def test_all_that_can_be_given(package):
    key = new_key("ed25519", "OpenSSH")
    params = parse(
        package,
        {
            **MINIMUM,
            "ssh_private_key": key,
            "ssh_host_keys": [f"ssh-ed25519 {HOST_KEY} root@vm"],
            "image_path": "Files/images/registry.tar",
            "port_no": "8080",
            "proxy": {
                "http_proxy": "http://user:MARK%40proxy@192.0.2.9:3128",
                "https_proxy": "https://[2001:db8::9]:3129",
                "no_proxy": "localhost,192.0.2.0/24,::1",
            },
            "docker_package": {
                "name": "docker-ce",
                "version": "5:27.1.1-1~debian.12~bookworm",
                "apt_repository": {**REPOSITORY, "suite": "bookworm", "components": ["a", "b"]},
            },
            "registry_image": "registry",
            "data_path": "/srv/registry",
        },
    )
    assert params.credentials.private_key == Secret(key)
    assert params.ssh_host_keys == (("ssh-ed25519", HOST_KEY),)
    assert params.image is not None and params.image.tags == ("registry:latest",)
    assert params.port_no == 8080
    assert params.proxy == Proxy(
        Secret("http://user:MARK%40proxy@192.0.2.9:3128"),
        Secret("https://[2001:db8::9]:3129"),
        "localhost,192.0.2.0/24,::1",
    )
    assert params.proxy.has_credentials
    assert params.docker_package == DockerPackage(
        "docker-ce",
        "5:27.1.1-1~debian.12~bookworm",
        AptRepository(
            "https://repo.example/linux/debian",
            "bookworm",
            ("a", "b"),
            b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQ==\n",
        ),
        requested=True,
    )
    assert params.registry_image == "registry:latest"
    assert params.data_path == "/srv/registry"
    assert set(params.secrets) == {
        Secret("MARK-password"),
        Secret(key),
        Secret("MARK%40proxy"),
    }


@pytest.mark.parametrize("given", [None, {}, [], "x", {"other": 1}])
def test_the_parameter_is_missing(package, given):
    with pytest.raises(InvalidRequest) as caught:
        private_registry.parse(given, package)
    assert [fault.path for fault in caught.value.faults] == [P]
    assert "is missing; expected an object" in str(caught.value)


def test_the_parameter_is_misspelt(package):
    with pytest.raises(InvalidRequest, match="found private_registry_instalation_param instead"):
        private_registry.parse({"private_registry_instalation_param": MINIMUM}, package)


# (key, value, what the problem says)
FAULTS = [
    ("ssh_cp_name", "", "expected the name of the CP used for SSH access to the VM; got ''"),
    ("ssh_cp_name", 5, "expected the name of the CP used for SSH access to the VM; got 5"),
    ("ssh_cp_name", None, "got null"),
    ("ssh_cp_name", "PrivateRegistryVDU_CP2", "did you mean PrivateRegistryVDU_CP1?"),
    ("ssh_cp_name", "zzz", "known: CP_FIP, PrivateRegistryVDU_CP1"),
    ("ssh_username", "", "expected a login name of the VM"),
    ("ssh_username", "a b", "expected a login name of the VM; got 'a b'"),
    ("ssh_username", "-o", "expected a login name of the VM"),
    ("ssh_username", "ubuntu\n", "expected a login name of the VM"),
    ("ssh_password", "", "expected the login's password; got an empty string"),
    ("ssh_password", "MARK\nx", "expected the login's password; got another string"),
    ("ssh_password", "MARK\n", "expected the login's password; got another string"),
    ("ssh_password", 1234567, "expected the login's password; got a number"),
    ("ssh_password", ["MARK"], "got list"),
    ("ssh_private_key", "Files/keys/missing", "taken as a path and is not in the VNF package"),
    ("ssh_private_key", "../MARK", "taken as a path and leads out of the VNF package"),
    ("ssh_private_key", "-----BEGIN MARK", "not an Ed25519, ECDSA or RSA private key"),
    ("ssh_private_key", True, "got a boolean"),
    ("ssh_host_keys", [], "expected a list of the VM's public host keys"),
    ("ssh_host_keys", "ssh-rsa AAAA", "expected a list of the VM's public host keys"),
    ("ssh_host_keys[0]", ["MARK private key"], "not a public key line; expected e.g."),
    ("ssh_host_keys[0]", ["ssh-dss AAAAB3NzaC1kc3MAAAABAQ=="], "expected a key of type ssh-ed"),
    ("image_path", "Files/images/other.tar", "'Files/images/other.tar' is not in the VNF package"),
    ("image_path", "/etc/passwd", "must be a path relative to the top of the VNF package"),
    ("image_path", "../package/Files", "leads out of the VNF package"),
    ("image_path", "Files/link", "leads out of the VNF package"),
    ("image_path", "Files/keys/docker.asc", "is not a readable tar archive"),
    ("image_path", "Files/images/plain.tar", "is not an archive made with 'docker save'"),
    ("image_path", "Files/images/other-tag.tar", "the archive holds other:1, but registry_image"),
    ("image_path", 1, "expected a file made with 'docker save'"),
    ("port_no", 0, "expected a TCP port number, 1 to 65535; got 0"),
    ("port_no", "0", "expected a TCP port number, 1 to 65535; got '0'"),
    ("port_no", 70000, "expected a TCP port number, 1 to 65535; got 70000"),
    ("port_no", "70000", "expected a TCP port number, 1 to 65535; got '70000'"),
    ("port_no", -1, "got -1"),
    ("port_no", "5000\n", "expected a TCP port number"),
    ("port_no", "http", "got 'http'"),
    ("port_no", "٥٠٠٠", "expected a TCP port number"),
    ("port_no", True, "got True"),
    ("port_no", 50.5, "got 50.5"),
    ("port_no", None, "got null"),
    ("proxy", "http://user:MARK@proxy", "expected an object with http_proxy, https_proxy, no_pr"),
    ("proxy.http_proxy", {"http_proxy": "MARK.proxy:80"}, "expected a URL http[s]://"),
    ("proxy.http_proxy", {"http_proxy": "http://MARK x"}, "expected a URL http[s]://"),
    ("proxy.http_proxy", {"http_proxy": 'http://MARK"'}, "expected a URL http[s]://"),
    ("proxy.http_proxy", {"http_proxy": "http://MARK\n"}, "expected a URL http[s]://"),
    ("proxy.http_proxy", {"http_proxy": "http://MARK:port"}, "expected a URL http[s]://"),
    ("proxy.https_proxy", {"https_proxy": "https://[::MARK"}, "expected a URL http[s]://"),
    ("proxy.no_proxy", {"no_proxy": "a, b"}, "expected hosts, domains and networks separated by"),
    ("proxy.https", {"https": "MARK"}, "unknown key; did you mean https_proxy?"),
    ("docker_package", "Docker", "expected a package name, or an object"),
    ("docker_package", "docker.io=1", "expected a package name, or an object"),
    ("docker_package", [], "got an empty list"),
    ("docker_package.name", {"version": "1"}, "is missing; expected a package name"),
    ("docker_package.name", {"name": "-y"}, "expected a package name; got '-y'"),
    ("docker_package.version", {"name": "d-ce", "version": "1 2"}, "expected the package's full"),
    ("docker_package.repo", {"name": "d-ce", "repo": 1}, "unknown key; known: apt_repository"),
    ("docker_package.apt_repository", {"name": "d-ce", "apt_repository": "https://u:MARK@h"},
     "expected an object with uri, keyring_path"),
    ("docker_package.apt_repository.uri",
     {"name": "d-ce", "apt_repository": {"keyring_path": "Files/keys/docker.asc"}}, "is missing"),
    ("docker_package.apt_repository.uri",
     {"name": "d-ce", "apt_repository": {**REPOSITORY, "uri": "ftp://u:MARK@h"}},
     "expected the URL of an apt repository"),
    ("docker_package.apt_repository.uri",
     {"name": "d-ce", "apt_repository": {**REPOSITORY, "uri": "https://u:MARK@h/debian"}},
     "without user and password"),
    ("docker_package.apt_repository.suite",
     {"name": "d-ce", "apt_repository": {**REPOSITORY, "suite": "a b"}}, "expected a suite"),
    ("docker_package.apt_repository.components",
     {"name": "d-ce", "apt_repository": {**REPOSITORY, "components": []}}, "a list of components"),
    ("docker_package.apt_repository.components[1]",
     {"name": "d-ce", "apt_repository": {**REPOSITORY, "components": ["a", "b\nx"]}},
     "expected a component of the repository"),
    ("docker_package.apt_repository.keyring_path",
     {"name": "d-ce", "apt_repository": {**REPOSITORY, "keyring_path": "gone"}},
     "'gone' is not in the VNF package"),
    ("docker_package.apt_repository.keyring_path",
     {"name": "d-ce", "apt_repository": {**REPOSITORY, "keyring_path": "Definitions/df.yaml"}},
     "is not an OpenPGP public key"),
    ("docker_package.apt_repository.keyring_path",
     {"name": "d-ce", "apt_repository": {**REPOSITORY, "keyring_path": "Files/keys/secret.asc"}},
     "is a private key; expected an OpenPGP public key"),
    ("registry_image", "", "expected an image reference, e.g. registry:latest"),
    ("registry_image", "Registry:latest", "got 'Registry:latest'"),
    ("registry_image", "registry:latest --privileged", "expected an image reference"),
    ("registry_image", "--privileged", "expected an image reference"),
    ("registry_image", "registry:latest\n", "expected an image reference"),
    ("registry_image", "a" * 500, "..."),
    ("data_path", "relative", "expected an absolute directory of the VM"),
    ("data_path", "/", "expected an absolute directory of the VM"),
    ("data_path", "/a:b", "expected an absolute directory of the VM"),
    ("data_path", "/a\n", "expected an absolute directory of the VM"),
    ("data_path", "/etc", "expected a directory of its own for the registry's data"),
    ("data_path", "/srv/../etc", "expected a directory of its own for the registry's data"),
    ("ssh_pasword", "MARK", "unknown key; did you mean ssh_password?"),
    ("image", "x", "unknown key; did you mean image_path?"),
    ("zzzzz", "MARK", "unknown key; known: anonymous_pull, contents, data_path, data_volume"),
]  # fmt: skip


@pytest.fixture
def faulty_package(package):
    root = package.root
    (root / "Files/link").symlink_to("/etc/passwd")
    (root / "Files/keys/secret.asc").write_text(
        "-----BEGIN PGP PUBLIC KEY BLOCK-----\n-----BEGIN PGP PRIVATE KEY BLOCK-----\n"
    )
    write_tar(root / "Files/images/plain.tar", {"readme": b"{}"})
    write_tar(root / "Files/images/other-tag.tar", docker_archive(["other:1"]))
    return package


def _ids(value):
    return None if isinstance(value, dict | list) else str(value)[:40]


@pytest.mark.parametrize(("path", "value", "problem"), FAULTS, ids=_ids)
def test_each_fault_is_found_at_its_place(faulty_package, path, value, problem):
    key = path.split(".")[0].split("[")[0]
    faults = faults_of(faulty_package, {**MINIMUM, key: value})
    assert list(faults) == [path]
    assert problem in faults[path]
    assert "MARK" not in str(faults)


@pytest.mark.parametrize("key", ["ssh_cp_name", "ssh_username"])
def test_what_must_be_given(package, key):
    given = {k: v for k, v in MINIMUM.items() if k != key}
    assert "is missing; expected" in faults_of(package, given)[key]


def test_a_password_or_a_key_must_be_given(package):
    given = {k: v for k, v in MINIMUM.items() if k != "ssh_password"}
    assert faults_of(package, given) == {
        "ssh_password": "is missing; expected the login's password, or ssh_private_key"
    }


def test_every_fault_is_found_at_once(faulty_package):
    given = {
        "ssh_username": "a b",
        "ssh_pasword": "MARK1",
        "ssh_private_key": "-----BEGIN MARK2",
        "ssh_host_keys": ["MARK3", f"ssh-ed25519 {HOST_KEY}", 7],
        "image_path": "../MARK",
        "port_no": 70000,
        "proxy": {"http_proxy": "MARK4", "https_proxy": "https://MARK5:x", "nope": "MARK6"},
        "docker_package": {
            "name": "X",
            "apt_repository": {"uri": "MARK7", "keyring_path": "gone", "components": [1]},
        },
        "registry_image": "?",
        "data_path": "/etc",
    }
    faults = faults_of(faulty_package, given)
    assert set(faults) >= {
        "ssh_cp_name",
        "ssh_username",
        "ssh_pasword",
        "ssh_private_key",
        "ssh_host_keys[2]",
        "image_path",
        "port_no",
        "proxy.http_proxy",
        "proxy.https_proxy",
        "proxy.nope",
        "docker_package.name",
        "docker_package.apt_repository.uri",
        "docker_package.apt_repository.components[0]",
        "registry_image",
        "data_path",
    }
    with pytest.raises(InvalidRequest) as caught:
        parse(faulty_package, given)
    text = str(caught.value)
    assert text.startswith(f"the request has {len(faults)} faults, nothing was changed: (1) ")
    assert "MARK" not in text.replace("../MARK", "")


def test_one_fault_is_one_fault(package):
    with pytest.raises(InvalidRequest, match="the request has 1 fault, nothing was changed"):
        parse(package, {**MINIMUM, "port_no": 0})


def test_no_secret_is_shown_whatever_is_wrong_with_it(package):
    """Every kind of value at every place that may hold a secret, and the whole as one string."""
    shapes = ["MARK", "MARK\n", "MARK x", "x" * 100 + "MARK", ["MARK"], {"MARK": "MARK"},
              {"a": ["MARK"]}, "http://u:MARK@h:x", "-----BEGIN MARK KEY-----"]  # fmt: skip
    places = [("ssh_password",), ("ssh_private_key",), ("proxy",), ("proxy", "http_proxy"),
              ("proxy", "https_proxy"), ("docker_package", "apt_repository"),
              ("docker_package", "apt_repository", "uri")]  # fmt: skip
    texts = []
    for shape in shapes:
        for place in places:
            given: Any = copy.deepcopy({**MINIMUM, "port_no": 0, "ssh_password": "MARK"})
            inner = given
            for key in place[:-1]:
                inner = inner.setdefault(key, {})
            inner[place[-1]] = shape
            with pytest.raises(InvalidRequest) as caught:
                parse(package, given)
            texts.append(str(caught.value) + repr(caught.value))
        with pytest.raises(InvalidRequest) as caught:
            parse(package, json.dumps(shape))
        texts.append(str(caught.value))
    shown = [text for text in texts if "MARK" in text]
    # An unknown key is shown by its name, which is all that it has.
    assert [text for text in shown if "MARK: unknown key" not in text] == []


@pytest.mark.parametrize(
    ("given", "port"), [(1, 1), (65535, 65535), ("443", 443), ("00080", 80), (5000.0, 5000)]
)
def test_port_numbers(package, given, port):
    found = parse(package, {**MINIMUM, "port_no": given}).port_no
    assert (found, type(found)) == (port, int)


@pytest.mark.parametrize(
    ("kind", "form"),
    [
        ("ed25519", "OpenSSH"),
        ("ecdsa", "OpenSSH"),
        ("ecdsa", "TraditionalOpenSSL"),
        ("rsa", "OpenSSH"),
        ("rsa", "TraditionalOpenSSL"),
    ],
)
def test_private_keys(package, kind, form):
    key = new_key(kind, form)
    given = {"ssh_cp_name": "CP_FIP", "ssh_username": "root", "ssh_private_key": key}
    assert parse(package, given).credentials.private_key == Secret(key)
    (package.root / "Files/keys/id").write_text(key)
    given["ssh_private_key"] = "Files/keys/id"
    assert parse(package, given).credentials.private_key == Secret(key)
    locked = new_key(kind, form, b"passphrase")
    faults = faults_of(package, {**given, "ssh_private_key": locked})
    assert faults == {"ssh_private_key": "the key has a passphrase; expected one without"}


def test_damaged_private_keys_are_faults(package):
    key = new_key("rsa", "OpenSSH")
    for cut in range(40, len(key) - 40, 101):
        faults = faults_of(package, {**MINIMUM, "ssh_private_key": key[:cut] + "\n"})
        assert list(faults) == ["ssh_private_key"]
        assert not any(line in str(faults) for line in key.splitlines())


@pytest.mark.parametrize("make", [docker_archive, oci_archive])
@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_image_archives(package, make, mode):
    write_tar(package.root / "Files/images/image.tar", make(["host:5000/a/registry:2"]), mode)
    params = parse(
        package,
        {
            **MINIMUM,
            "image_path": "Files/images/image.tar",
            "registry_image": "host:5000/a/registry:2",
        },
    )
    assert params.image is not None
    assert params.image.architectures == {"host:5000/a/registry:2": "amd64"}


@pytest.mark.parametrize(
    ("given", "full"),
    [
        ("registry", "registry:latest"),
        ("registry:2.8", "registry:2.8"),
        ("docker.io/library/registry:2", "registry:2"),
        ("index.docker.io/library/registry", "registry:latest"),
        ("docker.io/a/b", "a/b:latest"),
        ("library/registry", "registry:latest"),
        ("quay.io/library/registry", "quay.io/library/registry:latest"),
        ("host:5000/registry", "host:5000/registry:latest"),
        ("a.example/b/c_d__e-f:Tag.1", "a.example/b/c_d__e-f:Tag.1"),
        ("r@sha256:" + "0" * 64, "r@sha256:" + "0" * 64),
        ("r:1@sha256:" + "0" * 64, "r:1@sha256:" + "0" * 64),
    ],
)
def test_image_references(package, given, full):
    assert parse(package, {**MINIMUM, "registry_image": given}).registry_image == full


@pytest.mark.parametrize("keyring", ["Files/keys/docker.asc", "Files/keys/docker.gpg"])
def test_keyrings(package, keyring):
    given = {"name": "docker-ce", "apt_repository": {**REPOSITORY, "keyring_path": keyring}}
    repository = parse(package, {**MINIMUM, "docker_package": given}).docker_package.apt_repository
    assert repository is not None
    assert repository.keyring == (package.root / keyring).read_bytes()
    assert (repository.suite, repository.components) == (None, ("stable",))


@pytest.mark.parametrize(
    ("given", "passwords", "credentials"),
    [
        ({}, None, None),
        ({"http_proxy": "", "no_proxy": "localhost"}, None, None),
        ({"http_proxy": "http://192.0.2.9"}, 0, False),
        ({"http_proxy": "http://user@192.0.2.9"}, 0, True),
        ({"https_proxy": "http://u:p@h:1"}, 1, True),
    ],
)
def test_proxies(package, given, passwords, credentials):
    proxy = parse(package, {**MINIMUM, "proxy": given}).proxy
    if passwords is None:
        assert proxy is None
    else:
        assert (len(proxy.passwords), proxy.has_credentials) == (passwords, credentials)
        assert "192.0.2.9" not in repr(proxy) and "u:p" not in repr(proxy)


def test_a_package_name_asks_for_that_package(package):
    given = parse(package, {**MINIMUM, "docker_package": "docker-ce"}).docker_package
    assert given == DockerPackage("docker-ce", requested=True)


def test_without_a_package_only_its_files_are_left_unchecked():
    with pytest.raises(InvalidRequest) as caught:
        private_registry.parse(
            {private_registry.KEY: {**MINIMUM, "image_path": "x", "port_no": 0}}, None
        )
    assert [fault.path for fault in caught.value.faults] == [f"{P}.port_no"]


def test_hints():
    assert did_you_mean("prot_no", ["port_no", "proxy"]) == "did you mean port_no?"
    assert did_you_mean("x", ["b", "a"]) == "known: a, b"
    assert did_you_mean("x", []) == "there is none"
    # Half alike, as any two names of parameters are.
    assert did_you_mean("vdu_id", ["pod_cidr", "aspect_id"]) == "known: aspect_id, pod_cidr"


ATTACHED = """
heat_template_version: 2013-05-23
resources:
  CP_FIP: {type: 'OS::Neutron::FloatingIP'}
  disk: {type: 'OS::Cinder::Volume'}
  registry_data: {type: 'OS::Cinder::VolumeAttachment'}
"""


@pytest.fixture
def with_volume(package):
    (package.root / "BaseHOT/simple/top.yaml").write_text(ATTACHED)
    return package


@pytest.mark.parametrize("name", ["disk", "registry_data"])
@pytest.mark.parametrize("device", [None, "/dev/vdb", "/dev/disk/by-path/pci-0000:00:05.0"])
def test_a_volume_for_the_data(with_volume, name, device):
    given = {"name": name} | ({"device": device} if device else {})
    params = parse(with_volume, {**MINIMUM, "data_volume": given})
    assert params.data_volume == DataVolume(name, device)


@pytest.mark.parametrize(
    ("given", "path", "problem"),
    [
        ("registry_data", "data_volume", "expected an object with name, device"),
        ({}, "data_volume.name", "is missing"),
        ({"name": "registry_date"}, "data_volume.name", "did you mean registry_data?"),
        ({"name": "CP_FIP"}, "data_volume.name", "has no volume 'CP_FIP'; known: disk, registry_"),
        ({"name": "disk", "id": "x"}, "data_volume.id", "unknown key"),
        ({"name": "disk", "device": "vdb"}, "data_volume.device", "expected the volume's device"),
        (
            {"name": "disk", "device": "/dev/x/../../etc/passwd"},
            "data_volume.device",
            "a device, e.g.",
        ),
        ({"name": "disk", "device": "/dev/a//b"}, "data_volume.device", "expected a device, e.g."),
        ({"name": "disk", "device": "/dev/vdb\n"}, "data_volume.device", "expected the volume's"),
    ],
)
def test_a_volume_that_cannot_be(with_volume, given, path, problem):
    assert problem in faults_of(with_volume, {**MINIMUM, "data_volume": given})[path]


def test_a_package_without_a_volume(package):
    found = faults_of(package, {**MINIMUM, "data_volume": {"name": "registry_data"}})
    assert "it has no volume at all" in found["data_volume.name"]
