# SPDX-License-Identifier: Apache-2.0
"""``additionalParams.private_registry_installation_param`` (spec cir-k8s-cluster, "Request
parameters for Instantiate Docker private registry VNF operation").

Beyond the spec's table: ``proxy`` as in the upstream sample, and what users need besides
(``ssh_private_key``, ``ssh_host_keys``, ``docker_package``, ``registry_image``, ``data_path``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tacker_cir.command import Secret
from tacker_cir.exceptions import InvalidMetadata, InvalidRequest
from tacker_cir.hostkeys import KEY_TYPES, parse_public_key
from tacker_cir.image_contents import ImageContents
from tacker_cir.login import Credentials
from tacker_cir.package import ImageArchive, PackageFileError, VnfPackage
from tacker_cir.params import (
    registry_contents,
    registry_override,
    registry_proxy_of,
    registry_tls,
    registry_upkeep,
    registry_users,
    registry_volume,
    schema,
)
from tacker_cir.params.names import familiar, split_image
from tacker_cir.params.private_registry_schema import KEY as KEY
from tacker_cir.params.private_registry_schema import SCHEMA
from tacker_cir.params.proxy import Proxy
from tacker_cir.params.reader import AptRepository, Reader, find_parameter, shaped_reader
from tacker_cir.params.registry_proxy_of import ProxyOf
from tacker_cir.params.registry_tls import SelfSigned, ServerTls
from tacker_cir.params.registry_upkeep import Upkeep
from tacker_cir.params.registry_users import RegistryUser
from tacker_cir.params.registry_volume import DataVolume

PATH = f"additionalParams.{KEY}"

DEFAULT_PORT = 5000
DEFAULT_IMAGE = "registry:latest"
DEFAULT_DOCKER_PACKAGE = "docker.io"

# Directories that hold the registry's data in a directory of its own below them.
_PARENTS = frozenset("/home /media /mnt /opt /root /srv /var /var/lib /var/local /var/opt".split())
# Directories in which nothing is the registry's: the system's own, links to such, and those that
# are emptied at a boot or that every user writes to.
_SYSTEM_DIRECTORIES = frozenset(
    "/bin /boot /cdrom /dev /etc /initrd.img /lib /lib32 /lib64 /libx32 /lost+found /proc /run "
    "/sbin /selinux /snap /sys /tmp /usr /vmlinuz "
    "/var/backups /var/cache /var/crash /var/lock /var/log /var/mail /var/run /var/snap /var/spool "
    "/var/tmp "
    "/var/lib/AccountsService /var/lib/NetworkManager /var/lib/apparmor /var/lib/apt "
    "/var/lib/boltd /var/lib/buildkit /var/lib/calico /var/lib/cloud /var/lib/cni "
    "/var/lib/command-not-found /var/lib/containerd /var/lib/containers /var/lib/dbus "
    "/var/lib/dhcp /var/lib/docker /var/lib/dockershim /var/lib/dpkg /var/lib/etcd "
    "/var/lib/fwupd /var/lib/git /var/lib/grub /var/lib/haproxy /var/lib/initramfs-tools "
    "/var/lib/kubelet /var/lib/landscape /var/lib/logrotate /var/lib/man-db /var/lib/misc "
    "/var/lib/os-prober /var/lib/pam /var/lib/polkit-1 /var/lib/private /var/lib/python "
    "/var/lib/shells.state /var/lib/shim-signed /var/lib/snapd /var/lib/sudo /var/lib/swtpm "
    "/var/lib/systemd /var/lib/tacker-cir /var/lib/tpm /var/lib/ubuntu-advantage /var/lib/ucf "
    "/var/lib/udisks2 /var/lib/update-manager /var/lib/update-notifier /var/lib/usb_modeswitch "
    "/var/lib/usbutils /var/lib/vim /var/lib/xml-core".split()
)


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
    :param data_path: None for the default, see :class:`tacker_cir.registry.places.Places`
    :param data_volume: None to keep the data on the VM's own disk
    :param contents: archives whose images the registry shall have
    :param proxy_of: the registry whose images it fetches, None where it has its own
    :param tls: None for HTTP
    :param users: who may use the registry; none where everybody may
    :param former_secrets: of the request, where the metadata have others
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
    upkeep: Upkeep | None = None
    data_volume: DataVolume | None = None
    contents: tuple[ImageContents, ...] = ()
    proxy_of: ProxyOf | None = None
    tls: ServerTls | SelfSigned | None = None
    users: tuple[RegistryUser, ...] = ()
    former_secrets: tuple[Secret, ...] = ()

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """Every secret value of the request."""
        optional = [owner for owner in (self.tls, self.proxy_of) if owner]
        owners = [self.credentials, *optional, *self.users]
        found = tuple(secret for owner in owners for secret in owner.secrets)
        proxy = self.proxy.passwords if self.proxy else ()
        return found + proxy + self.former_secrets


def parse(
    additional_params: Mapping[str, Any] | None,
    package: VnfPackage | None,
    *,
    flavour_id: str | None = None,
    metadata: Mapping[str, str] | None = None,
) -> PrivateRegistryParams:
    """Check the parameters and the package's files and return them typed.

    :param additional_params: ``additionalParams`` of the InstantiateVnfRequest
    :param package: the VNF package that the request's paths lead into; None leaves unchecked what
        only the package can tell
    :param flavour_id: ``flavourId`` of the request
    :param metadata: of the VNF instance; the members that they have stand in for the request's
    :raises InvalidRequest: with every fault found
    """
    raw = find_parameter(additional_params, KEY, SCHEMA)
    replaced = registry_override.read(metadata or {})
    former: tuple[Secret, ...] = ()
    if replaced and isinstance(raw, Mapping):
        former = registry_override.secrets_of({key: raw[key] for key in replaced if key in raw})
    raw = registry_override.in_place(raw, replaced)
    faults = schema.find_faults(raw, SCHEMA, PATH)
    if not isinstance(raw, Mapping):
        raise InvalidRequest(faults)
    reader = _Reader(raw, PATH, package, faults)
    params = reader.read(flavour_id)
    if reader.faults and replaced:
        raise InvalidMetadata(registry_override.relocated(reader.faults, PATH, replaced))
    reader.refuse_faults()
    return replace(params, former_secrets=former)


def read_login(additional_params: Mapping[str, Any] | None, package: VnfPackage) -> Credentials:
    """Return how the driver logs in to the VM, whatever else is in a request.

    :param additional_params: ``additionalParams`` of the InstantiateVnfRequest
    :param package: the VNF package that a key's path leads into
    :raises InvalidRequest: with every fault of the login
    """
    reader = shaped_reader(additional_params, KEY, SCHEMA, package)
    login = reader.credentials((), "ssh_username", "ssh_password")
    reader.refuse_faults()
    return login


class _Reader(Reader):
    def read(self, flavour_id: str | None) -> PrivateRegistryParams:
        registry_image, proxy = self._registry_image(), self.proxy()
        return PrivateRegistryParams(
            ssh_cp_name=self.cp_name(flavour_id, "ssh_cp_name"),
            credentials=self.credentials((), "ssh_username", "ssh_password"),
            ssh_host_keys=self._host_keys(),
            image=self._image(registry_image),
            port_no=self._port_no(),
            proxy=proxy,
            docker_package=self._docker_package(),
            registry_image=registry_image,
            data_path=self._data_path(),
            contents=registry_contents.read(self),
            data_volume=registry_volume.read(self, flavour_id),
            proxy_of=registry_proxy_of.read(self, proxy),
            tls=registry_tls.read(self),
            users=registry_users.read(self),
            upkeep=registry_upkeep.read(self),
        )

    def _host_keys(self) -> tuple[tuple[str, str], ...]:
        keys = []
        for index, line in enumerate(self.valid("ssh_host_keys") or ()):
            try:
                keys.append(parse_public_key(line))
            except ValueError as error:
                self.fault(f"{error}; expected e.g. 'ssh-ed25519 AAAA...'", "ssh_host_keys", index)
                continue
            if keys[-1][0] not in KEY_TYPES:
                self.fault(
                    f"expected a key of type {', '.join(KEY_TYPES)}; got {keys[-1][0][:60]!r}",
                    "ssh_host_keys",
                    index,
                )
        return tuple(keys)

    def _registry_image(self) -> str:
        image = self.valid("registry_image") or DEFAULT_IMAGE
        try:
            split_image(image)
        except ValueError as error:
            self.fault(f"{error}; got {schema.shown(image)}", "registry_image")
        image = familiar(image)
        last = image.rpartition("/")[2]
        return image if ":" in last or "@" in last else f"{image}:latest"

    def _image(self, registry_image: str) -> ImageArchive | None:
        path = self.valid("image_path")
        if path is None or self.package is None:
            return None
        try:
            archive = self.package.image_archive(path)
        except PackageFileError as error:
            self.fault(f"{path!r} {error}", "image_path")
            return None
        if registry_image not in archive.tags:
            self.fault(
                f"the archive holds {', '.join(archive.tags[:5])}, but registry_image is "
                f"{registry_image}; save that image, or name the right one in registry_image",
                "image_path",
            )
        return archive

    def _port_no(self) -> int:
        port = self.valid("port_no")
        if port is None:
            return registry_tls.DEFAULT_PORT if registry_tls.KEY in self.raw else DEFAULT_PORT
        if not 1 <= int(port) <= 65535:
            self.fault(f"expected a TCP port number, 1 to 65535; got {port!r}", "port_no")
        return int(port)

    def _docker_package(self) -> DockerPackage:
        given = self.valid("docker_package")
        if given is None:
            return DockerPackage()
        if isinstance(given, str):
            return DockerPackage(given, requested=True)
        repository = self.apt_repository(
            "docker_package", "apt_repository", suite=None, components=("stable",)
        )
        return DockerPackage(given["name"], given.get("version"), repository, requested=True)

    def _data_path(self) -> str | None:
        path: str | None = self.valid("data_path")
        if path is not None and not _may_hold_data(path):
            self.fault(
                "expected a directory of its own for the registry's data, e.g. /srv/registry; got "
                f"{path!r}",
                "data_path",
            )
        return path


def _may_hold_data(path: str) -> bool:
    """Return whether the registry may have a directory, which is mounted into its container."""
    steps = path.split("/")
    above = ["/".join(steps[:end]) for end in range(2, len(steps) + 1)]
    # What begins with a dot leads elsewhere (..), or is a program's own (.ssh).
    hidden = any(step.startswith(".") for step in steps)
    is_users_home = len(steps) == 3 and steps[1] == "home"
    return not (
        hidden or is_users_home or path in _PARENTS or not _SYSTEM_DIRECTORIES.isdisjoint(above)
    )
