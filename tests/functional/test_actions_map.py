# SPDX-License-Identifier: Apache-2.0
"""Every action of the map: where it can be claimed, and how it is given up."""

from collections.abc import Iterator
import pathlib
from typing import Any, Final

import pytest
import sqlalchemy as sa

from nova_db_states import actions
from nova_db_states import api
from nova_db_states import exceptions
from nova_db_states import machine
from nova_db_states import tables
from nova_db_states.machine import notation
from tests.resources import actors
from tests.resources import rows

Cell = tuple[api.CellContext, sa.Engine]

_ACTIONS: Final = machine.MAP.actions


def _claim(name: str) -> Any:
    """Make a method that claims an action and does nothing."""

    @actions.instance_action(name)
    def begin(context: object, instance: object) -> str:
        del context, instance
        return "begun"

    return begin


def _claimable() -> list[str]:
    names = []
    for name in _ACTIONS:
        try:
            _claim(name)
        except exceptions.InvalidRequest:
            continue
        names.append(name)
    return names


_CLAIMABLE: Final = _claimable()


@pytest.fixture
def cell(tmp_path: pathlib.Path) -> Iterator[Cell]:
    """Give an empty cell, and a context on it."""
    url = f"sqlite:///{tmp_path}/cell.db"
    engine = sa.create_engine(url)
    tables.metadata.create_all(engine)
    context = api.connect(url)
    yield context, engine
    context.close()
    engine.dispose()


def _insert_each(
    engine: sa.Engine, states: list[machine.State]
) -> dict[str, machine.State]:
    found = {}
    made = [
        rows.instance_values(
            vm_state=state.vm_state,
            task_state=state.task_state,
            launched_at=actors.LAUNCHED,
        )
        for state in states
    ]
    with engine.begin() as connection:
        connection.execute(sa.insert(tables.instances), made)
    for row, state in zip(made, states, strict=True):
        found[str(row["uuid"])] = state
    return found


def _read_all(engine: sa.Engine) -> dict[str, machine.State]:
    c = tables.instances.c
    with engine.connect() as connection:
        return {
            row.uuid: machine.State(row.vm_state, row.task_state)
            for row in connection.execute(
                sa.select(c.uuid, c.vm_state, c.task_state)
            )
        }


def test_every_action_that_users_begin_by_a_task_can_be_claimed() -> None:
    """What cannot writes no task first, makes the row, or is two at once."""
    left = {
        name
        for name, action in _ACTIONS.items()
        if action.kind in {machine.Kind.USER, machine.Kind.ADMIN}
        and name not in _CLAIMABLE
    }
    for name in left:
        edges = [edge for edge in machine.transitions() if edge.action == name]
        begun = [
            edge
            for edge in edges
            if edge.path is machine.Path.SUCCESS
            and _ACTIONS[name].admits(edge.from_)
            and edge.to.task_state not in {None, edge.from_.task_state}
        ]
        assert name == "boot" or not begun, name
    assert {"delete", "soft_delete", "stop", "evacuate"} <= {*_CLAIMABLE}


@pytest.mark.parametrize("name", _CLAIMABLE)
def test_it_is_claimed_where_it_starts_and_nowhere_else(
    cell: Cell, name: str
) -> None:
    """The map is asked edge by edge; the state it leads to is no start."""
    context, engine = cell
    begin = _claim(name)
    [task_state] = {
        edge.to.task_state
        for edge in machine.transitions()
        if edge.action == name and edge.write is _ACTIONS[name].writes[0]
    }
    servers = _insert_each(engine, list(machine.MAP.states))
    expected, found = {}, {}
    for instance, state in servers.items():
        after = machine.State(state.vm_state, task_state)
        allowed = (
            state != after
            and _ACTIONS[name].admits(state)
            and machine.is_allowed(state, after, action=name)
        )
        expected[instance] = after if allowed else state
        try:
            found[instance] = begin(context, instance)
        except exceptions.InstanceUpdateConflict as conflict:
            found[instance] = conflict.state
        assert found[instance] == ("begun" if allowed else state)
    assert _read_all(engine) == expected
    assert "begun" in found.values()


class Loud(Exception):
    """What only the tests raise."""


def _forward(name: str) -> list[machine.Transition]:
    """List the edges that a worker of an action goes along."""
    return [
        edge
        for edge in machine.transitions()
        if edge.action == name
        and edge.path is machine.Path.SUCCESS
        and edge.write.event is not machine.Event.DESTROY
    ]


def _entrances() -> list[tuple[str, str]]:
    return [
        (name, task)
        for name in _ACTIONS
        for task in dict.fromkeys(
            edge.to.task_state for edge in _forward(name)
        )
        if task is not None
    ]


def _before(name: str, task_state: str) -> list[machine.State]:
    """List the states that a worker with this task may find."""
    first = _ACTIONS[name].writes[0]
    edges = [
        edge for edge in _forward(name) if edge.to.task_state == task_state
    ]
    if any(edge.write is first for edge in edges):
        return [edge.to for edge in edges if edge.write is first]
    return [edge.from_ for edge in edges]


def _fail(work: actions.Task, entered: list[machine.State]) -> None:
    with work:
        entered.append(work.state)
        raise Loud


@pytest.mark.parametrize(("name", "task_state"), _entrances())
def test_it_is_given_up_as_declared(
    cell: Cell, name: str, task_state: str
) -> None:
    """A worker that fails at any task leaves what the map says, or a note."""
    context, engine = cell
    goal = _ACTIONS[name].on_failure or "= / NULL"
    servers = _insert_each(
        engine, list(dict.fromkeys(_before(name, task_state)))
    )
    assert servers
    for instance in servers:
        work = actions.task(context, instance, task_state, action=name)
        seen: list[machine.State] = []
        with pytest.raises(Loud) as caught:
            _fail(work, seen)
        [entered] = seen
        assert entered.task_state == task_state
        after = machine.State(*api.instance_check(context, instance))
        assert work.state == after
        notes = getattr(caught.value, "__notes__", [])
        if notes:
            assert not _ACTIONS[name].on_failure
            assert after == entered
            assert "the map declares no failure" in notes[0]
        else:
            ends = notation.parse(f"* / * -> {goal}").targets(entered)
            assert after in set(ends)
