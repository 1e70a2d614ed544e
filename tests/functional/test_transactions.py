# SPDX-License-Identifier: Apache-2.0
"""Inside a transaction that the caller has open on the context."""

from oslo_db import exception as db_exc
from oslo_db.sqlalchemy import enginefacade
import pytest
import sqlalchemy as sa
from sqlalchemy import orm

from nova_db_states import api
from nova_db_states import exceptions
from nova_db_states import tables
from nova_db_states._update import contexts
from tests.resources import rows


class Rollback(Exception):
    """Raised by a test to have a transaction rolled back."""


def test_committed_with_the_callers_transaction(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """The change is there when the caller's transaction has committed."""
    one = rows.insert_instance(cell_engine)
    two = rows.insert_instance(cell_engine)
    with context.begin():
        api.instance_update(
            context, one, {"progress": 1}, expected_task_state=None
        )
        api.instance_update(context, two, {"progress": 1})
    for instance in (one, two):
        assert rows.read_instance(cell_engine, instance)["progress"] == 1


def test_rolled_back_with_the_callers_transaction(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """A verdict holds only with that transaction's commit."""
    instance = rows.insert_instance(cell_engine)
    with pytest.raises(Rollback), context.begin():  # noqa: PT012 - rolled back as a whole
        api.instance_update(context, instance, {"progress": 1})
        assert (
            api.instances_update(
                context, {"progress": 2}, expected={"uuid": instance}
            )
            == 1
        )
        raise Rollback
    assert rows.read_instance(cell_engine, instance)["progress"] is None


def test_a_session_is_joined_and_flushed(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """Changes pending in an ORM session are judged, not overlooked."""
    registry = orm.registry()

    class Instance:
        task_state: str | None

    registry.map_imperatively(Instance, tables.instances)
    instance = rows.insert_instance(cell_engine)
    manager = context.db_connection
    with manager.writer.using(context) as session:
        loaded = session.execute(
            sa.select(Instance).where(tables.instances.c.uuid == instance)
        ).scalar_one()
        loaded.task_state = "rebooting"
        api.instance_update(
            context,
            instance,
            {"task_state": "reboot_pending"},
            expected_task_state="rebooting",
        )
    assert (
        rows.read_instance(cell_engine, instance)["task_state"]
        == "reboot_pending"
    )
    registry.dispose()


def test_a_readers_transaction_cannot_write(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """A transaction opened for reading is refused with what to do."""
    instance = rows.insert_instance(cell_engine)
    with (
        context.db_connection.reader.using(context),
        pytest.raises(exceptions.InvalidContext, match="reader's"),
    ):
        api.instance_update(context, instance, {"progress": 1})


def test_refused_with_the_row_as_it_is_now(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """The explanation shows the current row and not an older snapshot."""
    instance = rows.insert_instance(cell_engine, task_state="spawning")
    with (  # noqa: PT012 - the transaction as a whole is refused
        pytest.raises(exceptions.UnexpectedDeletingTaskStateError) as caught,
        context.begin() as connection,
    ):
        if cell_engine.dialect.name != "sqlite":
            # A snapshot from before the other writer's change. SQLite would
            # refuse to write after it at all.
            connection.execute(sa.select(tables.instances.c.id))
        with cell_engine.begin() as other:
            other.execute(
                sa.update(tables.instances).values(task_state="deleting")
            )
        api.instance_update(
            context,
            instance,
            {"task_state": None, "vm_state": "active"},
            expected_task_state="spawning",
        )
    assert caught.value.actual == {"task_state": "deleting"}


def test_the_caller_may_go_on_after_a_refusal(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """A conflict that the caller handles leaves its transaction usable."""
    taken = rows.insert_instance(cell_engine, task_state="deleting")
    free = rows.insert_instance(cell_engine)
    with context.begin():
        for instance in (taken, free):
            try:
                api.instance_update(
                    context,
                    instance,
                    {"task_state": "rebooting"},
                    expected_task_state=None,
                )
            except exceptions.UnexpectedTaskStateError:
                continue
    assert rows.read_instance(cell_engine, taken)["task_state"] == "deleting"
    assert rows.read_instance(cell_engine, free)["task_state"] == "rebooting"


def test_returning_inside_a_transaction(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """What is read back is what this transaction wrote."""
    instance = rows.insert_instance(cell_engine, host="c1")
    with context.begin():
        assert api.instance_update(
            context,
            instance,
            {"progress": 3},
            returning=("progress", "host"),
        ) == {"progress": 3, "host": "c1"}


def test_a_transaction_on_another_cell_is_not_joined(
    context: api.CellContext,
    cell_engine: sa.Engine,
    nova_sqlite_url: str,
) -> None:
    """A context inside a transaction elsewhere writes here by itself."""
    instance = rows.insert_instance(cell_engine)
    elsewhere = api.connect(f"{nova_sqlite_url}")
    with (  # noqa: PT012 - rolled back as a whole
        pytest.raises(Rollback),
        elsewhere.db_connection.writer.using(context),
    ):
        api.instance_update(context, instance, {"progress": 4})
        raise Rollback
    assert rows.read_instance(cell_engine, instance)["progress"] == 4
    elsewhere.close()


def test_knows_an_open_transaction_as_oslo_db_does(
    context: api.CellContext,
) -> None:
    """The short cut that looks for one agrees with the public way."""

    def publicly() -> bool:
        try:
            return context.transaction_ctx is not None
        except db_exc.NoEngineContextEstablished:
            return False

    def privately() -> bool:
        return contexts.has_open_transaction(context, context.db_connection)

    assert publicly() is privately() is False
    with context.begin():
        assert publicly() is privately() is True
    with context.db_connection.writer.using(context):
        assert publicly() is privately() is True
    assert publicly() is privately() is False


class Plain:
    """The least that enginefacade accepts as a context."""


def test_a_context_that_leads_nowhere(nova_sqlite_url: str) -> None:
    """Without a target and without a resolver there is no cell to write."""
    with pytest.raises(exceptions.InvalidContext, match="which cell"):
        api.instance_update(
            Plain(), "2fd0c1c8-5b5e-4c0b-9d3a-0f4f9a1d7e11", {"progress": 1}
        )
    manager = enginefacade.transaction_context()
    manager.configure(connection=nova_sqlite_url)
    api.register_resolver(lambda _context: manager)
    try:
        with pytest.raises(exceptions.InstanceNotFound):
            api.instance_update(
                Plain(),
                "2fd0c1c8-5b5e-4c0b-9d3a-0f4f9a1d7e11",
                {"progress": 1},
            )
    finally:
        api.register_resolver(None)
