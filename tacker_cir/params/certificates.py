# SPDX-License-Identifier: Apache-2.0
"""Certificates and keys of a request, as containerd and Docker will read them.

These are written in Go, whose readers of PEM and X.509 are stricter than OpenSSL's, and leave out
without a word what they cannot read. So what is not valid to both is refused, and what is valid
is written anew: what was around it or between its lines stays behind.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from tacker_cir import der, private_keys

if TYPE_CHECKING:
    # Before cryptography 40 the name is another.
    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

#: Certificates in one file; a system's authorities are some 150.
MAX_CERTIFICATES = 256
#: Bytes of one certificate.
MAX_CERTIFICATE = 32 * 1024

_ASCII_ATTRIBUTES = (NameOID.EMAIL_ADDRESS, NameOID.DOMAIN_COMPONENT)
_TEXT = re.compile(r"[!-~]*", re.ASCII)
# As Go's net/url reads one.
_HOST = r"(?:[A-Za-z0-9._~!$&'()*+,;=-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?"
_PATH = r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*"
_URI = re.compile(rf"[A-Za-z][A-Za-z0-9+.-]*:(?://{_HOST}(?:[/?]{_PATH})?|(?!//){_PATH})", re.ASCII)
_CONSTRAINT = re.compile(r"(?:[A-Za-z0-9._+-]+@)?\.?(?:[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*)?", re.A)

_NOT_PEM = "the file is not a certificate in PEM format"
_CURVES = ("secp256r1", "secp384r1", "secp521r1")


class CertificateFault(ValueError):
    """A file is not what it should be."""


def read_certificates(text: str) -> list[x509.Certificate]:
    """Return the certificates of a PEM file, in their order.

    :raises CertificateFault: there is none, or one that not every reader takes
    """
    found: list[x509.Certificate] = []
    try:
        for label, body in der.blocks(text):
            if label != "CERTIFICATE":
                raise CertificateFault(f"{_NOT_PEM}: it holds a block {label}")
            if len(found) >= MAX_CERTIFICATES:
                raise CertificateFault(f"the file has more than {MAX_CERTIFICATES} certificates")
            found.append(_read_certificate(der.decode(body), len(found) + 1))
    except der.EncodingFault as error:
        raise CertificateFault(f"{_NOT_PEM}: {error}") from None
    if not found:
        raise CertificateFault(_NOT_PEM)
    return found


def to_pem(certificates: list[x509.Certificate]) -> str:
    """Return certificates as every reader takes them."""
    return b"".join(c.public_bytes(serialization.Encoding.PEM) for c in certificates).decode()


def read_key(text: str) -> private_keys.PrivateKey:
    """Return the private key of a client certificate.

    :raises CertificateFault: there is none that can be used
    """
    try:
        return private_keys.read(text)
    except private_keys.PassphraseNeeded as error:
        raise CertificateFault(f"{error}; expected one without") from None
    except private_keys.KeyFault as error:
        raise CertificateFault(f"the file is not a private key in PEM format: {error}") from None


def key_to_pem(key: private_keys.PrivateKey) -> str:
    """Return a key in PKCS#8, which every reader takes."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def belong_together(certificate: x509.Certificate, key: private_keys.PrivateKey) -> bool:
    """Return whether a key is that of a certificate."""
    return _encoded(certificate.public_key()) == _encoded(key.public_key())


def _encoded(key: CertificatePublicKeyTypes) -> bytes:
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _read_certificate(content: bytes, number: int) -> x509.Certificate:
    try:
        if len(content) > MAX_CERTIFICATE:
            raise CertificateFault(f"has more than {MAX_CERTIFICATE} bytes")
        _check_encoding(content)
        certificate = x509.load_der_x509_certificate(content)
        _check(certificate)
        return certificate
    except CertificateFault as error:
        raise CertificateFault(f"certificate {number} of the file {error}") from None
    # cryptography raises nearly anything for a damaged one, at whatever is asked first.
    except Exception as error:
        cause = str(error)[:100] or type(error).__name__
        problem = f"{_NOT_PEM}: certificate {number} cannot be read ({cause})"
        raise CertificateFault(problem) from None


def _check_encoding(content: bytes) -> None:
    """Refuse what only the encoding tells: a negative number, or two algorithms (RFC 5280, 4.1)."""
    outer = der.Reader(content).inside()
    inner = outer.inside()
    if inner.next_tag == der.FIRST:
        inner.take(der.FIRST)
    inner.natural()
    if inner.take(der.SEQUENCE) != outer.take(der.SEQUENCE):
        raise CertificateFault("names two algorithms of its signature")


def _check(certificate: x509.Certificate) -> None:
    # Each is decoded when it is asked for.
    for name in ("version", "subject", "issuer", "not_valid_before_utc", "not_valid_after_utc"):
        getattr(certificate, name, None)
    for extension in certificate.extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            _check_names(extension.value)
        elif isinstance(extension.value, x509.NameConstraints):
            for names in (extension.value.permitted_subtrees, extension.value.excluded_subtrees):
                _check_constraints(names or ())
    for attribute in (*certificate.subject, *certificate.issuer):
        if attribute.oid in _ASCII_ATTRIBUTES and not str(attribute.value).isascii():
            raise CertificateFault("has a name with characters that are not of its type")
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        _check_rsa(key)
    elif isinstance(key, ec.EllipticCurvePublicKey):
        if key.curve.name not in _CURVES:
            raise CertificateFault(
                f"has a key on the curve {key.curve.name}, not a P-256, P-384 or P-521 one"
            )
    elif not isinstance(key, ed25519.Ed25519PublicKey):
        raise CertificateFault("has a key that is neither RSA, ECDSA nor Ed25519")


def _check_names(names: Iterable[x509.GeneralName]) -> None:
    for name in names:
        value = name.value
        if isinstance(value, str) and not _TEXT.fullmatch(value):
            raise CertificateFault(f"has a name that is none: {value[:60]!r}")
        if isinstance(name, x509.UniformResourceIdentifier) and not _URI.fullmatch(value):
            raise CertificateFault(f"has a URI that is none: {value[:60]!r}")


def _check_constraints(names: Iterable[x509.GeneralName]) -> None:
    for name in names:
        value = name.value
        if isinstance(value, str) and not _CONSTRAINT.fullmatch(value):
            raise CertificateFault(f"has a constraint that is none: {value[:60]!r}")


def _check_rsa(key: rsa.RSAPublicKey) -> None:
    least, most = private_keys.MIN_RSA_BITS, private_keys.MAX_RSA_BITS
    if not least <= key.key_size <= most:
        raise CertificateFault(f"has an RSA key of {key.key_size} bits; expected {least} to {most}")
    exponent = key.public_numbers().e
    if not (2 < exponent < 2**31 and exponent & 1):
        raise CertificateFault("has an RSA key with an exponent that not every reader takes")
