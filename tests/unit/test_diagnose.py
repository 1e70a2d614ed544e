# SPDX-License-Identifier: Apache-2.0
"""From a row to the exception: class, facts and message."""

import datetime
from typing import Any

import pytest

from nova_db_states import exceptions
from nova_db_states import guards
from nova_db_states import states
from nova_db_states._update import diagnose
from nova_db_states._update import statement

UUID = "2fd0c1c8-5b5e-4c0b-9d3a-0f4f9a1d7e11"


def row(**columns: Any) -> dict[str, Any]:
    """Make a row as the explaining read finds it."""
    return {
        "vm_state": "active",
        "task_state": None,
        "deleted": 0,
        "deleted_at": None,
        **columns,
    }


def explain(
    found: dict[str, Any] | None, *given: guards.Guard, **scope: Any
) -> exceptions.InstanceError | None:
    """Explain why an update under some guards matched no row."""
    return diagnose.explain(UUID, given, statement.Scope(**scope), found)


def test_a_row_that_fits_needs_no_explanation() -> None:
    """It changed back in the meantime: try again."""
    (guard,) = guards.normalise(expected_task_state=None)
    assert explain(row(fits_task_state=1), guard) is None


def test_the_servers_verdict_counts_and_not_pythons() -> None:
    """Equal to the server is equal, whatever Python makes of it."""
    (guard,) = guards.normalise(expected={"host": "c1"})
    assert explain(row(host="C1 ", fits_host=1), guard) is None


@pytest.mark.parametrize(
    ("task_state", "kind", "advice"),
    [
        (
            "deleting",
            exceptions.UnexpectedDeletingTaskStateError,
            "is being deleted: stop",
        ),
        (
            "soft-deleting",
            exceptions.UnexpectedTaskStateError,
            "Another operation was first",
        ),
        (
            None,
            exceptions.UnexpectedTaskStateError,
            "Another operation was first",
        ),
    ],
)
def test_the_task_decides_the_class(
    task_state: str | None, kind: type[Exception], advice: str
) -> None:
    """As in Nova: the task state first, and ``deleting`` by itself."""
    given = guards.normalise("active", "spawning")
    error = explain(
        row(task_state=task_state, fits_vm_state=0, fits_task_state=0), *given
    )
    assert type(error) is kind
    assert advice in str(error)


def test_the_message() -> None:
    """It says which, what was expected, what is there, and what to do."""
    given = guards.normalise(
        ["active", None], states.Not("deleting"), {"host": "c1"}
    )
    error = explain(
        row(
            vm_state="error",
            host=None,
            fits_vm_state=0,
            fits_task_state=1,
            fits_host=0,
        ),
        *given,
    )
    assert type(error) is exceptions.UnexpectedVMStateError
    assert str(error) == (
        f"Instance {UUID} was not changed: vm_state is 'error', expected "
        f"'active' or NULL, host is NULL, expected 'c1' (task_state NULL). "
        f"The server is no longer in the state this operation starts from: "
        f"read it again and decide anew."
    )
    assert error.expected == {"vm_state": ("active", None), "host": ("c1",)}
    assert error.actual == {"vm_state": "error", "host": None}
    assert error.state == ("error", None)
    assert error.allowed_actions == ()


@pytest.mark.parametrize(
    ("found", "scope", "says"),
    [
        (None, {}, "no such row. It never existed"),
        (None, {"project_id": "p1"}, "no such row in project p1"),
        (
            row(deleted=7, deleted_at=datetime.datetime(2026, 1, 2)),
            {},
            "deleted at 2026-01-02",
        ),
        (row(deleted=None), {}, "neither deleted nor not"),
        (row(), {"read_deleted": "only"}, "it is not deleted"),
    ],
)
def test_not_found(
    found: dict[str, Any] | None, scope: dict[str, Any], says: str
) -> None:
    """A row that the context cannot see is not found, and why is said."""
    (guard,) = guards.normalise(expected_task_state="spawning")
    if found is not None:
        found["fits_task_state"] = 0
    error = explain(found, guard, **scope)
    assert type(error) is exceptions.InstanceNotFound
    assert says in str(error)
    assert error.actual == {}
