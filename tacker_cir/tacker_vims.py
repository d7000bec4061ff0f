# SPDX-License-Identifier: Apache-2.0
"""The cluster as a VIM of Tacker: its record, and its entry in the VNF instance.

Beside :mod:`tacker_cir.tacker_bridge` the only place that knows Tacker's objects. Tacker keeps a
VIM's key in Barbican (``[k8s_vim] use_barbican``); without one it registers no Kubernetes VIM.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oslo_utils import uuidutils
from tacker.extensions import nfvo
from tacker.nfvo import nfvo_plugin
from tacker.objects import vim_connection

from tacker_cir import log as logging
from tacker_cir.command import Redactor, Secret
from tacker_cir.exceptions import VimError
from tacker_cir.instance import ClusterAccess

LOG = logging.getLogger(__name__)

VIM_TYPE = "kubernetes"

#: Members of a VIM's ``extra`` that tell whose cluster it is, and which one.
_OWNER, _FINGERPRINT = "vnf_instance_id", "cluster_fingerprint"


class KubernetesVim:
    """The VIM of one cluster (:class:`tacker_cir.instance.Vim`).

    :param context: Tacker's request context
    :param vnf_instance: the VNF instance that the cluster is
    :param name: of the VIM
    """

    def __init__(self, context: Any, vnf_instance: Any, name: str | None):
        self._context, self._instance = context, vnf_instance
        self.name = name or default_name(vnf_instance.id)
        self._plugin = nfvo_plugin.NfvoPlugin()

    def is_taken(self) -> bool:
        """Tell whether another VIM of the tenant has the name."""
        return self._by_name() is not None and self._ours() is None

    def check_unused(self) -> None:
        """Refuse to take the VIM away while a VNF is on it.

        :raises VimError: one is
        """
        vim = self._ours()
        if vim is not None:
            self._check_unused(vim)

    def register(self, access: ClusterAccess) -> None:
        """Make the VIM be there with these credentials, and the VNF instance know it.

        :raises VimError: Tacker does not register it
        """
        vim = self._ours()
        if vim is not None and (vim.get("extra") or {}).get(_FINGERPRINT) != access.fingerprint:
            LOG.info("VIM %s is that of an earlier cluster: it is replaced", self.name)
            self._remove(vim)
            vim = None
        if vim is None:
            vim = self._create(access)
        self._add_to_instance(vim["id"], access.url)

    def remove(self) -> None:
        """Take the VIM away, if it is there and that of this VNF instance.

        :raises VimError: a VNF is on it
        """
        vim = self._ours()
        if vim is not None:
            self._remove(vim)
            LOG.info("VIM %s is removed", self.name)

    def remove_from_instance(self) -> None:
        """Take the cluster's entries out of the VNF instance and save it."""
        kept = [v for v in self._instance.vim_connection_info if v.vim_type != VIM_TYPE]
        if len(kept) != len(self._instance.vim_connection_info):
            self._instance.vim_connection_info = kept
            self._instance.save()

    def _by_name(self) -> Mapping[str, Any] | None:
        found = self._plugin.get_vims(self._context, filters={"name": [self.name]})
        # An administrator's context sees other tenants' VIMs as well.
        own = [v for v in found if v["tenant_id"] == self._instance.tenant_id]
        return own[0] if own else None

    def _ours(self) -> Mapping[str, Any] | None:
        vim = self._by_name()
        if vim is not None and (vim.get("extra") or {}).get(_OWNER) == self._instance.id:
            return vim
        return None

    def _create(self, access: ClusterAccess) -> Mapping[str, Any]:
        vim = {
            "type": VIM_TYPE,
            "name": self.name,
            "description": f"Kubernetes cluster of VNF instance {self._instance.id}",
            "tenant_id": self._instance.tenant_id,
            "is_default": False,
            "auth_url": access.url,
            "vim_project": {"name": "default"},
            "auth_cred": {"bearer_token": access.token.reveal(), "ssl_ca_cert": access.ca},
            "placement_attr": {},
            "extra": {_OWNER: self._instance.id, _FINGERPRINT: access.fingerprint},
        }
        try:
            created: Mapping[str, Any] = self._plugin.create_vim(self._context, {"vim": vim})
        except Exception as error:
            # Whatever Tacker's driver, the API's client or Barbican's raise; their texts may hold
            # what was sent, the token among it.
            LOG.debug("registration of VIM %s failed: %s", self.name, type(error).__name__)
            raise VimError(
                f"Tacker does not register the cluster at {access.url} as VIM {self.name!r} "
                f"({_told(error, access.token)}). To do: check that the conductor's host reaches "
                "that address, that kubernetes is among [nfvo_vim] vim_drivers, that Barbican "
                "serves, and what 'tacker-cir doctor' says of the Python package kubernetes; then "
                "retry the operation"
            ) from None
        LOG.info("cluster at %s registered as VIM %s", access.url, self.name)
        return created

    def _remove(self, vim: Mapping[str, Any]) -> None:
        self._check_unused(vim)
        self._plugin.delete_vim(self._context, vim["id"])

    def _check_unused(self, vim: Mapping[str, Any]) -> None:
        try:
            self._plugin.is_vim_still_in_use(self._context, vim["id"])
        except nfvo.VimInUseException:
            raise VimError(
                f"VIM {self.name!r}, the cluster, is still used by a VNF. To do: terminate the "
                "VNFs on it, then retry the operation"
            ) from None

    def _add_to_instance(self, vim_id: str, url: str) -> None:
        others = [v for v in self._instance.vim_connection_info if v.vim_type != VIM_TYPE]
        same = [v for v in self._instance.vim_connection_info if v.vim_id == vim_id]
        entry = vim_connection.VimConnectionInfo(
            id=same[0].id if same else uuidutils.generate_uuid(),
            vim_id=vim_id,
            vim_type=VIM_TYPE,
            interface_info=None,
            access_info={"auth_url": url},
            extra={},
        )
        self._instance.vim_connection_info = [*others, entry]
        self._instance.save()


def default_name(vnf_instance_id: str) -> str:
    """Return the name of a cluster's VIM where the request gives none, as upstream does."""
    return f"kubernetes_vim_{vnf_instance_id}"


def _told(error: Exception, token: Secret) -> str:
    # Masked first: what is cut off would not be known any more.
    text = " ".join(Redactor([token])(str(error)).split())[:400]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
