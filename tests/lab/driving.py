# SPDX-License-Identifier: Apache-2.0
"""Runs the registry driver's work on a lab machine without Tacker, as its hooks would."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oslo_config import cfg

from tacker_cir import config
from tacker_cir.command import Redactor
from tacker_cir.config import TimeLimits
from tacker_cir.hostkeys import PinStore
from tacker_cir.inventory import Node
from tacker_cir.package import VnfPackage
from tacker_cir.params import private_registry
from tacker_cir.registry.server import ensure_registry
from tacker_cir.ssh import connect
from tests.testbed.machines import MachineLab

LOGIN = {"ssh_cp_name": "CP1", "ssh_username": "ubuntu", "ssh_password": "ubuntu"}


@dataclass
class Run:
    """What one run of the driver did.

    :param changes: its report
    :param commands: remote commands that it needed
    """

    changes: list[str]
    commands: int


@dataclass
class RegistryMachine:
    """A machine of the lab that shall become a registry.

    :param lab: the lab that it is in
    :param package: root of an unpacked VNF package
    :param state: directory of the pinned host keys
    """

    lab: MachineLab
    name: str
    address: str
    package: Path
    state: Path

    def deploy(
        self, overrides: Mapping[str, Any], *, volume: str | None = None, **options: Any
    ) -> Run:
        """Run the driver's work with the lab's login and these parameters.

        :param overrides: members of private_registry_installation_param; None removes one
        :param volume: id of the volume that data_volume stands for
        :param options: values of group [tacker_cir]
        """
        values = {k: v for k, v in {**LOGIN, **overrides}.items() if v is not None}
        params = private_registry.parse({private_registry.KEY: values}, VnfPackage(self.package))
        conf = config.register_opts(cfg.ConfigOpts())
        conf([])
        for name, value in {"ssh_wait_timeout": 60, "ssh_auth_timeout": 5, **options}.items():
            conf.set_override(name, value, group=config.GROUP)
        node = Node(params.ssh_cp_name, self.address, self.address, self.name)
        with connect(
            str(node),
            self.address,
            params.credentials,
            PinStore(self.state).key_of(self.name),
            redactor=Redactor(params.secrets),
            limits=TimeLimits.of(conf),
        ) as connection:
            report = ensure_registry(connection, node, params, TimeLimits.of(conf), volume)
            return Run(report.changes, connection.commands)

    def run(self, *argv: str) -> str:
        """Return what a command prints that root runs inside the machine."""
        return self.lab.run(self.name, argv).stdout

    def container(self) -> dict[str, Any]:
        """Return ``docker container inspect`` of the registry."""
        return json.loads(self.run("docker", "container", "inspect", "private_registry"))[0]


def registry_status(address: str, port: int = 5000) -> int:
    """Return the HTTP status of a registry's /v2/."""
    with urllib.request.urlopen(f"http://{address}:{port}/v2/", timeout=5) as answer:
        return answer.status


def tags(address: str, repository: str, port: int = 5000) -> list[str]:
    """Return the tags that a registry has of a repository."""
    url = f"http://{address}:{port}/v2/{repository}/tags/list"
    with urllib.request.urlopen(url, timeout=5) as answer:
        return json.load(answer)["tags"]
