# SPDX-License-Identifier: Apache-2.0
"""MgmtDriver of the Docker private registry VNF.

This file is the artifact in the VNF package: Tacker compares it with the installed one and runs
the latter. It holds hooks only; the work is done in :mod:`tacker_cir.registry.lifecycle`.
"""

from tacker.vnfm.mgmt_drivers import vnflcm_abstract_driver

from tacker_cir.registry import lifecycle
from tacker_cir.tacker_bridge import V1Instance, hook


class PrivateRegistryMgmtDriver(vnflcm_abstract_driver.VnflcmMgmtAbstractDriver):
    """Turns the VM that Heat made into a Docker private registry, and keeps it one."""

    def get_type(self):
        return "mgmt-drivers-private-registry"

    def get_name(self):
        return "mgmt-drivers-private-registry"

    def get_description(self):
        return "Docker private registry on a VM"

    @hook
    def instantiate_start(
        self, context, vnf_instance, instantiate_vnf_request, grant, grant_request, **kwargs
    ):
        lifecycle.check(V1Instance(context, vnf_instance, instantiate_vnf_request))

    @hook
    def instantiate_end(
        self, context, vnf_instance, instantiate_vnf_request, grant, grant_request, **kwargs
    ):
        lifecycle.deploy(V1Instance(context, vnf_instance, instantiate_vnf_request))

    @hook
    def heal_start(self, context, vnf_instance, heal_vnf_request, grant, grant_request, **kwargs):
        lifecycle.check(V1Instance(context, vnf_instance))

    @hook
    def heal_end(self, context, vnf_instance, heal_vnf_request, grant, grant_request, **kwargs):
        lifecycle.deploy(V1Instance(context, vnf_instance))

    @hook
    def terminate_start(
        self, context, vnf_instance, terminate_vnf_request, grant, grant_request, **kwargs
    ):
        pass

    @hook
    def terminate_end(
        self, context, vnf_instance, terminate_vnf_request, grant, grant_request, **kwargs
    ):
        lifecycle.forget(V1Instance(context, vnf_instance))

    @hook
    def scale_start(self, context, vnf_instance, scale_vnf_request, grant, grant_request, **kwargs):
        lifecycle.refuse_scale_in(scale_vnf_request.type)

    @hook
    def scale_end(self, context, vnf_instance, scale_vnf_request, grant, grant_request, **kwargs):
        lifecycle.refuse_scale()

    @hook
    def change_external_connectivity_start(
        self, context, vnf_instance, change_ext_conn_request, grant, grant_request, **kwargs
    ):
        pass

    @hook
    def change_external_connectivity_end(
        self, context, vnf_instance, change_ext_conn_request, grant, grant_request, **kwargs
    ):
        pass

    @hook
    def modify_information_start(self, context, vnf_instance, modify_vnf_request, **kwargs):
        pass

    @hook
    def modify_information_end(self, context, vnf_instance, modify_vnf_request, **kwargs):
        lifecycle.deploy(V1Instance(context, vnf_instance))
