# SPDX-License-Identifier: Apache-2.0
"""What the UserData classes of the sample packages make of Tacker's v1 InstantiateVnfRequest:
parameters of the package's base HOT.

The classes lie in the VNF packages and Tacker runs them in the conductor, where tacker_cir is: no
such package works without its driver. So what the packages share, and what needs libraries, is
here, and a mended version of it counts for the packages that are onboarded already.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import bcrypt

from tacker_cir.exceptions import Fault, InvalidRequest
from tacker_cir.login import Credentials, load_private_key
from tacker_cir.package import VnfPackage
from tacker_cir.params import boot_options, private_registry, registry_volume
from tacker_cir.params.boot_options import BootOptions
from tacker_cir.render import cloud_config

#: The base HOT's parameters: images, flavors and networks; how VMs boot, which is hidden; and the
#: volume for the registry's data.
NFV, BOOT, DATA = "nfv", "boot", "data"
#: Members of ``additionalParams`` and what they are called in ``nfv``.
_MADE_OF = {"vm_image": "image", "vm_flavor": "flavor"}
#: Members of ``additionalParams`` that ``boot`` has under the same name.
_BOOT_OPTIONS = tuple(name for name in boot_options.VM_NAMES if name not in _MADE_OF)
#: What members of ``additionalParams`` are called in ``data``.
_DATA_OPTIONS = {boot_options.DATA_VOLUME_SIZE: "size", boot_options.DATA_VOLUME_ID: "id"}
# Tacker keeps the parameters as Python's repr() and reads them as YAML, which differ in what a
# backslash in a text means, and hands Heat what it has read at each heal. The base HOT puts these
# characters back.
_ESCAPES = str.maketrans(
    {"%": "%25", "\n": "%0A", "\r": "%0D", "\t": "%09", "\\": "%5C", "'": "%27"}
)
# Attribute of a request object: the directory of its VNF package.
_PACKAGE = "tacker_cir_package"
# What bcrypt takes into account of a password.
_MAX_PASSWORD = 72


def note_package(request: Any, root: Path) -> None:
    """Note at a request in which directory its VNF package is, for :func:`package_of`.

    :param request: the InstantiateVnfRequest, the same object that Tacker hands to UserData
    """
    setattr(request, _PACKAGE, root)


def package_of(request: Any, module: str) -> VnfPackage:
    """Return the VNF package that an InstantiateVnfRequest is about.

    Tacker imports a UserData class under its path in the package, which packages share: while two
    VNFs are instantiated at once, one may be given the module of the other's package. The driver's
    ``instantiate_start`` is never mistaken and notes the package at the request.

    :param module: the module's file, where no driver has noted anything: at a heal of a whole VNF
    """
    return VnfPackage(getattr(request, _PACKAGE, None) or Path(module).resolve().parents[1])


def hot_parameters(
    base_hot: Mapping[str, Any],
    request: Any,
    grant_info: Mapping[str, Any] | None,
    package: VnfPackage,
    logins: Mapping[str, Credentials],
) -> dict[str, Any]:
    """Return the base HOT's parameters ``nfv`` and, where it has such ones, ``boot`` and ``data``.

    :param base_hot: the base HOT under ``heat_template``, nested templates by file name. The
        defaults of its parameters are what the request leaves open.
    :param request: the InstantiateVnfRequest
    :param grant_info: by VDU, the images that Tacker made of the VNF package's SwImage artifacts.
        Such an image comes before any name.
    :param logins: by VDU, how the driver will log in: cloud-init makes that login where the
        request names neither a key pair nor user data
    :raises InvalidRequest: with every fault of the options
    """
    declared = base_hot["heat_template"]["parameters"]
    nfv = copy.deepcopy(declared[NFV]["default"])
    options = boot_options.parse(request.additional_params, package, nfv["VDU"])
    for vdu, vm in nfv["VDU"].items():
        _set(vm, options, vdu, _MADE_OF)
        for resource in (grant_info or {}).get(vdu, ()):
            if resource.resource_type == "image":
                vm["image"] = resource.resource_identifier
    nfv["CP"] = {
        ext_cp.cpd_id: {"network": link.resource_id, "fixed_ips": _fixed_ips(ext_cp)}
        for link in request.ext_virtual_links or ()
        for ext_cp in link.ext_cps
    }
    given = request.additional_params or {}
    made = {NFV: nfv, **_data_parameter(given, declared)}
    if BOOT not in declared:
        _refuse(given, _BOOT_OPTIONS, BOOT)
        return made
    boot = copy.deepcopy(declared[BOOT]["default"])
    for vdu, vm in boot.items():
        _set(vm, options, vdu, {name: name for name in _BOOT_OPTIONS})
        if vdu in logins and not vm["key_name"] and not vm["user_data"]:
            vm["user_data"] = login_user_data(logins[vdu])
        vm["user_data"] = vm["user_data"].translate(_ESCAPES)
    return {**made, BOOT: boot}


def login_user_data(login: Credentials) -> str:
    """Return the user data that make a login, without its secrets: the public key of its private
    key, and the hash of its password.

    :raises InvalidRequest: the password is longer than what can be hashed
    """
    key = load_private_key(login.private_key.reveal()) if login.private_key else None
    return cloud_config.render_login(
        login.username,
        public_key=f"{key.get_name()} {key.get_base64()}" if key else None,
        password_hash=_hash(login.password.reveal()) if login.password else None,
    )


def _set(vm: dict[str, Any], options: BootOptions, vdu: str, names: Mapping[str, str]) -> None:
    for name, key in names.items():
        value = options.get(name, vdu)
        if value is not None:
            vm[key] = value


def _hash(password: str) -> str:
    text = password.encode()
    if len(text) > _MAX_PASSWORD:
        problem = (
            f"a login's password of more than {_MAX_PASSWORD} bytes cannot be set up with "
            "cloud-init; give a shorter one, ssh_private_key, key_name or user_data"
        )
        raise InvalidRequest([Fault(boot_options.PATH, problem)])
    return bcrypt.hashpw(text, bcrypt.gensalt(10)).decode()


def _data_parameter(
    given: Mapping[str, Any], declared: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Return ``data`` where the base HOT has it.

    :param given: ``additionalParams`` of the request, already checked
    :param declared: the base HOT's parameters
    :raises InvalidRequest: there is none to hand the request's volume on, or the request has none
        that the registry could use
    """
    if DATA not in declared:
        _refuse(given, _DATA_OPTIONS, DATA)
        return {}
    data = declared[DATA]["default"]
    named = {key: given[name] for name, key in _DATA_OPTIONS.items() if name in given}
    if named:
        # To JSON 5.0 is an integer as well.
        data = {"size": int(named.get("size", 0)), "id": named.get("id", "")}
    registry = given.get(private_registry.KEY)
    if isinstance(registry, Mapping) and registry_volume.KEY in registry and not any(data.values()):
        problem = f"the VNF has no volume; give {' or '.join(_DATA_OPTIONS)} beside it"
        path = f"{boot_options.PATH}.{private_registry.KEY}.{registry_volume.KEY}"
        raise InvalidRequest([Fault(path, problem)])
    return {DATA: data}


def _refuse(given: Mapping[str, Any], names: Iterable[str], parameter: str) -> None:
    problem = f"the VNF package's base HOT has no parameter {parameter} to hand this on"
    faults = [Fault(f"{boot_options.PATH}.{name}", problem) for name in names if name in given]
    if faults:
        raise InvalidRequest(faults)


def _fixed_ips(ext_cp: Any) -> list[dict[str, str]]:
    """Return ``fixed_ips`` of the CP's ports; empty leaves the choice to Neutron."""
    fixed_ips: list[dict[str, str]] = []
    for config in ext_cp.cp_config or ():
        for protocol in config.cp_protocol_data or ():
            ethernet = protocol.ip_over_ethernet
            for ip in (ethernet.ip_addresses if ethernet else None) or ():
                subnet = {"subnet": ip.subnet_id} if ip.subnet_id else {}
                if ip.fixed_addresses:
                    fixed_ips += [{**subnet, "ip_address": a} for a in ip.fixed_addresses]
                elif subnet:
                    fixed_ips.append(subnet)
    return fixed_ips
