# SPDX-License-Identifier: Apache-2.0
"""What the metadata of a registry VNF instance show of its registry, for users and for clusters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes

SERVER = "private_registry_server"
SCHEME = "private_registry_scheme"
ADDRESS = "private_registry_address"
CA = "private_registry_ca"
CA_SHA256 = "private_registry_ca_sha256"

#: Keys that show nothing any more once the registry is gone.
NOTHING: Mapping[str, str | None] = dict.fromkeys((SERVER, SCHEME, ADDRESS, CA, CA_SHA256))


@dataclass(frozen=True)
class ShownRegistry:
    """How clients get to a registry.

    :param server: ``host:port``
    :param ca: the certificate in PEM that clients are to trust; None with HTTP
    :param address: what the name in ``server`` has to stand for; None where that is an address
    """

    server: str
    ca: str | None = None
    address: str | None = None

    @property
    def https(self) -> bool:
        """Whether it is reached with HTTPS."""
        return self.ca is not None

    def values(self) -> dict[str, str | None]:
        """Return what is shown, by key; None for what is not."""
        return {
            SERVER: self.server,
            SCHEME: "https" if self.https else "http",
            ADDRESS: self.address,
            CA: self.ca,
            CA_SHA256: fingerprint(self.ca) if self.ca else None,
        }


def fingerprint(certificate: str) -> str:
    """Return a certificate's SHA-256 as ``openssl x509 -fingerprint -sha256`` has it."""
    digest = x509.load_pem_x509_certificate(certificate.encode()).fingerprint(hashes.SHA256())
    return digest.hex(":").upper()
