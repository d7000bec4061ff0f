# SPDX-License-Identifier: Apache-2.0
"""The only place, beside the drivers, that knows Tacker: its objects, its errors, its helpers."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from oslo_config import cfg
from oslo_utils import timeutils, uuidutils
from sqlalchemy import event
from tacker.common import exceptions as tacker_exceptions
from tacker.db.vnfm import vnfm_db
from tacker.vnflcm import utils as vnflcm_utils

from tacker_cir import config
from tacker_cir import log as logging
from tacker_cir.exceptions import InventoryError, TackerCirError
from tacker_cir.package import VnfPackage

LOG = logging.getLogger(__name__)

Hook = TypeVar("Hook", bound=Callable[..., Any])


def hook(method: Hook) -> Hook:
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

    return wrapper  # type: ignore[return-value]


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


def vnf_package(context: Any, vnf_instance: Any) -> VnfPackage:
    """Return the unpacked VNF package that the VNF instance was made from."""
    path = vnflcm_utils._get_vnf_package_path(context, vnf_instance.vnfd_id)
    return VnfPackage(Path(path))


def vim_access_info(context: Any, vnf_instance: Any) -> Mapping[str, Any]:
    """Return ``accessInfo`` of the VIM that the VNF instance's VMs run on, secrets in clear."""
    vim = vnflcm_utils._get_vim(context, vnf_instance.vim_connection_info)
    return vim["access_info"]


def stack_id(vnf_instance: Any) -> str:
    """Return the id of the VNF instance's Heat stack.

    :raises InventoryError: Tacker knows of none
    """
    found = vnf_instance.instantiated_vnf_info.instance_id
    if not found:
        raise InventoryError(
            "Tacker knows no Heat stack of the VNF instance. To do: roll the operation back and "
            "instantiate again"
        )
    return found


def server_ids(vnf_instance: Any, vnfc_ids: Collection[str]) -> frozenset[str]:
    """Return the ids of the Nova servers that VNFCs run on.

    :param vnfc_ids: ids of VnfcResourceInfo, ``vnfcInstanceId`` of a heal request
    """
    return frozenset(
        vnfc.compute_resource.resource_id
        for vnfc in vnf_instance.instantiated_vnf_info.vnfc_resource_info
        if vnfc.id in set(vnfc_ids)
    )


def metadata(vnf_instance: Any) -> Mapping[str, str]:
    """Return the VNF instance's metadata, which ``PATCH vnf_instances/{id}`` changes; Tacker keeps
    text only."""
    return vnf_instance.vnf_metadata or {}


def networks(request: Any) -> list[str]:
    """Return the ids of the networks that an InstantiateVnfRequest connects the VMs to."""
    links = [*(request.ext_virtual_links or ()), *(request.ext_managed_virtual_links or ())]
    return list(dict.fromkeys(link.resource_id for link in links if link.resource_id))


def keep_attributes(context: Any, vnf_instance: Any, vnf: Mapping[str, Any] | None) -> None:
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
