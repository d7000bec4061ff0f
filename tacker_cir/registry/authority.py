# SPDX-License-Identifier: Apache-2.0
"""A registry's own certificate authority, which issues nothing but the registry's certificate.

Its key never leaves the registry's machine but to here, where a certificate is made with it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tacker_cir import expiry
from tacker_cir.command import Secret
from tacker_cir.params import certificates
from tacker_cir.params.certificates import CertificateFault
from tacker_cir.params.registry_tls import as_address, names_of

#: Days that a registry's certificate holds; some clients take none that holds for more than 398.
SERVER_DAYS = 365
#: Days that the authority's holds, as everybody who trusts it must be told of another one.
CA_DAYS = 20 * 365
# Clocks differ.
_BACKDATED = timedelta(hours=1)


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, both in PEM."""

    certificate: str
    key: Secret


@dataclass(frozen=True)
class _Loaded:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def pair(self) -> Pair:
        key = Secret(certificates.key_to_pem(self.key))
        return Pair(certificates.to_pem([self.certificate]), key)


def authority(present: Pair | None) -> Pair:
    """Return the authority: the present one if it still can be, another certificate of the same
    key if it is worn, else a new one.

    Who trusts the worn certificate accepts what is issued with the same name and key.

    :param present: what the machine has
    """
    known = _load(present)
    if known is None or not _is_authority(known.certificate):
        key = ec.generate_private_key(ec.SECP256R1())
        number = x509.random_serial_number()
        text = f"private registry CA {number & 0xFFFFFFFF:08x}"
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
        return _Loaded(_ca_certificate(name, key), key).pair()
    if _is_worn(known.certificate):
        return _Loaded(_ca_certificate(known.certificate.subject, known.key), known.key).pair()
    return present or known.pair()


def server(ca: Pair, present: Pair | None, names: Iterable[str]) -> Pair:
    """Return the registry's certificate: the present one if it still can be, else a new one.

    :param ca: as from :func:`authority`
    :param present: what the machine has
    :param names: host names and IP addresses of the registry, the most important one first
    """
    issuer, known = _load(ca), _load(present)
    if issuer is None:
        raise ValueError("not an authority")
    wanted = tuple(dict.fromkeys(as_address(name) or name.lower() for name in names))
    if present and known and _is_right(known.certificate, issuer.certificate, wanted):
        return present
    key = ec.generate_private_key(ec.SECP256R1())
    return _Loaded(_server_certificate(issuer, key, wanted), key).pair()


def _load(pair: Pair | None) -> _Loaded | None:
    """Return a pair that belongs together, None for what is none: a machine may have anything."""
    if pair is None:
        return None
    try:
        certificate, *more = certificates.read_certificates(pair.certificate)
        key = certificates.read_key(pair.key.reveal())
    except CertificateFault:
        return None
    if more or not isinstance(key, ec.EllipticCurvePrivateKey):
        return None
    return _Loaded(certificate, key) if certificates.belong_together(certificate, key) else None


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        found = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        return False
    begin, _ = expiry.validity(certificate)
    return found.ca and begin <= datetime.now(timezone.utc)


def _is_right(
    certificate: x509.Certificate, issuer: x509.Certificate, names: tuple[str, ...]
) -> bool:
    return (
        set(names_of(certificate)) == set(names)
        and not _is_worn(certificate)
        and _is_issued_by(certificate, issuer)
    )


def _is_worn(certificate: x509.Certificate) -> bool:
    """Return whether less than a third of a certificate's life is left, or it has not begun."""
    begin, end = expiry.validity(certificate)
    now = datetime.now(timezone.utc)
    return now < begin or end - now < (end - begin) / 3


def _is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    key, algorithm = issuer.public_key(), certificate.signature_hash_algorithm
    if not isinstance(key, ec.EllipticCurvePublicKey) or algorithm is None:
        return False
    try:
        body = certificate.tbs_certificate_bytes
        key.verify(certificate.signature, body, ec.ECDSA(algorithm))
    except InvalidSignature:
        return False
    return certificate.issuer == issuer.subject


def _ca_certificate(name: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    builder = _builder(name, name, key.public_key(), CA_DAYS)
    limits = x509.BasicConstraints(ca=True, path_length=0)
    builder = builder.add_extension(limits, critical=True)
    builder = builder.add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
    return builder.sign(key, hashes.SHA256())


def _server_certificate(
    issuer: _Loaded, key: ec.EllipticCurvePrivateKey, names: tuple[str, ...]
) -> x509.Certificate:
    # What is longer than a common name may be is among the alternative names all the same.
    text = next((name for name in names if len(name) <= 64), "private registry")
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
    issued_by = issuer.key.public_key()
    builder = _builder(subject, issuer.certificate.subject, key.public_key(), SERVER_DAYS)
    alternatives = x509.SubjectAlternativeName([_general_name(name) for name in names])
    for extension, critical in (
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_usage(digital_signature=True), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (alternatives, False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(issued_by), False),
    ):
        builder = builder.add_extension(extension, critical)
    return builder.sign(issuer.key, hashes.SHA256())


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    begin = datetime.now(timezone.utc) - _BACKDATED
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(**given: bool) -> x509.KeyUsage:
    names = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement "
        "key_cert_sign crl_sign encipher_only decipher_only"
    ).split()
    return x509.KeyUsage(**{name: given.get(name, False) for name in names})


def _general_name(name: str) -> x509.GeneralName:
    address = as_address(name)
    return x509.IPAddress(ipaddress.ip_address(address)) if address else x509.DNSName(name)
