# SPDX-License-Identifier: Apache-2.0
"""Questions to the map."""

from collections.abc import Iterable
import difflib
import functools
import heapq
import itertools
from typing import Any, Final

from nova_db_states import columns
from nova_db_states import exceptions
from nova_db_states import states
from nova_db_states.machine import atlas
from nova_db_states.machine import instance
from nova_db_states.machine import model
from nova_db_states.machine import notation
from nova_db_states.machine import vocabulary

__all__ = [
    "action",
    "allowed_actions",
    "defects",
    "describe",
    "entering",
    "gaps",
    "is_allowed",
    "leaving",
    "max_age_s",
    "path",
    "sources",
    "stable",
    "state",
    "transient",
    "transitions",
]

State = notation.State
_MAP: Final = instance.MAP

_CHANGE: Final = 10
"""What it costs to go on with another action: more than a step of one."""

_DELETIONS: Final = frozenset({"delete", "soft_delete", "reclaim (periodic)"})


def state(given: Any) -> State:
    """Check a state.

    :param given: a pair of ``vm_state`` and ``task_state``, ``None`` for
        NULL; or a text like ``active / NULL`` or ``active``
    :returns: the state
    :raises InvalidState: a name that Nova does not have
    :raises InvalidRequest: neither a pair nor such a text
    """
    vm_state, task_state = _two(given)
    if vm_state == notation.ABSENT.vm_state and task_state is None:
        return notation.ABSENT
    return State(
        columns.value("vm_state", vm_state),
        columns.value("task_state", task_state),
    )


def _two(given: Any) -> tuple[Any, Any]:
    """Take a state, or the target of a write, into its two parts."""
    parts: Any = given
    if isinstance(given, str):
        # A text may name a vm_state alone.
        vm_state, *task_states = (one.strip() for one in given.split("/"))
        parts = [_read(vm_state), *map(_read, task_states or ["NULL"])]
        parts = parts if vm_state else ()
    if isinstance(parts, tuple | list) and len(parts) == len(State._fields):
        return parts[0], parts[1]
    raise exceptions.InvalidRequest(
        f"{given!r} is no state: give (vm_state, task_state), like "
        f"('active', None), or a text like 'active / powering-off'."
    )


def _read(name: str) -> Any:
    if name in ("", "-", "None", "NULL"):
        return None
    return states.ANY if name == notation.KEEP else name


def action(name: str) -> model.Action:
    """Give the declaration of an action.

    :param name: as in the map
    :returns: the action
    :raises InvalidRequest: there is none of that name
    """
    # Whoever has no types may hand over what cannot even be a key.
    found = _MAP.actions.get(str(name))
    if found is None or found.name != name:
        near = difflib.get_close_matches(str(name), _MAP.actions, cutoff=0.4)
        raise exceptions.InvalidRequest(
            f"There is no action {name!r}. Did you mean one of "
            f"{'; '.join(near or _MAP.actions)}?"
        )
    return found


# Under a name that the parameters "action" do not hide.
_require_action = action


def transitions() -> tuple[model.Transition, ...]:
    """List every edge of the map that is allowed.

    :returns: the edges, in the order of their declaration
    """
    return _MAP.transitions


def is_allowed(from_: Any, to: Any, *, action: str | None = None) -> bool:
    """Say whether an action may lead from one state to another at once.

    Some edges count only where ``action`` names theirs: ``reset-state``
    leads from everywhere to active and to error by the judgement of an
    administrator, and that a delete has failed is for the delete to say. A
    write that changes neither column is an edge only where an action has it.

    :param from_: the state before, as for :func:`state`
    :param to: the state after
    :param action: ask for this action alone; ``None`` for any
    :returns: whether the map has that edge
    :raises InvalidState: a name that Nova does not have
    :raises InvalidRequest: no such action, or not a state
    """
    before, after = state(from_), state(to)
    return any(edge.to == after for edge in _leaving(before, action))


def _leaving(before: State, name: str | None) -> Iterable[model.Transition]:
    if name is not None:
        _require_action(name)
    for edge in _edges(before):
        if edge.action == name or (name is None and not edge.reserved):
            yield edge


def _edges(before: State) -> Iterable[model.Transition]:
    """List what leads out of a state, also of one that nothing leads to.

    Such a row is somebody's mistake, and must be deletable all the same.
    """
    known = _MAP.leaving.get(before)
    if known is not None or before == notation.ABSENT:
        return known or ()
    return atlas.universal(_MAP, before)


def leaving(given: Any) -> tuple[model.Transition, ...]:
    """List the edges out of a state, reserved ones too.

    :param given: as for :func:`state`
    :returns: the edges, in the order of the map
    :raises InvalidState: a name that Nova does not have
    :raises InvalidRequest: not a state
    """
    return tuple(_edges(state(given)))


def entering(given: Any) -> tuple[model.Transition, ...]:
    """List the edges into a state, reserved ones too.

    :param given: as for :func:`state`
    :returns: the edges, in the order of the map
    :raises InvalidState: a name that Nova does not have
    :raises InvalidRequest: not a state
    """
    return _MAP.entering.get(state(given), ())


def defects(given: Any) -> tuple[model.Transition, ...]:
    """List what Nova writes over a state and nobody should.

    :param given: as for :func:`state`
    :returns: the edges, each with the reason in ``write.defect``
    :raises InvalidState: a name that Nova does not have
    :raises InvalidRequest: not a state
    """
    at = state(given)
    return tuple(edge for edge in _MAP.defects if edge.from_ == at)


def allowed_actions(given: Any) -> tuple[str, ...]:
    """Name the actions that may be asked for in a state.

    :param given: as for :func:`state`
    :returns: their names, in the order of the map
    :raises InvalidState: a name that Nova does not have
    :raises InvalidRequest: not a state
    """
    at = state(given)
    return tuple(
        one.name
        for one in _MAP.actions.values()
        if one.kind in (model.Kind.USER, model.Kind.ADMIN)
        and one.admits(at)
        and _begins(one, at)
    )


def _begins(one: model.Action, at: State) -> bool:
    """Say whether beginning an action in a state is no defect."""
    first = [
        write
        for write in one.writes
        if write.path is model.Path.SUCCESS
        and write.nova == one.writes[0].nova
        and write.change.starts_from(at)
    ]
    return not first or not all(write.defect for write in first)


def sources(to: Any, *, action: str | None = None) -> tuple[State, ...]:
    """Find the states from which one write may lead somewhere.

    :param to: the state after, as for :func:`state`; ``ANY`` (or ``=`` in a
        text) for a column that the write does not set
    :param action: ask for this action alone; ``None`` for every edge that is
        not reserved
    :returns: the states, sorted
    :raises InvalidState: a name that Nova does not have
    :raises InvalidRequest: no such action, or not a pair
    """
    vm_state, task_state = _two(to)
    if action is not None:
        _require_action(action)
    return _sources(
        _target("vm_state", vm_state),
        _target("task_state", task_state),
        action,
    )


def _target(field: str, given: Any) -> Any:
    return given if given is states.ANY else columns.value(field, given)


@functools.cache
def _sources(
    vm_state: Any, task_state: Any, name: str | None
) -> tuple[State, ...]:
    found = []
    for before in _MAP.states:
        after = State(
            before.vm_state if vm_state is states.ANY else vm_state,
            before.task_state if task_state is states.ANY else task_state,
        )
        if any(edge.to == after for edge in _leaving(before, name)):
            found.append(before)
    return tuple(found)


def stable() -> tuple[State, ...]:
    """List the states that a server may stay in.

    :returns: the states, sorted
    """
    return tuple(one for one in _MAP.states if vocabulary.is_settled(one))


def transient() -> tuple[State, ...]:
    """List the states in which something is being done, or about to be.

    :returns: the states, sorted
    """
    return tuple(one for one in _MAP.states if not vocabulary.is_settled(one))


def path(from_: Any, to: Any) -> tuple[model.Transition, ...] | None:
    """Find the shortest way from one state to another.

    Ways without a failure come first, however long; a way through a
    deletion is the last resort, and what is reserved is none.

    :param from_: the state before, as for :func:`state`
    :param to: the state after
    :returns: the edges of the way, none where both states are the same;
        ``None`` where there is no way
    :raises InvalidState: a name that Nova does not have
    :raises InvalidRequest: not a state
    """
    start, end = state(from_), state(to)
    tie = itertools.count()
    heap: list[tuple[int, int, State, tuple[model.Transition, ...]]] = [
        (0, next(tie), start, ())
    ]
    done = set()
    while heap:
        cost, _, at, way = heapq.heappop(heap)
        if at == end:
            return way
        last = way[-1].action if way else None
        if (at, last) in done:
            continue
        done.add((at, last))
        for edge in _leaving(at, None):
            more = _cost(edge) + _change(last, edge.action)
            longer = (*way, edge)
            heapq.heappush(heap, (cost + more, next(tie), edge.to, longer))
    return None


def _cost(edge: model.Transition) -> int:
    if edge.path is model.Path.FAILURE:
        return 1_000
    # What happens only sometimes is not the way that a reader expects.
    return 3 if edge.write.when else 1


def _change(last: str | None, now: str) -> int:
    if now in _DELETIONS and last not in _DELETIONS:
        return 1_000_000
    return 0 if now == last else _CHANGE


def max_age_s(given: Any) -> int | None:
    """Say after how long a state counts as stuck.

    :param given: as for :func:`state`
    :returns: seconds; ``None`` for a state that a server may stay in
    :raises InvalidState: a name that Nova does not have
    :raises InvalidRequest: not a state
    """
    at = state(given)
    if vocabulary.is_settled(at):
        return None
    ages = [edge.write.at_most_s for edge in _MAP.entering.get(at, ())]
    if not any(ages):
        # A state that no action leads to: as long as its task ever takes.
        ages = [
            edge.write.at_most_s
            for edge in _MAP.transitions
            if edge.to.task_state == at.task_state
        ]
    return max((age for age in ages if age), default=model.MOMENT_S)


def describe(given: Any) -> str:
    """Say in one line what a state means.

    :param given: as for :func:`state`
    :returns: a sentence or two
    :raises InvalidState: a name that Nova does not have
    :raises InvalidRequest: not a state
    """
    return vocabulary.describe(state(given))


def gaps(given: Any) -> tuple[tuple[model.Action, model.Gap], ...]:
    """Find what may be going on in a state although its row does not say so.

    :param given: as for :func:`state`
    :returns: each action with the gap of it that looks like this
    :raises InvalidState: a name that Nova does not have
    :raises InvalidRequest: not a state
    """
    at = state(given)
    found = []
    for one in _MAP.actions.values():
        for gap in one.gaps:
            vm_states, task_states = notation.pattern(gap.states)
            if at.vm_state in vm_states and at.task_state in task_states:
                found.append((one, gap))
    return tuple(found)
