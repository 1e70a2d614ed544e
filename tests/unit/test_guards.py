# SPDX-License-Identifier: Apache-2.0
"""Guards: one normal form, the same meaning in Python and in SQL."""

from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
import sqlalchemy as sa

from nova_db_states import exceptions
from nova_db_states import guards
from nova_db_states import states
from nova_db_states import tables
from nova_db_states._update import statement
from tests import strategies


@pytest.fixture(scope="module")
def every_pair() -> Iterator[sa.Connection]:
    """Give a table that holds every pair of states once."""
    engine = sa.create_engine("sqlite://")
    tables.metadata.create_all(engine)
    rows = [
        {
            "uuid": f"{vm}/{task}",
            "deleted": 0,
            "vm_state": vm,
            "task_state": task,
        }
        for vm in [*strategies.VM_STATES, None]
        for task in [*strategies.TASK_STATES, None]
    ]
    with engine.connect() as connection:
        connection.execute(sa.insert(tables.instances), rows)
        yield connection
    engine.dispose()


def matched(
    connection: sa.Connection, given: tuple[guards.Guard, ...]
) -> set[tuple[str | None, str | None]]:
    """Let the server judge guards; give the pairs of states that fit."""
    terms = [statement.GuardShape.of(guard).criterion() for guard in given]
    select = sa.select(
        tables.instances.c.vm_state, tables.instances.c.task_state
    ).where(sa.true(), *terms)
    found = connection.execute(select, statement.guard_parameters(given))
    return {(row.vm_state, row.task_state) for row in found}


@hypothesis.given(
    vm=strategies.expectations(strategies.vm_states),
    task=strategies.expectations(strategies.task_states),
)
def test_sql_means_what_the_model_says(
    every_pair: sa.Connection, vm: Any, task: Any
) -> None:
    """The server admits exactly the pairs of states that a caller means."""
    given = guards.normalise(vm, task)
    meant = {
        (vm_state, task_state)
        for vm_state in [*strategies.VM_STATES, None]
        for task_state in [*strategies.TASK_STATES, None]
        if strategies.model_admits(vm, vm_state)
        and strategies.model_admits(task, task_state)
    }
    assert matched(every_pair, given) == meant


@hypothesis.given(
    expectation=strategies.expectations(strategies.task_states),
    value=strategies.task_states,
)
def test_admits_means_what_the_model_says(
    expectation: Any, value: str | None
) -> None:
    """Guard.admits agrees with what a caller means."""
    admitted = all(
        guard.admits(value)
        for guard in guards.normalise(states.ANY, expectation)
    )
    assert admitted == strategies.model_admits(expectation, value)


@hypothesis.given(expectation=strategies.expectations(strategies.task_states))
def test_an_expectation_survives_its_normal_form(expectation: Any) -> None:
    """What a guard says was expected makes the same guard again."""
    for guard in guards.normalise(states.ANY, expectation):
        assert guards.normalise(states.ANY, guard.expectation) == (guard,)


def test_left_out_is_no_guard() -> None:
    """Without an expectation there is nothing to judge."""
    assert guards.normalise() == ()
    assert guards.normalise(expected={"host": states.ANY}) == ()


def test_order_is_fixed() -> None:
    """Two ways to write the same guards share one shape."""
    one = guards.normalise("active", None, {"node": "n", "host": "h"})
    other = guards.normalise("active", None, {"host": "h", "node": "n"})
    assert one == other
    assert [guard.column for guard in one] == [
        "vm_state",
        "task_state",
        "host",
        "node",
    ]


def test_a_generator_is_a_collection() -> None:
    """Any iterable but a string stands for its members."""
    (guard,) = guards.normalise(state for state in ("active", "error"))
    assert guard.values == ("active", "error")


def test_enum_members_become_plain_strings() -> None:
    """What reaches a driver, a log or an exception is Nova's string."""
    (guard,) = guards.normalise(states.VMState.ACTIVE)
    assert type(guard.values[0]) is str


@pytest.mark.parametrize(
    ("arguments", "kind", "says"),
    [
        ({"expected_vm_state": []}, exceptions.InvalidGuard, "empty"),
        (
            {"expected_vm_state": states.Not()},
            exceptions.InvalidGuard,
            "empty",
        ),
        (
            {"expected_vm_state": "Actve"},
            exceptions.InvalidState,
            "Did you mean 'active'",
        ),
        (
            {"expected_task_state": ["spawning", "soft_deleting"]},
            exceptions.InvalidState,
            "Did you mean 'soft-deleting'",
        ),
        (
            {"expected_vm_state": ["active", states.ANY]},
            exceptions.InvalidGuard,
            "ANY",
        ),
        (
            {"expected_vm_state": states.Not(states.Not("active"))},
            exceptions.InvalidGuard,
            "stand alone",
        ),
        (
            {"expected_vm_state": {"active": 1}},
            exceptions.InvalidGuard,
            "mapping",
        ),
        (
            {"expected": {"hostt": "h"}},
            exceptions.InvalidGuard,
            "Did you mean 'host'",
        ),
        ({"expected": {5: "h"}}, exceptions.InvalidGuard, "no column 5"),
        ({"expected": "host"}, exceptions.InvalidGuard, "not a mapping"),
        # Nothing that is falsy may pass for "no guard".
        ({"expected": []}, exceptions.InvalidGuard, "not a mapping"),
        ({"expected": ""}, exceptions.InvalidGuard, "not a mapping"),
        (
            {"expected": {"uuid": "server1"}},
            exceptions.InvalidGuard,
            "not the uuid",
        ),
        (
            {
                "expected_vm_state": "active",
                "expected": {"vm_state": "active"},
            },
            exceptions.InvalidGuard,
            "guarded twice",
        ),
        (
            {"expected": {"memory_mb": "512"}},
            exceptions.InvalidGuard,
            "of type str",
        ),
    ],
)
def test_refused(
    arguments: dict[str, Any], kind: type[Exception], says: str
) -> None:
    """What cannot be a guard is refused, with the value and a remedy."""
    with pytest.raises(kind, match=says):
        guards.normalise(**arguments)
