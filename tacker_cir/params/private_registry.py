# SPDX-License-Identifier: Apache-2.0
"""``additionalParams.private_registry_installation_param`` (spec cir-k8s-cluster, "Request
parameters for Instantiate Docker private registry VNF operation").

Beyond the spec's table: ``proxy`` as in the upstream sample, and what users need besides
(``ssh_private_key``, ``ssh_host_keys``, ``docker_package``, ``registry_image``, ``data_path``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import paramiko

from tacker_cir.command import Secret, url_password
from tacker_cir.exceptions import Fault, InvalidRequest
from tacker_cir.hostkeys import parse_public_key
from tacker_cir.login import Credentials, load_private_key
from tacker_cir.package import ImageArchive, PackageFileError, VnfPackage
from tacker_cir.params import schema
from tacker_cir.params.private_registry_schema import KEY, SCHEMA

PATH = f"additionalParams.{KEY}"

DEFAULT_PORT = 5000
DEFAULT_IMAGE = "registry:latest"
DEFAULT_DOCKER_PACKAGE = "docker.io"

_SYSTEM_DIRECTORIES = frozenset(
    "/bin /boot /dev /etc /home /lib /lib64 /media /mnt /opt /proc /root /run /sbin /srv /sys "
    "/tmp /usr /var /var/lib /var/lib/docker /var/lib/containerd".split()
)


@dataclass(frozen=True)
class Proxy:
    """Proxy for apt and the Docker daemon. The URLs are secrets: they may hold a password."""

    http: Secret | None = None
    https: Secret | None = None
    no_proxy: str = ""

    @property
    def has_credentials(self) -> bool:
        return any(u is not None and "@" in urlsplit(u.reveal()).netloc for u in self._urls)

    @property
    def passwords(self) -> tuple[Secret, ...]:
        found = (url_password(url.reveal()) for url in self._urls if url is not None)
        return tuple(password for password in found if password is not None)

    @property
    def _urls(self) -> tuple[Secret | None, ...]:
        return self.http, self.https


@dataclass(frozen=True)
class AptRepository:
    """An apt repository with a key of its own.

    :param suite: None for the VM's code name
    :param keyring: the public key, armored or binary
    """

    uri: str
    suite: str | None
    components: tuple[str, ...]
    keyring: bytes


@dataclass(frozen=True)
class DockerPackage:
    """The package that brings the Docker daemon.

    :param requested: False where the request names none, so that any Docker that is there is right
    """

    name: str = DEFAULT_DOCKER_PACKAGE
    version: str | None = None
    apt_repository: AptRepository | None = None
    requested: bool = False


@dataclass(frozen=True)
class PrivateRegistryParams:
    """Checked parameters of the registry VNF.

    :param image: the archive of ``image_path``, None to pull the image
    :param data_path: None for ``registry`` in the login user's home, as in the spec's command
    """

    ssh_cp_name: str
    credentials: Credentials
    ssh_host_keys: tuple[tuple[str, str], ...] = ()
    image: ImageArchive | None = None
    port_no: int = DEFAULT_PORT
    proxy: Proxy | None = None
    docker_package: DockerPackage = DockerPackage()
    registry_image: str = DEFAULT_IMAGE
    data_path: str | None = None

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """Every secret value of the request."""
        return self.credentials.secrets + (self.proxy.passwords if self.proxy else ())


def parse(
    additional_params: Mapping[str, Any] | None,
    package: VnfPackage | None,
    *,
    flavour_id: str | None = None,
) -> PrivateRegistryParams:
    """Check the parameters and the package's files and return them typed.

    :param additional_params: ``additionalParams`` of the InstantiateVnfRequest
    :param package: the VNF package that the request's paths lead into; None leaves unchecked what
        only the package can tell
    :param flavour_id: ``flavourId`` of the request
    :raises InvalidRequest: with every fault found
    """
    given = additional_params if isinstance(additional_params, Mapping) else {}
    if KEY not in given:
        near = [k for k in given if schema.did_you_mean(str(k), [KEY]).startswith("did")]
        hint = f"; found {near[0]} instead" if near else ""
        raise InvalidRequest([Fault(PATH, f"is missing; expected {SCHEMA['description']}{hint}")])
    raw = given[KEY]
    faults = schema.find_faults(raw, SCHEMA, PATH)
    if not isinstance(raw, Mapping):
        raise InvalidRequest(faults)
    reader = _Reader(raw, package, faults)
    params = reader.read(flavour_id)
    if reader.faults:
        raise InvalidRequest(reader.faults)
    return params


class _Reader:
    """Reads what the schema cannot judge, collecting faults instead of stopping at the first."""

    def __init__(self, raw: Mapping[str, Any], package: VnfPackage | None, faults: list[Fault]):
        self._raw, self._package, self.faults = raw, package, list(faults)

    def read(self, flavour_id: str | None) -> PrivateRegistryParams:
        registry_image = self._registry_image()
        return PrivateRegistryParams(
            ssh_cp_name=self._cp_name(flavour_id),
            credentials=self._credentials(),
            ssh_host_keys=self._host_keys(),
            image=self._image(registry_image),
            port_no=self._port_no(),
            proxy=self._proxy(),
            docker_package=self._docker_package(),
            registry_image=registry_image,
            data_path=self._data_path(),
        )

    def _sound(self, *keys: str) -> Any:
        """Return the value at ``keys``, None where it is absent or already known as faulty."""
        value: Any = self._raw
        for key in keys:
            if not isinstance(value, Mapping) or key not in value:
                return None
            value = value[key]
        path = schema.join(PATH, *keys)
        inside = (path + ".", path + "[")
        if any(f.path == path or f.path.startswith(inside) for f in self.faults):
            return None
        return value

    def _fault(self, problem: str, *keys: str | int) -> None:
        self.faults.append(Fault(schema.join(PATH, *keys), problem))

    def _cp_name(self, flavour_id: str | None) -> str:
        name = self._sound("ssh_cp_name")
        known = self._package.connection_points(flavour_id) if self._package else frozenset()
        if name is not None and known and name not in known:
            hint = schema.did_you_mean(name, sorted(known))
            self._fault(f"the VNF package has no CP {name!r}; {hint}", "ssh_cp_name")
        return name or ""

    def _credentials(self) -> Credentials:
        if "ssh_password" not in self._raw and "ssh_private_key" not in self._raw:
            self._fault(
                "is missing; expected the login's password, or ssh_private_key", "ssh_password"
            )
        password = self._sound("ssh_password")
        key = self._sound("ssh_private_key")
        if key is not None and "-----BEGIN" not in key:
            key = self._package_text(key, "ssh_private_key")
        if key is not None:
            try:
                load_private_key(key)
            except paramiko.PasswordRequiredException:
                self._fault("the key has a passphrase; expected one without", "ssh_private_key")
            except paramiko.SSHException as error:
                self._fault(str(error), "ssh_private_key")
        return Credentials(
            self._sound("ssh_username") or "",
            Secret(password) if password else None,
            Secret(key) if key else None,
        )

    def _package_text(self, path: str, *keys: str) -> str | None:
        if self._package is None:
            return None
        try:
            return self._package.text(path)
        except PackageFileError as error:
            # The value is not shown: it may be a mangled key.
            self._fault(f"the value is taken as a path and {error}", *keys)
            return None

    def _host_keys(self) -> tuple[tuple[str, str], ...]:
        keys = []
        for index, line in enumerate(self._sound("ssh_host_keys") or ()):
            try:
                keys.append(parse_public_key(line))
            except ValueError as error:
                self._fault(f"{error}; expected e.g. 'ssh-ed25519 AAAA...'", "ssh_host_keys", index)
        return tuple(keys)

    def _registry_image(self) -> str:
        image = self._sound("registry_image") or DEFAULT_IMAGE
        last = image.rpartition("/")[2]
        return image if ":" in last or "@" in last else f"{image}:latest"

    def _image(self, registry_image: str) -> ImageArchive | None:
        path = self._sound("image_path")
        if path is None or self._package is None:
            return None
        try:
            archive = self._package.image_archive(path)
        except PackageFileError as error:
            self._fault(f"{path!r} {error}", "image_path")
            return None
        if registry_image not in archive.tags:
            self._fault(
                f"the archive holds {', '.join(archive.tags)}, but registry_image is "
                f"{registry_image}; save that image, or name the right one in registry_image",
                "image_path",
            )
        return archive

    def _port_no(self) -> int:
        port = self._sound("port_no")
        if port is None:
            return DEFAULT_PORT
        if not 1 <= int(port) <= 65535:
            self._fault(f"expected a TCP port number, 1 to 65535; got {port!r}", "port_no")
        return int(port)

    def _proxy(self) -> Proxy | None:
        urls = {name: self._sound("proxy", name) for name in ("http_proxy", "https_proxy")}
        for name, url in urls.items():
            if url and not _is_url(url):
                self._fault("expected a URL http[s]://[user:password@]host[:port]", "proxy", name)
        http, https = (Secret(url) if url else None for url in urls.values())
        if http is None and https is None:
            return None
        return Proxy(http, https, self._sound("proxy", "no_proxy") or "")

    def _docker_package(self) -> DockerPackage:
        given = self._sound("docker_package")
        if given is None:
            return DockerPackage()
        if isinstance(given, str):
            return DockerPackage(given, requested=True)
        repository = None
        if isinstance(given.get("apt_repository"), Mapping):
            repository = self._apt_repository(given["apt_repository"])
        return DockerPackage(given["name"], given.get("version"), repository, requested=True)

    def _apt_repository(self, given: Mapping[str, Any]) -> AptRepository | None:
        if self._package is None:
            return None
        try:
            keyring = self._package.read(given["keyring_path"])
        except PackageFileError as error:
            self._fault(
                f"{given['keyring_path']!r} {error}",
                "docker_package",
                "apt_repository",
                "keyring_path",
            )
            return None
        # An OpenPGP packet's first octet has bit 7 set (RFC 9580, section 4.2).
        if b"BEGIN PGP PUBLIC KEY BLOCK" not in keyring and not keyring[:1] >= b"\x80":
            self._fault(
                "is not an OpenPGP public key", "docker_package", "apt_repository", "keyring_path"
            )
        return AptRepository(
            given["uri"],
            given.get("suite"),
            tuple(given.get("components", ("stable",))),
            keyring,
        )

    def _data_path(self) -> str | None:
        path = self._sound("data_path")
        if path is not None and (path in _SYSTEM_DIRECTORIES or re.search(r"/\.{1,2}(/|$)", path)):
            self._fault(
                f"expected a directory of its own for the registry's data; got {path!r}",
                "data_path",
            )
        return path


def _is_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False
