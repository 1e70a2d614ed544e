# SPDX-License-Identifier: Apache-2.0
"""From the map to guarded updates: products of states, and ways."""

from collections.abc import Iterator
import pathlib

import pytest
import sqlalchemy as sa

from nova_db_states import api
from nova_db_states import exceptions
from nova_db_states import machine
from nova_db_states import states
from nova_db_states import tables
from nova_db_states._actions import holding
from nova_db_states._actions import moves
from nova_db_states._actions import plans
from nova_db_states.machine import model
from tests.resources import actors

Cell = tuple[api.CellContext, sa.Engine]
State = machine.State


@pytest.fixture
def cell(tmp_path: pathlib.Path) -> Iterator[Cell]:
    """Give an empty cell on SQLite, and a context on it."""
    url = f"sqlite:///{tmp_path}/cell.db"
    engine = sa.create_engine(url)
    tables.metadata.create_all(engine)
    context = api.connect(url)
    yield context, engine
    context.close()
    engine.dispose()


def _span(*texts: str) -> set[State]:
    return {machine.state(text) for text in texts}


def test_guards_of_a_product() -> None:
    """One pair of expectations; all of a column's values are none at all."""
    [(vm_state, task_state, admitted)] = moves.guards_of(
        _span("active", "error", "active/spawning", "error / spawning")
    )
    assert (vm_state, task_state) == (("active", "error"), (None, "spawning"))
    assert len(admitted) == 4
    every = {
        State(vm, task)
        for vm in (*states.VMState, None)
        for task in (*states.TaskState, None)
        if task != "deleting"
    }
    [(vm_state, task_state, admitted)] = moves.guards_of(every)
    assert vm_state is states.ANY
    assert task_state == states.Not("deleting")
    assert admitted == every


def test_guards_of_what_is_no_product() -> None:
    """As many as it takes, which admit these states and no others."""
    span = _span("active / spawning", "error / spawning", "building")
    found = moves.guards_of(span)
    assert [(vm, task) for vm, task, _ in found] == [
        (("active", "error"), ("spawning",)),
        (("building",), (None,)),
    ]
    assert set().union(*(admitted for *_, admitted in found)) == span
    assert moves.shown(span) == "active|error / spawning or building / NULL"
    assert moves.shown(_span("NULL / deleting")) == "NULL / deleting"


def test_moves_write_no_vm_state_that_stays() -> None:
    """What keeps its vm_state shares an update; the rest has its own."""
    changes = {
        State("active", "resuming"): State("active", None),
        State("paused", "resuming"): State("paused", None),
        State("error", "resuming"): State("active", None),
    }
    kept, written = sorted(moves.leading(changes), key=lambda m: len(m.values))
    assert kept.values == {"task_state": None}
    assert kept.vm_state == ("paused",)
    assert written.values == {"task_state": None, "vm_state": "active"}
    assert written.vm_state == ("active", "error")
    del changes[State("error", "resuming")]
    [both] = moves.leading(changes)
    assert both.vm_state == ("active", "paused")
    assert both.targets == _span("active", "paused")


def test_moves_to_several_tasks_are_several() -> None:
    """Each row gets the task that is meant for it."""
    found = moves.leading(
        {
            State("active", "resize_prep"): State("error", "resize_prep"),
            State("active", "resize_finish"): State("error", "resize_finish"),
        }
    )
    assert {
        (move.task_state, move.values["task_state"], move.values["vm_state"])
        for move in found
    } == {
        (("resize_prep",), "resize_prep", "error"),
        (("resize_finish",), "resize_finish", "error"),
    }


def test_the_move_that_fits_is_made(cell: Cell) -> None:
    """Where one update cannot say it, the row decides which it is."""
    context, engine = cell
    choices = moves.leading(
        {
            State("active", "resuming"): State("active", None),
            State("error", "spawning"): State("paused", None),
        }
    )
    assert len(choices) == 2
    for before, after in (
        ({"vm_state": "active", "task_state": "resuming"}, "active"),
        ({"vm_state": "error", "task_state": "spawning"}, "paused"),
    ):
        instance = actors.insert(engine, **before)
        held = holding.Holding(context, instance, frozenset())
        made = held.make(choices, {"progress": 3})
        assert made["task_state"] is None
        assert held.states == _span(after)
        assert actors.state_of(engine, instance) == (after, None)
    instance = actors.insert(engine, vm_state="error", task_state="resuming")
    with pytest.raises(exceptions.InstanceUpdateConflict):
        holding.Holding(context, instance, frozenset()).make(choices, {})


def test_defects_are_no_way() -> None:
    """What Nova writes and should not is neither a start nor a step."""
    plan = plans.Plan(
        model.Action(
            "try",
            "Try something.",
            "active|error / NULL",
            "f.py:f",
            (
                model.step("active / NULL -> = / pausing", "f.py:f"),
                model.step(
                    "error / NULL -> = / pausing", "f.py:f", defect="x"
                ),
                model.step("active / pausing -> paused / NULL", "f.py:g"),
                model.step(
                    "active / pausing -> stopped / NULL",
                    "f.py:g",
                    when="it is off",
                ),
                model.step(
                    "active / pausing -> error / NULL", "f.py:g", defect="x"
                ),
                model.fails(
                    "active / pausing -> = / NULL", "f.py:g", defect="x"
                ),
            ),
        )
    )
    begun = State("active", "pausing")
    assert plan.beginning() == {State("active", None): {begun}}
    assert not plan.uncovered()
    assert plan.begun("pausing") == {begun}
    assert plan.usual_ends(begun) == _span("paused")
    assert plan.ends(begun) == _span("paused", "stopped")
    assert plan.giving_up(begun) is None
