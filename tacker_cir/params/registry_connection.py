# SPDX-License-Identifier: Apache-2.0
"""``private_registry_connection_info``: the registries that the nodes of a cluster pull from
(spec cir-k8s-cluster, "Request parameters with Docker private registries").

Beyond the spec's table: a client certificate, ``skip_verify``, mirrors, ``test_image``,
``advertise``, and ``vnf_instance`` in place of what its registry tells itself.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any

from cryptography.x509 import Certificate

from tacker_cir.command import Secret
from tacker_cir.params import certificates, registry_vnf, schema
from tacker_cir.params.certificates import CertificateFault
from tacker_cir.params.names import check_image_name, is_host_name, split_server
from tacker_cir.params.reader import Reader
from tacker_cir.render import docker_auth
from tacker_cir.runtimes import RUNTIMES
from tacker_cir.runtimes.base import Mirror, Runtime

KEY = "private_registry_connection_info"

_HTTPS_ONLY = ("certificate_path", "client_certificate_path", "client_key_path", "skip_verify")


@dataclass(frozen=True)
class HostsEntry:
    """An address and its names for /etc/hosts."""

    address: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class RegistryConnection:
    """One registry.

    :param server: ``host[:port]`` as image names begin with it
    :param ca: CA certificates in PEM
    :param client_certificate: the nodes' certificate in PEM, for mutual TLS
    :param client_key: its key in PEM
    :param skip_verify: accept any certificate of the registry
    :param hosts: what /etc/hosts shall say
    :param token_server: ``host[:port]`` that may have the login besides the registry itself
    :param mirror_of: the registry that this one mirrors, as image names begin with it
    :param mirror_fallback: ask that registry for what the mirror does not have
    :param test_image: full reference of an image to pull as a test
    :param advertise: tell the cluster's users of it
    """

    server: str
    https: bool
    username: str | None = None
    password: Secret | None = None
    ca: str | None = None
    client_certificate: str | None = None
    client_key: Secret | None = None
    skip_verify: bool = False
    hosts: HostsEntry | None = None
    token_server: str | None = None
    mirror_of: str | None = None
    mirror_fallback: bool = True
    test_image: str | None = None
    advertise: bool = False

    @property
    def url(self) -> str:
        return f"{'https' if self.https else 'http'}://{self.server}"

    @property
    def host(self) -> str:
        """The host without its port, an IPv6 address without brackets, as in no_proxy."""
        return split_server(self.server)[0]

    @property
    def login(self) -> Secret | None:
        """User and password as HTTP's basic authentication and Docker's files have them."""
        if self.username is None or self.password is None:
            return None
        return Secret(docker_auth.basic_auth(self.username, self.password.reveal()))

    @property
    def secrets(self) -> tuple[Secret, ...]:
        return tuple(s for s in (self.password, self.login, self.client_key) if s is not None)


def read_registries(
    reader: Reader, runtime: str | None, find_vnf: registry_vnf.Find | None = None
) -> tuple[RegistryConnection, ...]:
    """Return the registries, noting every fault.

    :param runtime: name of the container runtime that pulls from them; None if that is not known
    :param find_vnf: what knows the project's VNF instances; None leaves unchecked what only these
        tell, and their registries without it
    """
    registry_vnf.fill_in(reader, KEY, find_vnf)
    given = reader.raw.get(KEY)
    count = len(given) if isinstance(given, list) else 0
    readers = [_ItemReader(reader, index) for index in range(count)]
    registries = [item.read(runtime) for item in readers if item.is_object]
    _find_conflicts(reader, count)
    return tuple(registries)


class _ItemReader:
    """Reads one registry of the list."""

    def __init__(self, reader: Reader, index: int):
        self._reader, self._at = reader, (KEY, index)
        item = reader.raw[KEY][index]
        self.is_object = isinstance(item, dict)
        self._given: dict[str, Any] = item if self.is_object else {}

    def read(self, runtime: str | None) -> RegistryConnection:
        connection_type = self._sound("connection_type")
        https = connection_type is not None and int(connection_type) == 1
        if connection_type is not None and not https:
            for key in _HTTPS_ONLY:
                if self._given.get(key):
                    self._fault('is for HTTPS only, but connection_type is "0", HTTP', key)
        if registry_vnf.MEMBER not in self._given or "password" in self._given:
            self._both_or_none("username", "password")
        self._both_or_none("client_certificate_path", "client_key_path")
        if self._sound("skip_verify") and "certificate_path" in self._given:
            self._fault("expected certificate_path or skip_verify, not both", "skip_verify")
        server = self._reader.server(*self._at, "server")
        certificate, client_key = self._client_pair()
        _, authorities = self._certificates("certificate_path")
        password = self._sound("password")
        mirror_fallback = self._sound("mirror_fallback")
        return RegistryConnection(
            server=server or "",
            https=https,
            username=self._sound("username"),
            password=Secret(password) if password else None,
            ca=authorities,
            client_certificate=certificate,
            client_key=Secret(client_key) if client_key else None,
            skip_verify=bool(self._sound("skip_verify")),
            hosts=self._hosts(),
            token_server=self._token_server(),
            mirror_of=self._mirror_of(server, runtime),
            mirror_fallback=mirror_fallback is not False,
            test_image=self._test_image(server),
            advertise=self._sound("advertise") is True,
        )

    def _sound(self, key: str) -> Any:
        return self._reader.valid(*self._at, key)

    def _fault(self, problem: str, key: str) -> None:
        self._reader.fault(problem, *self._at, key)

    def _both_or_none(self, *keys: str) -> None:
        missing = [key for key in keys if key not in self._given]
        if len(missing) == 1:
            other = next(key for key in keys if key not in missing)
            self._fault(f"is missing; expected both {other} and {missing[0]}, or none", missing[0])

    def _certificates(self, key: str) -> tuple[Certificate | None, str | None]:
        """Return the first certificate of a file, and all of them in PEM."""
        text = self._reader.pem(*self._at, key)
        if text is None:
            return None, None
        if "PRIVATE KEY-----" in text:
            self._fault("the file holds a private key; expected certificates only", key)
            return None, None
        try:
            return self._reader.once(_chain, text)
        except CertificateFault as error:
            self._fault(str(error), key)
            return None, None

    def _client_pair(self) -> tuple[str | None, str | None]:
        certificate, pem = self._certificates("client_certificate_path")
        text = self._reader.pem(*self._at, "client_key_path", shown=False)
        if text is None:
            return pem, None
        try:
            key = self._reader.once(certificates.read_key, text)
        except CertificateFault as error:
            self._fault(str(error), "client_key_path")
            return pem, None
        # The first certificate is the client's own, those that follow lead to its CA.
        if certificate and not certificates.belong_together(certificate, key):
            self._fault("the key is not that of client_certificate_path", "client_key_path")
        return pem, certificates.key_to_pem(key)

    def _hosts(self) -> HostsEntry | None:
        text = self._sound("hosts_string")
        if text is None:
            return None
        expected = f"expected '<IP address> <FQDN>'; got {schema.shown(text)}"
        address, *names = text.split() or [""]
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            self._fault(f"{expected}, whose first word is no IP address", "hosts_string")
            return None
        if parsed.is_unspecified or parsed.is_multicast or "%" in address:
            self._fault(f"{expected}, an address that no registry has", "hosts_string")
        if not names:
            self._fault(f"{expected}, without a name", "hosts_string")
        bad = [name for name in names if not is_host_name(name)]
        if bad:
            more = f" (and {len(bad) - 1} more)" if bad[1:] else ""
            self._fault(f"{expected}; {bad[0][:60]!r} is no host name{more}", "hosts_string")
        if "localhost" in (name.lower() for name in names):
            self._fault(f"{expected}; localhost is the node itself", "hosts_string")
        return HostsEntry(str(parsed), tuple(names))

    def _token_server(self) -> str | None:
        given = self._reader.server(*self._at, "token_server")
        if given is not None and "username" not in self._given:
            self._fault("is for a login; expected username and password as well", "token_server")
        return given

    def _mirror_of(self, server: str | None, runtime: str | None) -> str | None:
        if "mirror_fallback" in self._given and "mirror_of" not in self._given:
            self._fault("is for mirrors only; expected mirror_of as well", "mirror_fallback")
        mirrored = self._reader.server(*self._at, "mirror_of")
        if mirrored is None:
            return None
        # As everybody writes it in the names of images, where case counts.
        mirrored = mirrored.lower()
        if server is not None and mirrored.lower() == server.lower():
            self._fault("expected another registry than server", "mirror_of")
        if runtime is not None:
            self._judge_mirror(mirrored, RUNTIMES[runtime])
        return mirrored

    def _judge_mirror(self, mirrored: str, runtime: Runtime) -> None:
        fallback = self._sound("mirror_fallback") is not False
        wanted = Mirror(mirrored, fallback, "username" in self._given)
        for key, problem in runtime.mirror_faults(wanted):
            self._fault(problem, key)

    def _test_image(self, server: str | None) -> str | None:
        image = self._sound("test_image")
        if image is None or server is None:
            return None
        name = image
        if image.lower().startswith(f"{server}/".lower()):
            name = image[len(server) + 1 :]
        try:
            check_image_name(server, name)
        except ValueError as error:
            self._fault(f"expected an image of {server}; got {image!r}: {error}", "test_image")
        last = name.rpartition("/")[2]
        return f"{server}/{name}" + ("" if ":" in last or "@" in last else ":latest")


def _find_conflicts(reader: Reader, count: int) -> None:
    """Note what the registries of the list cannot be together."""
    for find in (_find_same, _find_advertised, _find_addresses, _find_fallbacks, _find_logins):
        find(reader, range(count))


def _find_same(reader: Reader, indexes: range) -> None:
    servers: dict[str, int] = {}
    for index in indexes:
        member, server = _named_by(reader, index)
        first = servers.setdefault(server.lower(), index) if server else index
        if first != index:
            reader.fault(f"{server!r} is the server of {KEY}[{first}] as well", KEY, index, member)


def _find_advertised(reader: Reader, indexes: range) -> None:
    found = [index for index in indexes if reader.valid(KEY, index, "advertise") is True]
    for index in found[1:]:
        problem = f"{KEY}[{found[0]}] is advertised; a cluster advertises one registry"
        reader.fault(problem, KEY, index, "advertise")


def _find_addresses(reader: Reader, indexes: range) -> None:
    addresses: dict[str, str] = {}
    for index in indexes:
        address, *names = (reader.valid(KEY, index, "hosts_string") or "").split() or [""]
        for name in names:
            other = addresses.setdefault(name.lower(), address)
            if ipaddress.ip_address(other) != ipaddress.ip_address(address):
                problem = f"{name} has the address {other} in another registry's hosts_string"
                reader.fault(problem, KEY, index, "hosts_string")


def _find_fallbacks(reader: Reader, indexes: range) -> None:
    fallbacks: dict[str, bool] = {}
    for index in indexes:
        mirrored = reader.valid(KEY, index, "mirror_of")
        fallback = reader.valid(KEY, index, "mirror_fallback") is not False
        if mirrored and fallbacks.setdefault(mirrored.lower(), fallback) != fallback:
            problem = f"expected the same for all mirrors of {mirrored}"
            reader.fault(problem, KEY, index, "mirror_fallback")


def _find_logins(reader: Reader, indexes: range) -> None:
    """Note mirrors that get a login: both runtimes give one that asks for it the login of what it
    mirrors, and hosts.toml has nothing against it (containerd's docs/hosts.md)."""
    with_login = [index for index in indexes if reader.valid(KEY, index, "username")]
    logins = {(reader.valid(KEY, index, "server") or "").lower() for index in with_login}
    for index in indexes:
        mirrored = reader.valid(KEY, index, "mirror_of")
        if mirrored and mirrored.lower() in logins and not _is_proven(reader, index):
            reader.fault(
                f"the login of {mirrored} would be handed to this mirror, and to whoever answers "
                'in its place; expected connection_type "1" without skip_verify, or no login for '
                f"{mirrored}",
                *(KEY, index, "mirror_of"),
            )


def _named_by(reader: Reader, index: int) -> tuple[str, str]:
    """Return the member that says which registry an entry is about, and the registry."""
    server, vnf = (reader.valid(KEY, index, key) for key in ("server", registry_vnf.MEMBER))
    return (registry_vnf.MEMBER if vnf else "server"), server or (
        vnf and f"VNF instance {vnf}"
    ) or ""


def _is_proven(reader: Reader, index: int) -> bool:
    """Return whether nobody else can answer in a registry's place; that of a VNF instance which
    nobody can ask is taken for one."""
    if reader.valid(KEY, index, registry_vnf.MEMBER) and not reader.valid(KEY, index, "server"):
        return True
    connection_type = reader.valid(KEY, index, "connection_type")
    https = connection_type is not None and int(connection_type) == 1
    return https and not reader.valid(KEY, index, "skip_verify")


def _chain(text: str) -> tuple[Certificate, str]:
    found = certificates.read_certificates(text)
    return found[0], certificates.to_pem(found)
