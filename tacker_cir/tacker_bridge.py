# SPDX-License-Identifier: Apache-2.0
"""All of Tacker's v1 API: what its objects say, how its errors look, and what it forgets.

With :mod:`tacker_cir.tacker_vims` the only place, beside the drivers, that knows Tacker.
"""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any

from oslo_config import cfg
from oslo_utils import timeutils, uuidutils
from sqlalchemy import event
from sqlalchemy.orm import joinedload
from tacker.common import exceptions as tacker_exceptions
from tacker.db import api as db_api
from tacker.db.db_sqlalchemy import api as db
from tacker.db.db_sqlalchemy import models
from tacker.db.vnfm import vnfm_db
from tacker.objects import fields
from tacker.vnflcm import utils as vnflcm_utils

from tacker_cir import config, metadata, tacker_user_data
from tacker_cir import log as logging
from tacker_cir.exceptions import InventoryError, TackerCirError
from tacker_cir.instance import Leaving
from tacker_cir.inventory import Heat, read_subnets
from tacker_cir.package import VnfPackage
from tacker_cir.params.registry_vnf import RegistryVnf, the_only
from tacker_cir.tacker_vims import KubernetesVim

LOG = logging.getLogger(__name__)

# States of an operation that neither a retry nor a rollback follows.
_OVER = (
    fields.LcmOccsOperationState.COMPLETED,
    fields.LcmOccsOperationState.FAILED,
    "ROLLED_BACK",
)


def hook(method: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a driver's hook: log its course and raise what Tacker expects.

    Tacker puts ``str()`` of the exception into the ProblemDetails of the LCM operation occurrence,
    so the user reads our message. Of an unforeseen error there is its type's name only, because its
    text may hold anything, a secret among it; where it came from is in the conductor's log.

    Unlike Tacker's own ``log`` decorator this one logs no arguments: requests hold passwords.
    """

    @functools.wraps(method)
    def wrapper(self: Any, context: Any, vnf_instance: Any, *args: Any, **kwargs: Any) -> Any:
        name = f"{self.get_type()}: {method.__name__} of VNF instance {vnf_instance.id}"
        watch = timeutils.StopWatch()
        LOG.info("%s: start", name)
        if method.__name__ == "heal_start":
            _let_heal_replace(context, vnf_instance)
        with watch:
            try:
                result = method(self, context, vnf_instance, *args, **kwargs)
            except TackerCirError as error:
                _release_vnf(context, method.__name__)
                LOG.error("%s: failed after %.1f s: %s", name, watch.elapsed(), error)
                raise tacker_exceptions.MgmtDriverOtherError(error_message=str(error)) from None
            except tacker_exceptions.TackerException:
                _release_vnf(context, method.__name__)
                raise
            except Exception as error:
                _release_vnf(context, method.__name__)
                LOG.error("%s: failed after %.1f s", name, watch.elapsed())
                for line in _traceback(error):
                    LOG.error("%s: %s", name, line)
                message = (
                    f"unforeseen {type(error).__name__} in {method.__name__}; the traceback is in "
                    "the log of tacker-conductor"
                )
                raise tacker_exceptions.MgmtDriverOtherError(error_message=message) from None
        LOG.info("%s: done in %.1f s", name, watch.elapsed())
        return result

    return wrapper


def _let_heal_replace(context: Any, vnf_instance: Any) -> None:
    """Have Tacker replace the machines of the heal that begins.

    Tacker 16.0.0 (``OpenStack.heal_vnf``) asks an operation of the VNF instance at which point it
    stopped, and marks no machine for replacement where that is after Heat's part. It asks whichever
    comes first by its id, not the heal: one that failed long ago, and was retried or given up
    since, makes heals replace nothing. What is over needs its point no more.
    """
    try:
        session = context.session
        with session.begin(nested=True):
            session.query(models.VnfLcmOpOccs).filter(
                models.VnfLcmOpOccs.vnf_instance_id == vnf_instance.id,
                models.VnfLcmOpOccs.operation_state.in_(_OVER),
                models.VnfLcmOpOccs.error_point != fields.ErrorPoint.INITIAL,
            ).update({"error_point": fields.ErrorPoint.INITIAL}, synchronize_session=False)
        session.commit()
    except Exception as error:
        # A heal does without where no operation of the instance has failed.
        LOG.error("operations that are over cannot be told so: %s", type(error).__name__)


def _traceback(error: BaseException | None) -> Iterator[str]:
    """Yield the lines of a traceback without the errors' texts, the first cause first."""
    if error is None:
        return
    hidden = error.__suppress_context__
    yield from _traceback(error.__cause__ or (None if hidden else error.__context__))
    yield "Traceback (most recent call last):"
    for entry in traceback.format_tb(error.__traceback__):
        yield from entry.splitlines()
    yield type(error).__name__


def _release_vnf(context: Any, method: str) -> None:
    """Have Tacker's database session end what Tacker begins with it once an update has failed.

    Tacker 16.0.0 (``revert_update_lcm``) then sets the VNF's row to ERROR in a transaction that
    nobody ends: its lock makes the next heal or scale end with "Lock wait timeout exceeded". It is
    rolled back, not committed: Tacker lets nobody heal, scale or terminate a VNF in ERROR unless
    that operation itself failed, and an update can neither be retried nor given up.
    """
    if not method.startswith("modify_information"):
        return
    try:
        session = context.session
        session.rollback()
        event.listen(session, "after_bulk_update", lambda update: update.session.rollback())
    except Exception as error:
        # The user is to read why the update failed.
        LOG.error("the session of the failed update cannot be ended: %s", type(error).__name__)


def conf() -> cfg.ConfigOpts:
    """Return the process's configuration with our options."""
    return config.register_opts(cfg.CONF)


class V1Instance:
    """A VNF instance of Tacker's v1 API (:class:`tacker_cir.instance.Instance`).

    :param request: InstantiateVnfRequest; None for an instance that keeps its parameters
    :param vnf: keyword argument ``vnf`` of ``instantiate_end``
    """

    def __init__(
        self,
        context: Any,
        vnf_instance: Any,
        request: Any = None,
        vnf: Mapping[str, Any] | None = None,
    ):
        self._context, self._instance = context, vnf_instance
        self._request, self._vnf = request, vnf

    @property
    def id(self) -> str:
        return str(self._instance.id)

    @property
    def conf(self) -> cfg.ConfigOpts:
        return conf()

    @property
    def parameters(self) -> Mapping[str, Any] | None:
        source = self._source
        return source.additional_params if source else None

    @property
    def flavour_id(self) -> str | None:
        source = self._source
        return source.flavour_id if source else None

    @property
    def level_id(self) -> str | None:
        return getattr(self._request, "instantiation_level_id", None)

    @property
    def _source(self) -> Any:
        """What holds the parameters: both have them under the same names."""
        return self._request or self._instance.instantiated_vnf_info

    @property
    def metadata(self) -> Mapping[str, str]:
        """What ``PATCH vnf_instances/{id}`` changes; Tacker keeps text only."""
        return self._instance.vnf_metadata or {}

    @property
    def stack_id(self) -> str:
        found = self._instance.instantiated_vnf_info.instance_id
        if not found:
            raise InventoryError(
                "Tacker knows no Heat stack of the VNF instance. To do: roll the operation back "
                "and instantiate again"
            )
        return str(found)

    def package(self) -> VnfPackage:
        path = Path(vnflcm_utils._get_vnf_package_path(self._context, self._instance.vnfd_id))
        if self._request is not None:
            # Of all that has the request, only the driver is sure of the package.
            tacker_user_data.note_package(self._request, path)
        return VnfPackage(path)

    def heat(self) -> Heat:
        return Heat(self._access_info())

    def subnets(self) -> Mapping[str, Sequence[IPv4Network | IPv6Network]]:
        access_info = self._access_info()
        return {name: read_subnets(access_info, name) for name in _networks(self._request)}

    def _access_info(self) -> Mapping[str, Any]:
        """Return ``accessInfo`` of the VIM that the VMs run on, secrets in clear."""
        vim = vnflcm_utils._get_vim(self._context, self._instance.vim_connection_info)
        found: Mapping[str, Any] = vim["access_info"]
        return found

    def vim(self, name: str | None) -> KubernetesVim:
        return KubernetesVim(self._context, self._instance, name)

    def show(self, values: Mapping[str, str | None]) -> None:
        present = self.metadata
        wanted = metadata.changed(present, values)
        if wanted != present:
            self._instance.vnf_metadata = wanted
            self._instance.save()

    def registry_vnf(self, name_or_id: str) -> RegistryVnf:
        found = _vnfs_of(self._context, self._instance.tenant_id, name_or_id)
        return the_only(found, name_or_id)

    def keep(self) -> None:
        _keep_attributes(self._context, self._instance, self._vnf)


def healed(vnf_instance: Any, request: Any) -> Leaving | None:
    """Return the machines that a HealVnfRequest is about, None for all of the VNF instance.

    Its ``vnfcInstanceId`` are ids of VnfcResourceInfo.
    """
    if not request.vnfc_instance_id:
        return None
    ids = set(request.vnfc_instance_id)
    vnfcs = vnf_instance.instantiated_vnf_info.vnfc_resource_info
    return Leaving(servers=frozenset(v.compute_resource.resource_id for v in vnfcs if v.id in ids))


def scaled_in(arguments: Mapping[str, Any]) -> Leaving:
    """Return the machines that Tacker is about to remove.

    :param arguments: further keyword arguments of ``scale_start``
    """
    return Leaving(members=frozenset(arguments.get("scale_name_list") or ()))


def _networks(request: Any) -> list[str]:
    """Return the ids of the networks that an InstantiateVnfRequest connects the VMs to."""
    links = [*(request.ext_virtual_links or ()), *(request.ext_managed_virtual_links or ())]
    return list(dict.fromkeys(link.resource_id for link in links if link.resource_id))


def _vnfs_of(context: Any, tenant_id: str, name_or_id: str) -> list[RegistryVnf]:
    """Return the VNF instances of a tenant that have an id or a name.

    By the tenant's id, not by what the context may see, and with one question whatever there is: so
    nobody learns what another tenant has.
    """
    model = models.VnfInstance
    with db_api.context_manager.reader.using(context):
        query = db.model_query(context, model, read_deleted="no").filter_by(tenant_id=tenant_id)
        is_meant = model.vnf_instance_name == name_or_id
        if uuidutils.is_uuid_like(name_or_id):
            is_meant |= model.id == name_or_id
        rows = query.filter(is_meant).options(joinedload(model.instantiated_vnf_info)).all()
        return [_registry_vnf(row) for row in rows]


def _registry_vnf(row: Any) -> RegistryVnf:
    info = row.instantiated_vnf_info
    return RegistryVnf(
        id=str(row.id),
        name=row.vnf_instance_name or "",
        instantiated=row.instantiation_state == fields.VnfInstanceState.INSTANTIATED,
        parameters=info.additional_params if info else None,
        metadata=row.vnf_metadata or {},
    )


def _keep_attributes(context: Any, vnf_instance: Any, vnf: Mapping[str, Any] | None) -> None:
    """Have Tacker know what its infra driver found out while it made the stack.

    Tacker 16.0.0 stores these attributes of a VNF only when the whole instantiation succeeded, and
    a retry that begins after the stack was made does not find them out again: without
    ``scale_group`` the VNF could never be scaled, and a try to would leave its row locked.

    :param vnf: keyword argument ``vnf`` of ``instantiate_end``
    """
    attributes = (vnf or {}).get("attributes") or {}
    session = context.session
    with session.begin(nested=True):
        rows = session.query(vnfm_db.VNFAttribute).filter_by(vnf_id=vnf_instance.id)
        present = {row.key: row for row in rows}
        for key, value in attributes.items():
            if key in present:
                present[key].update({"value": value})
            else:
                number = uuidutils.generate_uuid()
                owner = vnf_instance.id
                row = vnfm_db.VNFAttribute(id=number, vnf_id=owner, key=key, value=value)
                session.add(row)
        session.commit()
