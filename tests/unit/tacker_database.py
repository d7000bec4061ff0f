# SPDX-License-Identifier: Apache-2.0
"""Tacker's database in a file, with Tacker's own code on top of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy
from oslo_db.sqlalchemy import enginefacade
from tacker import context as tacker_context
from tacker import objects
from tacker.db import api as db_api
from tacker.db import model_base

TENANT = "0123456789abcdef0123456789abcdef"


def new_context(tenant: str = TENANT) -> tacker_context.Context:
    """Return the context of a request."""
    return tacker_context.Context(user_id="user", tenant_id=tenant, is_admin=True, roles=[])


@contextmanager
def tacker_database(
    directory: Path, monkeypatch: pytest.MonkeyPatch, *models: type
) -> Iterator[sqlalchemy.Engine]:
    """Let Tacker use a database whose lock a second connection waits for half a second.

    :param directory: where its file is made
    :param models: whose tables it has
    """
    objects.register_all()
    manager = enginefacade.transaction_context()
    file = directory / "tacker.sqlite"
    manager.configure(connection=f"sqlite:///{file}?timeout=0.5", sqlite_fk=False)
    restore = db_api.context_manager.patch_factory(manager)
    monkeypatch.setattr(db_api, "_FACADE", db_api.context_manager.writer)
    engine = db_api.get_engine()
    metadata = model_base.BASE.metadata
    tables = [metadata.tables[model.__tablename__] for model in models]
    metadata.create_all(engine, tables=tables)
    yield engine
    engine.dispose()
    restore()
