# SPDX-License-Identifier: Apache-2.0
"""``tls`` of ``private_registry_installation_param``: how the registry proves itself."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from tacker_cir import expiry
from tacker_cir.command import Secret
from tacker_cir.params import bounds, certificates
from tacker_cir.params.certificates import CertificateFault
from tacker_cir.params.fields import PACKAGE_PATH, string
from tacker_cir.params.names import is_host_name
from tacker_cir.params.reader import Key, Reader

KEY = "tls"
DEFAULT_PORT = 443

_MAX_NAMES = 64

_NAMES: dict[str, Any] = {
    "type": "array",
    "minItems": 1,
    "maxItems": _MAX_NAMES,
    "description": "a list of host names and IP addresses that clients reach the registry by",
    "items": string("a host name or an IP address", maxLength=253),
}

SCHEMA: dict[str, Any] = {
    "type": "object",
    "writeOnly": True,
    "description": "an object with certificate_path and key_path, or with self_signed",
    "additionalProperties": False,
    "properties": {
        "certificate_path": string(
            "the registry's certificate, followed by those that lead to its CA: PEM itself, or "
            f"{PACKAGE_PATH}",
            maxLength=bounds.MAX_TEXT,
        ),
        "key_path": string(
            f"the private key of the certificate: PEM itself, or {PACKAGE_PATH}",
            writeOnly=True,
            maxLength=bounds.MAX_TEXT,
        ),
        "names": _NAMES,
        "self_signed": {
            "type": "object",
            "description": "an object with names, or an empty one",
            "additionalProperties": False,
            "properties": {"names": _NAMES},
        },
    },
}


@dataclass(frozen=True)
class ServerTls:
    """A certificate that somebody else issued.

    :param certificate: in PEM, followed by those that lead to its authority
    :param key: its key in PEM
    :param clients_names: host names and addresses that clients reach the registry by, as far as
        the request tells
    """

    certificate: str
    key: Secret
    clients_names: tuple[str, ...] = ()

    @property
    def secrets(self) -> tuple[Secret, ...]:
        return (self.key,)

    def host_for(self, address: str) -> str:
        """Return what clients may call the registry at an address: that, if the certificate is for
        it, or a name that it is for."""
        names = names_of(certificates.read_certificates(self.certificate)[0])
        if covers(names, as_address(address) or address):
            return address
        whole = [name for name in names if "*" not in name]
        return next(iter((*self.clients_names, *whole)), address)


@dataclass(frozen=True)
class SelfSigned:
    """A certificate that is to be made, by an authority of the registry's own.

    :param names: host names and addresses beside the addresses that the machine has
    """

    names: tuple[str, ...] = ()

    @property
    def secrets(self) -> tuple[Secret, ...]:
        return ()


def read(reader: Reader) -> ServerTls | SelfSigned | None:
    """Return how the registry proves itself, None for HTTP, and note every fault."""
    given = reader.raw.get(KEY)
    if not isinstance(given, dict):
        return None
    pair = [key for key in ("certificate_path", "key_path") if key in given]
    if "self_signed" in given:
        for key in [*pair, *(["names"] if "names" in given else [])]:
            reader.fault("expected none of it beside self_signed", KEY, key)
        return SelfSigned(_names(reader, KEY, "self_signed", "names"))
    for key in {"certificate_path", "key_path"} - set(pair):
        reader.fault("is missing; expected both certificate_path and key_path, or self_signed",
                     KEY, key)  # fmt: skip
    return _given(reader)


def _names(reader: Reader, *keys: Key) -> tuple[str, ...]:
    names = reader.valid(*keys) or ()
    found = []
    for index in range(len(names)):
        name = reader.valid(*keys, index)
        if name is None:
            continue
        address = as_address(name)
        if not address and not is_host_name(name):
            reader.fault(f"{name[:60]!r} is neither a host name nor an IP address", *keys, index)
        found.append(address or name.lower())
    return tuple(dict.fromkeys(found))


def as_address(text: str) -> str | None:
    """Return an IP address as it is written most often, None for what is none, or has a zone,
    which a certificate cannot hold."""
    try:
        return str(ipaddress.ip_address(text)) if "%" not in text else None
    except ValueError:
        return None


def _given(reader: Reader) -> ServerTls | None:
    chain = _chain(reader)
    text = reader.pem(KEY, "key_path", shown=False)
    names = _names(reader, KEY, "names")
    if chain:
        for problem in (*_unfit(chain), *_lacking(chain[0], names)):
            reader.fault(problem, KEY, "certificate_path")
    try:
        key = certificates.read_key(text) if text is not None else None
    except CertificateFault as error:
        reader.fault(str(error), KEY, "key_path")
        return None
    if not chain or key is None:
        return None
    if not certificates.belong_together(chain[0], key):
        reader.fault("the key is not that of certificate_path", KEY, "key_path")
    return ServerTls(certificates.to_pem(chain), Secret(certificates.key_to_pem(key)), names)


def _chain(reader: Reader) -> list[x509.Certificate]:
    text = reader.pem(KEY, "certificate_path")
    if text is None:
        return []
    if "PRIVATE KEY-----" in text:
        problem = "the file holds a private key; expected certificates only"
        reader.fault(problem, KEY, "certificate_path")
        return []
    try:
        return certificates.read_certificates(text)
    except CertificateFault as error:
        reader.fault(str(error), KEY, "certificate_path")
        return []


def _unfit(chain: Sequence[x509.Certificate]) -> Iterator[str]:
    """Yield why no client would accept a certificate, whatever it calls the registry."""
    now = datetime.now(timezone.utc)
    for number, certificate in enumerate(chain, 1):
        begin, end = expiry.validity(certificate)
        if end <= now:
            yield f"certificate {number} of the file ended on {expiry.told(end)}"
        elif begin > now:
            yield f"certificate {number} of the file holds from {expiry.told(begin)} on"
    usage = _extension(chain[0], x509.ExtendedKeyUsage)
    servers = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
    if usage is not None and servers.isdisjoint(usage):
        yield "the certificate is not for servers (its extended key usage lacks serverAuth)"
    if not names_of(chain[0]):
        yield (
            "the certificate has no host name and no IP address among its subject alternative "
            "names; clients heed no other"
        )


def _lacking(certificate: x509.Certificate, names: Sequence[str]) -> Iterator[str]:
    covered = names_of(certificate)
    if not covered:
        return
    for name in names:
        if not covers(covered, name):
            yield f"the certificate is not for {name}, but for {', '.join(covered[:5])}"
    if not names and all("*" in name for name in covered):
        # Its address is not among them, and a pattern is nothing that a client can ask for.
        yield (
            f"the certificate is for {', '.join(covered[:5])} only; expected names with what "
            "clients call the registry"
        )


def names_of(certificate: x509.Certificate) -> list[str]:
    """Return the host names and addresses that a certificate is for, as it has them."""
    found = _extension(certificate, x509.SubjectAlternativeName)
    if found is None:
        return []
    hosts = [name.lower() for name in found.get_values_for_type(x509.DNSName)]
    return hosts + [str(address) for address in found.get_values_for_type(x509.IPAddress)]


def covers(covered: Sequence[str], name: str) -> bool:
    """Return whether a certificate is for a name (RFC 6125, section 6.4: a wildcard stands for one
    label).

    :param covered: as from :func:`names_of`
    :param name: a host name, or an address as :func:`as_address` writes it
    """
    name = name.lower()
    _, dot, parent = name.partition(".")
    is_host = as_address(name) is None
    return name in covered or (is_host and bool(dot) and f"*.{parent}" in covered)


def _extension(certificate: x509.Certificate, kind: type[Any]) -> Any:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
