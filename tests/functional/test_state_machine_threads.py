# SPDX-License-Identifier: Apache-2.0
"""Threads on one row: what they did adds up to one path of the map."""

import collections
import contextlib
import random
from typing import Any, Final

import pytest
import sqlalchemy as sa

from nova_db_states import api
from nova_db_states import exceptions
from nova_db_states import machine
from tests.functional import test_races
from tests.resources import rows

_WORKERS: Final = 4
_ATTEMPTS: Final = 60
_RARELY: Final = frozenset(
    {"delete", "soft_delete", "reclaim (periodic)", "reset-state"}
)


def _choice(
    chance: random.Random, at: machine.State
) -> machine.Transition | None:
    """Choose an edge out of a state; what ends a server comes rarely."""
    edges = [
        edge
        for edge in machine.MAP.leaving.get(at, ())
        if edge.write.event is machine.Event.UPDATE and edge.to != at
    ]
    usual = [edge for edge in edges if edge.action not in _RARELY]
    if usual and chance.random() < 0.95:
        edges = usual
    return chance.choice(edges) if edges else None


def _work(
    context: api.CellContext, uuid: str, chance: random.Random
) -> list[machine.Transition]:
    """Try edge after edge, each from what was last seen; give those made."""
    made: list[machine.Transition] = []
    at = machine.State(*api.instance_check(context, uuid))
    for _ in range(_ATTEMPTS):
        edge = _choice(chance, at)
        if edge is None:
            break
        try:
            api.instance_update(
                context,
                uuid,
                {
                    "vm_state": edge.to.vm_state,
                    "task_state": edge.to.task_state,
                },
                expected_vm_state=edge.from_.vm_state,
                expected_task_state=edge.from_.task_state,
            )
        except exceptions.InstanceUpdateConflict as conflict:
            at = machine.State(*(conflict.state or at))
        else:
            made.append(edge)
            at = edge.to
    return made


def _is_one_path(
    edges: list[machine.Transition], start: machine.State, end: machine.State
) -> bool:
    """Say whether edges, in some order, lead from one state to another.

    They do if every state is left as often as it is entered, but for the
    first and the last, and if all of them hang together.
    """
    balance = collections.Counter({start: 1})
    balance.subtract({end: 1})
    for edge in edges:
        balance[edge.from_] -= 1
        balance[edge.to] += 1
    reached, new = {start}, [start]
    while new:
        at = new.pop()
        for edge in edges:
            if edge.from_ == at and edge.to not in reached:
                reached.add(edge.to)
                new.append(edge.to)
    return not any(balance.values()) and all(
        edge.from_ in reached for edge in edges
    )


@pytest.mark.parametrize("seed", range(4))
def test_the_history_is_a_path_of_the_map(
    cell_url: str, cell_engine: sa.Engine, seed: int
) -> None:
    """Whoever wins which step: together they walked one way, edge by edge."""
    start = machine.State("active", None)
    uuid = rows.insert_instance(cell_engine)
    with contextlib.ExitStack() as stack:
        contexts = [api.connect(cell_url) for _ in range(_WORKERS)]
        for context in contexts:
            stack.callback(context.close)

        def body(number: int) -> Any:
            chance = random.Random(seed * _WORKERS + number)
            return _work(contexts[number], uuid, chance)

        made = test_races.race(_WORKERS, body)
    row = rows.read_instance(cell_engine, uuid)
    end = machine.State(row["vm_state"], row["task_state"])  # type: ignore[arg-type]
    history = [edge for edges in made for edge in edges]
    assert sum(map(bool, made)) > 1, "no two threads met"
    assert _is_one_path(history, start, end)
    for edge in history:
        assert machine.is_allowed(edge.from_, edge.to, action=edge.action)


@pytest.mark.parametrize("seed", range(3))
def test_a_claim_has_one_winner_whatever_else_goes_on(
    cell_url: str, cell_engine: sa.Engine, seed: int
) -> None:
    """Of claims of several actions from one state, exactly one is applied."""
    claims = [
        edge
        for edge in machine.MAP.leaving[machine.State("active", None)]
        if edge.write.change.to_vm is None
        and edge.to.task_state not in {None, "deleting", "soft-deleting"}
        and edge.path is machine.Path.SUCCESS
    ]
    chance = random.Random(seed)
    contexts = [api.connect(cell_url) for _ in range(_WORKERS)]
    for _ in range(10):
        uuid = rows.insert_instance(cell_engine)
        wanted = [chance.choice(claims) for _ in range(_WORKERS)]

        def claim(
            number: int,
            uuid: str = uuid,
            wanted: list[machine.Transition] = wanted,
        ) -> Any:
            change = wanted[number].write.change
            try:
                api.instance_update(
                    contexts[number],
                    uuid,
                    {"task_state": wanted[number].to.task_state},
                    expected_vm_state=change.from_vm,
                    expected_task_state=None,
                )
            except exceptions.UnexpectedTaskStateError as conflict:
                return conflict.actual["task_state"]
            return "won"

        results = test_races.race(_WORKERS, claim)
        (winner,) = (at for at, got in enumerate(results) if got == "won")
        task = wanted[winner].to.task_state
        assert results.count(task) == _WORKERS - 1
        assert rows.read_instance(cell_engine, uuid)["task_state"] == task
    for context in contexts:
        context.close()


def test_two_ways_are_not_one_path() -> None:
    """The judgement of a history sees a lost update and a second winner."""
    pause, paused, unpause, unpaused = (
        machine.MAP.leaving[machine.State(*at)]
        for at in (
            ("active", None),
            ("active", "pausing"),
            ("paused", None),
            ("paused", "unpausing"),
        )
    )
    way = [
        next(
            edge
            for edge in edges
            if edge.action == name and edge.path is machine.Path.SUCCESS
        )
        for edges, name in (
            (pause, "pause"),
            (paused, "pause"),
            (unpause, "unpause"),
            (unpaused, "unpause"),
        )
    ]
    active, paused_ = machine.State("active", None), way[1].to
    assert _is_one_path(way, active, active)
    assert _is_one_path(way[::-1], active, active)
    assert _is_one_path(way[:2], active, paused_)
    assert not _is_one_path(way[:2], active, active)
    assert not _is_one_path([*way[:2], way[0]], active, paused_)
    assert not _is_one_path(way[2:], active, active)
    assert not _is_one_path([*way[:2], *way[2:], *way[2:]], active, active)
