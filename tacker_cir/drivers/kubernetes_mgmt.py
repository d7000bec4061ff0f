# SPDX-License-Identifier: Apache-2.0
"""MgmtDrivers of a Kubernetes cluster on VMs.

This file is the artifact in the VNF package: Tacker compares it with the installed one and runs
the latter. It holds hooks only; the work is done in :mod:`tacker_cir.cluster.lifecycle`.
"""

from collections.abc import Sequence
from dataclasses import replace

from tacker.vnfm.mgmt_drivers import vnflcm_abstract_driver

from tacker_cir.cluster import lifecycle
from tacker_cir.instance import Instance
from tacker_cir.params.k8s_cluster import ClusterParams
from tacker_cir.params.registry_connection import RegistryConnection
from tacker_cir.tacker_bridge import V1Instance, healed, hook, scaled_in


class KubernetesMgmtDriver(vnflcm_abstract_driver.VnflcmMgmtAbstractDriver):
    """Builds, scales, heals and terminates a kubeadm cluster."""

    def get_type(self):
        return "mgmt-drivers-kubernetes"

    def get_name(self):
        return "mgmt-drivers-kubernetes"

    def get_description(self):
        return "Kubernetes cluster on VMs"

    def registries(self, params: ClusterParams) -> Sequence[RegistryConnection]:
        """Return the registries that every node shall be able to pull from."""
        return ()

    def _check(self, instance: Instance) -> ClusterParams:
        """Return the checked parameters, with the registries that this driver connects."""
        params = lifecycle.check(instance)
        return replace(params, registries=tuple(self.registries(params)))

    @hook
    def instantiate_start(
        self, context, vnf_instance, instantiate_vnf_request, grant, grant_request, **kwargs
    ):
        lifecycle.check_new(V1Instance(context, vnf_instance, instantiate_vnf_request))

    @hook
    def instantiate_end(
        self, context, vnf_instance, instantiate_vnf_request, grant, grant_request, **kwargs
    ):
        vnf = kwargs.get("vnf")
        instance = V1Instance(context, vnf_instance, instantiate_vnf_request, vnf)
        lifecycle.build_new(instance, self._check(instance))

    @hook
    def heal_start(self, context, vnf_instance, heal_vnf_request, grant, grant_request, **kwargs):
        instance = V1Instance(context, vnf_instance)
        leaving = healed(vnf_instance, heal_vnf_request)
        lifecycle.before_heal(instance, self._check(instance), leaving)

    @hook
    def heal_end(self, context, vnf_instance, heal_vnf_request, grant, grant_request, **kwargs):
        instance = V1Instance(context, vnf_instance)
        lifecycle.build(instance, self._check(instance))

    @hook
    def scale_start(self, context, vnf_instance, scale_vnf_request, grant, grant_request, **kwargs):
        instance = V1Instance(context, vnf_instance)
        params, aspect_id = self._check(instance), scale_vnf_request.aspect_id
        lifecycle.before_scale_in(instance, params, aspect_id, scaled_in(kwargs))

    @hook
    def scale_end(self, context, vnf_instance, scale_vnf_request, grant, grant_request, **kwargs):
        instance = V1Instance(context, vnf_instance)
        params = self._check(instance)
        lifecycle.refuse_other_aspects(params, scale_vnf_request.aspect_id)
        lifecycle.build(instance, params)

    @hook
    def terminate_start(
        self, context, vnf_instance, terminate_vnf_request, grant, grant_request, **kwargs
    ):
        lifecycle.before_terminate(V1Instance(context, vnf_instance))

    @hook
    def terminate_end(
        self, context, vnf_instance, terminate_vnf_request, grant, grant_request, **kwargs
    ):
        lifecycle.after_terminate(V1Instance(context, vnf_instance))

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
        instance = V1Instance(context, vnf_instance)
        lifecycle.build(instance, self._check(instance))


class PrivateRegistryKubernetesMgmtDriver(KubernetesMgmtDriver):
    """A Kubernetes cluster whose nodes pull from private registries."""

    def get_description(self):
        return "Kubernetes cluster on VMs that pulls from private registries"

    def registries(self, params: ClusterParams) -> Sequence[RegistryConnection]:
        return params.registries
