# SPDX-License-Identifier: Apache-2.0
"""What operations leave in Tacker's database: with Tacker's own code, and a database whose locks
are real."""

from __future__ import annotations

import gc
from types import SimpleNamespace

import pytest
import sqlalchemy
from oslo_utils import timeutils
from tacker import objects
from tacker.common import exceptions as tacker_exceptions
from tacker.conductor.conductor_server import Conductor, revert_update_lcm
from tacker.db import api as db_api
from tacker.db.db_sqlalchemy import models
from tacker.db.nfvo import nfvo_db
from tacker.db.vnfm import vnfm_db

from tacker_cir.exceptions import HostError
from tacker_cir.tacker_bridge import hook
from tests.unit.tacker_database import TENANT, new_context, tacker_database

INSTANCE = "11111111-2222-3333-4444-555555555555"
OPERATION = "66666666-7777-8888-9999-000000000000"


@pytest.fixture
def database(tmp_path, monkeypatch):
    models_used = (vnfm_db.VNF, vnfm_db.VNFD, vnfm_db.VNFAttribute, nfvo_db.Vim, nfvo_db.VimAuth,
                   models.VnfLcmOpOccs, models.VnfInstance)  # fmt: skip
    with tacker_database(tmp_path, monkeypatch, *models_used) as engine:
        yield engine


def note(number, state, error_point, *, instance=INSTANCE, operation="SCALE"):
    """Note an operation in Tacker's database."""
    session, now = db_api.get_session(), timeutils.utcnow()
    session.add(
        models.VnfLcmOpOccs(id=number, operation_state=state, state_entered_time=now,
                            start_time=now, vnf_instance_id=instance, operation=operation,
                            is_automatic_invocation=False, is_cancel_pending=False,
                            error_point=error_point, tenant_id=TENANT)
    )  # fmt: skip
    session.commit()
    session.close()


@pytest.fixture
def conductor(database):
    """What stands in the way of a conductor, but for what writes to the database."""
    session = db_api.get_session()
    now = timeutils.utcnow()
    session.add(
        vnfm_db.VNF(id=INSTANCE, tenant_id=TENANT, name="vnf", vnfd_id=OPERATION, status="ACTIVE",
                    vim_id=OPERATION, updated_at=now, deleted_at=now)
    )  # fmt: skip
    session.commit()
    session.close()
    note(OPERATION, "PROCESSING", 0, operation="MODIFY_INFO")
    return SimpleNamespace(
        _get_vnf_instance_href=lambda _id: "href",
        _get_vnf_lcm_op_occs_href=lambda _id: "href",
        send_notification=lambda *_arguments: None,
    )


class Driver:
    """A driver whose update fails."""

    def __init__(self, action):
        self.action = action

    def get_type(self):
        return "driver"

    @hook
    def modify_information_end(self, context, vnf_instance, modify_vnf_request, **kwargs):
        self.action(context)


@revert_update_lcm
def update(self, context, vnf_lcm_opoccs, driver):
    """The conductor's method, but for what it does before it asks the driver."""
    instance = SimpleNamespace(id=vnf_lcm_opoccs["vnf_instance_id"])
    driver.modify_information_end(context=context, vnf_instance=instance, modify_vnf_request=None)


def row(database, query):
    """The only row that a query finds, asked on a connection of its own."""
    with database.connect() as connection:
        return tuple(connection.execute(sqlalchemy.text(query)).one())


def fail(_context):
    raise HostError("node", "step", "cause", "remedy")


def fail_unforeseen(_context):
    raise ZeroDivisionError


def fail_as_tacker(_context):
    raise tacker_exceptions.VnfInstanceNotFound(id=INSTANCE)


def fail_in_a_transaction(context):
    """As Tacker's plugin for VIMs does: what it began is not over."""
    with context.session.begin(nested=True):
        row = context.session.get(vnfm_db.VNF, INSTANCE)
        row.update({"name": "half done"})
        context.session.flush()
        fail(context)


@pytest.mark.parametrize("action", [fail, fail_unforeseen, fail_as_tacker, fail_in_a_transaction])
def test_after_an_update_that_failed_the_vnf_can_be_healed_and_scaled(action, conductor, database):
    context = new_context()
    operation = {"id": OPERATION, "vnf_instance_id": INSTANCE}
    # Nothing is left to chance: what the garbage collector may do later, it must not have to do.
    gc.disable()
    try:
        with pytest.raises(tacker_exceptions.TackerException):
            update(conductor, context, operation, Driver(action))
        assert row(database, "select operation_state from vnf_lcm_op_occs") == ("FAILED_TEMP",)
        # Tacker's API lets nobody heal, scale or terminate in another state.
        assert row(database, "select status, name from vnf") == ("ACTIVE", "vnf")
        Conductor._change_vnf_status(conductor, new_context(), INSTANCE, "ACTIVE", "PENDING_HEAL")
    finally:
        gc.enable()
    assert row(database, "select status from vnf") == ("PENDING_HEAL",)


def test_without_the_driver_tackers_update_would_keep_the_lock(conductor, database):
    """That the test above can fail: Tacker still is as it was."""
    context = new_context()
    row = objects.vnf.VNF(context=context)
    row.id, row.status, row.updated_at = INSTANCE, "ERROR", timeutils.utcnow()
    row.save()
    with pytest.raises(Exception, match="database is locked"):
        Conductor._change_vnf_status(conductor, new_context(), INSTANCE, "ACTIVE", "PENDING_HEAL")
    context.session.rollback()


class Healing:
    """A driver whose heal fails."""

    def get_type(self):
        return "driver"

    @hook
    def heal_start(self, context, vnf_instance):
        pass

    @hook
    def heal_end(self, context, vnf_instance):
        fail(context)


def test_after_other_operations_tacker_ends_its_transactions_itself(conductor):
    context = new_context()
    with pytest.raises(tacker_exceptions.MgmtDriverOtherError):
        Healing().heal_end(context=context, vnf_instance=SimpleNamespace(id=INSTANCE))
    with context.session.begin(nested=True):
        rows = context.session.query(vnfm_db.VNF).filter_by(id=INSTANCE)
        rows.update({"status": "ERROR"})
        context.session.commit()
    context = new_context()
    assert context.session.get(vnfm_db.VNF, INSTANCE).status == "ERROR"
    context.session.rollback()


@pytest.mark.parametrize("state", ["COMPLETED", "FAILED", "ROLLED_BACK"])
def test_an_operation_that_is_over_keeps_no_heal_from_replacing_machines(
    state, conductor, database
):
    with database.begin() as connection:
        change = "update vnf_lcm_op_occs set operation_state = :state, error_point = 6"
        connection.execute(sqlalchemy.text(change), {"state": state})
    # The heal. SQLite finds what was stored first, MariaDB what has the first id.
    note("ffffffff-ffff-ffff-ffff-ffffffffffff", "PROCESSING", 0)
    asked = objects.VnfLcmOpOcc.get_by_vnf_instance_id
    assert asked(new_context(), INSTANCE).error_point == 6, "Tacker asks the heal itself now"
    Healing().heal_start(context=new_context(), vnf_instance=SimpleNamespace(id=INSTANCE))
    assert asked(new_context(), INSTANCE).error_point == 0


def test_what_goes_on_and_what_others_did_stays_as_it_is(conductor, database):
    other = INSTANCE.replace("1", "9")
    for number, (state, instance) in enumerate(
        [("PROCESSING", INSTANCE), ("FAILED_TEMP", INSTANCE), ("COMPLETED", other)]
    ):
        note(str(number), state, 6, instance=instance)
    context = new_context()
    Healing().heal_start(context=context, vnf_instance=SimpleNamespace(id=INSTANCE))
    count = "select count(*) from vnf_lcm_op_occs where error_point = 6"
    assert row(database, count) == (3,)
    # No lock stays.
    note("3", "COMPLETED", 0)
