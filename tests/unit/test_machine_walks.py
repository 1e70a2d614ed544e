# SPDX-License-Identifier: Apache-2.0
"""Random walks through the map: wherever they lead, the rules hold."""

import csv
import io
from typing import Final

import hypothesis
from hypothesis import strategies as st

from nova_db_states import machine
from nova_db_states.machine.render import csv as csv_
from nova_db_states.machine.render import parts
from tests import strategies

_MAP: Final = machine.MAP
_DELETES: Final = ("delete", "soft_delete")

_pairs = st.tuples(strategies.vm_states, strategies.task_states)

#: What the exported lines of the map allow, and to which action.
_EXPORTED: Final = {
    (
        *(
            (row[f"{end}_vm_state"] or None, row[f"{end}_task_state"] or None)
            for end in ("from", "to")
        ),
        row["action"],
    )
    for row in csv.DictReader(io.StringIO(csv_.render(parts.cut(_MAP))))
}
_EXPORTED_PAIRS: Final = {(before, after) for before, after, _ in _EXPORTED}


def _leaving(at: machine.State) -> list[machine.Transition]:
    return [
        edge
        for edge in _MAP.leaving.get(at, ())
        if edge.action != "reset-state"
    ]


def _walk(
    data: st.DataObject, start: machine.State
) -> list[machine.Transition]:
    """Follow edges of the map from a state, wherever chance leads."""
    way: list[machine.Transition] = []
    for _ in range(data.draw(st.integers(0, 30), label="steps")):
        edges = _leaving(way[-1].to if way else start)
        if not edges:
            break
        edge = data.draw(st.sampled_from(edges))
        if edge.write.event is machine.Event.DESTROY:
            break
        way.append(edge)
    return way


def _end(data: st.DataObject) -> machine.State:
    """Walk from somewhere to somewhere."""
    start = data.draw(st.sampled_from(_MAP.states), label="start")
    return next((edge.to for edge in reversed(_walk(data, start))), start)


@hypothesis.given(data=st.data())
def test_a_life_never_leaves_the_declared_states(data: st.DataObject) -> None:
    """From its boot a server is always in a state that the map knows."""
    at = machine.ABSENT
    for edge in _walk(data, at):
        assert edge.from_ == at
        at = edge.to
        assert at in _MAP.states
        assert machine.is_allowed(edge.from_, at, action=edge.action)
        assert machine.is_allowed(edge.from_, at) or edge.reserved
        assert machine.describe(at)
        assert machine.allowed_actions(at)


@hypothesis.given(data=st.data())
def test_every_walk_can_end_in_deletion(data: st.DataObject) -> None:
    """Wherever a walk ends, delete is accepted and the row gets marked."""
    end = _end(data)
    at = machine.State(end.vm_state, "deleting")
    assert machine.is_allowed(end, at, action="delete")
    for _ in range(5):
        edges = [edge for edge in _leaving(at) if edge.action == "delete"]
        if any(edge.write.event is machine.Event.DESTROY for edge in edges):
            return
        forward = [
            edge.to
            for edge in edges
            if edge.path is machine.Path.SUCCESS and edge.to != at
        ]
        at = data.draw(st.sampled_from(forward))
    raise AssertionError(f"the delete of {end} does not arrive")


@hypothesis.given(data=st.data())
def test_whatever_fails_delete_can_be_asked_for_again(
    data: st.DataObject,
) -> None:
    """Each failure on the way of a delete leaves a row that is deletable."""
    end = _end(data)
    at = machine.State(end.vm_state, "deleting")
    for _ in range(data.draw(st.integers(1, 10))):
        edges = [edge for edge in _leaving(at) if edge.action == "delete"]
        at = data.draw(st.sampled_from(edges)).to
        deleting = (at.vm_state, "deleting")
        assert machine.is_allowed(at, deleting, action="delete")


@hypothesis.given(from_=_pairs, to=_pairs)
def test_no_pair_is_allowed_but_those_exported(
    from_: tuple[str | None, str | None], to: tuple[str | None, str | None]
) -> None:
    """What the exported table does not list is refused, but for deletes."""
    if machine.is_allowed(from_, to):
        by_delete = any(
            machine.is_allowed(from_, to, action=name) for name in _DELETES
        )
        assert (from_, to) in _EXPORTED_PAIRS or by_delete


@hypothesis.given(
    at=st.sampled_from(_MAP.states),
    to=_pairs,
    name=st.sampled_from(list(_MAP.actions)),
)
def test_known_states_lead_exactly_where_the_table_says(
    at: machine.State, to: tuple[str | None, str | None], name: str
) -> None:
    """From a state of the map, allowed and exported are the same."""
    allowed = machine.is_allowed(at, to, action=name)
    assert allowed == ((at, to, name) in _EXPORTED)


@hypothesis.given(edge=st.sampled_from(machine.transitions()))
def test_every_edge_is_found_by_every_question(
    edge: machine.Transition,
) -> None:
    """An edge is allowed, exported, and among the sources of its target."""
    name = edge.action
    assert machine.is_allowed(edge.from_, edge.to, action=name)
    assert (edge.from_, edge.to, name) in _EXPORTED
    if edge.from_ != machine.ABSENT:
        assert edge.from_ in machine.sources(edge.to, action=name)


@hypothesis.given(at=_pairs)
def test_something_may_always_be_asked_for(
    at: tuple[str | None, str | None],
) -> None:
    """In every pair of the vocabulary at least one action is offered."""
    offered = machine.allowed_actions(at)
    assert "delete" in offered
    for name in offered:
        assert machine.action(name).admits(machine.state(at))
