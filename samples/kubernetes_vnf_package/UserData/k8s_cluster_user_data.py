# SPDX-License-Identifier: Apache-2.0
"""Turns the request that instantiates the cluster VNF into the parameters of its base HOT.

Tacker runs :meth:`KubernetesClusterUserData.instantiate` where ``additionalParams`` of the request
name this file and class (``lcm-operation-user-data``, ``lcm-operation-user-data-class``).
"""

from tacker.vnfm.lcm_user_data.abstract_user_data import AbstractUserData

from tacker_cir.params import k8s_cluster
from tacker_cir.tacker_user_data import hot_parameters, package_of

MASTER_CP, WORKER_CP, VIP_CP = "masterNode_CP1", "workerNode_CP2", "vip_CP"
# What of additionalParams becomes a parameter of the base HOT, or part of one.
READ = (
    "vm_image",
    "vm_flavor",
    "key_name",
    "security_groups",
    "availability_zone",
    "config_drive",
    "user_data",
)


class KubernetesClusterUserData(AbstractUserData):
    @staticmethod
    def instantiate(base_hot_dict=None, vnfd_dict=None, inst_req_info=None, grant_info=None):
        """Return the HOT parameters ``nfv``, images and flavors of the VMs and networks of the
        CPs, and ``boot``, how the VMs boot.

        :param base_hot_dict: the base HOT under ``heat_template``, nested templates by file name
        :param inst_req_info: the InstantiateVnfRequest. What ``additionalParams`` has of
            :data:`READ` comes before the base HOT's defaults: a value for all VMs, or an object
            with one by VDU (``masterNode``, ``workerNode``).
        :param grant_info: by VDU, the images that Tacker made of the VNF package's SwImage
            artifacts. Such an image comes before any name.
        """
        package = package_of(inst_req_info, __file__)
        master, worker = k8s_cluster.read_logins(inst_req_info.additional_params, package)
        logins = {"masterNode": master, "workerNode": worker}
        parameters = hot_parameters(base_hot_dict, inst_req_info, grant_info, package, logins)
        cps = parameters["nfv"]["CP"]
        missing = {MASTER_CP, WORKER_CP} - cps.keys()
        if missing:
            raise ValueError(
                f"extVirtualLinks of the request has no extCps for {', '.join(sorted(missing))}"
            )
        # Any address of the masters' network will do for the cluster.
        cps.setdefault(VIP_CP, {"network": cps[MASTER_CP]["network"], "fixed_ips": []})
        return parameters

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
