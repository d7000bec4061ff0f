# SPDX-License-Identifier: Apache-2.0
"""Certificates with which registries are reached, before they end."""

from __future__ import annotations

import logging

from tacker_cir.params.registry_connection import RegistryConnection
from tacker_cir.registry.access import tell_expiry
from tests.certificates import Authority


def test_certificates_of_registries_are_warned_of_before_they_end(caplog):
    authority = Authority("ends tomorrow")
    client, _ = authority.issue("node", client=True, days=59.5)
    lasting, _ = authority.issue("node", client=True, days=61)
    tell_expiry(
        [
            RegistryConnection("a.example", https=True, client_certificate=client),
            RegistryConnection("b.example", https=True, client_certificate=lasting),
            RegistryConnection("c.example", https=True, ca=authority.pem),
            # The authority that follows is there already.
            RegistryConnection("d.example", https=True, ca=authority.pem + lasting),
            RegistryConnection("e.example", https=False),
        ]
    )
    first, second = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "registry a.example: client_certificate_path ends on 20" in first.getMessage()
    assert "(in 59 days). To do: update" in first.getMessage()
    assert "registry c.example: certificate_path ends on 20" in second.getMessage()
