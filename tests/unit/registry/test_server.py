# SPDX-License-Identifier: Apache-2.0
"""What the registry's container has other than it shall (Docker 20.10's own JSON)."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

from tacker_cir.registry.server import data_source, find_differences, run_arguments

INSPECTED = json.loads(Path(__file__).parents[1].joinpath("data/container_inspect.json")
                       .read_text())  # fmt: skip
IMAGE = INSPECTED["Image"]
DATA = "/home/ubuntu/registry"


def changed(**host_config):
    container = copy.deepcopy(INSPECTED)
    container["HostConfig"].update(host_config)
    return container


def without_mount():
    return {**INSPECTED, "Mounts": []}


def binding(port, inner="5000/tcp"):
    return {inner: [{"HostIp": "", "HostPort": port}]}


@pytest.mark.parametrize(
    ("container", "port", "data", "image", "differences"),
    [
        (INSPECTED, 5000, DATA, IMAGE, []),
        (INSPECTED, 5001, DATA, IMAGE, ["another port"]),
        (INSPECTED, 5000, "/srv/registry", IMAGE, ["another volume"]),
        (INSPECTED, 5000, DATA, "sha256:other", ["another image"]),
        (changed(PortBindings=binding("5001")), 5000, DATA, IMAGE, ["another port"]),
        (changed(PortBindings={}), 5000, DATA, IMAGE, ["another port"]),
        (changed(PortBindings=None), 5000, DATA, IMAGE, ["another port"]),
        (changed(PortBindings={"5000/tcp": None}), 5000, DATA, IMAGE, ["another port"]),
        (changed(PortBindings=binding("5000") | binding("5001", "5001/tcp")), 5000, DATA, IMAGE,
         ["another port"]),
        (changed(RestartPolicy={"Name": "no"}), 5000, DATA, IMAGE, ["another restart policy"]),
        (without_mount(), 5000, DATA, IMAGE, ["another volume"]),
        (without_mount(), 1, DATA, "x", ["another image", "another port", "another volume"]),
    ],
)  # fmt: skip
def test_differences(container, port, data, image, differences):
    assert find_differences(container, port, data, image) == differences


def test_the_data_of_a_container():
    assert data_source(INSPECTED) == DATA
    assert data_source(without_mount()) is None
    assert data_source({**INSPECTED, "Mounts": None}) is None


def test_the_command_is_the_specifications():
    assert " ".join(("docker", "run", "-d", *run_arguments(8080, "/private_registry", "r:1"))) == (
        "docker run -d -p 8080:5000 -v /private_registry:/var/lib/registry --restart=always "
        "--name private_registry r:1"
    )
