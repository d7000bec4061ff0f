# SPDX-License-Identifier: Apache-2.0
"""Volumes that no VNF made, as an operator gives them to one."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from heatclient import client as heat_client
from keystoneauth1 import session as keystone_session
from keystoneauth1.identity import v3

from tests.testbed.cloud import settings
from tests.testbed.machines.host import wait_for

_TEMPLATE = """
heat_template_version: wallaby
resources:
  given: {{type: OS::Cinder::Volume, properties: {{size: {size}}}}}
"""
_SECONDS = 60


@contextmanager
def given_volume(size: int = 2) -> Iterator[str]:
    """Yield the id of a blank volume, which is gone afterwards.

    :param size: in GB
    """
    session = keystone_session.Session(v3.Password(**settings.CREDENTIALS))
    heat = heat_client.Client("1", session=session, service_type="orchestration")
    name = f"volume-{uuid.uuid4().hex[:8]}"
    stack = heat.stacks.create(stack_name=name, template=_TEMPLATE.format(size=size))["stack"]["id"]

    def rests(action: str) -> bool:
        return heat.stacks.get(stack).stack_status == f"{action}_COMPLETE"

    wait_for(lambda: rests("CREATE"), "the volume", _SECONDS, every=0.5)
    yield heat.resources.get(stack, "given").physical_resource_id
    heat.stacks.delete(stack)
    wait_for(lambda: rests("DELETE"), "the volume's end", _SECONDS, every=0.5)
