# SPDX-License-Identifier: Apache-2.0
"""Reading what a schema cannot judge, collecting faults instead of stopping at the first."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import paramiko

from tacker_cir import docker_hub
from tacker_cir.command import Secret
from tacker_cir.exceptions import Fault, InvalidRequest
from tacker_cir.login import Credentials, load_private_key
from tacker_cir.package import PackageFileError, VnfPackage
from tacker_cir.params import bounds, schema
from tacker_cir.params.fields import PEM
from tacker_cir.params.names import (
    is_no_proxy_entry,
    is_proxy_url,
    is_site_url,
    split_server,
)
from tacker_cir.params.proxy import Proxy

Key = str | int
T = TypeVar("T")

# Where a member or an entry begins in a path.
_STEP = re.compile(r"[.\[]")

_AS_A_PATH = "the value is taken as a path and"


@dataclass(frozen=True)
class AptRepository:
    """An apt repository with a key of its own.

    :param suite: None for the VM's code name
    :param components: none where the suite is a path (sources.list(5), "exact path")
    :param keyring: the public key, armored or binary
    """

    uri: str
    suite: str | None
    components: tuple[str, ...]
    keyring: bytes


def find_parameter(
    additional_params: Mapping[str, Any] | None, key: str, expected: Mapping[str, Any]
) -> Any:
    """Return the member ``key`` of ``additionalParams``.

    :param expected: its schema
    :raises InvalidRequest: there is none, or it is larger than any request
    """
    given = additional_params if isinstance(additional_params, Mapping) else {}
    excess = bounds.find_oversize(given, "additionalParams")
    if key in given and not excess:
        excess = bounds.find_excess(given[key], schema.join("additionalParams", key))
    if excess:
        raise InvalidRequest(excess)
    if key in given:
        return given[key]
    near = [name for name in given if schema.did_you_mean(str(name), [key]).startswith("did")]
    hint = f"; found {near[0]} instead" if near else ""
    problem = f"is missing; expected {expected['description']}{hint}"
    raise InvalidRequest([Fault(schema.join("additionalParams", key), problem)])


def shaped_reader(
    additional_params: Mapping[str, Any] | None,
    key: str,
    expected: Mapping[str, Any],
    package: VnfPackage,
) -> Reader:
    """Return a reader of the member ``key`` of ``additionalParams``.

    :param expected: its schema
    :param package: the VNF package that paths lead into
    :raises InvalidRequest: there is none, or its shape is another
    """
    raw = find_parameter(additional_params, key, expected)
    path = schema.join("additionalParams", key)
    faults = schema.find_faults(raw, expected, path)
    if faults:
        raise InvalidRequest(faults)
    return Reader(raw, path, package, ())


class Reader:
    """The values of one parameter and the faults found in it.

    :param raw: the parameter as the user gave it
    :param path: where the parameter is in the request
    :param package: the VNF package; None leaves unchecked what only the package can tell
    :param faults: what the schema has found
    """

    def __init__(
        self,
        raw: Mapping[str, Any],
        path: str,
        package: VnfPackage | None,
        faults: Iterable[Fault],
    ):
        self.raw, self.path, self.package = raw, path, package
        self.faults: list[Fault] = []
        self._understood: dict[tuple[Callable[[str], Any], str], Any] = {}
        # The paths of all faults and of what they are in.
        self._faulty: set[str] = set()
        for fault in faults:
            self._note(fault)

    def valid(self, *keys: Key) -> Any:
        """Return the value at ``keys``, None where it is absent or already known as faulty."""
        value: Any = self.raw
        for key in keys:
            if isinstance(key, int):
                if not isinstance(value, list) or key >= len(value):
                    return None
            elif not isinstance(value, Mapping) or key not in value:
                return None
            value = value[key]
        return None if schema.join(self.path, *keys) in self._faulty else value

    def fault(self, problem: str, *keys: Key) -> None:
        """Note a fault of the value at ``keys``."""
        self._note(Fault(schema.join(self.path, *keys), problem))

    def refuse_faults(self) -> None:
        """Raise InvalidRequest with the faults noted, if there are any."""
        if self.faults:
            raise InvalidRequest(self.faults)

    def _note(self, fault: Fault) -> None:
        self.faults.append(fault)
        ends = (match.start() for match in _STEP.finditer(fault.path))
        self._faulty.update(fault.path[:end] for end in ends)
        self._faulty.add(fault.path)

    def server(self, *keys: Key) -> str | None:
        """Return a registry's ``host[:port]``, None where there is none or it is faulty."""
        text: str | None = self.valid(*keys)
        if text is None:
            return None
        try:
            host, _ = split_server(text)
            if docker_hub.is_called(host) and text != docker_hub.NAME:
                # Docker and containerd name the images of Docker Hub so whatever a user calls them.
                raise ValueError(
                    f"expected {docker_hub.NAME}, as names of Docker Hub's images begin"
                )
        except ValueError as error:
            # What stands before an @ may be a password.
            self.fault(str(error) if "@" in text else f"{error}; got {text[:60]!r}", *keys)
            return None
        return text

    def package_text(self, *keys: Key, shown: bool = True) -> str | None:
        """Return the text file of the package that the value at ``keys`` names.

        :param shown: False if the value may be a secret that was taken for a path
        """
        path = self.valid(*keys)
        if path is None or self.package is None:
            return None
        try:
            return self.package.text(path)
        except PackageFileError as error:
            self.fault(f"{path!r} {error}" if shown else f"{_AS_A_PATH} {error}", *keys)
            return None

    def pem(self, *keys: Key, shown: bool = True) -> str | None:
        """Return the PEM at ``keys``: the value itself, or the file of the package that it names.

        :param shown: as for :meth:`package_text`
        """
        value = self.valid(*keys)
        if value is not None and PEM in value:
            return str(value)
        return self.package_text(*keys, shown=shown)

    def once(self, understand: Callable[[str], T], text: str) -> T:
        """Return what ``understand`` makes of a text, or raise its ValueError: done once, however
        many registries name the same file."""
        key = (understand, text)
        if key not in self._understood:
            try:
                self._understood[key] = understand(text)
            except ValueError as error:
                self._understood[key] = error
        found: T | ValueError = self._understood[key]
        if isinstance(found, ValueError):
            raise found
        return found

    def cp_name(self, flavour_id: str | None, *keys: Key) -> str:
        """Return the name of a CP that the package has."""
        name = self.valid(*keys)
        known = self.package.connection_points(flavour_id) if self.package else frozenset()
        if name is not None and known and name not in known:
            hint = schema.did_you_mean(name, sorted(known))
            self.fault(f"the VNF package has no CP {name!r}; {hint}", *keys)
        return name or ""

    def credentials(self, owner: tuple[Key, ...], username: str, password: str) -> Credentials:
        """Return how to log in to a VM: with a password, ``ssh_private_key``, or both.

        :param owner: keys of the object that has the members
        :param username: name of the member with the login name
        :param password: name of the member with the password
        """
        given: Any = self.raw
        for step in owner:
            given = given.get(step) if isinstance(given, Mapping) else None
        if isinstance(given, Mapping) and not {password, "ssh_private_key"} & set(given):
            self.fault(
                "is missing; expected the login's password, or ssh_private_key", *owner, password
            )
        secret = self.valid(*owner, password)
        key = self.pem(*owner, "ssh_private_key", shown=False)
        if key is not None:
            try:
                load_private_key(key)
            except paramiko.PasswordRequiredException:
                problem = "the key has a passphrase; expected one without"
                self.fault(problem, *owner, "ssh_private_key")
            except paramiko.SSHException as error:
                self.fault(str(error), *owner, "ssh_private_key")
        return Credentials(
            self.valid(*owner, username) or "",
            Secret(secret) if secret else None,
            Secret(key) if key else None,
        )

    def proxy(self) -> Proxy | None:
        """Return ``proxy``, None where it names no proxy."""
        urls = {name: self.valid("proxy", name) for name in ("http_proxy", "https_proxy")}
        for name, url in urls.items():
            if url and not is_proxy_url(url):
                self.fault("expected a URL http[s]://[user:password@]host[:port]", "proxy", name)
        no_proxy = self.valid("proxy", "no_proxy") or ""
        odd = [e for e in no_proxy.split(",") if e and not is_no_proxy_entry(e)]
        if odd:
            more = f" (and {len(odd) - 1} more)" if odd[1:] else ""
            self.fault(
                "expected hosts, domains and networks separated by commas; "
                f"{schema.shown(odd[0])} is none{more}",
                "proxy",
                "no_proxy",
            )
        http, https = (Secret(url) if url else None for url in urls.values())
        if http is None and https is None:
            return None
        return Proxy(http, https, no_proxy)

    def apt_repository(
        self, *keys: Key, suite: str | None, components: tuple[str, ...]
    ) -> AptRepository | None:
        """Return the apt repository at ``keys``.

        :param suite: the suite where none is given
        :param components: the components where none are given
        """
        given = self.valid(*keys)
        if given is None or self.package is None:
            return None
        if not is_site_url(given["uri"]):
            self.fault(
                "expected a URL http[s]://host[:port][/path] of an apt repository", *keys, "uri"
            )
        suite = given.get("suite", suite)
        # An exact path in the repository (sources.list(5)), which has no components.
        if suite is not None and suite.endswith("/"):
            if "components" in given:
                self.fault("expected none, as the suite is a path", *keys, "components")
            components = ()
        path = given["keyring_path"]
        try:
            keyring = self.package.read(path)
        except PackageFileError as error:
            self.fault(f"{path!r} {error}", *keys, "keyring_path")
            return None
        if b"PRIVATE KEY BLOCK" in keyring:
            self.fault("is a private key; expected an OpenPGP public key", *keys, "keyring_path")
        # An OpenPGP packet's first octet has bit 7 set (RFC 9580, section 4.2).
        if b"BEGIN PGP PUBLIC KEY BLOCK" not in keyring and not keyring[:1] >= b"\x80":
            self.fault("is not an OpenPGP public key", *keys, "keyring_path")
        return AptRepository(
            given["uri"],
            suite,
            tuple(given.get("components", components)),
            keyring,
        )
