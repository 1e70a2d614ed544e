# SPDX-License-Identifier: Apache-2.0
"""What must hold of a map; judged where it is declared.

Each check yields one line for each thing that is wrong, with the states in
it. What they demand is what users of Nova rely on: whatever happens to a
server, it can be deleted, and nothing it is in lasts forever unnoticed.
"""

from collections.abc import Callable, Iterator
from typing import Final

from nova_db_states import exceptions
from nova_db_states import states
from nova_db_states.machine import atlas
from nova_db_states.machine import model
from nova_db_states.machine import notation
from nova_db_states.machine import vocabulary
from nova_db_states.machine import wellformed

__all__ = ["find", "require"]

State = notation.State
Check = Callable[[atlas.Atlas], Iterator[str]]

_MAY_LEAVE_DELETING: Final = frozenset(
    {
        "delete",
        "soft_delete",
        "reclaim (periodic)",
        "restore",
        "confirm resize",
        "confirm resize, cross-cell",
        atlas.OVERRIDE,
    }
)
"""Who may end a delete: itself, its opposite, the administrator, and Nova's
confirm of a resize inside a delete, which clears ``deleting`` for a
moment."""


_FOUND: Final = {
    # A guest that is off is noted as stopped also where the task was cleared.
    "stop": "active|error / NULL",
    "power state sync (periodic)": "active|paused / NULL",
    # The row in the source cell waits there for the one or the other.
    "confirm resize, cross-cell": "active|stopped / resize_migrated",
    "revert resize, cross-cell": "active|stopped / resize_migrated",
}
"""States that an action goes on from though none of its steps wrote them."""


def require(made: atlas.Atlas) -> None:
    """Judge a map.

    :param made: what :func:`atlas.build` made
    :raises InvalidMap: anything does not hold; ``problems`` has a line each
    """
    problems = find(made)
    if problems:
        raise exceptions.InvalidMap(
            "The state map contradicts itself:\n  " + "\n  ".join(problems),
            problems=problems,
        )


def find(made: atlas.Atlas) -> tuple[str, ...]:
    """List what does not hold of a map.

    :param made: what :func:`atlas.build` made
    :returns: a line for each thing that is wrong, none where all is well
    """
    return tuple(line for check in _CHECKS for line in check(made))


def _boots(made: atlas.Atlas) -> Iterator[str]:
    if notation.ABSENT not in made.leaving:
        yield "nothing leads from (none): no server could ever be booted"


def _every_start_is_reached(made: atlas.Atlas) -> Iterator[str]:
    vm_seen = {state.vm_state for state in made.states}
    task_seen = {state.task_state for state in made.states}
    seen = {*made.states, notation.ABSENT}
    for action in made.actions.values():
        for write in action.writes:
            change = write.change
            if not any(change.starts_from(state) for state in seen):
                yield f"{action.name}: nothing leads to a start of '{change}'"
            if change.universal or "!" in change.text or "*" in change.text:
                continue
            lost = [
                "NULL" if name is None else name
                for name, reached in (
                    *((vm, vm_seen) for vm in change.from_vm),
                    *((task, task_seen) for task in change.from_task),
                )
                if name not in reached and name != notation.ABSENT.vm_state
            ]
            if lost:
                yield (
                    f"{action.name}: nothing leads to {', '.join(lost)}, "
                    f"from which '{change}' starts"
                )


def _every_name_is_used(made: atlas.Atlas) -> Iterator[str]:
    used = {name for state in made.states for name in state}
    for name in (*states.VMState, *states.TaskState):
        if (name in used) == (name in vocabulary.UNUSED):
            what = "is written" if name in used else "is never reached"
            yield f"{name} {what}, against what vocabulary.UNUSED says"


def _delete_is_allowed_everywhere(made: atlas.Atlas) -> Iterator[str]:
    for state in made.states:
        wanted = State(state.vm_state, states.TaskState.DELETING)
        if not any(
            edge.to == wanted and edge.action == "delete"
            for edge in made.leaving.get(state, ())
        ):
            yield f"{state}: delete is not allowed"


def _delete_arrives(made: atlas.Atlas) -> Iterator[str]:
    """Find states from which the row is never marked as deleted."""
    ends = {
        edge.from_
        for edge in made.transitions
        if edge.write.event is model.Event.DESTROY
    }
    arriving = set(ends)
    new = list(ends)
    while new:
        for edge in made.entering.get(new.pop(), ()):
            if edge.action != atlas.OVERRIDE and edge.from_ not in arriving:
                arriving.add(edge.from_)
                new.append(edge.from_)
    for state in made.states:
        if state not in arriving:
            yield f"{state}: no way to deletion"


def _transient_states_end(made: atlas.Atlas) -> Iterator[str]:
    for state in made.states:
        if vocabulary.is_settled(state):
            continue
        if not any(edge.write.at_most_s for edge in made.entering[state]):
            yield f"{state}: transient, and without a maximum age"
        way_out = any(map(_ends, made.leaving.get(state, ())))
        if not way_out and not vocabulary.stranded(state):
            yield f"{state}: transient, and nothing but a delete ends it"


def _ends(edge: model.Transition) -> bool:
    """Say whether an edge ends what is being done, and not by a new delete."""
    if edge.write.event is model.Event.DESTROY:
        return True
    if edge.action in ("delete", "soft_delete"):
        return (
            edge.from_.task_state in atlas.DELETING
            and edge.path is model.Path.SUCCESS
            and edge.to.task_state not in atlas.DELETING
        )
    return edge.to != edge.from_ and edge.action != atlas.OVERRIDE


def _deletes_are_kept(made: atlas.Atlas) -> Iterator[str]:
    """Find what ends a delete and may not, or may for whoever comes along."""
    for edge in made.transitions:
        if (
            edge.from_.task_state not in atlas.DELETING
            or edge.to.task_state == edge.from_.task_state
        ):
            continue
        if edge.action not in _MAY_LEAVE_DELETING:
            yield f"{edge}: overwrites a delete; declare it as a defect"
        elif not edge.reserved and not _deletes(edge):
            yield f"{edge}: ends a delete without deleting; reserve it"


def _deletes(edge: model.Transition) -> bool:
    """Say whether an edge is a step towards deletion."""
    return edge.path is model.Path.SUCCESS and (
        edge.to.task_state in atlas.DELETING
        or edge.to.vm_state
        in (states.VMState.DELETED, states.VMState.SOFT_DELETED)
    )


def _first_steps_start_where_asked(made: atlas.Atlas) -> Iterator[str]:
    """Find actions that begin elsewhere than they may be asked for.

    Where Nova begins it in more states than is right, the rest is a defect:
    both together are what ``starts`` says that Nova lets pass.
    """
    for action in made.actions.values():
        if action.kind is model.Kind.START_UP:
            continue
        begun = _begun(action)
        asked = _pairs(*notation.pattern(action.starts))
        for state in sorted(begun - asked, key=atlas.order):
            yield f"{action.name}: begins from {state}, against its starts"
        if not begun:
            continue
        if not _goes_forward(action):
            # Each of its steps has starts of its own.
            begun = _pairs(
                tuple({one.vm_state for one in begun}),
                tuple({one.task_state for one in begun}),
            )
        for state in sorted(asked - begun, key=atlas.order):
            yield f"{action.name}: starts in {state}, but no first step does"


def _begun(action: model.Action) -> set[State]:
    """Find where an action begins.

    That is where its first step starts, and what else the same function
    writes: from states that no step of the action has led to before, or
    against what is right. What never goes forward begins with each write.
    """
    writes = [
        write
        for write in action.writes
        if write.path is model.Path.SUCCESS or not _goes_forward(action)
    ]
    begun: set[State] = set()
    written: set[State] = set()
    for write in writes:
        before = _pairs(write.change.from_vm, write.change.from_task)
        if _goes_forward(action):
            begins = write.nova == writes[0].nova and bool(
                write.defect or before - written
            )
        else:
            begins = not write.defect and bool(before - written)
        if begins:
            begun |= before
        written |= {to for at in before for to in write.change.targets(at)}
    return begun


def _goes_forward(action: model.Action) -> bool:
    return any(write.path is model.Path.SUCCESS for write in action.writes)


def _pairs(
    vm_states: notation.Values, task_states: notation.Values
) -> set[State]:
    return {State(vm, task) for vm in vm_states for task in task_states}


def _steps_follow_each_other(made: atlas.Atlas) -> Iterator[str]:
    """Find steps that start from a state their action never wrote."""
    for action in made.actions.values():
        asked = _pairs(*notation.pattern(action.starts))
        written = _found(made, action)
        if not _claims(action):
            # It goes on in the state in which it was asked for.
            written |= asked
        for write in action.writes:
            if write.defect:
                continue
            begins = (
                write.nova == action.writes[0].nova
                or write.event is not model.Event.UPDATE
            )
            known = written | asked if begins else written
            if write.event is model.Event.CREATE:
                known = {notation.ABSENT}
            sources = _meant(made, write.change)
            written = written.union(
                *(write.change.targets(state) for state in sources & known)
            )
            for state in sorted(sources - known - written, key=atlas.order):
                yield (
                    f"{action.name}: '{write.change}' starts from {state}, "
                    f"which none of its earlier steps leads to"
                )
                written.update(write.change.targets(state))


def _claims(action: model.Action) -> bool:
    """Say whether an action begins by setting a task of its own."""
    return any(
        write.path is model.Path.SUCCESS and any(write.change.to_task or ())
        for write in action.writes[:1]
    )


def _meant(made: atlas.Atlas, change: notation.Change) -> set[State]:
    """List the states that a change names, or those that are there."""
    if "*" in change.text or "!" in change.text:
        return set(filter(change.starts_from, made.states))
    return _pairs(change.from_vm, change.from_task)


def _found(made: atlas.Atlas, action: model.Action) -> set[State]:
    """List the states that an action goes on from and has not written."""
    if action.kind is model.Kind.START_UP:
        return set(made.states)
    if action.name not in _FOUND:
        return set()
    return _pairs(*notation.pattern(_FOUND[action.name]))


def _the_way_goes_on(made: atlas.Atlas) -> Iterator[str]:
    """Find states that an action writes on its way and does not leave."""
    for action in made.actions.values():
        forward = [
            write
            for write in action.writes
            if write.path is model.Path.SUCCESS and not write.defect
        ]
        for state in running(made, action):
            if not any(write.change.starts_from(state) for write in forward):
                yield f"{action.name}: leads to {state} and stays there"


def _failures_are_declared(made: atlas.Atlas) -> Iterator[str]:
    """Find running states from which giving up leads nowhere."""
    for action in made.actions.values():
        if not action.on_failure:
            continue
        target = notation.parse(f"* / * -> {action.on_failure}")
        for state in running(made, action):
            if not any(
                _gives_up(made, action.name, state, wanted)
                for wanted in target.targets(state)
            ):
                yield (
                    f"{action.name}: from {state} no failure leads to "
                    f"'{action.on_failure}'"
                )


def running(made: atlas.Atlas, action: model.Action) -> list[State]:
    """List the states with a task in which an action is under way.

    :param made: the map
    :param action: one of its actions
    :returns: the states, each once, in the order of the map
    """
    return list(
        dict.fromkeys(
            edge.to
            for edge in made.transitions
            if edge.action == action.name
            and edge.path is model.Path.SUCCESS
            and edge.write.event is not model.Event.DESTROY
            and edge.to.task_state is not None
        )
    )


def _gives_up(
    made: atlas.Atlas, name: str, state: State, wanted: State
) -> bool:
    """Say whether one or two failures lead from one state to another."""
    steps = [
        edge.to
        for edge in made.leaving.get(state, ())
        if edge.action == name and edge.path is model.Path.FAILURE
    ]
    return wanted in steps or any(
        edge.to == wanted
        for middle in steps
        for edge in made.leaving.get(middle, ())
        if edge.action == name and edge.path is model.Path.FAILURE
    )


_CHECKS: Final[tuple[Check, ...]] = (
    _boots,
    _every_start_is_reached,
    _every_name_is_used,
    _delete_is_allowed_everywhere,
    _delete_arrives,
    _transient_states_end,
    _deletes_are_kept,
    _first_steps_start_where_asked,
    _steps_follow_each_other,
    _the_way_goes_on,
    wellformed.texts_can_be_read,
    wellformed.facts_are_possible,
    wellformed.actions_refer_to_each_other,
    _failures_are_declared,
)
