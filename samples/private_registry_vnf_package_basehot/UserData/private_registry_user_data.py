# SPDX-License-Identifier: Apache-2.0
"""Turns the request that instantiates the registry VNF into the parameters of its base HOT.

Tacker runs :meth:`PrivateRegistryUserData.instantiate` where ``additionalParams`` of the request
name this file and class (``lcm-operation-user-data``, ``lcm-operation-user-data-class``).
"""

import copy

from tacker.vnfm.lcm_user_data.abstract_user_data import AbstractUserData

VDU = "PrivateRegistryVDU"


class PrivateRegistryUserData(AbstractUserData):
    @staticmethod
    def instantiate(base_hot_dict=None, vnfd_dict=None, inst_req_info=None, grant_info=None):
        """Return the HOT parameter ``nfv``: image and flavor of the VM, networks of the CPs.

        :param base_hot_dict: the base HOT under ``heat_template``, nested templates by file name
        :param inst_req_info: the InstantiateVnfRequest. ``additionalParams.vm_image`` and
            ``.vm_flavor`` (names or IDs) come before the base HOT's defaults.
        :param grant_info: by VDU, the images that Tacker made of the VNF package's SwImage
            artifacts. Such an image comes before any name.
        """
        nfv = copy.deepcopy(base_hot_dict["heat_template"]["parameters"]["nfv"]["default"])
        given = inst_req_info.additional_params or {}
        vm = nfv["VDU"][VDU]
        vm["image"] = given.get("vm_image", vm["image"])
        vm["flavor"] = given.get("vm_flavor", vm["flavor"])
        for resource in (grant_info or {}).get(VDU, ()):
            if resource.resource_type == "image":
                vm["image"] = resource.resource_identifier
        nfv["CP"] = {
            ext_cp.cpd_id: {"network": link.resource_id, "fixed_ips": _fixed_ips(ext_cp)}
            for link in inst_req_info.ext_virtual_links or ()
            for ext_cp in link.ext_cps
        }
        return {"nfv": nfv}


def _fixed_ips(ext_cp):
    """Return ``fixed_ips`` of the CP's port; empty leaves the choice to Neutron."""
    fixed_ips = []
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
