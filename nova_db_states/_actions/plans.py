# SPDX-License-Identifier: Apache-2.0
"""The ways through one action, as the map declares them. Pure."""

from collections.abc import Iterable, Iterator
import functools
from typing import Any, Final

from nova_db_states import exceptions
from nova_db_states import machine
from nova_db_states import states
from nova_db_states._actions import moves
from nova_db_states.machine import notation

__all__ = ["Plan", "entrance", "of", "owner", "owners", "rests"]

State = moves.State
Way = tuple[State, ...]

_GIVEN_BACK: Final = "= / NULL"


class Plan:
    """The ways through one action.

    :ivar action: its declaration
    :ivar name: its name
    """

    def __init__(self, action: machine.Action) -> None:
        self.action = action
        self.name = action.name
        right = [write for write in action.writes if not write.defect]
        self._begun = [
            write
            for write in right
            if write.path is machine.Path.SUCCESS
            and write.event is not machine.Event.DESTROY
        ]
        self._forward = [
            write
            for write in self._begun
            if write.event is machine.Event.UPDATE
        ]
        self._failures = [
            write
            for write in right
            if write.path is machine.Path.FAILURE
            and write.event is machine.Event.UPDATE
        ]

    @functools.cached_property
    def first(self) -> tuple[machine.Write, ...]:
        """The writes that begin it: the first, and those like it.

        Like it are those by the same function to the same states: a first
        step may have several rows where its starts are no plain product.
        """
        begin = [
            write
            for write in self._begun
            if write.change.to_vm is not None
            or write.change.to_task is not None
        ]
        return tuple(
            write
            for write in begin
            if (write.nova, write.change.to_vm, write.change.to_task)
            == (
                begin[0].nova,
                begin[0].change.to_vm,
                begin[0].change.to_task,
            )
        )

    @functools.cached_property
    def starts(self) -> moves.Span:
        """The states that it may be asked for in, rightly or not."""
        vm_states, task_states = notation.pattern(self.action.starts)
        return frozenset(
            State(vm_state, task_state)
            for vm_state in vm_states
            for task_state in task_states
        )

    def beginning(self) -> dict[State, set[State]]:
        """Find the states that it begins from, each with what it becomes."""
        found: dict[State, set[State]] = {}
        for write in self.first:
            for source in _sources(write):
                found.setdefault(source, set()).update(
                    write.change.targets(source)
                )
        return found

    def uncovered(self) -> moves.Span:
        """List the starts that no first step and no defect begins from."""
        covered = {
            source
            for write in self.action.writes
            if write.path is machine.Path.SUCCESS and write.defect
            for source in _sources(write)
        }
        return self.starts - self.beginning().keys() - covered

    def tasks(self) -> tuple[str, ...]:
        """Name the ``task_state`` values of its way to success."""
        found = [
            task
            for write in self._begun
            for task in write.change.to_task or ()
            if task is not None
        ]
        return tuple(dict.fromkeys(found))

    def begun(self, task_state: str | None) -> moves.Span:
        """List the states that beginning it leads to, if it is by that task.

        :param task_state: of the state
        :returns: the states; none where another step leads to that task
        """
        return frozenset(
            target
            for targets in self.beginning().values()
            for target in targets
            if target.task_state == task_state
        )

    def entering(self, task_state: str | None) -> dict[State, set[State]]:
        """Find what leads to a task on the way to success.

        :param task_state: of the state after
        :returns: the states before, each with what it may become
        """
        found: dict[State, set[State]] = {}
        for write in self._forward:
            for source in _sources(write):
                for target in write.change.targets(source):
                    if target.task_state == task_state and self._lasts(target):
                        found.setdefault(source, set()).add(target)
        return found

    def stepping(self, before: State, task_state: str | None) -> set[State]:
        """Find what a state may become by a step to some task.

        :param before: the state
        :param task_state: of the state after
        :returns: the states after; those of the success path, if any
        """
        for writes in (self._forward, self._failures):
            found = {
                target
                for target in _targets(writes, before)
                if target.task_state == task_state and self._lasts(target)
            }
            if found:
                return found
        return set()

    def ends(self, before: State) -> set[State]:
        """Find the ends that success may have from a state.

        :param before: the state
        :returns: the states after
        """
        return set(filter(rests, _targets(self._forward, before)))

    def usual_ends(self, before: State) -> set[State]:
        """Find the ends that success has from a state in the usual course.

        :param before: the state
        :returns: the states after; all of them where each has a condition
        """
        usual = [write for write in self._forward if not write.when]
        found = set(filter(rests, _targets(usual, before)))
        return found or self.ends(before)

    def following(self, span: Iterable[State]) -> tuple[State, ...]:
        """List what is declared to follow some states, for a message.

        :param span: the states
        :returns: the states after, in the order of declaration
        """
        return tuple(
            dict.fromkeys(
                target
                for state in span
                for target in _targets(
                    (*self._forward, *self._failures), state
                )
                if target != state
            )
        )

    def giving_up(self, before: State) -> Way | None:
        """Find the declared way from a state to where a failure ends.

        :param before: the state
        :returns: the states on the way, one or two; none where the state is
            the end already; ``None`` where no way is declared
        """
        wanted = (self.action.on_failure, _GIVEN_BACK)
        for text in filter(None, dict.fromkeys(wanted)):
            goal = set(notation.parse(f"* / * -> {text}").targets(before))
            way = self._way(before, goal)
            if way is not None:
                return way
        return None

    def _lasts(self, state: State) -> bool:
        """Say whether it may go on from a state, as a step of its way."""
        return state.task_state is not None or any(
            write.change.starts_from(state) for write in self._forward
        )

    def _way(self, before: State, goal: set[State]) -> Way | None:
        if before in goal:
            return ()
        once = list(_targets(self._failures, before))
        for target in once:
            if target in goal:
                return (target,)
        for middle in once:
            for target in _targets(self._failures, middle):
                if target in goal:
                    return (middle, target)
        return None


def rests(state: State) -> bool:
    """Say whether nothing is being done in a state.

    :param state: any
    :returns: false where there is a task, and for builds between two tasks
    """
    return (
        state.task_state is None and state.vm_state != states.VMState.BUILDING
    )


def _sources(write: machine.Write) -> Iterator[State]:
    """List the states that a write starts from, reached or not."""
    for vm_state in write.change.from_vm:
        for task_state in write.change.from_task:
            yield State(vm_state, task_state)


def _targets(
    writes: Iterable[machine.Write], before: State
) -> Iterator[State]:
    for write in writes:
        if write.change.starts_from(before):
            yield from write.change.targets(before)


def of(name: Any) -> Plan:
    """Give the plan of an action of the map.

    :param name: of the action
    :returns: its plan
    :raises InvalidRequest: there is no such action
    """
    # Whoever has no types may hand over what cannot even be a key.
    return _of(name) if isinstance(name, str) else Plan(machine.action(name))


@functools.lru_cache(maxsize=256)
def _of(name: str) -> Plan:
    return Plan(machine.action(name))


def owners(task_state: str | None) -> tuple[str, ...]:
    """Name the actions that lead to a task on their way to success.

    :param task_state: the task
    :returns: the names, in the order of the map
    """
    return tuple(
        name for name in machine.MAP.actions if task_state in of(name).tasks()
    )


def owner(task_state: str | None) -> Plan:
    """Find the action that is meant by a task alone.

    Of several it is the one that someone may ask for and whose claim leads
    to that task: other actions come by it later, or begin by themselves.

    :param task_state: the task
    :returns: the plan of that action
    :raises InvalidRequest: no action has it, or several may be meant
    """
    names = owners(task_state)
    asked = [
        name
        for name in names
        if of(name).action.kind in (machine.Kind.USER, machine.Kind.ADMIN)
        and of(name).begun(task_state)
    ]
    for found in (names, asked):
        if len(found) == 1:
            return of(found[0])
    raise exceptions.InvalidRequest(
        f"task_state {task_state!r} belongs to "
        f"{'several actions' if names else 'no action'} of the map"
        f"{': ' + '; '.join(names) if names else ''}. Say which one is "
        f"meant with action=."
    )


def entrance(
    plan: Plan, task_state: str | None
) -> tuple[moves.Span, tuple[moves.Move, ...]]:
    """Work out how a worker enters a task.

    :param plan: of the action
    :param task_state: the task
    :returns: the states that a claim led to, and no updates; or for a later
        step no states, and the updates that lead to it
    :raises InvalidRequest: the task is no step of the action
    """
    begun = plan.begun(task_state)
    if begun:
        return begun, ()
    found = plan.entering(task_state)
    changes, several = moves.choose(found, lambda state: found[state])
    if several:
        raise exceptions.InvalidRequest(
            f"The step of {plan.name!r} to {task_state!r} may lead to "
            f"{' or '.join(sorted(map(str, several)))}. Enter the task before "
            f"it, and call step() with a vm_state."
        )
    if not changes:
        raise exceptions.InvalidRequest(
            f"{task_state!r} is no step of {plan.name!r}. Its tasks are "
            f"{', '.join(plan.tasks()) or 'none'}."
        )
    return frozenset(), moves.leading(changes)
