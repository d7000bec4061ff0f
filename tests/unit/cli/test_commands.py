# SPDX-License-Identifier: Apache-2.0
"""The command line: what it is called, its statuses, samples and registries."""

from __future__ import annotations

import copy
import json
import re
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from tacker.common.utils import json_merge_patch

from tacker_cir import cli, csar
from tacker_cir.metadata import MAX_VALUE
from tacker_cir.params import registry_metadata, registry_override
from tacker_cir.vnflcm import find_request_faults
from tests.image_archives import Image, layer, layout_of, write

GUIDE = Path(__file__).parents[3] / "doc/source"
COMMANDS = (
    "validate",
    "images",
    "registries",
    "samples",
    "doctor",
    "csar build private-registry",
    "csar build kubernetes",
)


def run(*words: str, **options) -> subprocess.CompletedProcess:
    """Run the program as a user does."""
    command = [sys.executable, "-m", "tacker_cir", *words]
    return subprocess.run(command, capture_output=True, text=True, **options)


def test_it_says_its_version():
    done = run("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("tacker-cir ")


@pytest.mark.parametrize("words", [[], ["nosuch"], ["validate"], ["csar", "build", "kubernetes"]])
def test_wrong_use(words, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    assert ended.value.code == cli.USAGE
    assert "usage: tacker-cir" in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_in_the_guide(command, capsys):
    with pytest.raises(SystemExit):
        cli.main([*command.split(), "--help"])
    shown = capsys.readouterr().out
    page = (GUIDE / "cli/index.rst").read_text()
    words = set(re.findall(r"--[a-z0-9][a-z0-9-]*", shown)) - {"--help", "--format"}
    assert words or command == "samples"
    assert f"tacker-cir {command}" in page
    for word in words:
        assert word in page, word


def test_every_status_is_in_the_guide():
    page = (GUIDE / "cli/index.rst").read_text()
    for status in (cli.OK, cli.FAULTS, cli.USAGE, cli.UNREADABLE):
        assert f"   * - {status}\n" in page


def test_the_doctor_has_no_foreign_noise(tmp_path):
    """In a process of its own, in which Tacker is loaded for the first time."""
    conf = tmp_path / "tacker.conf"
    conf.write_text(f"[tacker_cir]\nstate_path = {tmp_path}\nimage_timeout = x\n")
    done = run("doctor", "--config-file", str(conf))
    assert (done.returncode, done.stderr) == (cli.FAULTS, "")
    assert all(line.startswith(("ok     ", "FAULT  ")) for line in done.stdout.splitlines())


def test_the_doctor_for_programs(tmp_path, capsys):
    conf = tmp_path / "tacker.conf"
    conf.write_text(f"[tacker_cir]\nstate_path = {tmp_path}\nimage_timeout = x\n")
    assert cli.main(["doctor", "-f", "json", "--config-file", str(conf)]) == cli.FAULTS
    checks = {check["subject"]: check for check in json.loads(capsys.readouterr().out)}
    assert checks["[tacker_cir] image_timeout"] == {
        "subject": "[tacker_cir] image_timeout",
        "ok": False,
        "fault": "expected a whole number from 1 on; got 'x'",
        "detail": None,
    }
    assert checks["driver mgmt-drivers-kubernetes"]["ok"] is True


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--output", "none/a.zip"], "cannot build none/a.zip: no such file"),
        (["--output", "a.zip", "--package", "none"], "none is not a directory: no such directory"),
        (["--output", "a.zip", "--package", "."], "it is no package directory"),
        (["--output", "a.zip", "--file", "Files/a/b=none"], "is not a file: no such file"),
    ],
)
def test_what_cannot_be_read_or_written(options, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["csar", "build", "kubernetes", *options]) == cli.UNREADABLE
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "options",
    [
        ["private-registry", "--base-hot", "--package", "x"],
        ["private-registry", "--vm-image", "x"],
        ["kubernetes", "--vnfd-id", "x"],
        ["kubernetes", "--file", "../x=/dev/null"],
    ],
)
def test_options_that_do_not_go_together(options, tmp_path, capsys):
    words = ["csar", "build", *options, "--output", str(tmp_path / "a.zip")]
    assert cli.main(words) == cli.USAGE
    assert capsys.readouterr().err.startswith("tacker-cir: ")


# Samples


def test_samples_are_copied_as_they_are(tmp_path, capsys):
    target = tmp_path / "a" / "samples"
    assert cli.main(["samples", str(target)]) == cli.OK
    assert f"{target}/requests" in capsys.readouterr().out
    copied = {p.relative_to(target): p.read_bytes() for p in target.rglob("*") if p.is_file()}
    source = csar.samples_dir()
    found = [p for p in source.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    assert copied == {p.relative_to(source): p.read_bytes() for p in found}
    package = target / "kubernetes_vnf_package"
    assert csar.verify(csar.build_kubernetes(tmp_path / "a.zip", package=package).path) == []


def test_samples_replace_nothing(tmp_path, capsys):
    (tmp_path / "mine").write_text("x")
    assert cli.main(["samples", str(tmp_path)]) == cli.USAGE
    assert "is not empty" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]


def test_every_sample_request_is_in_the_guide():
    pages = "\n".join(page.read_text() for page in GUIDE.rglob("*.rst"))
    for path in (csar.samples_dir() / "requests").iterdir():
        assert path.name in pages, path.name


# Registries

REGISTRY = {"connection_type": "0", "server": "192.0.2.10:5000"}


@pytest.fixture
def body(tmp_path, capsys):
    """Runs the command with a list and returns the body that it writes."""

    def write(registries, *options: str) -> dict:
        path = tmp_path / "list.json"
        path.write_text(json.dumps(registries))
        assert cli.main(["registries", str(path), *options]) == cli.OK
        return json.loads(capsys.readouterr().out)

    return write


def long_list(count: int) -> list[dict]:
    login = {"username": "a", "password": "p" * 700}
    servers = [f"r{number}.example.com" for number in range(count)]
    return [{"connection_type": "1", "server": server, **login} for server in servers]


@pytest.mark.parametrize("registries", [[], [REGISTRY], long_list(2), long_list(20)])
def test_the_driver_reads_what_was_written(registries, body):
    written = body(registries)
    assert find_request_faults(written, None) == []
    kept = {key: value for key, value in written["metadata"].items() if value is not None}
    assert all(len(value) <= MAX_VALUE for value in kept.values())
    assert registry_metadata.read(kept) == registries


def test_what_only_tacker_knows_is_told_beside_the_body(tmp_path, capsys):
    path = tmp_path / "list.json"
    path.write_text(json.dumps([{"vnf_instance": "my-registry", "advertise": True}, REGISTRY]))
    assert cli.main(["registries", str(path)]) == cli.OK
    out, err = capsys.readouterr()
    assert "my-registry" in json.loads(out)["metadata"]["private_registry_connection_info"]
    told = "what only Tacker knows was not checked: VNF instance my-registry"
    assert err == f"tacker-cir: {told}\n"
    path.write_text(json.dumps([{"vnf_instance": "a", "server": "192.0.2.1:5000"}]))
    assert cli.main(["registries", str(path)]) == cli.FAULTS
    out, err = capsys.readouterr()
    assert "[0].server: expected none beside vnf_instance" in out and err == ""


def test_nothing_of_a_longer_list_is_left(body):
    """As Tacker merges an update into the metadata that are there."""
    metadata = {"mine": "stays"}
    for registries in (long_list(20), [REGISTRY]):
        metadata = json_merge_patch(copy.deepcopy(metadata), body(registries)["metadata"])
        assert registry_metadata.read(metadata) == registries
    assert set(metadata) == {"mine", "private_registry_connection_info"}


def test_faults_of_the_list(tmp_path, capsys):
    path = tmp_path / "list.yaml"
    path.write_text("- {connection_type: '0', server: 'http://a.b'}\n- {server: a.b}\n")
    output = tmp_path / "update.json"
    assert cli.main(["registries", str(path), "--output", str(output)]) == cli.FAULTS
    lines = capsys.readouterr().out.splitlines()
    key = "metadata.private_registry_connection_info"
    assert [line.split(": ")[0] for line in lines] == [
        f"FAULT  {key}[0].server",
        f"FAULT  {key}[1].connection_type",
    ]
    assert not output.exists()


def test_the_body_is_its_owners(tmp_path, capsys):
    path, output = tmp_path / "list.json", tmp_path / "update.json"
    path.write_text(json.dumps({"private_registry_connection_info": [REGISTRY]}))
    assert cli.main(["registries", str(path), "--output", str(output)]) == cli.OK
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    assert capsys.readouterr().out == f"ok     {output}\n"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["list.json", "update.json"]


@pytest.mark.parametrize("content", ['{"a": 1}', '"a"', "[", ""])
def test_no_list(content, tmp_path, capsys):
    path = tmp_path / "list.json"
    path.write_text(content)
    assert cli.main(["registries", str(path)]) == cli.UNREADABLE
    assert capsys.readouterr().err.startswith(f"tacker-cir: {path} ")


@pytest.fixture
def images(tmp_path):
    """An archive with all that Kubernetes 1.34.1 needs but etcd and the network's own."""
    names = [f"registry.k8s.io/{name}:v1.34.1" for name in (
        "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy",
    )]  # fmt: skip
    names += ["registry.k8s.io/coredns/coredns:v1.12.1", "registry.k8s.io/pause:3.10.1"]
    made = [Image((name,), (layer(name),)) for name in names]
    return write(tmp_path / "kube.tar", layout_of(*made))


def test_what_archives_hold(images, capsys):
    assert cli.main(["images", str(images)]) == cli.OK
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6 and all(line.startswith(f"ok     {images}: ") for line in lines)
    assert re.search(
        r": coredns/coredns:v1.12.1, coredns:v1.12.1 for linux/amd64, 0.0 MB, sha256:[0-9a-f]{64}$",
        lines[4],
    )


def test_what_archives_lack_for_kubernetes(images, tmp_path, capsys):
    words = ["images", str(images), "--kubernetes", "1.34.1"]
    assert cli.main(words) == cli.FAULTS
    faults = [line for line in capsys.readouterr().out.splitlines() if line.startswith("FAULT")]
    assert faults == ["FAULT  Kubernetes 1.34.1 needs etcd:3.6.4-0, which is not there"]

    etcd = write(tmp_path / "etcd.tar", layout_of(Image(("quay.example/etcd:3.6.4-0",))))
    assert cli.main(["images", str(images), str(etcd), *words[2:], "-f", "json"]) == cli.OK
    told = json.loads(capsys.readouterr().out)
    assert [archive["file"] for archive in told["archives"]] == [str(images), str(etcd)]
    assert told["archives"][1]["images"][0]["in_registry"] == ["etcd:3.6.4-0"]
    assert [image["present"] for image in told["needed"]] == [True] * 7
    assert told["faults"] == []


def test_another_tag_that_a_later_patch_may_name(images, tmp_path, capsys):
    etcd = write(tmp_path / "etcd.tar", layout_of(Image(("quay.example/etcd:3.6.9-0",))))
    assert cli.main(["images", str(images), str(etcd), "--kubernetes", "1.34.1"]) == cli.FAULTS
    assert (
        "needs etcd:3.6.4-0, which is not there; right all the same if 'kubeadm config images "
        "list' names etcd:3.6.9-0\n"
    ) in capsys.readouterr().out


def test_an_archive_that_is_none_or_damaged(images, tmp_path, capsys):
    members = {
        name: bytes(len(content)) if name.startswith("blobs") and content[:1] != b"{" else content
        for name, content in layout_of(Image(("app:1",))).items()
    }
    damaged = write(tmp_path / "damaged.tar", members)
    assert cli.main(["images", str(tmp_path / "gone.tar"), str(damaged), str(images)]) == cli.FAULTS
    told = capsys.readouterr().out
    assert f"FAULT  {tmp_path}/gone.tar: cannot be read (No such file or directory)" in told
    assert f"FAULT  {damaged}: is damaged" in told
    assert told.count("\nok") + told.startswith("ok") == 6


def test_a_version_that_is_not_known(images, capsys):
    assert cli.main(["images", str(images), "--kubernetes", "1.5.0"]) == cli.USAGE
    assert "expected a version of Kubernetes, 1.20.P to" in capsys.readouterr().err


def test_a_package_with_contents(images, tmp_path, capsys):
    package = tmp_path / "registry.zip"
    words = ["csar", "build", "private-registry", "--base-hot", "--output", str(package)]
    assert cli.main([*words, "--contents", str(images)]) == cli.OK
    (line,) = [x for x in capsys.readouterr().out.splitlines() if x.startswith("contents:")]
    assert json.loads(line.partition(":")[2]) == ["Files/contents/kube.tar"]
    with zipfile.ZipFile(package) as packed:
        assert packed.read("Files/contents/kube.tar") == images.read_bytes()
    assert cli.main([*words, "--contents", str(package)]) == cli.UNREADABLE
    assert "is not a readable tar archive" in capsys.readouterr().err


def test_what_changes_of_a_registry(body):
    users = [{"username": f"user{number}", "password": "p" * 72} for number in range(30)]
    written = body({"private_registry_installation_param": {"users": users}})
    assert find_request_faults(written, None) == []
    kept = {key: value for key, value in written["metadata"].items() if value is not None}
    assert len(kept) > 1 and all(len(value) <= MAX_VALUE for value in kept.values())
    assert registry_override.read(kept) == {"users": users}


@pytest.mark.parametrize(
    ("members", "path"),
    [({"users": [{"username": "a"}]}, "users[0].password"), ({"port_no": 1}, "port_no")],
)
def test_faults_of_what_changes_of_a_registry(tmp_path, capsys, members, path):
    file = tmp_path / "users.json"
    file.write_text(json.dumps({"private_registry_installation_param": members}))
    assert cli.main(["registries", str(file)]) == cli.FAULTS
    fault = f"FAULT  metadata.private_registry_installation_param.{path}: "
    assert capsys.readouterr().out.startswith(fault)
