# SPDX-License-Identifier: Apache-2.0
"""A precondition judged by one read: as an update would judge it."""

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from nova_db_states import api
from nova_db_states import exceptions
from nova_db_states import states
from tests.resources import rows

ABSENT = "11111111-2222-3333-4444-555555555555"


def test_what_holds_is_answered_with_the_state(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """The answer is the state, and the row is left as it is."""
    instance = rows.insert_instance(cell_engine)
    before = rows.read_instance(cell_engine, instance)
    found = api.instance_check(
        context,
        instance,
        expected_vm_state=["active", "error"],
        expected_task_state=None,
        expected={"host": "compute1"},
    )
    assert found == ("active", None)
    assert rows.read_instance(cell_engine, instance) == before


@pytest.mark.parametrize(
    ("expectations", "kind"),
    [
        (
            {"expected_task_state": None},
            exceptions.UnexpectedDeletingTaskStateError,
        ),
        (
            {"expected_vm_state": states.Not("active")},
            exceptions.UnexpectedVMStateError,
        ),
        (
            {"expected": {"launched_at": states.Not(None)}},
            exceptions.InstanceUpdateConflict,
        ),
    ],
)
def test_what_does_not_hold_is_raised(
    context: api.CellContext,
    cell_engine: sa.Engine,
    expectations: dict[str, Any],
    kind: type[exceptions.InstanceUpdateConflict],
) -> None:
    """The classes are those of an update, and so are the facts."""
    instance = rows.insert_instance(cell_engine, task_state="deleting")
    with pytest.raises(exceptions.InstanceUpdateConflict) as caught:
        api.instance_check(context, instance, **expectations)
    assert type(caught.value) is kind
    assert "is not as expected: " in str(caught.value)
    assert caught.value.state == ("active", "deleting")
    assert caught.value.allowed_actions == ()


def test_rows_that_the_context_does_not_see(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """Missing and deleted rows are not found; read_deleted finds them."""
    deleted = rows.insert_instance(cell_engine, deleted=7)
    for instance in (ABSENT, deleted):
        with pytest.raises(exceptions.InstanceNotFound):
            api.instance_check(context, instance)
    context.read_deleted = "yes"
    assert api.instance_check(context, deleted) == ("active", None)


def test_inside_a_transaction_it_sees_the_present_and_holds_it(
    mariadb_context: api.CellContext,
    mariadb_engine: sa.Engine,
    connect: Callable[..., api.CellContext],
    mariadb_cell_url: str,
) -> None:
    """A snapshot does not deceive it, and nobody changes the row after it."""
    instance = rows.insert_instance(mariadb_engine)
    other = connect(mariadb_cell_url, "innodb_lock_wait_timeout = 1")
    with mariadb_context.begin() as connection:
        connection.execute(sa.text("SELECT count(*) FROM instances"))
        api.instance_update(other, instance, {"vm_state": "error"})
        with pytest.raises(exceptions.UnexpectedVMStateError):
            api.instance_check(
                mariadb_context, instance, expected_vm_state="active"
            )
        found = api.instance_check(mariadb_context, instance)
        assert found == ("error", None)
        with other.begin() as late:
            blocked = late.execute(
                sa.text(
                    "SELECT uuid FROM instances WHERE uuid = :uuid"
                    " FOR UPDATE SKIP LOCKED"
                ),
                {"uuid": instance},
            ).all()
        assert blocked == []
    api.instance_update(other, instance, {"vm_state": "active"})


def test_inside_a_transaction_it_sees_what_that_wrote(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """The caller's own changes count before they are committed."""
    instance = rows.insert_instance(cell_engine)
    with context.begin():
        api.instance_update(context, instance, {"task_state": "rebuilding"})
        found = api.instance_check(
            context, instance, expected_task_state="rebuilding"
        )
    assert found == ("active", "rebuilding")
