# SPDX-License-Identifier: Apache-2.0
"""Shapes of the bodies as JSON Schema (draft 2020-12): ETSI GS NFV-SOL 003 V2.6.1 as Tacker's v1
API has it."""

from __future__ import annotations

from typing import Any

from tacker_cir.metadata import MAX_VALUE

_UUID = r"^[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}\Z"
_KEY = r"^[a-zA-Z0-9_:. /-]{1,1024}\Z"


def _text(description: str, **more: Any) -> dict[str, Any]:
    bounded = {"type": "string", "minLength": 1, "maxLength": 255}
    return {**bounded, "description": description, **more}


def _object(description: str, required: tuple[str, ...] = (), **members: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "description": description,
        "additionalProperties": False,
        "required": list(required),
        "properties": members,
    }


def _list(description: str, items: Any, **more: Any) -> dict[str, Any]:
    return {"type": "array", "description": description, "items": items, **more}


def _pairs(description: str) -> dict[str, Any]:
    """Tacker's "key-value pairs"."""
    return {
        "type": "object",
        "writeOnly": True,
        "description": description,
        "propertyNames": {
            "type": "string",
            "pattern": _KEY,
            "description": "names of letters, digits and - _ : . / in them, not empty",
        },
        "additionalProperties": {
            "writeOnly": True,
            "description": "a text that Tacker takes",
            "maxLength": MAX_VALUE,
        },
    }


_VIM_CONNECTION = _text("the id of an entry of vimConnectionInfo")

_IP_ADDRESSES = _list(
    "a list of addresses",
    _object(
        "an object with type, fixedAddresses or numDynamicAddresses, subnetId",
        required=("type",),
        type={"enum": ["IPV4", "IPV6"], "description": '"IPV4" or "IPV6"'},
        fixedAddresses=_list("a list of addresses", _text("an IP address"), minItems=1),
        numDynamicAddresses={
            "type": ["integer", "string"],
            "minimum": 1,
            "pattern": r"^[1-9][0-9]*\Z",
            "description": "a number of addresses, from 1 on",
        },
        subnetId=_text("the id of a subnet"),
    ),
)

_CP_CONFIG = _object(
    "an object with cpProtocolData",
    cpInstanceId=_text("an identifier"),
    linkPortId=_text("an identifier"),
    cpProtocolData=_list(
        "a list with the addresses of the CP",
        _object(
            "an object with layerProtocol and ipOverEthernet",
            required=("layerProtocol",),
            layerProtocol={"enum": ["IP_OVER_ETHERNET"], "description": '"IP_OVER_ETHERNET"'},
            ipOverEthernet=_object(
                "an object with macAddress, ipAddresses",
                macAddress=_text(
                    "a MAC address", pattern=r"^([0-9a-fA-F]{2}[:-]){5}[0-9a-fA-F]{2}\Z"
                ),
                ipAddresses=_IP_ADDRESSES,
            )
            | {"minProperties": 1},
        ),
    ),
)

_EXT_CP = _object(
    "an object with cpdId and cpConfig",
    required=("cpdId", "cpConfig"),
    cpdId=_text("the name of a CP"),
    cpConfig=_list("a list with one entry", _CP_CONFIG, minItems=1, maxItems=1),
)

_EXT_LINK_PORT = _object(
    "an object with id and resourceHandle",
    required=("id", "resourceHandle"),
    id=_text("an identifier"),
    resourceHandle=_object(
        "an object with resourceId",
        required=("resourceId",),
        resourceId=_text("the id of a port"),
        vimConnectionId=_VIM_CONNECTION,
        vimLevelResourceType={
            "type": "string",
            "maxLength": 255,
            "description": "a type of resources of the VIM",
        },
    ),
)

_EXT_VIRTUAL_LINKS = _list(
    "a list of networks, each with its CPs",
    _object(
        "an object with id, resourceId and extCps",
        required=("id", "resourceId", "extCps"),
        id=_text("a name for the link"),
        resourceId=_text("the id of a network"),
        vimConnectionId=_VIM_CONNECTION,
        extCps=_list("a list of CPs that are not none", _EXT_CP, minItems=1),
        extLinkPorts=_list("a list of ports", _EXT_LINK_PORT),
    ),
)

_EXT_MANAGED_LINKS = _list(
    "a list of networks of the VNF's own virtual links",
    _object(
        "an object with id, vnfVirtualLinkDescId and resourceId",
        required=("id", "vnfVirtualLinkDescId", "resourceId"),
        id=_text("a name for the link"),
        vnfVirtualLinkDescId=_text("the name of a VnfVirtualLink of the VNFD"),
        resourceId=_text("the id of a network"),
        vimConnectionId=_VIM_CONNECTION,
    ),
)

_VIM_CONNECTION_INFO = _list(
    "a list with one VIM",
    _object(
        "an object with id, vimId and vimType",
        required=("id", "vimType"),
        id=_text("a name for the connection"),
        vimId=_text("the id of a VIM of Tacker"),
        vimType=_text("openstack"),
        interfaceInfo=_pairs("an object"),
        accessInfo=_pairs("an object"),
        extra=_pairs("an object"),
    ),
    maxItems=1,
)

INSTANTIATE = _object(
    "an InstantiateVnfRequest",
    required=("flavourId",),
    flavourId=_text("the id of a deployment flavour"),
    instantiationLevelId=_text("the id of an instantiation level"),
    extVirtualLinks=_EXT_VIRTUAL_LINKS,
    extManagedVirtualLinks=_EXT_MANAGED_LINKS,
    vimConnectionInfo=_VIM_CONNECTION_INFO,
    # Without a type: what is no object lacks a driver's parameter, which is said of it.
    additionalParams={key: rule for key, rule in _pairs("an object").items() if key != "type"},
)

SCALE = _object(
    "a ScaleVnfRequest",
    required=("type", "aspectId"),
    type={"enum": ["SCALE_OUT", "SCALE_IN"], "description": '"SCALE_OUT" or "SCALE_IN"'},
    aspectId=_text("the name of a scaling aspect"),
    numberOfSteps={
        "type": "integer",
        "minimum": 1,
        "description": "a number of steps, from 1 on",
    },
    additionalParams=_pairs("an object"),
)

HEAL = _object(
    "a HealVnfRequest",
    vnfcInstanceId=_list(
        "a list of ids of VNFCs, or no such member to heal the entire VNF",
        _text("the id of a VNFC, a UUID", pattern=_UUID),
        minItems=1,
    ),
    cause={"type": "string", "maxLength": 255, "description": "a text"},
    additionalParams=_pairs("an object"),
)

TERMINATE = _object(
    "a TerminateVnfRequest",
    required=("terminationType",),
    terminationType={"enum": ["GRACEFUL", "FORCEFUL"], "description": '"GRACEFUL" or "FORCEFUL"'},
    gracefulTerminationTimeout={
        "type": "integer",
        "minimum": 0,
        "description": "a number of seconds",
    },
    additionalParams=_pairs("an object"),
)

UPDATE = _object(
    "a VnfInfoModificationRequest",
    vnfInstanceName={"type": "string", "maxLength": 255, "description": "a name"},
    vnfInstanceDescription={"type": "string", "maxLength": 1024, "description": "a text"},
    vnfdId=_text("the id of a VNFD, a UUID", pattern=_UUID),
    vnfPkgId=_text("the id of a VNF package, a UUID", pattern=_UUID),
    metadata=_pairs("an object with texts"),
    vimConnectionInfo=_VIM_CONNECTION_INFO,
) | {"minProperties": 1}
