# SPDX-License-Identifier: Apache-2.0
"""``tacker-cir validate``: the parameter that a request has says which driver it is for."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile

import pytest

from tacker_cir import cli
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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_what_was_unpacked_goes_also_when_a_signal_ends_it(tmp_path, monkeypatch, number):
    request, package, temporary = tmp_path / "r.json", tmp_path / "package", tmp_path / "temporary"
    request.write_text(json.dumps({"additionalParams": CLUSTER}))
    write_package(package)
    shutil.make_archive(str(tmp_path / "vnf"), "zip", package)
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    unpacked = []

    def parse(*_arguments):
        unpacked.extend(temporary.rglob("*.key"))
        os.kill(os.getpid(), number)

    monkeypatch.setattr(cli, "_parse", parse)
    before = signal.signal(number, signal.SIG_DFL)
    try:
        with pytest.raises(SystemExit) as ended:
            cli.main(["validate", str(request), "--csar", str(tmp_path / "vnf.zip")])
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, before)
    assert ended.value.code == 128 + number
    assert unpacked and list(temporary.iterdir()) == []
