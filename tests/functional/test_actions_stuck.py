# SPDX-License-Identifier: Apache-2.0
"""Servers that have been in the middle of something for too long."""

from collections.abc import Callable
import datetime
from typing import Any, Final

from oslo_utils import timeutils
import sqlalchemy as sa

from nova_db_states import actions
from nova_db_states import api
from nova_db_states import machine
from nova_db_states import migrations
from tests.resources import actors
from tests.resources import rows

INDEX: Final = "nova_db_states_deleted_vm_state_task_state"


def ago(seconds: float) -> datetime.datetime:
    """Give a time in the past, in whole seconds as MySQL keeps it."""
    then = timeutils.utcnow() - datetime.timedelta(seconds=seconds)
    return then.replace(microsecond=0)


def test_each_state_has_its_time(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """What is older than the map gives its state is found, the oldest first.

    A state that a server may stay in is never stuck, however old.
    """
    expected = []
    for number, state in enumerate(machine.MAP.states):
        columns = {"vm_state": state.vm_state, "task_state": state.task_state}
        limit = machine.max_age_s(state)
        if limit is None:
            rows.insert_instance(cell_engine, **columns, updated_at=ago(10**8))
            continue
        rows.insert_instance(
            cell_engine, **columns, updated_at=ago(limit - 30)
        )
        # Not all of one age, so that there is an order.
        since = ago(limit + 10 + 2 * number)
        instance = rows.insert_instance(
            cell_engine, **columns, updated_at=since, host=f"host{number}"
        )
        expected.append((since, instance, f"host{number}", *state, limit))
    found = actions.stuck(context)
    assert [
        (
            one.since,
            one.instance_uuid,
            one.host,
            one.vm_state,
            one.task_state,
            one.max_age_s,
        )
        for one in found
    ] == sorted(expected)
    now = timeutils.utcnow()
    for one in found:
        age = (now - one.since).total_seconds()
        assert age - 30 < one.age_s <= age + 2
        assert "reset-state" in one.allowed_actions


def test_rows_that_nothing_leads_to(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """Damaged rows are found as well; nobody is working on these."""
    states = [
        (None, None),
        (None, "spawning"),
        ("shelved", "rebooting"),
        ("active", "daydreaming"),
        ("dreaming", "spawning"),
    ]
    for vm_state, task_state in states:
        rows.insert_instance(
            cell_engine,
            vm_state=vm_state,
            task_state=task_state,
            updated_at=ago(10**6),
        )
    found = {
        (one.vm_state, one.task_state): one.allowed_actions
        for one in actions.stuck(context)
    }
    assert found.keys() == set(states)
    assert found["active", "daydreaming"] == ()
    assert "delete" in found["shelved", "rebooting"]


def test_the_age_counts_from_the_row_where_it_was_never_updated(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """Nova sets no updated_at when it makes a row."""
    since = ago(10**6)
    stuck = rows.insert_instance(
        cell_engine,
        vm_state="building",
        task_state="scheduling",
        created_at=since,
    )
    rows.insert_instance(
        cell_engine, vm_state="building", task_state="scheduling"
    )
    [one] = actions.stuck(context)
    assert (one.instance_uuid, one.since) == (stuck, since)


def test_who_is_left_out(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """Deleted rows and hidden copies. No time at all is infinitely old."""
    old = {"task_state": "deleting", "updated_at": ago(10**6)}
    stuck = rows.insert_instance(cell_engine, **old)
    rows.insert_instance(cell_engine, **old, deleted=7)
    rows.insert_instance(cell_engine, **old, hidden=True)
    unset = rows.insert_instance(cell_engine, **old, hidden=None)
    never = rows.insert_instance(
        cell_engine, task_state="deleting", created_at=None
    )
    first, *others = actions.stuck(context)
    assert (first.uuid, first.since, first.age_s) == (never, None, None)
    assert {one.instance_uuid for one in others} == {stuck, unset}
    # What is found can be handed on.
    actors.API().delete(context, others[0])


def test_an_age_of_the_callers_own(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """It holds for every state; the map's is told all the same."""
    young = rows.insert_instance(
        cell_engine, task_state="migrating", updated_at=ago(20)
    )
    older = rows.insert_instance(
        cell_engine, task_state="deleting", updated_at=ago(40)
    )
    assert actions.stuck(context) == ()
    assert [
        one.instance_uuid for one in actions.stuck(context, older_than_s=10)
    ] == [older, young]
    [one] = actions.stuck(context, 30.5)
    assert (one.instance_uuid, one.max_age_s) == (older, 3600)


def test_a_projects_own(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """An ordinary user sees the servers of the own project."""
    old = {"task_state": "deleting", "updated_at": ago(10**6)}
    mine = rows.insert_instance(cell_engine, **old, project_id="mine")
    rows.insert_instance(cell_engine, **old, project_id="yours")
    user: Any = context
    user.is_admin, user.user_id, user.project_id = False, "u", "mine"
    [one] = actions.stuck(context)
    assert one.instance_uuid == mine


def test_inside_a_transaction(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """It sees what that has written."""
    instance = rows.insert_instance(cell_engine, task_state="deleting")
    with context.begin():
        api.instance_update(context, instance, {"updated_at": ago(10**6)})
        [one] = actions.stuck(context)
    assert one.instance_uuid == instance


def test_the_clock_is_the_servers(
    mariadb_cell_url: str,
    mariadb_engine: sa.Engine,
    connect: Callable[..., api.CellContext],
) -> None:
    """What this host takes for the time does not matter."""
    instance = rows.insert_instance(
        mariadb_engine, task_state="deleting", updated_at=ago(0)
    )
    now = timeutils.utcnow(with_timezone=True).timestamp()
    ahead = connect(mariadb_cell_url, f"timestamp = {int(now) + 10**6}")
    [one] = actions.stuck(ahead)
    assert one.instance_uuid == instance
    assert abs(one.age_s - 10**6) < 60


def test_the_index_is_used(nova_mariadb_url: str) -> None:
    """Few rows are read, of however many that rest."""
    engine = sa.create_engine(nova_mariadb_url)
    migrations.upgrade(engine)
    for vm_state in ("active", "stopped", "error", "shelved_offloaded"):
        rows.insert_instances(
            engine, 5_000, vm_state=vm_state, updated_at=ago(10**6)
        )
    for task_state in ("deleting", "spawning", "rebooting"):
        rows.insert_instances(
            engine, 10, task_state=task_state, updated_at=ago(10**6)
        )
    rows.insert_instances(
        engine, 10, vm_state="building", updated_at=ago(10**6)
    )
    context = api.connect(nova_mariadb_url)
    asked: list[tuple[str, Any]] = []

    def note(
        _: object, __: object, sql: str, values: Any, *___: object
    ) -> None:
        if sql.startswith("SELECT instances.uuid"):
            asked.append((sql, values))

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        assert len(actions.stuck(context)) == 40
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)
    context.close()
    [(sql, values)] = asked
    with engine.connect() as connection:
        connection.exec_driver_sql("ANALYZE TABLE instances")
        explained = connection.exec_driver_sql(f"EXPLAIN {sql}", values)
        [plan] = explained.mappings().all()
        connection.exec_driver_sql("FLUSH STATUS")
        connection.exec_driver_sql(sql, values).all()
        status = connection.exec_driver_sql(
            "SHOW SESSION STATUS LIKE 'Handler_read%%'"
        )
        read = sum(int(count) for _, count in status)
    engine.dispose()
    assert (plan["key"], plan["type"]) == (INDEX, "range")
    assert int(plan["rows"]) < 200
    assert read < 200
