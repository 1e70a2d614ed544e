# SPDX-License-Identifier: Apache-2.0
"""The whole map in one picture: what servers stay in, and what moves them."""

from collections.abc import Iterable
import dataclasses
from typing import Final

from nova_db_states import states
from nova_db_states.machine import atlas
from nova_db_states.machine import model
from nova_db_states.machine import notation
from nova_db_states.machine import status
from nova_db_states.machine import vocabulary
from nova_db_states.machine.render import boxes
from nova_db_states.machine.render import graph
from nova_db_states.machine.render import wording

__all__ = ["draw"]

State = notation.State

_WIDTH: Final = 24
_NARROW: Final = 18
_MANY_STARTS: Final = 3
_GONE: Final = State("(row is deleted)", None)
_DELETED: Final = {_GONE, State(states.VMState.SOFT_DELETED, None)}
_ASKED_FOR: Final = (model.Kind.USER, model.Kind.ADMIN)

# Where an action comes to rest, and the places it may have begun at.
Ends = dict[tuple[str, State], set[State]]
# The places that an arrow leaves, and the one it leads to.
Arrows = dict[tuple[frozenset[State], State], list[str]]
Names = dict[State, list[str]]


def draw(made: atlas.Atlas) -> graph.Picture:
    """Draw what servers stay in and what users move them with.

    What several states have in common leaves a box of its own. What is
    possible anywhere is named in the box it leads to, and so is what ends
    where it began. Failures are left out, since they lead to error or back;
    so is what begins by itself.

    :param made: the map
    :returns: the picture
    """
    settled = frozenset(filter(vocabulary.is_settled, made.states))
    in_place: Names = {}
    from_anywhere: Names = {}
    arrows: Arrows = {}
    for (name, end), starts in _rests(made).items():
        if made.actions[name].kind not in _ASKED_FOR:
            continue
        if starts >= settled - {end}:
            from_anywhere.setdefault(end, []).append(name)
            continue
        if end in starts:
            in_place.setdefault(end, []).append(name)
        for tail in _tails(starts - {end}):
            arrows.setdefault((tail, end), []).append(name)
    keys = {
        place: f"s{index}"
        for index, place in enumerate(
            dict.fromkeys(
                (
                    *(tail for tail, _ in arrows),
                    *(frozenset({state}) for state in sorted(settled)),
                    frozenset({_GONE}),
                )
            )
        )
    }
    return graph.Picture(
        "overview",
        tuple(
            _box(place, key, in_place, from_anywhere)
            for place, key in keys.items()
        ),
        tuple(
            graph.Arrow(
                keys[tail],
                keys[frozenset({end})],
                tuple(wording.wrapped(names, _NARROW)),
            )
            for (tail, end), names in arrows.items()
        ),
    )


def _rests(made: atlas.Atlas) -> Ends:
    """Find where each action leaves a server in peace.

    Where it may go on by itself, from one such state to the next, the first
    is enough if anything else leads from there to the next.
    """
    reach: dict[tuple[str, State], set[State]] = {}
    for action in made.actions.values():
        for start in (notation.ABSENT, *made.states):
            if action.admits(start) and vocabulary.is_settled(start):
                reach[action.name, start] = _ends(made, action, start)

    def leads(start: State, end: State, without: str) -> bool:
        return any(
            end in reach.get((name, start), ())
            for name in made.actions
            if name != without
        )

    found: Ends = {}
    for (name, start), ends in reach.items():
        for end in sorted(ends, key=atlas.order):
            by_way_of = name != atlas.OVERRIDE and any(
                leads(middle, end, name) and not leads(end, middle, name)
                for middle in ends - {start, end}
            )
            if not by_way_of or end == start:
                found.setdefault((name, end), set()).add(start)
    return found


def _tails(starts: set[State]) -> list[frozenset[State]]:
    """Put what an action may begin at into the boxes its arrows leave."""
    if len(starts) >= _MANY_STARTS:
        return [frozenset(starts)]
    return [frozenset({one}) for one in sorted(starts, key=atlas.order)]


def _ends(made: atlas.Atlas, action: model.Action, start: State) -> set[State]:
    """Follow the success path of an action to where it comes to rest."""
    edges = [
        edge
        for edge in made.transitions
        if edge.action == action.name and edge.path is model.Path.SUCCESS
    ]
    first = next((edge.nova for edge in edges), None)
    ends = set()
    seen: set[State] = set()
    new = [start]
    while new:
        at = new.pop()
        for edge in edges:
            if edge.from_ != at or (at == start and edge.nova != first):
                continue
            if edge.write.event is model.Event.DESTROY:
                ends.add(_GONE)
            elif vocabulary.is_settled(edge.to):
                ends.add(edge.to)
            elif edge.to not in seen:
                seen.add(edge.to)
                new.append(edge.to)
    if any(state.task_state in atlas.DELETING for state in seen):
        # It may confirm a resize on its way.
        return ends & _DELETED
    # What others destroy is the row's copy in another cell.
    return ends - {_GONE}


def _box(
    place: frozenset[State], key: str, in_place: Names, from_anywhere: Names
) -> graph.Box:
    if len(place) > 1:
        names = ", ".join(sorted(str(state.vm_state) for state in place))
        lines = wording.folded([names], _WIDTH)
        return graph.Box(key, tuple(lines), (), graph.Look.NOTE)
    [state] = place
    small = (
        *_paragraph("from anywhere", from_anywhere.get(state, ())),
        *_paragraph("in place", in_place.get(state, ())),
    )
    if state in {_GONE, notation.ABSENT}:
        drawn = (
            boxes.gone(key)
            if state == _GONE
            else boxes.of_states(key, (state,))
        )
        return dataclasses.replace(drawn, small=small)
    return graph.Box(
        key,
        (str(state.vm_state),),
        (status.reported_status(*state), *small),
        graph.Look.SETTLED,
    )


def _paragraph(title: str, names: Iterable[str]) -> list[str]:
    listed = wording.listed(names)
    return wording.folded([f"{title}: {listed}"], _WIDTH) if listed else []
