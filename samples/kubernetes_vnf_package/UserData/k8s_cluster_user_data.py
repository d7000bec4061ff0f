# SPDX-License-Identifier: Apache-2.0
"""Turns the request that instantiates the cluster VNF into the parameters of its base HOT.

Tacker runs :meth:`KubernetesClusterUserData.instantiate` where ``additionalParams`` of the request
name this file and class (``lcm-operation-user-data``, ``lcm-operation-user-data-class``).
"""

import copy

from tacker.vnfm.lcm_user_data.abstract_user_data import AbstractUserData

MASTER_CP, WORKER_CP, VIP_CP = "masterNode_CP1", "workerNode_CP2", "vip_CP"


class KubernetesClusterUserData(AbstractUserData):
    @staticmethod
    def instantiate(base_hot_dict=None, vnfd_dict=None, inst_req_info=None, grant_info=None):
        """Return the HOT parameter ``nfv``: images and flavors of the VMs, networks of the CPs.

        :param base_hot_dict: the base HOT under ``heat_template``, nested templates by file name
        :param inst_req_info: the InstantiateVnfRequest. ``additionalParams.vm_image`` and
            ``.vm_flavor`` come before the base HOT's defaults: a name or ID for all VMs, or an
            object with one by VDU (``masterNode``, ``workerNode``).
        :param grant_info: by VDU, the images that Tacker made of the VNF package's SwImage
            artifacts. Such an image comes before any name.
        """
        nfv = copy.deepcopy(base_hot_dict["heat_template"]["parameters"]["nfv"]["default"])
        given = inst_req_info.additional_params or {}
        for vdu, vm in nfv["VDU"].items():
            for key in ("image", "flavor"):
                value = given.get(f"vm_{key}", vm[key])
                vm[key] = value.get(vdu, vm[key]) if isinstance(value, dict) else value
            for resource in (grant_info or {}).get(vdu, ()):
                if resource.resource_type == "image":
                    vm["image"] = resource.resource_identifier
        nfv["CP"] = cps = {
            ext_cp.cpd_id: {"network": link.resource_id, "fixed_ips": _fixed_ips(ext_cp)}
            for link in inst_req_info.ext_virtual_links or ()
            for ext_cp in link.ext_cps
        }
        missing = {MASTER_CP, WORKER_CP} - cps.keys()
        if missing:
            raise ValueError(
                f"extVirtualLinks of the request has no extCps for {', '.join(sorted(missing))}"
            )
        # Any address of the masters' network will do for the cluster.
        cps.setdefault(VIP_CP, {"network": cps[MASTER_CP]["network"], "fixed_ips": []})
        return {"nfv": nfv}

    @staticmethod
    def scale(
        base_hot_dict=None,
        vnfd_dict=None,
        scale_vnf_request=None,
        vnf_instance=None,
        inst_vnf_info=None,
        param=None,
        resource_number=None,
    ):
        """Return the HOT parameters for a scaling that Tacker does by updating the stack: the
        rollback of a scale-out, and a scale-in with ``is_reverse``.

        At each update Heat gives the group the capacity that the parameter says, here still that
        of the instantiation: it would take away all that earlier operations have added.

        :param param: the HOT parameters of the instantiation
        :param resource_number: members that the group shall have
        """
        return {**param, f"{scale_vnf_request.aspect_id}_desired_capacity": resource_number}


def _fixed_ips(ext_cp):
    """Return ``fixed_ips`` of the CP's ports; empty leaves the choice to Neutron."""
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
