# SPDX-License-Identifier: Apache-2.0
"""Private keys that others wrote, judged before a library in C works on them.

OpenSSL proves that the factors of an RSA key are primes, with the interpreter held: half a second
for 4096 bits, minutes for a file of 15 kB. Here the numbers are read and bounded, and what they
must be to each other is computed; a signature proves the rest.
"""

from __future__ import annotations

import struct

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from tacker_cir import der

#: Bits of an RSA key: what OpenSSH takes at least, and Go's crypto/tls at most.
MIN_RSA_BITS, MAX_RSA_BITS = 1024, 8192

OPENSSH, PKCS8 = "OPENSSH PRIVATE KEY", "PRIVATE KEY"
_PKCS1, _SEC1 = "RSA PRIVATE KEY", "EC PRIVATE KEY"

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

_RSA_OBJECT = bytes.fromhex("2a864886f70d010101")
_EC_OBJECT = bytes.fromhex("2a8648ce3d0201")
_ED25519_OBJECT = bytes.fromhex("2b6570")
_CURVES: dict[bytes, ec.EllipticCurve] = {
    bytes.fromhex("2a8648ce3d030107"): ec.SECP256R1(),
    bytes.fromhex("2b81040022"): ec.SECP384R1(),
    bytes.fromhex("2b81040023"): ec.SECP521R1(),
    b"nistp256": ec.SECP256R1(),
    b"nistp384": ec.SECP384R1(),
    b"nistp521": ec.SECP521R1(),
}
_MAGIC = b"openssh-key-v1\0"


class KeyFault(ValueError):
    """Text is not a private key that can be used. Shows nothing of it."""


class PassphraseNeeded(KeyFault):
    """The key has a passphrase."""


def read(text: str, labels: tuple[str, ...] = (OPENSSH, PKCS8, _PKCS1, _SEC1)) -> PrivateKey:
    """Return the first private key in a text: RSA, ECDSA on a NIST curve, or Ed25519.

    :param labels: of PEM blocks that are looked into
    :raises PassphraseNeeded: it has a passphrase
    :raises KeyFault: there is none, or it is damaged, too large or of another type
    """
    try:
        for label, body in der.blocks(text):
            if label.endswith("PRIVATE KEY"):
                return _read_block(label, body, labels)
    except KeyFault:
        raise
    except (ValueError, struct.error):
        raise KeyFault("the key is damaged") from None
    raise KeyFault("there is no private key")


#: Blocks of what SSH calls PEM.
SSH_LABELS = (OPENSSH, _PKCS1, _SEC1)


def _read_block(label: str, body: str, labels: tuple[str, ...]) -> PrivateKey:
    if label.startswith("ENCRYPTED") or "ENCRYPTED" in body[:100]:
        raise PassphraseNeeded("the key has a passphrase")
    if label not in labels:
        raise KeyFault(f"a block {label} is not looked into")
    content = der.decode(body)
    if label == OPENSSH:
        return _read_openssh(content)
    members = der.Reader(content).inside()
    if label == PKCS8:
        return _read_pkcs8(members)
    return _read_pkcs1(members) if label == _PKCS1 else _read_sec1(members, None)


def _read_pkcs8(members: der.Reader) -> PrivateKey:
    """Return a key of RFC 5958."""
    if members.natural() > 1:
        raise KeyFault("the key has an unknown version")
    algorithm = members.inside()
    kind = algorithm.take(der.OBJECT)
    content = der.Reader(members.take(der.OCTETS))
    if kind == _RSA_OBJECT:
        return _read_pkcs1(content.inside())
    if kind == _EC_OBJECT:
        return _read_sec1(content.inside(), algorithm.take(der.OBJECT))
    if kind == _ED25519_OBJECT:
        return ed25519.Ed25519PrivateKey.from_private_bytes(content.take(der.OCTETS))
    raise KeyFault("the key is neither RSA, ECDSA nor Ed25519")


def _read_pkcs1(members: der.Reader) -> rsa.RSAPrivateKey:
    """Return a key of RFC 8017, appendix A.1.2."""
    if members.natural() != 0:
        raise KeyFault("the key has more than two factors")
    n, e, d, p, q = (members.natural() for _ in range(5))
    return _rsa_key(n, e, d, p, q)


def _read_sec1(members: der.Reader, curve: bytes | None) -> ec.EllipticCurvePrivateKey:
    """Return a key of RFC 5915.

    :param curve: named where the key itself need not name one
    """
    if members.natural() != 1:
        raise KeyFault("the key has an unknown version")
    secret = members.take(der.OCTETS)
    if curve is None:
        curve = der.Reader(members.take(der.FIRST)).take(der.OBJECT)
    return _ec_key(curve, secret)


def _read_openssh(content: bytes) -> PrivateKey:
    """Return a key in the format of OpenSSH's PROTOCOL.key."""
    if not content.startswith(_MAGIC):
        raise KeyFault("the key has an unknown format")
    members = _Wire(content[len(_MAGIC) :])
    cipher, kdf, _ = members.text(), members.text(), members.text()
    if (cipher, kdf) != (b"none", b"none"):
        raise PassphraseNeeded("the key has a passphrase")
    if members.number() != 1:
        raise KeyFault("there is more than one key")
    members.text()
    private = _Wire(members.text())
    if private.number() != private.number():
        raise KeyFault("the key is damaged")
    kind = private.text()
    if kind == b"ssh-rsa":
        n, e, d, _, p, q = (private.natural() for _ in range(6))
        return _rsa_key(n, e, d, p, q)
    if kind == b"ssh-ed25519":
        private.text()
        return ed25519.Ed25519PrivateKey.from_private_bytes(private.text()[:32])
    if kind.startswith(b"ecdsa-sha2-"):
        curve, _, secret = private.text(), private.text(), private.text()
        return _ec_key(curve, secret)
    raise KeyFault("the key is neither RSA, ECDSA nor Ed25519")


class _Wire:
    """Reads values as SSH sends them (RFC 4251, section 5)."""

    def __init__(self, data: bytes):
        self._data, self._at = data, 0

    def number(self) -> int:
        value: int = struct.unpack_from(">L", self._data, self._at)[0]
        self._at += 4
        return value

    def text(self) -> bytes:
        length = self.number()
        value = self._data[self._at : self._at + length]
        if len(value) < length:
            raise KeyFault("the key is cut off")
        self._at += length
        return value

    def natural(self) -> int:
        value = self.text()
        if value[:1] >= b"\x80":
            raise KeyFault("a number is negative")
        return int.from_bytes(value, "big")


def _ec_key(curve: bytes, secret: bytes) -> ec.EllipticCurvePrivateKey:
    if curve not in _CURVES or len(secret) > 67:
        raise KeyFault("the key's curve is none of P-256, P-384 and P-521")
    return ec.derive_private_key(int.from_bytes(secret, "big"), _CURVES[curve])


def _rsa_key(n: int, e: int, d: int, p: int, q: int) -> rsa.RSAPrivateKey:
    if not MIN_RSA_BITS <= n.bit_length() <= MAX_RSA_BITS:
        raise KeyFault(
            f"the RSA key has {n.bit_length()} bits; expected {MIN_RSA_BITS} to {MAX_RSA_BITS}"
        )
    # Go takes public exponents up to 31 bits.
    fits = (
        p * q == n
        and min(p, q) > 2
        and p & q & e & 1
        and 2 < e < 2**31
        and 1 < d < n
        and d * e % (p - 1) == 1
        and d * e % (q - 1) == 1
    )
    if not fits:
        raise KeyFault("the numbers of the RSA key do not fit to each other")
    public = rsa.RSAPublicNumbers(e, n)
    numbers = rsa.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), public)
    key = numbers.private_key(unsafe_skip_rsa_key_validation=True)
    try:
        signature = key.sign(b"", padding.PKCS1v15(), hashes.SHA256())
        key.public_key().verify(signature, b"", padding.PKCS1v15(), hashes.SHA256())
    # Factors that are no primes: OpenSSL finds it at different steps.
    except Exception:
        raise KeyFault("the RSA key does not sign what it verifies") from None
    return key
