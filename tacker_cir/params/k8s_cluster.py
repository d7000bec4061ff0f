# SPDX-License-Identifier: Apache-2.0
"""``additionalParams.k8s_cluster_installation_param`` (Tacker's user guide "How to use Mgmt Driver
for deploying Kubernetes Cluster", and spec cir-k8s-cluster).

Beyond them: what users need today (``kubernetes_version``, ``package_repository``,
``container_runtime``, ``image_repository``, ``cni_manifest_path``, ``ssh_private_key``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from itertools import combinations
from typing import Any

from tacker_cir import kubernetes_versions, runtimes
from tacker_cir.command import Secret
from tacker_cir.documents import DocumentError, load_yaml_all
from tacker_cir.exceptions import Fault, InvalidMetadata, InvalidRequest
from tacker_cir.login import Credentials
from tacker_cir.package import VnfPackage
from tacker_cir.params import registry_metadata, schema
from tacker_cir.params.install_script import find_script_fault
from tacker_cir.params.k8s_cluster_schema import KEY as KEY
from tacker_cir.params.k8s_cluster_schema import SCHEMA, UNSUPPORTED
from tacker_cir.params.names import is_repository, split_server
from tacker_cir.params.proxy import Proxy
from tacker_cir.params.reader import AptRepository, Key, Reader, find_parameter, shaped_reader
from tacker_cir.params.registry_connection import KEY as REGISTRIES_KEY
from tacker_cir.params.registry_connection import RegistryConnection, read_registries
from tacker_cir.params.registry_vnf import Find
from tacker_cir.runtimes.base import Runtime

PATH = f"additionalParams.{KEY}"

DEFAULT_POD_CIDR = IPv4Network("192.168.0.0/16")
DEFAULT_CLUSTER_CIDR = IPv4Network("10.96.0.0/12")
DEFAULT_KUBERNETES_VERSION = "1.34.8"
DEFAULT_CONTAINER_RUNTIME = runtimes.usual(kubernetes_versions.minor(DEFAULT_KUBERNETES_VERSION))

_POD_CIDR = ("master_node", "pod_cidr")
_CLUSTER_CIDR = ("master_node", "cluster_cidr")
_NODE_CIDR = ("proxy", "k8s_node_cidr")
# Of Tacker's sample; its driver, for which that flavour is, labels the nodes by host and zone.
_LABELLED_FLAVOUR = "podaffinity"
# kubeadm refuses other sizes: a node gets a /24 of at most 2**16 ones; services at most 20 bits
# and at least ten addresses.
_PREFIXES = {_POD_CIDR: (8, 24), _CLUSTER_CIDR: (12, 28), _NODE_CIDR: (0, 32)}


@dataclass(frozen=True)
class NodeParams:
    """The nodes of one role.

    :param ssh_cp_name: the CP used for SSH
    :param nic_cp_name: the CP whose address the node has in the cluster
    :param aspect_id: scaling aspect and auto-scaling group; None for a single VM of the top stack
    """

    ssh_cp_name: str
    nic_cp_name: str
    credentials: Credentials
    aspect_id: str | None = None


@dataclass(frozen=True)
class KubernetesPackages:
    """Where a node gets kubeadm, kubelet and kubectl from.

    :param version: the version of all nodes for the cluster's whole life, ``1.NN.P``
    :param mirror: the apt repository; None for pkgs.k8s.io or the image
    :param in_image: the VM's image has the programs
    """

    version: str = DEFAULT_KUBERNETES_VERSION
    mirror: AptRepository | None = None
    in_image: bool = False

    @property
    def minor(self) -> int:
        return kubernetes_versions.minor(self.version)

    @property
    def default_uri(self) -> str:
        """The apt repository (suite ``/``, its key in the file ``Release.key``) of pkgs.k8s.io."""
        return kubernetes_versions.packages_uri(self.minor)


@dataclass(frozen=True)
class ClusterParams:
    """Checked parameters of the cluster VNF.

    :param cluster_cp_name: the CP that has the cluster's address
    :param cluster_fip_name: the floating IP of that address
    :param install_script: the text of ``script_path``; None if there was no package to look into
    :param vim_name: None for the driver's default
    :param node_cidr: the network of the nodes; None for what the first master's address tells
    :param container_runtime: name of one of :data:`tacker_cir.runtimes.RUNTIMES`
    :param image_repository: ``host[:port][/path]`` of the control plane's images; None for
        kubeadm's default
    :param cni_manifest: YAML documents; None for the install script's default
    """

    master: NodeParams
    worker: NodeParams
    cluster_cp_name: str
    install_script: str | None
    pod_cidr: IPv4Network = DEFAULT_POD_CIDR
    cluster_cidr: IPv4Network = DEFAULT_CLUSTER_CIDR
    cluster_fip_name: str | None = None
    vim_name: str | None = None
    proxy: Proxy | None = None
    node_cidr: IPv4Network | None = None
    registries: tuple[RegistryConnection, ...] = ()
    packages: KubernetesPackages = KubernetesPackages()
    container_runtime: str = DEFAULT_CONTAINER_RUNTIME
    image_repository: str | None = None
    cni_manifest: str | None = None

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """Every secret value of the request."""
        found = [*self.master.credentials.secrets, *self.worker.credentials.secrets]
        found += self.proxy.passwords if self.proxy else ()
        for registry in self.registries:
            found += registry.secrets
        return tuple(dict.fromkeys(found))

    def overlaps(self, name: str, subnets: Iterable[IPv4Network | IPv6Network]) -> list[Fault]:
        """Return the faults of the cluster's networks that the nodes' network overlaps.

        :param name: of the nodes' network
        :param subnets: of that network
        """
        own = {_POD_CIDR: self.pod_cidr, _CLUSTER_CIDR: self.cluster_cidr}
        return [
            Fault(
                schema.join(PATH, *keys),
                f"{network} overlaps subnet {subnet} of the nodes' network {name}",
            )
            for subnet in subnets
            for keys, network in own.items()
            if network.version == subnet.version and network.overlaps(subnet)
        ]


def parse(
    additional_params: Mapping[str, Any] | None,
    package: VnfPackage | None,
    *,
    flavour_id: str | None = None,
    metadata: Mapping[str, str] | None = None,
    find_vnf: Find | None = None,
) -> ClusterParams:
    """Check the parameters and the package's files and return them typed.

    Whether ``vim_name`` is taken only Tacker can tell; it is not checked here.

    :param additional_params: ``additionalParams`` of the InstantiateVnfRequest
    :param package: the VNF package that the request's paths lead into; None leaves unchecked what
        only the package can tell
    :param flavour_id: ``flavourId`` of the request
    :param metadata: of the VNF instance; its registries stand in for those of the request
    :param find_vnf: what knows the project's VNF instances; None leaves unchecked what only these
        tell
    :raises InvalidRequest: with every fault found
    """
    raw = find_parameter(additional_params, KEY, SCHEMA)
    replaced = registry_metadata.read(metadata or {})
    if replaced is not None and isinstance(raw, Mapping):
        raw = {**raw, REGISTRIES_KEY: replaced}
    supported = raw
    if isinstance(raw, Mapping):
        supported = {key: value for key, value in raw.items() if key not in UNSUPPORTED}
    faults = schema.find_faults(supported, SCHEMA, PATH)
    if not isinstance(raw, Mapping):
        raise InvalidRequest(faults)
    reader = _Reader(supported, PATH, package, faults)
    for key in raw.keys() & UNSUPPORTED.keys():
        reader.fault(f"is not supported: {UNSUPPORTED[key]} is not part of this driver", key)
    params = reader.read(flavour_id, find_vnf)
    if reader.faults and replaced is not None:
        raise InvalidMetadata(registry_metadata.relocated(reader.faults, PATH))
    if reader.faults:
        raise InvalidRequest(reader.faults)
    return params


def find_unsupported_flavour(flavour_id: str | None) -> list[Fault]:
    """Return why a new cluster cannot have a deployment flavour: it is for what only another driver
    does.

    :param flavour_id: ``flavourId`` of the request
    """
    if flavour_id != _LABELLED_FLAVOUR:
        return []
    problem = (
        f"{_LABELLED_FLAVOUR!r} is a flavour of Tacker's sample, whose driver labels nodes with "
        "CIS-node and kubernetes.io/zone; this one does not. Expected another flavour, with "
        "workers in a server group of policy anti-affinity and kubernetes.io/hostname as the "
        "topologyKey of pods (user guide, Worked examples)"
    )
    return [Fault("flavourId", problem)]


def read_logins(
    additional_params: Mapping[str, Any] | None, package: VnfPackage
) -> tuple[Credentials, Credentials]:
    """Return how the driver logs in to masters and to workers, whatever else is in a request.

    :param additional_params: ``additionalParams`` of the InstantiateVnfRequest
    :param package: the VNF package that paths of keys lead into
    :raises InvalidRequest: with every fault of the two logins
    """
    reader = shaped_reader(additional_params, KEY, SCHEMA, package)
    roles = ("master_node", "worker_node")
    master, worker = (reader.credentials((role,), "username", "password") for role in roles)
    reader.refuse_faults()
    return master, worker


def read_vim_name(additional_params: Mapping[str, Any] | None) -> str | None:
    """Return ``vim_name`` of a request whatever else is in it; None where it names none.

    :param additional_params: ``additionalParams``
    """
    given: Any = additional_params
    for key in (KEY, "vim_name"):
        given = given.get(key) if isinstance(given, Mapping) else None
    return given if isinstance(given, str) and given else None


class _Reader(Reader):
    def read(self, flavour_id: str | None, find_vnf: Find | None) -> ClusterParams:
        pods = self._network(DEFAULT_POD_CIDR, _POD_CIDR)
        services = self._network(DEFAULT_CLUSTER_CIDR, _CLUSTER_CIDR)
        nodes = self._network(None, _NODE_CIDR)
        self._find_overlaps({_POD_CIDR: pods, _CLUSTER_CIDR: services, _NODE_CIDR: nodes})
        packages = self._packages()
        runtime = self._container_runtime(packages)
        fip_name = self.cp_name(flavour_id, "master_node", "cluster_fip_name")
        return ClusterParams(
            master=self._node("master_node", flavour_id),
            worker=self._worker(flavour_id),
            cluster_cp_name=self.cp_name(flavour_id, "master_node", "cluster_cp_name"),
            install_script=self._install_script(runtime),
            pod_cidr=pods or DEFAULT_POD_CIDR,
            cluster_cidr=services or DEFAULT_CLUSTER_CIDR,
            cluster_fip_name=fip_name or None,
            vim_name=self.valid("vim_name"),
            proxy=self.proxy(),
            node_cidr=nodes,
            registries=read_registries(self, runtime, find_vnf),
            packages=packages or KubernetesPackages(),
            container_runtime=runtime or DEFAULT_CONTAINER_RUNTIME,
            image_repository=self._image_repository(),
            cni_manifest=self._cni_manifest(),
        )

    def _install_script(self, runtime: str | None) -> str | None:
        text = self.package_text("script_path")
        problem = find_script_fault(text, runtime) if text is not None else None
        if problem:
            self.fault(f"the file {problem}", "script_path")
        return text

    def _node(self, key: str, flavour_id: str | None) -> NodeParams:
        return NodeParams(
            ssh_cp_name=self.cp_name(flavour_id, key, "ssh_cp_name"),
            nic_cp_name=self.cp_name(flavour_id, key, "nic_cp_name"),
            credentials=self.credentials((key,), "username", "password"),
            aspect_id=self._aspect(flavour_id, key, "aspect_id"),
        )

    def _worker(self, flavour_id: str | None) -> NodeParams:
        worker = self._node("worker_node", flavour_id)
        if worker.aspect_id and worker.aspect_id == self.valid("master_node", "aspect_id"):
            self.fault(
                "expected another aspect than that of master_node", "worker_node", "aspect_id"
            )
        return worker

    def _aspect(self, flavour_id: str | None, *keys: Key) -> str | None:
        name: str | None = self.valid(*keys)
        known = self.package.scaling_aspects(flavour_id) if self.package else frozenset()
        if name is not None and known and name not in known:
            hint = schema.did_you_mean(name, sorted(known))
            self.fault(f"the VNF package has no scaling aspect {name!r}; {hint}", *keys)
        return name

    def _network(self, default: IPv4Network | None, keys: tuple[str, str]) -> IPv4Network | None:
        """Return a network, ``default`` where none is given, None where it is faulty."""
        text = self.valid(*keys)
        if text is None:
            return None if self._is_given(*keys) else default
        try:
            network = ip_network(text, strict=False)
        except ValueError:
            self.fault(f"expected an IPv4 network, e.g. 10.96.0.0/12; got {text!r}", *keys)
            return None
        if not isinstance(network, IPv4Network):
            self.fault(f"expected an IPv4 network, IPv6 is not supported; got {text!r}", *keys)
            return None
        shortest, longest = _PREFIXES[keys]
        if network.network_address != IPv4Network(text.partition("/")[0]).network_address:
            self.fault(f"the network of {text} begins at another address: {network}", *keys)
            return None
        if not shortest <= network.prefixlen <= longest:
            self.fault(
                f"expected a network between /{shortest} and /{longest} (kubeadm's limits); got "
                f"{text!r}",
                *keys,
            )
            return None
        return network

    def _find_overlaps(self, networks: Mapping[tuple[str, str], IPv4Network | None]) -> None:
        known = [(keys, network) for keys, network in networks.items() if network is not None]
        for pair in combinations(known, 2):
            (keys, network), (other_keys, other) = pair
            if not network.overlaps(other):
                continue
            if self._is_given(*other_keys):
                (keys, network), (other_keys, other) = reversed(pair)
            default = "" if self._is_given(*other_keys) else " (the default)"
            self.fault(f"{network} overlaps {other_keys[1]} {other}{default}", *keys)

    def _is_given(self, section: str, key: str) -> bool:
        members = self.raw.get(section)
        return isinstance(members, Mapping) and key in members

    def _packages(self) -> KubernetesPackages | None:
        """Return the packages, None where their version is not known."""
        if "package_repository" in self.raw:
            repository = self.valid("package_repository")
        else:
            repository = "pkgs.k8s.io"
        version = self.valid("kubernetes_version")
        if version is None:
            if "kubernetes_version" in self.raw:
                return None
            if repository == "image":
                self.fault(
                    "is missing; expected the version that the VM's image has", "kubernetes_version"
                )
                return None
            version = DEFAULT_KUBERNETES_VERSION
        if not self._is_known(version):
            return None
        if isinstance(repository, Mapping):
            return KubernetesPackages(version, self._mirror(repository))
        if repository == "image":
            return KubernetesPackages(version, in_image=True)
        packages = KubernetesPackages(version)
        first = kubernetes_versions.FIRST_ON_PKGS_K8S_IO
        if packages.minor < first and repository == "pkgs.k8s.io":
            self.fault(
                f"pkgs.k8s.io begins with 1.{first}; expected an apt repository that has "
                f'{version}, or "image"',
                "package_repository",
            )
        return packages

    def _is_known(self, version: str) -> bool:
        oldest, newest = kubernetes_versions.OLDEST, kubernetes_versions.NEWEST
        minor = kubernetes_versions.minor(version)
        if minor < oldest:
            self.fault(f"expected 1.{oldest} or later; got {version!r}", "kubernetes_version")
        elif minor > newest:
            self.fault(
                f"expected 1.{newest} or earlier, the newest that this release of tacker_cir "
                f"knows: what a later one expects of its nodes and of kubeadm's configuration is "
                f"not known; got {version!r}",
                "kubernetes_version",
            )
        return oldest <= minor <= newest

    def _mirror(self, given: Mapping[str, Any]) -> AptRepository | None:
        key = "package_repository"
        if not given.get("suite", "/").endswith("/") and "components" not in given:
            self.fault("is missing; expected a list of the suite's components", key, "components")
        return self.apt_repository(key, suite="/", components=())

    def _container_runtime(self, packages: KubernetesPackages | None) -> str | None:
        runtime: str | None = self.valid("container_runtime")
        if packages is None:
            return runtime
        if runtime is None and "container_runtime" not in self.raw:
            return runtimes.usual(packages.minor)
        if runtime is not None:
            self._check_serves(packages, runtimes.RUNTIMES[runtime])
        return runtime

    def _check_serves(self, packages: KubernetesPackages, runtime: Runtime) -> None:
        if runtime.last_minor is None or runtime.serves(packages.minor):
            return
        self.fault(
            f"Kubernetes {packages.version} does not speak to {runtime.title} any more (since 1."
            f"{runtime.last_minor + 1}); expected "
            f"{runtimes.named(runtimes.serving(packages.minor))}",
            "container_runtime",
        )

    def _image_repository(self) -> str | None:
        text: str | None = self.valid("image_repository")
        if text is None:
            return None
        server, slash, path = text.partition("/")
        try:
            split_server(text if "://" in text else server)
            if slash and not is_repository(path):
                raise ValueError("expected host[:port][/path], the path in lower case")
        except ValueError as error:
            # What stands before an @ may be a password.
            shown = "" if "@" in text else f"; got {text[:60]!r}"
            self.fault(f"{error}{shown}", "image_repository")
        return text

    def _cni_manifest(self) -> str | None:
        text = self.package_text("cni_manifest_path")
        if text is None:
            return None
        try:
            documents = [d for d in load_yaml_all(text) if d is not None]
        except DocumentError:
            documents = []
        if not documents or not all(
            isinstance(d, Mapping) and {"apiVersion", "kind"} <= d.keys() for d in documents
        ):
            self.fault("the file is not a Kubernetes manifest in YAML", "cni_manifest_path")
        return text
