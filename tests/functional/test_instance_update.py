# SPDX-License-Identifier: Apache-2.0
"""One instance, one guarded update: the contract, on every backend."""

import datetime
from typing import Any
import uuid

from oslo_utils import timeutils
import pytest
import sqlalchemy as sa

from nova_db_states import api
from nova_db_states import exceptions
from nova_db_states import states
from tests.resources import rows


def test_applied(context: api.CellContext, cell_engine: sa.Engine) -> None:
    """A row that is as expected is changed, and only in what was asked."""
    instance = rows.insert_instance(cell_engine, host="c1")
    before = rows.read_instance(cell_engine, instance)
    result = api.instance_update(
        context,
        instance,
        {"task_state": "powering-off", "progress": 5},
        expected_vm_state=["active", "error"],
        expected_task_state=None,
    )
    assert result is None
    after = rows.read_instance(cell_engine, instance)
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"task_state", "progress", "updated_at"}
    assert after["task_state"] == "powering-off"


def test_updated_at_is_the_writers_clock(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """updated_at is set to now in UTC, unless the caller gives it."""
    instance = rows.insert_instance(cell_engine)
    now = timeutils.utcnow()
    api.instance_update(context, instance, {"progress": 1})
    written = rows.read_instance(cell_engine, instance)["updated_at"]
    assert abs(written - now) < datetime.timedelta(seconds=10)
    given = datetime.datetime(2020, 2, 3, tzinfo=datetime.UTC)
    api.instance_update(context, instance, {"updated_at": given})
    assert rows.read_instance(cell_engine, instance)[
        "updated_at"
    ] == given.replace(tzinfo=None)


def test_updated_at_is_left_alone(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """Without touch only what is asked for changes, which may be nothing."""
    then = datetime.datetime(2020, 2, 3)
    instance = rows.insert_instance(cell_engine, updated_at=then, progress=1)
    before = rows.read_instance(cell_engine, instance)
    api.instance_update(
        context, instance, {}, expected_vm_state="active", touch=False
    )
    assert rows.read_instance(cell_engine, instance) == before
    api.instance_update(context, instance, {"progress": 2}, touch=False)
    assert rows.read_instance(cell_engine, instance) == {
        **before,
        "progress": 2,
    }
    given = datetime.datetime(2021, 2, 3)
    api.instance_update(context, instance, {"updated_at": given}, touch=False)
    row = rows.read_instance(cell_engine, instance)
    assert row["updated_at"] == given


def test_nothing_is_written_and_yet_refused(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """An update without values judges, and explains, as any other does."""
    instance = rows.insert_instance(cell_engine, task_state="deleting")
    with pytest.raises(exceptions.UnexpectedDeletingTaskStateError) as caught:
        api.instance_update(
            context, instance, {}, expected_task_state=None, touch=False
        )
    assert caught.value.actual == {"task_state": "deleting"}
    with pytest.raises(exceptions.InvalidUpdate, match="at least one column"):
        api.instance_update(context, instance, {}, expected_task_state=None)


def test_an_update_that_changes_nothing_is_applied(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """Matched rows count, not changed ones."""
    now = timeutils.utcnow().replace(microsecond=0)
    instance = rows.insert_instance(cell_engine, updated_at=now, host="c1")
    api.instance_update(
        context,
        instance,
        {"host": "c1", "updated_at": now},
        expected={"host": "c1"},
    )


@pytest.mark.parametrize(
    ("row", "expectations", "kind", "expected", "actual"),
    [
        (
            {"task_state": "deleting"},
            {"expected_task_state": None},
            exceptions.UnexpectedDeletingTaskStateError,
            {"task_state": (None,)},
            {"task_state": "deleting"},
        ),
        (
            {"task_state": "spawning"},
            {"expected_task_state": states.Not("spawning", None)},
            exceptions.UnexpectedTaskStateError,
            {"task_state": states.Not("spawning", None)},
            {"task_state": "spawning"},
        ),
        (
            {"task_state": None},
            {"expected_task_state": "spawning", "expected_vm_state": "active"},
            exceptions.UnexpectedTaskStateError,
            {"task_state": ("spawning",)},
            {"task_state": None},
        ),
        (
            {"vm_state": "error"},
            {
                "expected_vm_state": ["active", None],
                "expected_task_state": None,
            },
            exceptions.UnexpectedVMStateError,
            {"vm_state": ("active", None)},
            {"vm_state": "error"},
        ),
        (
            {"vm_state": "error", "task_state": "deleting", "host": "c2"},
            {
                "expected_vm_state": "active",
                "expected_task_state": "spawning",
                "expected": {"host": "c1", "node": "n1"},
            },
            exceptions.UnexpectedDeletingTaskStateError,
            {
                "vm_state": ("active",),
                "task_state": ("spawning",),
                "host": ("c1",),
            },
            {"vm_state": "error", "task_state": "deleting", "host": "c2"},
        ),
        (
            {"host": None},
            {"expected": {"host": ["c1", "c2"]}},
            exceptions.InstanceUpdateConflict,
            {"host": ("c1", "c2")},
            {"host": None},
        ),
    ],
)
def test_refused(
    context: api.CellContext,
    cell_engine: sa.Engine,
    row: dict[str, Any],
    expectations: dict[str, Any],
    kind: type[exceptions.InstanceUpdateConflict],
    expected: dict[str, Any],
    actual: dict[str, Any],
) -> None:
    """The loser is told, per field, what was expected and what is there."""
    instance = rows.insert_instance(cell_engine, **{"node": "n1", **row})
    before = rows.read_instance(cell_engine, instance)
    with pytest.raises(exceptions.InstanceUpdateConflict) as caught:
        api.instance_update(
            context, instance, {"task_state": "rebooting"}, **expectations
        )
    assert type(caught.value) is kind
    assert caught.value.instance_uuid == instance
    assert caught.value.expected == expected
    assert caught.value.actual == actual
    assert instance in str(caught.value)
    for value in actual.values():
        assert ("NULL" if value is None else repr(value)) in str(caught.value)
    assert rows.read_instance(cell_engine, instance) == before


def test_never_existed(context: api.CellContext) -> None:
    """A uuid that no row has is not found, and that is no conflict."""
    with pytest.raises(exceptions.InstanceNotFound, match="no such row"):
        api.instance_update(
            context, uuid.uuid4(), {"progress": 1}, expected_vm_state="active"
        )


def test_deleted_rows_are_out_of_sight(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """A deleted server is not found, and the message says that it was."""
    gone = rows.insert_instance(
        cell_engine,
        deleted=7,
        deleted_at=datetime.datetime(2026, 1, 2),
    )
    with pytest.raises(
        exceptions.InstanceNotFound, match="deleted at 2026-01-02"
    ):
        api.instance_update(context, gone, {"progress": 1})


def test_read_deleted(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """The context's read_deleted decides which rows may be changed."""
    gone = rows.insert_instance(cell_engine, deleted=7)
    live = rows.insert_instance(cell_engine)
    context.read_deleted = "yes"
    api.instance_update(context, gone, {"progress": 1})
    api.instance_update(context, live, {"progress": 1})
    context.read_deleted = "only"
    api.instance_update(context, gone, {"progress": 2})
    with pytest.raises(exceptions.InstanceNotFound, match="not deleted"):
        api.instance_update(context, live, {"progress": 2})
    context.read_deleted = "maybe"
    with pytest.raises(exceptions.InvalidContext, match="'maybe'"):
        api.instance_update(context, live, {"progress": 3})
    assert rows.read_instance(cell_engine, gone)["progress"] == 2
    assert rows.read_instance(cell_engine, live)["progress"] == 1


class User:
    """A context of an ordinary user, as Nova's RequestContext has it."""

    def __init__(self, context: api.CellContext, project_id: str) -> None:
        self.db_connection = context.db_connection
        self.is_admin = False
        self.user_id: str | None = "user"
        self.project_id = project_id


def test_an_ordinary_user_sees_own_rows_only(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """Another project's server is not found, and nothing of it is told."""
    instance = rows.insert_instance(cell_engine, project_id="mine")
    api.instance_update(User(context, "mine"), instance, {"progress": 1})
    with pytest.raises(exceptions.InstanceNotFound) as caught:
        api.instance_update(User(context, "yours"), instance, {"progress": 2})
    assert "active" not in str(caught.value)
    # Without a user it is a service's context, as in Nova.
    service = User(context, "yours")
    service.user_id = None
    api.instance_update(service, instance, {"launch_index": 3})
    admin = User(context, "yours")
    admin.is_admin = True
    api.instance_update(admin, instance, {"progress": 3})
    assert rows.read_instance(cell_engine, instance)["progress"] == 3


def test_returning(context: api.CellContext, cell_engine: sa.Engine) -> None:
    """The columns asked for are those of the row after the update."""
    instance = rows.insert_instance(cell_engine, host="c1", progress=1)
    result = api.instance_update(
        context,
        instance,
        {"task_state": "spawning"},
        expected_task_state=None,
        returning=(name for name in ("host", "task_state", "host")),
    )
    assert result == {"host": "c1", "task_state": "spawning"}
    with pytest.raises(exceptions.UnexpectedTaskStateError):
        api.instance_update(
            context,
            instance,
            {"task_state": "networking"},
            expected_task_state=None,
            returning=["host"],
        )
    assert (
        rows.read_instance(cell_engine, instance)["task_state"] == "spawning"
    )
