# SPDX-License-Identifier: Apache-2.0
"""The map: every state that can be reached, and every edge between them."""

from collections.abc import Iterable, Iterator
import dataclasses
from typing import Final

from nova_db_states import exceptions
from nova_db_states.machine import model
from nova_db_states.machine import notation

__all__ = ["Atlas", "build"]

State = notation.State

OVERRIDE: Final = "reset-state"
"""The administrator's own judgement. It leads from anywhere to active or
error, so its writes are reserved: else everything would be allowed."""

DELETING: Final = ("deleting", "soft-deleting")
"""What a late writer must not overwrite."""

_MAY_OVERWRITE: Final = {
    "delete": DELETING,
    "reclaim (periodic)": DELETING,
    "soft_delete": ("soft-deleting",),
    OVERRIDE: DELETING,
}
"""Who may write over a delete without looking, and over which: another
deletion that is no weaker, and the administrator."""

_OVERWRITES: Final = (
    "Nova writes this without a guard, so a delete that was accepted "
    "meanwhile is overwritten and forgotten."
)


@dataclasses.dataclass(frozen=True)
class Atlas:
    """A map made from declarations. Use ``build``.

    :ivar actions: name to declaration, in the order of declaration
    :ivar states: every state that can be reached from a boot, sorted
    :ivar transitions: every edge that is allowed, reserved ones included
    :ivar defects: edges that Nova's code writes and nobody should, each with
        the reason in ``write.defect``; the same two states may be an edge
        that is allowed to another action
    """

    actions: dict[str, model.Action]
    states: tuple[State, ...]
    transitions: tuple[model.Transition, ...]
    defects: tuple[model.Transition, ...]
    leaving: dict[State, tuple[model.Transition, ...]] = dataclasses.field(
        repr=False
    )
    entering: dict[State, tuple[model.Transition, ...]] = dataclasses.field(
        repr=False
    )


def order(state: State) -> tuple[str, str]:
    """Give the key by which states are sorted; NULL comes first."""
    return (state.vm_state or "", state.task_state or "")


def build(actions: Iterable[model.Action]) -> Atlas:
    """Make the map of some actions.

    :param actions: what can be done
    :returns: the map, unchecked
    :raises InvalidMap: two actions have one name
    """
    named: dict[str, model.Action] = {}
    for action in actions:
        if action.name in named:
            problem = f"{action.name}: declared twice"
            raise exceptions.InvalidMap(
                f"The state map contradicts itself: {problem}.",
                problems=(problem,),
            )
        named[action.name] = action
    pairs = [
        (action, write) for action in named.values() for write in action.writes
    ]
    allowed = [(a, w) for a, w in pairs if not w.defect]
    states = _reachable([write.change for _, write in allowed])
    known = frozenset(states)
    transitions = tuple(
        edge for a, w in allowed for edge in _edges(a, w, states)
    )
    declared = {(edge.action, edge.from_, edge.to) for edge in transitions}
    defects = tuple(
        edge
        for a, w in pairs
        for edge in _defects(a, w, states)
        if (edge.action, edge.from_, edge.to) not in declared
    )
    visible = [edge for edge in transitions if edge.to in known]
    return Atlas(
        named,
        states,
        transitions,
        defects,
        _grouped(visible, "from_"),
        _grouped(visible, "to"),
    )


def _reachable(changes: list[notation.Change]) -> tuple[State, ...]:
    found = {notation.ABSENT}
    new = [notation.ABSENT]
    while new:
        state = new.pop()
        for change in changes:
            if not change.starts_from(state):
                continue
            for target in change.targets(state):
                if target not in found:
                    found.add(target)
                    new.append(target)
    found.discard(notation.ABSENT)
    return tuple(sorted(found, key=order))


def universal(made: Atlas, state: State) -> tuple[model.Transition, ...]:
    """List the edges out of a state that are there whatever a row holds.

    :param made: the map
    :param state: a state, also one that nothing leads to
    :returns: the edges
    """
    return tuple(
        edge
        for action in made.actions.values()
        for write in action.writes
        if write.change.universal and not write.defect
        for edge in _edges(action, write, (state,))
    )


def _edges(
    action: model.Action, write: model.Write, states: Iterable[State]
) -> Iterator[model.Transition]:
    for state in (notation.ABSENT, *states):
        if write.change.starts_from(state):
            for target in write.change.targets(state):
                yield model.Transition(state, target, action.name, write)


def _defects(
    action: model.Action, write: model.Write, states: Iterable[State]
) -> Iterator[model.Transition]:
    """Find what a write does that it should not.

    What is declared as a defect, and what follows from the lack of a guard:
    that write hits a row that is being deleted just as well.
    """
    if write.defect:
        yield from _edges(action, write, states)
    elif not write.guarded and write.event is model.Event.UPDATE:
        late = dataclasses.replace(write, defect=_OVERWRITES)
        weaker = _MAY_OVERWRITE.get(action.name, ())
        for state in states:
            if (
                state.task_state in DELETING
                and state.task_state not in weaker
                and state.vm_state in write.change.from_vm
            ):
                for target in write.change.targets(state):
                    if target != state:
                        yield model.Transition(
                            state, target, action.name, late
                        )


def _grouped(
    edges: Iterable[model.Transition], end: str
) -> dict[State, tuple[model.Transition, ...]]:
    groups: dict[State, list[model.Transition]] = {}
    for edge in edges:
        groups.setdefault(getattr(edge, end), []).append(edge)
    return {state: tuple(group) for state, group in groups.items()}
