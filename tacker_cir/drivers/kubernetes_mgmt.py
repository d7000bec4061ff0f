# SPDX-License-Identifier: Apache-2.0
"""MgmtDrivers of a Kubernetes cluster on VMs.

This file is the artifact in the VNF package: Tacker compares it with the installed one and runs
the latter. It holds hooks only; the work is done in :mod:`tacker_cir.cluster.lifecycle`.
"""

from tacker.vnfm.mgmt_drivers import vnflcm_abstract_driver

from tacker_cir.cluster import lifecycle
from tacker_cir.tacker_bridge import hook


class KubernetesMgmtDriver(vnflcm_abstract_driver.VnflcmMgmtAbstractDriver):
    """Builds, scales, heals and terminates a kubeadm cluster."""

    def get_type(self):
        return "mgmt-drivers-kubernetes"

    def get_name(self):
        return "mgmt-drivers-kubernetes"

    def get_description(self):
        return "Kubernetes cluster on VMs"

    def registries(self, params):
        """Return the registries that every node shall be able to pull from.

        :param params: tacker_cir.params.k8s_cluster.ClusterParams
        """
        return ()

    @hook
    def instantiate_start(
        self, context, vnf_instance, instantiate_vnf_request, grant, grant_request, **kwargs
    ):
        lifecycle.check_new(context, vnf_instance, instantiate_vnf_request)

    @hook
    def instantiate_end(
        self, context, vnf_instance, instantiate_vnf_request, grant, grant_request, **kwargs
    ):
        params = lifecycle.check(context, vnf_instance, instantiate_vnf_request)
        lifecycle.build_new(
            context, vnf_instance, params, self.registries(params), kwargs.get("vnf")
        )

    @hook
    def heal_start(self, context, vnf_instance, heal_vnf_request, grant, grant_request, **kwargs):
        params = lifecycle.check(context, vnf_instance, vnf_instance.instantiated_vnf_info)
        lifecycle.before_heal(
            context, vnf_instance, heal_vnf_request, params, self.registries(params)
        )

    @hook
    def heal_end(self, context, vnf_instance, heal_vnf_request, grant, grant_request, **kwargs):
        params = lifecycle.check(context, vnf_instance, vnf_instance.instantiated_vnf_info)
        lifecycle.build(context, vnf_instance, params, self.registries(params))

    @hook
    def scale_start(self, context, vnf_instance, scale_vnf_request, grant, grant_request, **kwargs):
        params = lifecycle.check(context, vnf_instance, vnf_instance.instantiated_vnf_info)
        lifecycle.before_scale_in(
            context,
            vnf_instance,
            scale_vnf_request,
            params,
            self.registries(params),
            kwargs.get("scale_name_list") or (),
        )

    @hook
    def scale_end(self, context, vnf_instance, scale_vnf_request, grant, grant_request, **kwargs):
        params = lifecycle.check(context, vnf_instance, vnf_instance.instantiated_vnf_info)
        lifecycle.refuse_other_aspects(scale_vnf_request, params)
        lifecycle.build(context, vnf_instance, params, self.registries(params))

    @hook
    def terminate_start(
        self, context, vnf_instance, terminate_vnf_request, grant, grant_request, **kwargs
    ):
        lifecycle.before_terminate(context, vnf_instance)

    @hook
    def terminate_end(
        self, context, vnf_instance, terminate_vnf_request, grant, grant_request, **kwargs
    ):
        lifecycle.after_terminate(context, vnf_instance)

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
        params = lifecycle.check(context, vnf_instance, vnf_instance.instantiated_vnf_info)
        lifecycle.build(context, vnf_instance, params, self.registries(params))


class PrivateRegistryKubernetesMgmtDriver(KubernetesMgmtDriver):
    """A Kubernetes cluster whose nodes pull from private registries."""

    def get_description(self):
        return "Kubernetes cluster on VMs that pulls from private registries"

    def registries(self, params):
        return params.registries
