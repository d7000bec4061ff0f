# SPDX-License-Identifier: Apache-2.0
"""``tacker-cir validate``: the parameter that a request has says which driver it is for."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import tempfile

import pytest

from tacker_cir import cli
from tacker_cir.cli import validate as validate_command
from tacker_cir.cli.inputs import MAX_INPUT
from tests.unit.cluster_requests import SPEC, write_package

CLUSTER = {"k8s_cluster_installation_param": SPEC}
REGISTRY = {
    "private_registry_installation_param": {
        "ssh_cp_name": "CP1",
        "ssh_username": "ubuntu",
        "ssh_password": "ubuntu",
    }
}


@pytest.fixture
def validate(tmp_path, capsys):
    def run(additional_params, *options: str) -> tuple[int, list[str]]:
        request = tmp_path / "request.json"
        request.write_text(
            json.dumps({"flavourId": "simple", "additionalParams": additional_params})
        )
        status = cli.main(["validate", str(request), *options])
        return status, capsys.readouterr().out.splitlines()

    return run


@pytest.fixture
def archive(tmp_path) -> str:
    package = write_package(tmp_path / "package")
    return shutil.make_archive(str(tmp_path / "cluster"), "zip", package.root)


@pytest.mark.parametrize("given", [CLUSTER, REGISTRY, CLUSTER | REGISTRY])
def test_requests_that_are_right(validate, given):
    status, lines = validate(given)
    assert status == cli.OK and lines[0].startswith("ok     the request; files and CPs")


def test_a_package_without_a_flavour_is_told(tmp_path, files, archive, capsys):
    assert cli.main(["validate", files("a.json", SCALE), "--csar", archive]) == cli.OK
    assert "has no deployment flavour that can be read" in capsys.readouterr().err


def test_a_request_with_its_package(validate, archive):
    assert validate(CLUSTER, "--csar", archive) == (0, [f"ok     the request with {archive}"])
    broken = {"k8s_cluster_installation_param": SPEC | {"script_path": "gone"}}
    status, lines = validate(broken, "--csar", archive)
    assert status == cli.FAULTS
    assert lines == [
        "FAULT  additionalParams.k8s_cluster_installation_param.script_path: 'gone' is not in the "
        "VNF package"
    ]


def test_the_faults_of_both(validate):
    status, lines = validate(dict.fromkeys(CLUSTER | REGISTRY, {}))
    assert status == cli.FAULTS
    for key in (*CLUSTER, *REGISTRY):
        assert any(f"additionalParams.{key}." in line for line in lines)


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        (None, ""),
        ([], ""),
        ({"other": 1}, ""),
        (
            {"k8s_cluster_instalation_param": SPEC},
            "; k8s_cluster_instalation_param: did you mean k8s_cluster_installation_param?",
        ),
    ],
)
def test_a_request_with_neither(validate, given, hint):
    assert validate(given) == (
        cli.FAULTS,
        [
            "FAULT  additionalParams: expected private_registry_installation_param or "
            f"k8s_cluster_installation_param{hint}"
        ],
    )


SCALE = {"type": "SCALE_OUT", "aspectId": "worker_instance"}


@pytest.fixture
def files(tmp_path):
    """Writes a file and returns its name."""

    def write(name: str, content: bytes | dict) -> str:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return str(path)

    return write


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_a_file_of_any_editor_is_read(files, capsys, encoding):
    name = files("scale.json", json.dumps({**SCALE, "type": "SCALE"}).encode(encoding))
    assert cli.main(["validate", name]) == cli.FAULTS
    assert capsys.readouterr().out == (
        'FAULT  type: expected "SCALE_OUT" or "SCALE_IN"; got \'SCALE\'\n'
    )


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, ": no such file"),
        (b"{", " cannot be read as JSON: Expecting property name"),
        (b"[]", " is no JSON object"),
        (b"\xff\x00\xff", " is no text"),
        (b'{"a": 1, "a": 2}', "an object has 'a' twice"),
        (b" " * (MAX_INPUT + 1), f" has more than {MAX_INPUT} bytes"),
        (b"[" * 100_000, " cannot be read as JSON: "),
    ],
)
def test_what_cannot_be_read_is_told_apart(tmp_path, files, capsys, content, problem):
    name = str(tmp_path / "none.json") if content is None else files("a.json", content)
    assert cli.main(["validate", name]) == cli.UNREADABLE
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(f"tacker-cir: {name}") and problem in err
    assert err.count("\n") == 1


def test_a_directory_is_no_file(tmp_path, capsys):
    assert cli.main(["validate", str(tmp_path)]) == cli.UNREADABLE
    assert capsys.readouterr().err == f"tacker-cir: {tmp_path}: is a directory\n"


def test_a_package_that_is_not_there(files, capsys):
    assert cli.main(["validate", files("a.json", SCALE), "--csar", "none.zip"]) == cli.UNREADABLE
    assert capsys.readouterr().err == "tacker-cir: none.zip: no such file\n"


def test_several_files_and_standard_input(files, capsys, monkeypatch):
    wrong, right = files("w.json", {**SCALE, "aspectId": ""}), files("r.json", SCALE)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b'{"cause": "x"}')))
    assert cli.main(["validate", wrong, right, "-"]) == cli.FAULTS
    assert capsys.readouterr().out.splitlines() == [
        f"FAULT  {wrong}: aspectId: expected the name of a scaling aspect; got ''",
        f"ok     {right}: the request; files and CPs of the VNF package were not checked (--csar)",
        "ok     standard input: the request; files and CPs of the VNF package were not checked "
        "(--csar)",
    ]


def test_unreadable_counts_more_than_faults(files):
    assert cli.main(["validate", files("w.json", {"type": 1}), "none.json"]) == cli.UNREADABLE


def test_json_for_programs(files, capsys):
    names = [files("w.json", {**SCALE, "aspectID": "x"}), files("r.json", SCALE), "none.json"]
    assert cli.main(["validate", "-f", "json", *names]) == cli.UNREADABLE
    out, err = capsys.readouterr()
    wrong, right, none = json.loads(out)
    fault = {"path": "aspectID", "problem": "unknown key; did you mean aspectId?"}
    assert wrong == {"file": names[0], "csar": None, "unreadable": None, "faults": [fault]}
    assert (right["faults"], none["unreadable"], err) == ([], "none.json: no such file", "")


NAMED = [
    {"vnf_instance": "my-registry", "username": "puller", "advertise": True},
    {"vnf_instance": "3f1c\u202e" + "x" * 20},
    {"connection_type": "0", "server": "192.0.2.10:5000"},
]


def test_what_only_tacker_knows_is_told(validate, tmp_path, files, capsys):
    cluster = {
        "k8s_cluster_installation_param": {**SPEC, "private_registry_connection_info": NAMED}
    }
    status, (line,) = validate(cluster)
    names = "my-registry, 3f1c\\u202exxxxxxxxxxxxxxxxxxxx"
    told = f"what only Tacker knows was not checked: VNF instance {names}"
    assert status == cli.OK and line.endswith(f"; {told}")
    status, lines = validate(cluster, "--format=json")
    (found,) = json.loads("\n".join(lines))
    assert found["unchecked_vnf_instances"] == [entry["vnf_instance"] for entry in NAMED[:2]]
    key = "private_registry_connection_info"
    update = files("update.json", {"metadata": {f"{key}_2": json.dumps(NAMED[:1]), key: "[]"}})
    assert cli.main(["validate", update, "-f", "json"]) == cli.OK
    assert json.loads(capsys.readouterr().out)[0]["unchecked_vnf_instances"] == ["my-registry"]


@pytest.mark.parametrize(
    ("entry", "member", "problem"),
    [
        ({"server": "192.0.2.10:5000"}, "server", "expected none beside vnf_instance"),
        ({"password": "MARK"}, "username", "is missing; expected both password and username"),
        ({"advertise": "yes"}, "advertise", "expected"),
        ({"vnf_instance": ""}, "vnf_instance", "the name or id of the registry's VNF instance"),
        ({"vnf_instance": ["a"]}, "vnf_instance", "the name or id of the registry's VNF instance"),
        ({"vnf_instnace": "a"}, "vnf_instnace", "did you mean vnf_instance?"),
    ],
)
def test_faults_of_an_entry_with_a_vnf_instance(validate, entry, member, problem):
    given = {"private_registry_connection_info": [{"vnf_instance": "a", **entry}]}
    status, lines = validate({"k8s_cluster_installation_param": {**SPEC, **given}})
    path = f"k8s_cluster_installation_param.private_registry_connection_info[0].{member}: "
    assert status == cli.FAULTS and "MARK" not in str(lines)
    assert any(path in line and problem in line for line in lines), lines


def test_two_that_are_advertised_are_found(validate):
    entries = [{"vnf_instance": name, "advertise": True} for name in ("a", "b")]
    given = {**SPEC, "private_registry_connection_info": entries}
    status, (line,) = validate({"k8s_cluster_installation_param": given})
    assert status == cli.FAULTS and "[1].advertise: " in line and "one registry" in line


def test_which_request_it_is_can_be_said(files, capsys):
    name = files("empty.json", {})
    assert cli.main(["validate", name]) == cli.FAULTS
    assert "expected instantiate, scale, heal, terminate, update" in capsys.readouterr().out
    assert cli.main(["validate", name, "--as", "heal"]) == cli.OK
    assert cli.main(["validate", name, "--as", "terminate"]) == cli.FAULTS


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_what_was_unpacked_goes_also_when_a_signal_ends_it(tmp_path, monkeypatch, number):
    request, package, temporary = tmp_path / "r.json", tmp_path / "package", tmp_path / "temporary"
    request.write_text(json.dumps({"additionalParams": CLUSTER}))
    write_package(package)
    shutil.make_archive(str(tmp_path / "vnf"), "zip", package)
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    unpacked = []

    def check(*_arguments):
        unpacked.extend(temporary.rglob("*.key"))
        os.kill(os.getpid(), number)

    monkeypatch.setattr(validate_command, "find_request_faults", check)
    before = signal.signal(number, signal.SIG_DFL)
    try:
        with pytest.raises(SystemExit) as ended:
            cli.main(["validate", str(request), "--csar", str(tmp_path / "vnf.zip")])
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, before)
    assert ended.value.code == 128 + number
    assert unpacked and list(temporary.iterdir()) == []
