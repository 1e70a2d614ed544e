# SPDX-License-Identifier: Apache-2.0
"""Many instances changed by their guards: the contract, on every backend."""

import datetime
import threading
import types
from typing import Any

from oslo_utils import timeutils
import pytest
import sqlalchemy as sa

from nova_db_states import api
from nova_db_states import exceptions
from nova_db_states import states
from nova_db_states import tables
from tests.resources import rows
from tests.resources import statements

_T = tables.instances.c


def changed(engine: sa.Engine) -> set[str]:
    """Give the uuids of the rows that a test has marked."""
    with engine.connect() as connection:
        found = connection.execute(sa.select(_T.uuid).where(_T.progress == 1))
        return set(found.scalars())


def test_by_states_and_host(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """Exactly the rows that fit every guard are changed and counted."""
    fit = {
        rows.insert_instance(cell_engine, vm_state="error", host="c1"),
        rows.insert_instance(cell_engine, vm_state="stopped", host="c1"),
    }
    for other in (
        {"vm_state": "error", "host": "c2"},
        {"vm_state": "active", "host": "c1"},
        {"vm_state": "error", "host": "c1", "task_state": "deleting"},
        {"vm_state": "error", "host": "c1", "deleted": 9},
    ):
        rows.insert_instance(cell_engine, **other)
    count = api.instances_update(
        context,
        {"progress": 1},
        expected_vm_state=["error", "stopped"],
        expected_task_state=states.Not("deleting"),
        expected={"host": "c1"},
    )
    assert count == 2
    assert changed(cell_engine) == fit


def test_age_is_that_of_the_last_update_or_else_of_the_row(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """A row never updated is as old as its creation."""
    now = timeutils.utcnow().replace(microsecond=0)
    hour, day = datetime.timedelta(hours=1), datetime.timedelta(days=1)
    old = {
        rows.insert_instance(cell_engine, created_at=now - day),
        rows.insert_instance(
            cell_engine, created_at=now - day, updated_at=now - 2 * hour
        ),
    }
    rows.insert_instance(cell_engine, created_at=now - day, updated_at=now)
    rows.insert_instance(cell_engine, created_at=now)
    limit = (now - hour).replace(tzinfo=datetime.UTC)
    assert (
        api.instances_update(context, {"progress": 1}, updated_before=limit)
        == 2
    )
    assert changed(cell_engine) == old


def test_limit(context: api.CellContext, cell_engine: sa.Engine) -> None:
    """No more rows than asked for are changed, over several batches."""
    rows.insert_instances(cell_engine, 350, vm_state="error")
    call = {"expected_vm_state": "error", "expected": {"progress": None}}
    assert (
        api.instances_update(context, {"progress": 1}, limit=230, **call)
        == 230
    )
    assert len(changed(cell_engine)) == 230
    assert api.instances_update(context, {"progress": 1}, **call) == 120
    assert api.instances_update(context, {"progress": 1}, **call) == 0


def test_a_row_that_changed_meanwhile_is_left_alone(
    context: api.CellContext,
    cell_engine: sa.Engine,
) -> None:
    """Between the read of the ids and a batch every guard still counts."""
    ids = rows.insert_instances(cell_engine, 5, vm_state="error")

    def another_writer(sql: str) -> None:
        if sql.startswith("UPDATE"):
            with cell_engine.begin() as other:
                other.execute(
                    sa.update(tables.instances)
                    .where(_T.uuid == ids[0])
                    .values(task_state="deleting")
                )

    with statements.before_each(another_writer):
        count = api.instances_update(
            context,
            {"progress": 1},
            expected_vm_state="error",
            expected_task_state=None,
        )
    assert count == 4
    assert changed(cell_engine) == set(ids[1:])


@pytest.mark.parametrize(
    ("arguments", "kind", "says"),
    [
        ({}, exceptions.InvalidGuard, "at least one guard"),
        ({"limit": 5}, exceptions.InvalidGuard, "at least one guard"),
        (
            {"expected": {"host": states.ANY}},
            exceptions.InvalidGuard,
            "at least one guard",
        ),
        (
            {"expected_vm_state": "error", "limit": 0},
            exceptions.InvalidUpdate,
            "limit=0",
        ),
        (
            {"expected_vm_state": "error", "limit": "5"},
            exceptions.InvalidUpdate,
            "limit='5'",
        ),
        ({"updated_before": "now"}, exceptions.InvalidGuard, "datetime"),
        (
            {"expected_vm_state": "error", "values": {}},
            exceptions.InvalidUpdate,
            "at least one column",
        ),
    ],
)
def test_refused(
    context: api.CellContext,
    cell_engine: sa.Engine,
    arguments: dict[str, Any],
    kind: type[Exception],
    says: str,
) -> None:
    """A call that could change every server by mistake changes none."""
    rows.insert_instance(cell_engine, vm_state="error")
    call = {"values": {"progress": 1}, **arguments}
    with pytest.raises(kind, match=says):
        api.instances_update(context, **call)
    assert changed(cell_engine) == set()


def test_an_ordinary_user_changes_own_rows_only(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """A sweep stays within the project of whoever asks for it."""
    own = rows.insert_instance(cell_engine, project_id="mine")
    rows.insert_instance(cell_engine, project_id="yours")
    user = types.SimpleNamespace(
        db_connection=context.db_connection,
        is_admin=False,
        user_id="user",
        project_id="mine",
    )
    assert (
        api.instances_update(user, {"progress": 1}, expected_task_state=None)
        == 1
    )
    assert changed(cell_engine) == {own}


def test_two_sweeps_share_the_rows(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """Of sweeps that race for the same rows each row falls to one."""
    rows.insert_instances(cell_engine, 400, vm_state="error")
    counts: list[int] = []
    start = threading.Barrier(3)

    def sweep() -> None:
        start.wait()
        counts.append(
            api.instances_update(
                context,
                {"progress": 1, "vm_state": "stopped"},
                expected_vm_state="error",
            )
        )

    workers = [threading.Thread(target=sweep) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(counts) == 3
    assert sum(counts) == 400


def test_a_failure_says_how_far_it_got(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """Batches before a failure are committed, and counted in the error."""
    rows.insert_instances(cell_engine, 250, vm_state="error")
    batches = 0

    def failing(
        connection: sa.Connection,
        _cursor: Any,
        sql: str,
        parameters: Any,
        *_: Any,
    ) -> tuple[str, Any]:
        nonlocal batches
        if connection.engine is not cell_engine and sql.startswith("UPDATE"):
            batches += 1
            if batches == 3:
                return "UPDATE no_such_table SET x = 1", ()
        return sql, parameters

    sa.event.listen(sa.Engine, "before_cursor_execute", failing, retval=True)
    try:
        with pytest.raises(exceptions.PartialUpdate) as caught:
            api.instances_update(
                context, {"progress": 1}, expected_vm_state="error"
            )
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", failing)
    assert caught.value.changed_so_far == 200
    assert caught.value.in_doubt == 0
    assert "200 rows are changed" in str(caught.value)
    assert len(changed(cell_engine)) == 200
    assert (
        api.instances_update(
            context,
            {"progress": 1},
            expected_vm_state="error",
            expected={"progress": None},
        )
        == 50
    )
