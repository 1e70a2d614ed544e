# SPDX-License-Identifier: Apache-2.0
"""The whole map in one picture: what servers stay in, and what moves them."""

from collections.abc import Sequence
from typing import Final

from nova_db_states.machine import atlas
from nova_db_states.machine import model
from nova_db_states.machine import notation
from nova_db_states.machine import status
from nova_db_states.machine import vocabulary
from nova_db_states.machine.render import graph
from nova_db_states.machine.render import wording

__all__ = ["draw", "moves"]

State = notation.State

_WIDTH: Final = 26
_GONE: Final = State("(row is deleted)", None)
_ANYWHERE: Final = State("(any of these)", None)
_NO_ROWS: Final = {
    notation.ABSENT: "(no row)",
    _GONE: "(row is deleted)",
    _ANYWHERE: "(any of these)",
}

Moves = dict[tuple[State, State], list[str]]


def moves(made: atlas.Atlas) -> Moves:
    """Find what each action makes of a server that it leaves in peace.

    :param made: the map
    :returns: from which state to which, and the names of the actions that
        do it when they succeed; a row that is deleted is at ``_GONE``
    """
    found: Moves = {}
    for action in made.actions.values():
        starts = [
            state
            for state in (notation.ABSENT, *made.states)
            if state == notation.ABSENT or vocabulary.is_settled(state)
        ]
        for start in starts:
            for end in sorted(_ends(made, action, start), key=atlas.order):
                found.setdefault((start, end), []).append(action.name)
    return found


def _ends(
    made: atlas.Atlas, action: model.Action, start: State
) -> set[State]:
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


def draw(made: atlas.Atlas) -> graph.Picture:
    """Draw what servers stay in and the actions that move them.

    What can be done anywhere is drawn once. What ends where it began is
    named in its box. Failures are left out: they lead to error, or back.

    :param made: the map
    :returns: the picture
    """
    found = moves(made)
    settled = [one for one in made.states if vocabulary.is_settled(one)]
    loops = {
        start: names for (start, end), names in found.items() if start == end
    }
    arrows = _summed_up(
        {ends: names for ends, names in found.items() if len({*ends}) > 1},
        frozenset(settled),
    )
    shown = dict.fromkeys(
        (notation.ABSENT, *settled, _ANYWHERE, _GONE)
        if arrows
        else settled
    )
    keys = {state: f"s{index}" for index, state in enumerate(shown)}
    used = {end for ends in arrows for end in ends} | {*settled}
    return graph.Picture(
        "overview",
        tuple(
            _box(state, key, loops.get(state, ()))
            for state, key in keys.items()
            if state in used
        ),
        tuple(
            graph.Arrow(
                keys[start],
                keys[end],
                tuple(wording.wrapped(names, _WIDTH)),
            )
            for (start, end), names in arrows.items()
        ),
    )


def _summed_up(found: Moves, settled: frozenset[State]) -> Moves:
    """Draw what is there from every state as one arrow."""
    starts: dict[tuple[State, str], set[State]] = {}
    for (start, end), names in found.items():
        for name in names:
            starts.setdefault((end, name), set()).add(start)
    result: Moves = {}
    for (start, end), names in found.items():
        for name in names:
            everywhere = starts[end, name] >= settled - {end}
            tail = _ANYWHERE if everywhere else start
            listed = result.setdefault((tail, end), [])
            if name not in listed:
                listed.append(name)
    return result


def _box(state: State, key: str, loops: Sequence[str]) -> graph.Box:
    if state in _NO_ROWS:
        look = graph.Look.NOTE if state == _ANYWHERE else graph.Look.NO_ROW
        return graph.Box(key, (_NO_ROWS[state],), (), look)
    small = [status.reported_status(*state), *wording.wrapped(loops, _WIDTH)]
    return graph.Box(
        key, (str(state.vm_state),), tuple(filter(None, small)),
        graph.Look.SETTLED,
    )
