# SPDX-License-Identifier: Apache-2.0
"""Keys and certificates: bounded before a library in C works on them, and written anew."""

from __future__ import annotations

import base64
import datetime
import time
from collections.abc import Callable

import paramiko
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa, x25519

from tacker_cir import private_keys
from tacker_cir.login import load_private_key
from tacker_cir.params import certificates
from tacker_cir.params.certificates import CertificateFault
from tacker_cir.private_keys import KeyFault, PassphraseNeeded
from tests.certificates import Authority, self_signed

#: Seconds of processor time for whatever is refused; before, a key of 15 kB took 96.
SECONDS = 5

KEYS: dict[str, Callable[[], object]] = {
    "rsa1024": lambda: rsa.generate_private_key(public_exponent=65537, key_size=1024),
    "rsa2048": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "rsa3": lambda: rsa.generate_private_key(public_exponent=3, key_size=2048),
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "p521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
}
FORMS = ("OpenSSH", "PKCS8", "TraditionalOpenSSL")


def dump(key, form: str, passphrase: bytes | None = None) -> str:
    encryption = serialization.NoEncryption()
    if passphrase:
        encryption = serialization.BestAvailableEncryption(passphrase)
    pem, format = serialization.Encoding.PEM, getattr(serialization.PrivateFormat, form)
    return key.private_bytes(pem, format, encryption).decode()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KEYS)
def test_every_kind_and_form_of_key(kind, form):
    key = KEYS[kind]()
    if (kind, form) == ("ed25519", "TraditionalOpenSSL"):
        return
    text = dump(key, form)
    for variant in (text, text.replace("\n", "\r\n"), "\ufeff" + text, f"x\n{text}\ny"):
        assert dump(private_keys.read(variant), "PKCS8") == dump(key, "PKCS8")
    if form != "PKCS8":
        loaded = load_private_key(text)
        signature = loaded.sign_ssh_data(b"data", "rsa-sha2-256" if "rsa" in kind else None)
        public = paramiko.PKey.from_type_string(loaded.get_name(), loaded.asbytes())
        assert public.verify_ssh_sig(b"data", paramiko.Message(signature.asbytes()))
    locked = dump(key, form, b"passphrase")
    with pytest.raises(PassphraseNeeded):
        private_keys.read(locked)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ec.generate_private_key(ec.SECP256K1()),
        lambda: ec.generate_private_key(ec.BrainpoolP256R1()),
        ed448.Ed448PrivateKey.generate,
        x25519.X25519PrivateKey.generate,
        lambda: dsa.generate_private_key(2048),
    ],
    ids=["secp256k1", "brainpool", "ed448", "x25519", "dsa"],
)
def test_keys_that_go_or_ssh_do_not_take(make):
    with pytest.raises(KeyFault, match="neither RSA|curve is none"):
        private_keys.read(dump(make(), "PKCS8"))


def _integer(value: int) -> bytes:
    return _member(2, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _member(tag: int, content: bytes) -> bytes:
    length = len(content)
    size = bytes([length]) if length < 128 else b"\x84" + length.to_bytes(4, "big")
    return bytes([tag]) + size + content


def _pem(label: str, content: bytes) -> str:
    body = base64.encodebytes(content).decode()
    return f"-----BEGIN {label}-----\n{body}-----END {label}-----\n"


def _rsa_pem(*numbers: int) -> str:
    return _pem("RSA PRIVATE KEY", _member(0x30, b"".join(map(_integer, (0, *numbers)))))


# A Mersenne prime: what makes a test of primality run to its end.
BIG_PRIME, SMALL_PRIME = 2**44497 - 1, 2**521 - 1


def _forged(p: int, q: int, e: int = 65537) -> str:
    """Return a key whose numbers fit, if p and q were primes."""
    n, d = p * q, 1
    try:
        d = pow(e, -1, (p - 1) * (q - 1))
    except ValueError:
        pass
    return _rsa_pem(n, e, d, p, q, d % (p - 1), d % (q - 1), pow(q, -1, p))


EVIL = {
    "a large prime": _rsa_pem(BIG_PRIME * SMALL_PRIME, 3, 1, BIG_PRIME, SMALL_PRIME, 1, 1, 1),
    "a large number": _rsa_pem(*[2**60000 - 1] * 8),
    "small primes": _forged(2**521 - 1, 2**127 - 1),
    "no primes": _forged(2**1024 - 3, 2**1023 + 1, 17),
    "zeros": _rsa_pem(2**2048 - 1, 65537, 0, 0, 0, 0, 0, 0),
    "one": _rsa_pem(2**2047 + 1, 65537, 3, 1, 2**2047 + 1, 0, 0, 1),
    "even": _rsa_pem(2**2047, 65537, 3, 2, 2**2046, 0, 0, 1),
    "no numbers": _pem("RSA PRIVATE KEY", b"\x30\x00"),
    "a negative number": _pem("RSA PRIVATE KEY", _member(0x30, _member(2, b"\xff") * 9)),
    "another key in its place": _pem("EC PRIVATE KEY", _member(0x30, _integer(0) * 9)),
    "a length without end": _pem("PRIVATE KEY", b"\x30\x80" + b"\x30\x80" * 5000),
    "a length of four gigabytes": _pem("PRIVATE KEY", b"\x30\x84\xff\xff\xff\xff"),
    "nothing": _pem("PRIVATE KEY", b""),
    "openssh, nothing": _pem("OPENSSH PRIVATE KEY", b"openssh-key-v1\0"),
    "openssh, a long text": _pem("OPENSSH PRIVATE KEY", b"openssh-key-v1\0" + b"\xff" * 12000),
    "no base64": "-----BEGIN PRIVATE KEY-----\n*\n-----END PRIVATE KEY-----",
    "no end": "-----BEGIN PRIVATE KEY-----\n" + "A" * 15000,
    "many beginnings": "-----BEGIN " * 5000,
    "no key": "x",
}


@pytest.mark.parametrize("text", EVIL.values(), ids=EVIL.keys())
def test_what_is_no_key_is_refused_at_once(text):
    began = time.process_time()
    with pytest.raises(KeyFault):
        private_keys.read(text)
    with pytest.raises(paramiko.SSHException):
        load_private_key(text)
    with pytest.raises(CertificateFault, match="not a private key in PEM format"):
        certificates.read_key(text)
    assert time.process_time() - began < SECONDS


def test_a_large_key_is_read_in_no_time():
    """OpenSSL proves for seconds that these are primes; here it need not."""
    text = dump(rsa.generate_private_key(public_exponent=65537, key_size=4096), "OpenSSH")
    began = time.process_time()
    for _ in range(10):
        load_private_key(text)
    assert time.process_time() - began < 2


def test_a_damaged_key_is_one_kind_of_error():
    """Each of some bytes changed, in each form."""
    for kind, form in (("rsa1024", "PKCS8"), ("p256", "OpenSSH"), ("ed25519", "PKCS8")):
        text = dump(KEYS[kind](), form)
        label = text.splitlines()[0][11:-5]
        content = base64.b64decode("".join(text.splitlines()[1:-1]))
        for index in range(0, len(content), 3):
            for byte in (0, 0x80, 0xFF, content[index] ^ 1):
                damaged = content[:index] + bytes([byte]) + content[index + 1 :]
                try:
                    private_keys.read(_pem(label, damaged))
                except KeyFault:
                    pass


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority("ca")


def test_what_openssl_reads_and_go_does_not_is_written_anew(authority):
    pem, other = authority.pem, Authority("other").pem
    together = pem.rstrip("\n") + other
    assert "-----END CERTIFICATE----------BEGIN CERTIFICATE-----" in together
    for text, expected in (
        (pem, pem),
        ("\ufeff" + pem, pem),
        (pem.replace("\n", "\r\n"), pem),
        (pem.rstrip("\n"), pem),
        (f"Subject: CN = ca\n{pem}trailing words", pem),
        (together, pem + other),
        (pem.replace("\n", "\n\n").replace("M", " M"), pem),
        ("-----BEGIN CERTIFICATE-----" + "".join(pem.splitlines()[1:-1])
         + "-----END CERTIFICATE-----", pem),
    ):  # fmt: skip
        assert certificates.to_pem(certificates.read_certificates(text)) == expected


def test_what_is_no_file_of_certificates(authority):
    pem = authority.pem
    body = pem.splitlines()[1:-1]
    for text, problem in (
        ("", "not a certificate in PEM format"),
        ("words", "not a certificate in PEM format"),
        ("\n".join(body), "not a certificate in PEM format"),
        (pem.replace("CERTIFICATE", "TRUSTED CERTIFICATE"), "holds a block TRUSTED CERTIFICATE"),
        (pem.replace("CERTIFICATE", "X509 CERTIFICATE"), "holds a block X509 CERTIFICATE"),
        (pem + pem.replace("CERTIFICATE", "X509 CRL"), "holds a block X509 CRL"),
        (pem.replace("-\n", "-\nProc-Type: 4\n\n", 1), "a block is not Base64"),
        (pem + "-----BEGIN CERTIFICATE-----\nMIIB", "a block CERTIFICATE does not end"),
        (pem + _pem("CERTIFICATE", b"\x30\x00"), "certificate 2 cannot be read"),
        (_pem("CERTIFICATE", b""), "certificate 1 cannot be read"),
        (_pem("CERTIFICATE", bytes(40_000)), "certificate 1 of the file has more than 32768 bytes"),
        (pem * 257, "more than 256 certificates"),
    ):
        with pytest.raises(CertificateFault, match=problem):
            certificates.read_certificates(text)


def issue(key, **more) -> bytes:
    certificate = self_signed(key, start=datetime.datetime(2026, 1, 1), **more)
    return certificate.public_bytes(serialization.Encoding.DER)


def test_what_go_does_not_read_in_a_certificate():
    """As x509.ParseCertificate of Go 1.27 judged each of them."""
    p256 = KEYS["p256"]()
    whole = issue(p256)
    assert whole.count(b"\x02\x01\x01\x30") == 1
    double = x509.SubjectAlternativeName([x509.UniformResourceIdentifier("http://a\x00b/")])
    constraint = x509.NameConstraints([x509.DNSName("a\x01b")], None)
    for content in (
        whole.replace(b"\x02\x01\x01\x30", b"\x02\x01\x81\x30"),
        whole.replace(bytes.fromhex("2a8648ce3d040302"), bytes.fromhex("2a8648ce3d040303"), 1),
        whole[:-1],
        whole + b"\0",
        issue(p256, extensions=[double]),
        issue(p256, extensions=[constraint]),
    ):
        with pytest.raises(CertificateFault, match="certificate 1"):
            certificates.read_certificates(_pem("CERTIFICATE", content))
    assert certificates.read_certificates(_pem("CERTIFICATE", whole))


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: ec.generate_private_key(ec.SECP256K1()), "a key on the curve secp256k1"),
        (lambda: dsa.generate_private_key(2048), "neither RSA, ECDSA nor Ed25519"),
        (lambda: ed448.Ed448PrivateKey.generate(), "neither RSA, ECDSA nor Ed25519"),
    ],
)
def test_keys_of_certificates_that_go_does_not_take(make, problem):
    key = make()
    content = issue(key, signed_by=KEYS["p256"]())
    with pytest.raises(CertificateFault, match=problem):
        certificates.read_certificates(_pem("CERTIFICATE", content))


def test_a_pair(authority):
    pem, key = authority.issue("a.example", client=True)
    (certificate,) = certificates.read_certificates(pem)
    for text in (key, key.replace("\n", "\r\n"), "\ufeff" + key, "words\n" + key):
        read = certificates.read_key(text)
        assert certificates.belong_together(certificate, read)
        assert certificates.key_to_pem(read) == key
    assert not certificates.belong_together(certificate, KEYS["ed25519"]())
