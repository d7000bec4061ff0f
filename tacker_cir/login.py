# SPDX-License-Identifier: Apache-2.0
"""Getting into a machine that may still be booting: sshd, its host key, the login."""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO

import paramiko
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from paramiko.ssh_exception import IncompatiblePeer

from tacker_cir import exceptions as exc
from tacker_cir import log as logging
from tacker_cir import private_keys
from tacker_cir.command import Secret
from tacker_cir.config import TimeLimits
from tacker_cir.hostkeys import HostKeyChecker, HostKeyMismatch
from tacker_cir.steps import timed
from tacker_cir.text import shown
from tacker_cir.transport import BoundedTransport
from tacker_cir.waiting import PROGRESS, Deadline, poll

LOG = logging.getLogger(__name__)
# It logs the server's version, banner and parting words.
logging.getLogger("paramiko.transport")

PORT = 22
#: Times the timeout for a TCP connection that an attempt may take with all that SSH does then.
ATTEMPT = 4
#: Seconds between two keep-alive packets.
KEEPALIVE = 15
#: Seconds after which the kernel gives up a peer that acknowledges nothing (tcp(7)).
DEAD_AFTER = 60


@dataclass(frozen=True)
class Credentials:
    """How to log in.

    :param username: login name
    :param password: SSH password, and the one for sudo where sudo asks for it
    :param private_key: private key in PEM or OpenSSH format, without a passphrase
    """

    username: str
    password: Secret | None = None
    private_key: Secret | None = None

    @property
    def secrets(self) -> tuple[Secret, ...]:
        return tuple(s for s in (self.password, self.private_key) if s is not None)


def load_private_key(text: str) -> paramiko.PKey:
    """Return the key in ``text`` (PEM or OpenSSH format).

    :raises paramiko.PasswordRequiredException: the key has a passphrase
    :raises paramiko.SSHException: not a private key of a supported type
    """
    try:
        key = private_keys.read(text, private_keys.SSH_LABELS)
    except private_keys.PassphraseNeeded as error:
        raise paramiko.PasswordRequiredException(str(error)) from None
    except private_keys.KeyFault as error:
        raise paramiko.SSHException(
            "not an Ed25519, ECDSA or RSA private key in OpenSSH or PEM (not PKCS#8) format: "
            f"{error}"
        ) from None
    if isinstance(key, rsa.RSAPrivateKey):
        return paramiko.RSAKey(key=key)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return paramiko.ECDSAKey(vals=(key, key.public_key()))
    canonical = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    return paramiko.Ed25519Key.from_private_key(StringIO(canonical.decode()))


def open_transport(
    node: str,
    address: str,
    credentials: Credentials,
    host_keys: HostKeyChecker,
    *,
    limits: TimeLimits,
    port: int = PORT,
) -> paramiko.Transport:
    """Return an authenticated connection; parameters and errors as for
    :func:`tacker_cir.ssh.connect`."""
    key = load_private_key(credentials.private_key.reveal()) if credentials.private_key else None

    def on_retry(error: BaseException, elapsed: float) -> None:
        if elapsed >= PROGRESS:
            LOG.info("%s: no SSH yet after %.0f s: %s", node, elapsed, shown(error))

    refused: list[Deadline] = []

    def attempt() -> paramiko.Transport:
        try:
            return _open(address, port, credentials, key, host_keys, limits.ssh_connect_timeout)
        except paramiko.AuthenticationException as error:
            if not refused:
                refused.append(Deadline(limits.ssh_auth_timeout))
            # A method that is not offered counts too: cloud-init may allow passwords later.
            if refused[0].expired:
                raise _LoginRefused(str(error)) from None
            raise

    def wait(deadline: Deadline) -> paramiko.Transport:
        not_yet = (OSError, EOFError, paramiko.SSHException)
        return poll(attempt, deadline, retry_on=not_yet, on_retry=on_retry)

    deadline = Deadline(limits.ssh_wait_timeout)
    try:
        with timed(node, "log in over SSH"):
            try:
                transport = wait(deadline)
            except paramiko.AuthenticationException:
                # sshd came up late: the login has time of its own.
                transport = wait(refused[0])
    except HostKeyMismatch as error:
        raise exc.HostKeyError(node, "check the SSH host key", str(error), error.remedy) from None
    except exc.PinStoreError as error:
        cause = f"{error.path}: {error.problem}"
        raise exc.HostKeyError(
            node, "look up the pinned SSH host key", cause, error.remedy
        ) from None
    except (_LoginRefused, paramiko.AuthenticationException) as error:
        kind = "key or password" if key and credentials.password else "key" if key else "password"
        raise exc.AuthenticationFailed(
            node,
            "log in over SSH",
            f"the machine refuses user {credentials.username} with the given {kind} "
            f"({shown(error)})",
            "check ssh_username and ssh_password or ssh_private_key (sshd may want both), and that "
            "the VM's image allows such a login",
        ) from None
    except (OSError, EOFError, paramiko.SSHException) as error:
        raise exc.ConnectError(
            node,
            "connect over SSH",
            f"no SSH server answered at {address} port {port} for {deadline.seconds:.0f} seconds: "
            f"{shown(error) or type(error).__name__}",
            "check that the VM booted, that the conductor reaches its network, and its security "
            "groups; a slow VM needs a higher [tacker_cir] ssh_wait_timeout",
        ) from None
    LOG.info("%s: logged in as %s", node, credentials.username)
    return transport


class _LoginRefused(Exception):
    """The login was refused for the whole time in which it may still become right."""


def _open(
    address: str,
    port: int,
    credentials: Credentials,
    key: paramiko.PKey | None,
    host_keys: HostKeyChecker,
    connect_timeout: float,
) -> paramiko.Transport:
    deadline = Deadline(connect_timeout * ATTEMPT)
    sock = socket.create_connection((address, port), timeout=connect_timeout)
    # Each command begins with small packets; Nagle's algorithm would hold them back (40 ms).
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # With the keep-alive packets, a machine that vanished is noticed though nothing is sent.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_AFTER * 1000)
    transport = BoundedTransport(sock)
    try:
        transport.banner_timeout = deadline.remaining
        options = transport.get_security_options()
        options.ciphers = _fast_first(options.ciphers)
        preferred = host_keys.key_types()
        if preferred:
            options.key_types = _only(options.key_types, preferred)
        try:
            transport.start_client(timeout=deadline.remaining)
        except IncompatiblePeer as error:
            if preferred and "host key" in str(error):
                raise HostKeyMismatch(
                    f"the machine has no host key of type {' or '.join(preferred)} (any more)",
                    "if the VM was re-installed on purpose, give its new key (policy tofu: remove "
                    "its pin); if not, somebody may be between the conductor and the machine",
                ) from None
            raise
        host_keys.check(transport.get_remote_server_key())
        _authenticate(transport, credentials, key, deadline)
        transport.set_keepalive(KEEPALIVE)
    except BaseException:
        transport.close()
        sock.close()
        raise
    return transport


class _MoreWanted(paramiko.AuthenticationException):
    """What was given was accepted, and does not suffice."""


def _authenticate(
    transport: paramiko.Transport,
    credentials: Credentials,
    key: paramiko.PKey | None,
    deadline: Deadline,
) -> None:
    """Log in with what was given, with all of it where sshd wants it (AuthenticationMethods).

    :param deadline: for all methods together
    :raises paramiko.AuthenticationException: it is refused, or does not suffice
    """
    left = _methods(transport, credentials, key, deadline)
    accepted: list[str] = []
    while not transport.is_authenticated():
        name, wanted = _first_accepted(left, accepted)
        accepted.append(name)
        del left[name]
        if wanted and not left:
            raise _MoreWanted(
                f"it accepts the {' and the '.join(accepted)}, and wants {wanted} too"
            )


def _methods(
    transport: paramiko.Transport,
    credentials: Credentials,
    key: paramiko.PKey | None,
    deadline: Deadline,
) -> dict[str, Callable[[], Sequence[str]]]:
    """Return what can be tried, each of which returns what sshd wants besides."""
    methods: dict[str, Callable[[], Sequence[str]]] = {}
    user, password = credentials.username, credentials.password

    def in_time() -> paramiko.Transport:
        transport.auth_timeout = deadline.remaining
        return transport

    if key is not None:
        methods["key"] = lambda: in_time().auth_publickey(user, key)
    if password is not None:
        methods["password"] = lambda: in_time().auth_password(user, password.reveal())
    return methods


def _first_accepted(
    methods: Mapping[str, Callable[[], Sequence[str]]], accepted: Sequence[str]
) -> tuple[str, str]:
    """Return the first method that sshd accepts, and what it wants besides."""
    refused: Exception = paramiko.AuthenticationException("neither a password nor a key was given")
    for name, attempt in methods.items():
        try:
            return name, " or ".join(attempt())
        except paramiko.AuthenticationException as error:
            # sshd may want another one first.
            refused = error
    if accepted:
        raise _MoreWanted(f"it accepts the {' and the '.join(accepted)}, but then: {refused}")
    raise refused


def _fast_first(ciphers: Sequence[str]) -> tuple[str, ...]:
    """Return the ciphers with AES-GCM first: one pass encrypts and authenticates (RFC 5647)."""
    return tuple(sorted(ciphers, key=lambda name: "gcm" not in name))


def _only(offered: Sequence[str], key_types: Collection[str]) -> tuple[str, ...]:
    """Return the offered host key algorithms that prove one of the given key types."""
    # RSA keys sign with rsa-sha2-* (RFC 8332) though their type is ssh-rsa.
    wanted = set(key_types)
    if "ssh-rsa" in wanted:
        wanted |= {"rsa-sha2-256", "rsa-sha2-512"}
    return tuple(name for name in offered if name in wanted) or tuple(offered)
