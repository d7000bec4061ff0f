# SPDX-License-Identifier: Apache-2.0
"""Networks and addresses of an InstantiateVnfRequest: extVirtualLinks, extManagedVirtualLinks."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Any

from tacker_cir.exceptions import Fault
from tacker_cir.params import schema
from tacker_cir.templates.flavours import Flavour
from tacker_cir.templates.hot import PORT
from tacker_cir.templates.trees import entries, mapping


def find_address_faults(body: Mapping[str, Any]) -> Iterator[Fault]:
    """Yield addresses that are none, or given twice."""
    seen: dict[str, str] = {}
    for _, path, request in _address_requests(body):
        version = {"IPV4": 4, "IPV6": 6}.get(str(request.get("type")))
        fixed = [a for a in entries(request, "fixedAddresses") if isinstance(a, str)]
        if "fixedAddresses" in request and "numDynamicAddresses" in request:
            yield Fault(path, "expected fixedAddresses or numDynamicAddresses, not both")
        elif not {"fixedAddresses", "numDynamicAddresses"} & request.keys():
            yield Fault(path, "expected fixedAddresses or numDynamicAddresses")
        for index, text in enumerate(fixed):
            where = schema.join(path, "fixedAddresses", index)
            try:
                address = ipaddress.ip_address(text)
            except ValueError:
                yield Fault(where, f"expected an IP address; got {schema.shown(text)}")
                continue
            if version is not None and address.version != version:
                yield Fault(where, f"expected an address of type IPV{version}; got {text}")
            first = seen.setdefault(str(address), where)
            if first != where:
                yield Fault(where, f"{text} is {first} as well")


def find_network_faults(body: Mapping[str, Any], flavour: Flavour) -> Iterator[Fault]:
    """Yield CPs and virtual links that the flavour does not have, and CPs without a network."""
    known = _connectable(flavour)
    given: dict[str, str] = {}
    for path, cp in _ext_cps(body):
        name = cp.get("cpdId")
        if not isinstance(name, str):
            continue
        where = schema.join(path, "cpdId")
        if name not in known:
            hint = schema.did_you_mean(name, sorted(known)) if known else "it has none"
            yield Fault(where, f"the flavour {flavour.id} has no CP {schema.shown(name)}; {hint}")
        first = given.setdefault(name, where)
        if first != where:
            yield Fault(where, f"{schema.shown(name)} is {first} as well, of which one counts")
    for name in sorted(flavour.vnfd.open_cps - given.keys()):
        yield Fault("extVirtualLinks", f"connects no network to the CP {name}; expected its extCps")
    yield from _managed_links(body, flavour)
    yield from _shared_addresses(body, flavour)


def _connectable(flavour: Flavour) -> frozenset[str]:
    ports = flavour.hot.names(PORT) if flavour.hot else frozenset()
    return frozenset(flavour.vnfd.cps) | ports


def _managed_links(body: Mapping[str, Any], flavour: Flavour) -> Iterator[Fault]:
    known = flavour.vnfd.virtual_links
    for index, link in enumerate(entries(body, "extManagedVirtualLinks")):
        name = mapping(link).get("vnfVirtualLinkDescId")
        if isinstance(name, str) and name not in known:
            path = schema.join("extManagedVirtualLinks", index, "vnfVirtualLinkDescId")
            hint = schema.did_you_mean(name, sorted(known)) if known else "it has none"
            problem = f"the flavour {flavour.id} has no virtual link {schema.shown(name)}"
            yield Fault(path, f"{problem}; {hint}")


def _shared_addresses(body: Mapping[str, Any], flavour: Flavour) -> Iterator[Fault]:
    """Each VM of a VDU gets a port of the same definition, with the same addresses."""
    level = body.get("instantiationLevelId")
    level = level if isinstance(level, str) and level in flavour.vnfd.levels else None
    for name, path, request in _address_requests(body):
        vdu = flavour.vnfd.cps.get(name)
        count = flavour.vnfd.count(vdu, level) if vdu else None
        if count and count > 1 and list(entries(request, "fixedAddresses")):
            yield Fault(
                schema.join(path, "fixedAddresses"),
                f"{name} is a port of each of {count} VMs, which cannot share an address; leave "
                "the addresses to Neutron",
            )


def _ext_cps(body: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for index, link in enumerate(entries(body, "extVirtualLinks")):
        for number, cp in enumerate(entries(link, "extCps")):
            yield schema.join("extVirtualLinks", index, "extCps", number), mapping(cp)


def _address_requests(body: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield CP, path and value of each entry of ipAddresses."""
    for cp_path, cp in _ext_cps(body):
        for index, config in enumerate(entries(cp, "cpConfig")):
            for number, protocol in enumerate(entries(config, "cpProtocolData")):
                path = schema.join(cp_path, "cpConfig", index, "cpProtocolData", number)
                ethernet = mapping(protocol, "ipOverEthernet")
                for last, request in enumerate(entries(ethernet, "ipAddresses")):
                    name = str(cp.get("cpdId"))
                    where = schema.join(path, "ipOverEthernet", "ipAddresses", last)
                    yield name, where, mapping(request)
