# SPDX-License-Identifier: Apache-2.0
"""Every ``openstack`` command that the user guide prints is one of the client, with its options.

So those of services that the lab stands in for are checked as well, which no test can run.
"""

from __future__ import annotations

import shlex
from unittest import mock

import pytest
from cliff.commandmanager import CommandManager

from tests.lab.guide import PAGES, Guide

COMMANDS = sorted(
    command
    for command in Guide(*(page.name for page in PAGES.glob("*.rst"))).left
    if command.startswith("openstack ")
)
_GROUPS = (
    *("common", "compute.v2", "identity.v3", "image.v2", "network.v2", "volume.v3"),
    *("tackerclient.v1", "key_manager.v1"),
)


@pytest.fixture(scope="module")
def commands():
    manager = CommandManager("openstack.cli")
    for group in _GROUPS:
        manager.add_command_group(f"openstack.{group}")
    return manager


@pytest.mark.parametrize("command", COMMANDS)
def test_the_client_takes_what_the_guide_prints(commands, command):
    words = shlex.split(command.split(" && ")[0])[1:]
    factory, name, arguments = commands.find_command(words)
    # What commands ask of their program before they do anything.
    program = mock.MagicMock(command_manager=commands)
    program.client_manager.is_network_endpoint_enabled.return_value = True
    factory(program, None, cmd_name=name).get_parser(name).parse_args(arguments)
