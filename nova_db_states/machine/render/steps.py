# SPDX-License-Identifier: Apache-2.0
"""The picture of one action: where it begins, its steps, how it may end.

It reads from top to bottom, and nothing leads back: what the server is
before stands above, what it is afterwards below, be it the same. While the
action runs, the task says how far it is, so there is one box for each task.
What gives it up leads to one box for each outcome.
"""

from collections.abc import Iterator, Mapping
import enum
from typing import Final, NamedTuple

from nova_db_states.machine import model
from nova_db_states.machine import notation
from nova_db_states.machine import vocabulary
from nova_db_states.machine.render import boxes
from nova_db_states.machine.render import graph
from nova_db_states.machine.render import parts
from nova_db_states.machine.render import wording

__all__ = ["draw"]

State = notation.State

_MANY_TAILS: Final = 3
_MANY_FUNCTIONS: Final = 3
_WIDTH: Final = 16


class _Role(enum.IntEnum):
    """What a state is to the action; from top to bottom."""

    BEFORE = 1
    RUNNING = 2
    AFTER = 3
    GONE = 4
    GIVEN_UP = 5


class _Place(NamedTuple):
    """A box that is to be: its role, and what tells it from its likes."""

    role: _Role
    mark: tuple[object, ...] = ()


_GONE: Final = _Place(_Role.GONE)

# From which place to which, and the numbers of the writes that lead there.
_Steps = dict[tuple[_Place, _Place], set[str]]


def draw(part: parts.Part, action: model.Action) -> graph.Picture:
    """Draw an action.

    :param part: the part of the map that is this action
    :param action: the action
    :returns: the picture
    """
    numbers = wording.numbered(action)
    members: dict[_Place, set[State]] = {}
    steps: _Steps = {}
    for edge, tail, head in _placed(part, action, numbers):
        members.setdefault(tail, set()).add(edge.from_)
        members.setdefault(head, set()).add(edge.to)
        steps.setdefault((tail, head), set()).add(numbers[edge.write])
    for ends in list(_asked_again(steps)):
        del steps[ends]
    keys = {
        place: f"s{index}"
        for index, place in enumerate(
            sorted(members, key=lambda place: _rank(place, steps))
        )
    }
    framed = _framed(steps)
    return graph.Picture(
        action.name,
        tuple(
            _box(place, key, members[place], part, action)
            for place, key in keys.items()
        ),
        tuple(_arrows(steps, keys, framed, numbers)),
        tuple(keys[place] for place in keys if place in framed),
    )


def _placed(
    part: parts.Part,
    action: model.Action,
    numbers: Mapping[model.Write, str],
) -> Iterator[tuple[model.Transition, _Place, _Place]]:
    """Find the two places of every edge."""
    forward = [
        edge for edge in part.transitions if edge.path is model.Path.SUCCESS
    ]
    leaving: dict[State, set[str]] = {}
    entering: dict[State, set[str]] = {}
    for edge in forward:
        leaving.setdefault(edge.from_, set()).add(numbers[edge.write])
        entering.setdefault(edge.to, set()).add(numbers[edge.write])
    running = {
        state
        for state in entering
        if not vocabulary.is_settled(state)
        or (state in leaving and not action.admits(state))
    }
    left_behind = {
        edge.to: _given_up(edge)
        for edge in part.transitions
        if edge.path is model.Path.FAILURE
        and not vocabulary.is_settled(edge.to)
        and edge.to not in running
    }
    for edge in part.transitions:
        state = edge.from_
        if state in running:
            tail = _running(state)
        elif state in left_behind and state not in leaving:
            tail = left_behind[state]
        else:
            tail = _Place(_Role.BEFORE, tuple(sorted(leaving.get(state, ()))))
        if edge.write.event is model.Event.DESTROY:
            head = _GONE
        elif edge.path is model.Path.FAILURE:
            head = _given_up(edge)
        elif edge.to in running:
            head = _running(edge.to)
        else:
            head = _Place(_Role.AFTER, tuple(sorted(entering[edge.to])))
        yield edge, tail, head


def _given_up(edge: model.Transition) -> _Place:
    change = edge.write.change
    return _Place(_Role.GIVEN_UP, (change.to_vm, change.to_task))


def _running(state: State) -> _Place:
    if state.task_state is None:
        return _Place(_Role.RUNNING, (state.vm_state, None))
    return _Place(_Role.RUNNING, (state.task_state,))


def _asked_again(steps: _Steps) -> Iterator[tuple[_Place, _Place]]:
    """Find steps that are no progress: a claim of what runs already."""
    first = {
        place: min(
            (
                _number(number)
                for (_, head), numbers in steps.items()
                if head == place
                for number in numbers
            ),
            default=0,
        )
        for ends in steps
        for place in ends
    }
    for tail, head in steps:
        both_run = tail.role is head.role is _Role.RUNNING
        if tail == head or (both_run and first[head] <= first[tail]):
            yield tail, head


def _number(text: str) -> int:
    return int(text.removeprefix("F"))


def _rank(place: _Place, steps: _Steps) -> tuple[int, int, str]:
    """Give the order of boxes: by role, then by the step that needs them."""
    end = 0 if place.role is _Role.BEFORE else 1
    numbers = [
        _number(number)
        for ends, found in steps.items()
        if ends[end] == place
        for number in found
    ]
    return place.role, min(numbers, default=0), str(place.mark)


def _framed(steps: _Steps) -> frozenset[_Place]:
    """Frame what runs where much of it may be given up alike."""
    running = {
        place
        for ends in steps
        for place in ends
        if place.role is _Role.RUNNING
    }
    if any(_shared_tails(steps, head) for _, head in steps):
        return frozenset(running)
    return frozenset()


def _shared_tails(steps: _Steps, head: _Place) -> bool:
    tails = {
        tail
        for tail, other in steps
        if other == head and tail.role is _Role.RUNNING
    }
    return head.role is _Role.GIVEN_UP and len(tails) >= _MANY_TAILS


def _arrows(
    steps: _Steps,
    keys: Mapping[_Place, str],
    framed: frozenset[_Place],
    numbers: Mapping[model.Write, str],
) -> Iterator[graph.Arrow]:
    names = {
        number: wording.function(write.nova)
        for write, number in numbers.items()
    }
    merged: dict[tuple[str, _Place], set[str]] = {}
    for (tail, head), found in steps.items():
        from_frame = tail in framed and _shared_tails(steps, head)
        key = graph.FRAME if from_frame else keys[tail]
        merged.setdefault((key, head), set()).update(found)
    for (key, head), found in merged.items():
        yield graph.Arrow(
            key,
            keys[head],
            _named(found, names),
            head.role is _Role.GIVEN_UP,
        )


def _named(found: set[str], names: Mapping[str, str]) -> tuple[str, ...]:
    """Name the steps on an arrow: with functions while these are few."""
    ordered = sorted(found, key=_number)
    by_function: dict[str, list[str]] = {}
    for number in ordered:
        by_function.setdefault(names[number], []).append(number)
    if len(by_function) > _MANY_FUNCTIONS:
        return tuple(wording.wrapped(ordered, _WIDTH))
    return tuple(
        f"{', '.join(numbers)} {name}" for name, numbers in by_function.items()
    )


def _box(
    place: _Place,
    key: str,
    members: set[State],
    part: parts.Part,
    action: model.Action,
) -> graph.Box:
    if place.role is _Role.GONE:
        return boxes.gone(key)
    if place.role is _Role.GIVEN_UP:
        return boxes.of_target(key, members, *place.mark)
    begins = place.role is _Role.BEFORE and any(map(action.admits, members))
    return boxes.of_states(
        key,
        members,
        part.made.states,
        begins=begins,
        rest=place.role is _Role.BEFORE,
    )
