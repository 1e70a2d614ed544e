# SPDX-License-Identifier: Apache-2.0
"""Which states belong to the action that a writer takes part in.

An action has several participants with an object each: the API, a conductor,
one host or two. What one of them has written, another has not seen; that it
was written is no reason to refuse the other, as long as the action is theirs.
"""

from collections.abc import Iterable
import functools
from typing import Any, Final

from nova_db_states import states
from nova_db_states.machine import atlas
from nova_db_states.machine import instance
from nova_db_states.machine import model
from nova_db_states.machine import notation

__all__ = ["comes_from", "is_deletion", "same_action"]

State = notation.State

_MAP: Final = instance.MAP
_DELETED: Final = states.VMState.DELETED.value


def is_deletion(state: State) -> bool:
    """Say whether a server is being deleted, or the row says it was.

    :param state: of the row
    :returns: whether only a deletion may go on from there
    """
    return state.task_state in atlas.DELETING or state.vm_state == _DELETED


def _target(before: State, vm_state: Any, task_state: Any) -> State:
    return State(
        before.vm_state if vm_state is states.ANY else vm_state,
        before.task_state if task_state is states.ANY else task_state,
    )


@functools.cache
def comes_from(seen: State, now: State) -> bool:
    """Say whether the action under way may have brought a state about.

    :param seen: what was there, as a writer saw it
    :param now: what is there, by another writer
    :returns: false where no task was under way, or one that does not lead
        there: what is there now belongs to an action of somebody else's
    """
    if is_deletion(now) and not is_deletion(seen):
        return False
    return any(now in _ahead(seen, edges) for edges in _under_way(seen))


@functools.cache
def same_action(
    seen: State, vm_state: Any, task_state: Any
) -> frozenset[State]:
    """List the states of the action under way that may be written over.

    :param seen: what the writer last saw
    :param vm_state: what he sets, or ``ANY``
    :param task_state: what he sets, or ``ANY``
    :returns: states that the action under way leads to from there, and from
        which it leads to what is written
    """
    found: set[State] = set()
    for edges in _under_way(seen):
        ahead = _ahead(seen, edges)
        found.update(
            edge.from_
            for edge in edges
            if edge.from_ in ahead
            and _goes_on(edge)
            and edge.to == _target(edge.from_, vm_state, task_state)
        )
        found.update(
            one
            for one in ahead
            if one.task_state is not None
            and _target(one, vm_state, task_state) == one
        )
    if not is_deletion(seen):
        found = {one for one in found if not is_deletion(one)}
    return frozenset(found)


def _under_way(seen: State) -> Iterable[tuple[model.Transition, ...]]:
    """List the edges of each action that may be under way in a state."""
    if seen.task_state is None:
        return
    for name in _MAP.actions:
        edges = _edges_of(name)
        if any(edge.to == seen for edge in edges):
            yield edges


def _goes_on(edge: model.Transition) -> bool:
    """Say whether an action under way may still make a write of its own.

    A server without a task is idle, and to write it is to begin; but where
    the map says so, one participant ends an action that another one has then
    still to note the failure of.
    """
    return edge.from_.task_state is not None or edge.write.late


@functools.cache
def _edges_of(name: str) -> tuple[model.Transition, ...]:
    return tuple(
        edge
        for edge in _MAP.transitions
        if edge.action == name and edge.write.event is model.Event.UPDATE
    )


def _ahead(
    seen: State, edges: tuple[model.Transition, ...]
) -> frozenset[State]:
    """List where some edges lead from a state, in any number of steps."""
    found = {seen}
    new = [seen]
    while new:
        at = new.pop()
        for edge in edges:
            if edge.from_ == at and edge.to not in found:
                found.add(edge.to)
                # Without a task the action is over, and what it could do
                # next is to begin anew.
                if edge.to.task_state is not None:
                    new.append(edge.to)
    return frozenset(found - {seen})
