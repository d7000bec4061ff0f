# SPDX-License-Identifier: Apache-2.0
"""What the registry's container has other than it shall (Docker 20.10's own JSON)."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path

import pytest

from tacker_cir.registry.container import ContainerSpec, data_source

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
    wanted = ContainerSpec("registry:latest", image, port, data)
    assert wanted.find_differences(container) == differences


def test_the_data_of_a_container():
    assert data_source(INSPECTED) == DATA
    assert data_source(without_mount()) is None
    assert data_source({**INSPECTED, "Mounts": None}) is None


def test_the_command_is_the_specifications():
    spec = ContainerSpec("r:1", IMAGE, 8080, "/private_registry")
    assert " ".join(("docker", "run", "-d", *spec.run_arguments())) == (
        "docker run -d -p 8080:5000 -v /private_registry:/var/lib/registry --restart=always "
        "--name private_registry r:1"
    )


WITH_SETTINGS = ContainerSpec(
    "r:1",
    IMAGE,
    5000,
    DATA,
    archive="sha256:aaaa",
    environment={"REGISTRY_X": "a=b c"},
    directories={"/etc/tacker-cir": "/etc/tacker-cir/registry"},
    log_options={"max-size": "10m"},
)


def test_the_command_with_settings():
    assert WITH_SETTINGS.run_arguments() == (
        "--label", "tacker_cir.image-archive=sha256:aaaa",
        "--label", "tacker_cir.settings=/etc/tacker-cir,REGISTRY_X,max-size",
        "-p", "5000:5000",
        "-v", f"{DATA}:/var/lib/registry",
        "-v", "/etc/tacker-cir/registry:/etc/tacker-cir:ro",
        "--env", "REGISTRY_X=a=b c",
        "--log-opt", "max-size=10m",
        "--restart=always", "--name", "private_registry", "r:1",
    )  # fmt: skip


def as_run(spec):
    """Return what Docker tells of a container that was run as described."""
    container = changed(LogConfig={"Type": "json-file", "Config": dict(spec.log_options)})
    container["Config"]["Labels"] = spec.labels
    container["Config"]["Env"] += [f"{name}={value}" for name, value in spec.environment.items()]
    container["Mounts"] += [
        {"Type": "bind", "Source": source, "Destination": target, "RW": False}
        for target, source in spec.directories.items()
    ]
    return container


@pytest.mark.parametrize(
    "other",
    [
        {"environment": {"REGISTRY_X": "c"}},
        {"environment": {}},
        {"environment": {"REGISTRY_X": "a=b c", "REGISTRY_Y": ""}},
        {"directories": {}},
        {"directories": {"/etc/tacker-cir": "/elsewhere"}},
        {"log_options": {}},
        {"log_options": {"max-size": "11m"}},
    ],
    ids=str,
)
def test_each_setting_counts(other):
    wanted = replace(WITH_SETTINGS, **other)
    assert wanted.find_differences(as_run(WITH_SETTINGS)) == ["other settings"]
    assert WITH_SETTINGS.find_differences(as_run(wanted)) == ["other settings"]
    assert wanted.find_differences(as_run(wanted)) == []


def test_what_the_image_and_the_daemon_bring_is_no_difference():
    brought = ContainerSpec("r:1", IMAGE, 5000, DATA)
    container = changed(LogConfig={"Type": "json-file", "Config": {"max-size": "1m"}})
    container["Config"]["Env"] += ["REGISTRY_Z=1"]
    assert brought.find_differences(container) == []
