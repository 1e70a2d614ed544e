# SPDX-License-Identifier: Apache-2.0
"""Guarded updates between states. Pure.

What a row may hold at a moment is a set of states, because a guard may admit
several: whether a server that is being stopped was ``active`` or ``error`` is
of no concern to its stop.
"""

from collections.abc import Callable, Iterable, Mapping
import dataclasses
from typing import Any, Final

from nova_db_states import machine
from nova_db_states import states
from nova_db_states.machine import notation

__all__ = [
    "Move",
    "Span",
    "State",
    "choose",
    "guards_of",
    "hull",
    "leading",
    "shown",
]

State = machine.State
Span = frozenset[State]

# "Not deleting" says more to a reader than the other 42 names, and admits
# what a later Nova may invent, as the notation's "!" does.
_FEW: Final = 5


@dataclasses.dataclass(frozen=True, slots=True)
class Move:
    """One guarded update of the two state columns.

    :ivar vm_state: the expectation on ``vm_state``
    :ivar task_state: the expectation on ``task_state``
    :ivar values: what it writes
    :ivar sources: the states that the expectations admit
    :ivar targets: the states that it leads to
    """

    vm_state: Any
    task_state: Any
    values: Mapping[str, str | None]
    sources: Span
    targets: Span


def guards_of(span: Iterable[State]) -> list[tuple[Any, Any, Span]]:
    """Express a set of states as pairs of expectations.

    :param span: the states, at least one
    :returns: expectations on ``vm_state`` and ``task_state`` with the states
        that they admit; more than one where the set is no plain product
    """
    tasks: dict[str | None, set[str | None]] = {}
    for state in span:
        tasks.setdefault(state.vm_state, set()).add(state.task_state)
    vms: dict[frozenset[str | None], set[str | None]] = {}
    for vm_state, held in tasks.items():
        vms.setdefault(frozenset(held), set()).add(vm_state)
    return [
        (
            _expectation(some_vms, notation.VM_STATES, few=0),
            _expectation(some_tasks, notation.TASK_STATES, few=_FEW),
            frozenset(
                State(vm, task) for vm in some_vms for task in some_tasks
            ),
        )
        for some_tasks, some_vms in sorted(
            vms.items(), key=lambda pair: sorted(map(str, pair[1]))
        )
    ]


def hull(span: Iterable[State]) -> tuple[Any, Any]:
    """Express a set of states as one pair of expectations.

    :param span: the states, at least one
    :returns: expectations on ``vm_state`` and ``task_state``; they admit more
        where the set is no plain product
    """
    known = list(span)
    tasks = {state.task_state for state in known}
    [(vm_state, task_state, _)] = guards_of(
        State(state.vm_state, task) for state in known for task in tasks
    )
    return vm_state, task_state


def _expectation(
    values: Iterable[str | None], names: notation.Values, *, few: int
) -> Any:
    meant = set(values)
    rest = [name for name in names if name not in meant]
    if not rest:
        return states.ANY
    # What Nova does not have, no guard can name.
    if len(rest) <= few or not meant <= set(names):
        return states.Not(*rest)
    return tuple(name for name in names if name in meant)


def leading(changes: Mapping[State, State]) -> tuple[Move, ...]:
    """Make the updates that lead each of some states to its next.

    :param changes: a state to the one that it becomes
    :returns: as few updates as the guards allow; they exclude each other
    """
    # Where every source keeps its vm_state, it is not written at all: one
    # update serves them all.
    landing: dict[State, dict[State, State]] = {}
    for source, target in changes.items():
        landing.setdefault(target, {})[source] = target
    groups: dict[tuple[tuple[str, str | None], ...], dict[State, State]] = {}
    for target, group in landing.items():
        values: dict[str, str | None] = {"task_state": target.task_state}
        if any(source.vm_state != target.vm_state for source in group):
            values["vm_state"] = target.vm_state
        groups.setdefault(tuple(values.items()), {}).update(group)
    return tuple(
        Move(
            vm_state,
            task_state,
            dict(written),
            sources,
            frozenset(group[source] for source in sources),
        )
        for written, group in groups.items()
        for vm_state, task_state, sources in guards_of(group)
    )


def shown(span: Iterable[State]) -> str:
    """Write a set of states as text.

    :param span: the states
    :returns: in the notation of the map, like ``active|error / NULL``
    """
    return " or ".join(
        f"{_part(vm_state)} / {_part(task_state)}"
        for vm_state, task_state, _ in guards_of(span)
    )


def _part(expectation: Any) -> str:
    if expectation is states.ANY:
        return "*"
    if isinstance(expectation, states.Not):
        return f"!{_part(expectation.excluded)}"
    return "|".join("NULL" if one is None else one for one in expectation)


def choose(
    span: Iterable[State],
    options: Callable[[State], set[State]],
    vm_state: Any = states.ANY,
) -> tuple[dict[State, State], Span]:
    """Decide what each of some states becomes.

    :param span: the states
    :param options: gives what a state may become
    :param vm_state: the ``vm_state`` after, ``ANY`` where it is not said
    :returns: the states that become one other, each with that; and what there
        is to choose from for the states that may become several
    """
    chosen = {}
    several: set[State] = set()
    for state in span:
        found = {
            target
            for target in options(state)
            if vm_state in (states.ANY, target.vm_state)
        }
        if len(found) > 1:
            several |= found
        elif found:
            chosen[state] = found.pop()
    return chosen, frozenset(several)
