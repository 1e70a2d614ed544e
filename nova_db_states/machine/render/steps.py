# SPDX-License-Identifier: Apache-2.0
"""The picture of one action: where it begins, its steps, how it may end.

It reads from top to bottom, and nothing leads back: what the server is
before stands above, what it is afterwards below, be it the same. While the
action runs, the task says how far it is, so there is one box for each task.
What gives it up leads to one box for each outcome.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
import dataclasses
import enum
from typing import Final, NamedTuple

from nova_db_states.machine import atlas
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
_MANY_STATES: Final = 40
_MANY_FUNCTIONS: Final = 2
_MANY_VM_STATES: Final = 8
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
_Ends = tuple[_Place, _Place]
_Steps = dict[_Ends, set[str]]


def draw(part: parts.Part, action: model.Action) -> graph.Picture:
    """Draw an action.

    :param part: the part of the map that is this action
    :param action: the action
    :returns: the picture
    """
    numbers = wording.numbered(action)
    members: dict[_Place, set[State]] = {}
    steps: _Steps = {}
    left: dict[_Ends, set[State]] = {}
    for edge, tail, head in _placed(part.transitions, action, numbers):
        members.setdefault(tail, set()).add(edge.from_)
        members.setdefault(head, set()).add(edge.to)
        steps.setdefault((tail, head), set()).add(numbers[edge.write])
        left.setdefault((tail, head), set()).add(edge.from_)
    for ends in list(_asked_again(steps)):
        del steps[ends]
    keys = {
        place: f"s{index}"
        for index, place in enumerate(
            sorted(
                members,
                key=lambda place: _rank(place, steps, members[place]),
            )
        )
    }
    framed = _framed(steps)
    only = {
        (keys[tail], head): _only(states, members[tail])
        for (tail, head), states in left.items()
        if tail.role is _Role.RUNNING
    }
    named = set().union(
        *(
            members[place]
            for place in keys
            if place.role in {_Role.BEFORE, _Role.RUNNING}
            and len(members[place]) < _MANY_STATES
        )
    )
    rest = frozenset(part.made.states) - named
    return graph.Picture(
        action.name,
        tuple(
            _box(place, key, members[place], rest, action)
            for place, key in keys.items()
        ),
        tuple(
            dataclasses.replace(
                arrow, lines=(*arrow.lines, *only.get((arrow.tail, head), ()))
            )
            for arrow, head in _arrows(steps, keys, framed, numbers)
        ),
        tuple(keys[place] for place in keys if place in framed),
    )


def _placed(
    edges: Collection[model.Transition],
    action: model.Action,
    numbers: Mapping[model.Write, str],
) -> Iterator[tuple[model.Transition, _Place, _Place]]:
    """Find the two places of every edge."""
    reached = _reached(edges, action, numbers)
    heads = [(edge, _head(edge, reached)) for edge in edges]
    leads: dict[State, set[_Place]] = {}
    given_up: dict[State, _Place] = {}
    for edge, head in heads:
        if edge.path is model.Path.SUCCESS:
            leads.setdefault(edge.from_, set()).add(head)
        elif not vocabulary.is_settled(edge.to):
            given_up[edge.to] = head
    for edge, head in heads:
        state = edge.from_
        tail = reached.get(state)
        if tail is None or tail.role is not _Role.RUNNING:
            ways = frozenset(leads.get(state, ()))
            tail = _Place(_Role.BEFORE, (state == notation.ABSENT, ways))
            if not ways:
                tail = given_up.get(state, tail)
        yield edge, tail, head


def _reached(
    edges: Collection[model.Transition],
    action: model.Action,
    numbers: Mapping[model.Write, str],
) -> dict[State, _Place]:
    """Find the places of the states that the action leads to."""
    forward = [edge for edge in edges if edge.path is model.Path.SUCCESS]
    left = {edge.from_ for edge in forward}
    entering: dict[State, set[str]] = {}
    for edge in forward:
        if edge.write.event is not model.Event.DESTROY:
            entering.setdefault(edge.to, set()).add(numbers[edge.write])
    return {
        state: _running(state)
        if not vocabulary.is_settled(state)
        or (state in left and not action.admits(state))
        else _Place(_Role.AFTER, tuple(sorted(found)))
        for state, found in entering.items()
    }


def _head(edge: model.Transition, places: Mapping[State, _Place]) -> _Place:
    if edge.write.event is model.Event.DESTROY:
        return _GONE
    if edge.path is model.Path.FAILURE:
        change = edge.write.change
        return _Place(_Role.GIVEN_UP, (change.to_vm, change.to_task))
    return places[edge.to]


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


def _rank(
    place: _Place, steps: _Steps, members: Collection[State]
) -> tuple[object, ...]:
    """Give the order of boxes: by role, then by the step that needs them."""
    end = 0 if place.role is _Role.BEFORE else 1
    numbers = [
        _number(number)
        for ends, found in steps.items()
        if ends[end] == place
        for number in found
    ]
    first = min(map(atlas.order, members))
    return place.role, min(numbers, default=0), first


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
) -> Iterator[tuple[graph.Arrow, _Place]]:
    names = {
        number: wording.function(write.nova)
        for write, number in numbers.items()
    }
    merged: dict[tuple[str, _Place], set[str]] = {}
    for (tail, head), found in sorted(
        steps.items(), key=lambda item: int(keys[item[0][0]][1:])
    ):
        from_frame = tail in framed and _shared_tails(steps, head)
        key = graph.FRAME if from_frame else keys[tail]
        merged.setdefault((key, head), set()).update(found)
    # Each step has its function once, where the picture has it first.
    for (key, head), found in merged.items():
        gives_up = head.role is _Role.GIVEN_UP
        ordered = sorted(found, key=_number)
        label = _counted(ordered) if gives_up else _named(ordered, names)
        if not gives_up:
            names |= dict.fromkeys(found, "")
        yield graph.Arrow(key, keys[head], label, gives_up), head


def _only(
    some: Collection[State], members: Collection[State]
) -> tuple[str, ...]:
    """Say which states of a box that sums up many an arrow leaves."""
    vm_states = {state.vm_state for state in members}
    leaving = {state.vm_state for state in some}
    if len(vm_states) < _MANY_VM_STATES or leaving == vm_states:
        return ()
    word, named = "if", leaving
    if len(leaving) > len(vm_states - leaving):
        word, named = "unless", vm_states - leaving
    listed = ", ".join(sorted(map(wording.name, named)))
    return tuple(wording.folded([f"{word} {listed}"], _WIDTH))


def _counted(numbers: Sequence[str]) -> tuple[str, ...]:
    listed = ", ".join(wording.ranges(numbers))
    return tuple(wording.folded([listed], _WIDTH))


def _named(
    numbers: Sequence[str], names: Mapping[str, str]
) -> tuple[str, ...]:
    """Name the steps on an arrow: with functions while these are few."""
    by_function: dict[str, list[str]] = {}
    for number in numbers:
        by_function.setdefault(names[number], []).append(number)
    if len(by_function) > _MANY_FUNCTIONS:
        return _counted(numbers)
    return tuple(
        f"{', '.join(wording.ranges(found))} {name}".rstrip()
        for name, found in by_function.items()
    )


def _box(
    place: _Place,
    key: str,
    members: set[State],
    rest: frozenset[State],
    action: model.Action,
) -> graph.Box:
    if place.role is _Role.GONE:
        return boxes.gone(key)
    if place.role is _Role.GIVEN_UP:
        return boxes.of_target(key, members, *place.mark)
    return boxes.of_states(
        key,
        members,
        begins=place.role is _Role.BEFORE and any(map(action.admits, members)),
        is_rest=members >= rest,
    )
