# SPDX-License-Identifier: Apache-2.0
"""The whole map in one picture: what servers stay in, and what moves them."""

from collections.abc import Iterable, Mapping
from typing import Final

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

_WIDTH: Final = 26
_MANY_STARTS: Final = 3
_GONE: Final = State("(row is deleted)", None)
_ASKED_FOR: Final = (model.Kind.USER, model.Kind.ADMIN)

# Where an action comes to rest, and the places it may have begun at.
Ends = dict[tuple[str, State], set[State]]
# The places that an arrow leaves, and the one it leads to.
Arrows = dict[tuple[frozenset[State], State], list[str]]


def draw(made: atlas.Atlas) -> graph.Picture:
    """Draw what servers stay in and what users move them with.

    What several states have in common leaves a box of its own. What ends
    where it began is named in its box. Failures are left out, since they
    lead to error or back; so is what begins by itself.

    :param made: the map
    :returns: the picture
    """
    rests = _rests(made)
    settled = frozenset(filter(vocabulary.is_settled, made.states))
    loops: dict[State, list[str]] = {}
    arrows: Arrows = {}
    for (name, end), starts in rests.items():
        if made.actions[name].kind not in _ASKED_FOR:
            continue
        if end in starts:
            loops.setdefault(end, []).append(name)
        for tail in _tails(starts - {end}, settled - {end}):
            arrows.setdefault((tail, end), []).append(name)
    places = dict.fromkeys(
        (
            *(tail for tail, _ in arrows if len(tail) > 1),
            frozenset({notation.ABSENT}),
            *(frozenset({state}) for state in made.states if state in settled),
            frozenset({_GONE}),
        )
    )
    keys = {place: f"s{index}" for index, place in enumerate(places)}
    return graph.Picture(
        "overview",
        tuple(_box(place, key, loops, settled) for place, key in keys.items()),
        tuple(
            graph.Arrow(
                keys[tail],
                keys[frozenset({end})],
                tuple(wording.wrapped(names, _WIDTH)),
            )
            for (tail, end), names in arrows.items()
        ),
    )


def _rests(made: atlas.Atlas) -> Ends:
    """Find where each action leaves a server in peace.

    Where it goes on by itself, from one such state to the next, the first
    is enough if anything else leads from there to the next.
    """
    starts = [
        notation.ABSENT,
        *filter(vocabulary.is_settled, made.states),
    ]
    all_ends = {
        (name, start): _ends(made, action, start)
        for name, action in made.actions.items()
        for start in starts
    }
    found: Ends = {}
    for (name, start), ends in all_ends.items():
        for end in sorted(ends, key=atlas.order):
            by_way_of = any(
                end in all_ends.get((other, middle), ())
                for middle in ends - {start, end}
                for other in made.actions
                if other != name
            )
            if not by_way_of or end == start:
                found.setdefault((name, end), set()).add(start)
    return found


def _tails(
    starts: set[State], settled: frozenset[State]
) -> list[frozenset[State]]:
    """Put what an action may begin at into the boxes its arrows leave."""
    if starts >= settled:
        return [settled, *(frozenset({one}) for one in starts - settled)]
    if len(starts) >= _MANY_STARTS:
        return [frozenset(starts)]
    return [frozenset({one}) for one in sorted(starts, key=atlas.order)]


def _ends(made: atlas.Atlas, action: model.Action, start: State) -> set[State]:
    """Follow the success path of an action to where it comes to rest."""
    ends = set()
    seen = {start}
    new = [start]
    while new:
        for edge in made.leaving.get(new.pop(), ()):
            if edge.action != action.name or edge.path is model.Path.FAILURE:
                continue
            if edge.write.event is model.Event.DESTROY:
                ends.add(_GONE)
            elif vocabulary.is_settled(edge.to):
                ends.add(edge.to)
            elif edge.to not in seen:
                seen.add(edge.to)
                new.append(edge.to)
    return ends


def _box(
    place: frozenset[State],
    key: str,
    loops: Mapping[State, Iterable[str]],
    settled: frozenset[State],
) -> graph.Box:
    if len(place) > 1:
        missing = settled - place
        names = (
            ["any of these" if not missing else "any other"]
            if len(missing) <= 1
            else sorted(str(state.vm_state) for state in place)
        )
        return graph.Box(
            key,
            tuple(wording.wrapped(names, _WIDTH)),
            (),
            graph.Look.NOTE,
        )
    [state] = place
    if state == _GONE:
        return boxes.gone(key)
    if state == notation.ABSENT:
        return boxes.of_states(key, (state,), ())
    small = [
        status.reported_status(*state),
        *wording.wrapped(loops.get(state, ()), _WIDTH),
    ]
    return graph.Box(
        key,
        (str(state.vm_state),),
        tuple(filter(None, small)),
        graph.Look.SETTLED,
    )
