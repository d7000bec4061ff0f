# SPDX-License-Identifier: Apache-2.0
"""Turns the request that instantiates the registry VNF into the parameters of its base HOT.

Tacker runs :meth:`PrivateRegistryUserData.instantiate` where ``additionalParams`` of the request
name this file and class (``lcm-operation-user-data``, ``lcm-operation-user-data-class``).
"""

from tacker.vnfm.lcm_user_data.abstract_user_data import AbstractUserData

from tacker_cir.params import private_registry
from tacker_cir.tacker_user_data import hot_parameters, package_of

VDU = "PrivateRegistryVDU"
# What of additionalParams becomes a parameter of the base HOT, or part of one.
READ = (
    "vm_image",
    "vm_flavor",
    "key_name",
    "security_groups",
    "availability_zone",
    "config_drive",
    "user_data",
    "data_volume_size",
    "data_volume_id",
)


class PrivateRegistryUserData(AbstractUserData):
    @staticmethod
    def instantiate(base_hot_dict=None, vnfd_dict=None, inst_req_info=None, grant_info=None):
        """Return the HOT parameters ``nfv``, image and flavor of the VM and networks of the CPs,
        ``boot``, how the VM boots, and ``data``, the volume for the registry's data.

        :param base_hot_dict: the base HOT under ``heat_template``, nested templates by file name
        :param inst_req_info: the InstantiateVnfRequest. What ``additionalParams`` has of
            :data:`READ` comes before the base HOT's defaults.
        :param grant_info: by VDU, the images that Tacker made of the VNF package's SwImage
            artifacts. Such an image comes before any name.
        """
        package = package_of(inst_req_info, __file__)
        logins = {VDU: private_registry.read_login(inst_req_info.additional_params, package)}
        return hot_parameters(base_hot_dict, inst_req_info, grant_info, package, logins)
