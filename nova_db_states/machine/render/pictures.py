# SPDX-License-Identifier: Apache-2.0
"""A picture of one action, and one of what leads out of a state."""

from typing import Final

from nova_db_states.machine import model
from nova_db_states.machine import notation
from nova_db_states.machine.render import boxes
from nova_db_states.machine.render import graph
from nova_db_states.machine.render import overview
from nova_db_states.machine.render import parts
from nova_db_states.machine.render import steps
from nova_db_states.machine.render import wording

__all__ = ["draw"]

State = notation.State

_WIDTH: Final = 30
_GONE: Final = "gone"


def draw(part: parts.Part) -> graph.Picture:
    """Draw a part: its action, or its state, or the overview of all.

    :param part: what to draw
    :returns: the picture
    """
    if part.action is not None:
        return steps.draw(part, part.action)
    if part.from_ is not None:
        return _of_state(part, part.from_)
    return overview.draw(part.made)


def _of_state(part: parts.Part, from_: State) -> graph.Picture:
    names: dict[tuple[State | None, bool], dict[str, None]] = {}
    for edge in part.transitions:
        destroyed = edge.write.event is model.Event.DESTROY
        if edge.to == from_ and not destroyed:
            continue
        arrow = (
            None if destroyed else edge.to,
            edge.path is model.Path.FAILURE,
        )
        names.setdefault(arrow, {})[edge.action] = None
    targets = dict.fromkeys((from_, *(to for to, _ in names if to)))
    keys = {state: f"s{index}" for index, state in enumerate(targets)}
    drawn = [
        boxes.of_states(key, (state,), begins=state == from_)
        for state, key in keys.items()
    ]
    if any(to is None for to, _ in names):
        drawn.append(boxes.gone(_GONE))
    return graph.Picture(
        f"from {from_}",
        tuple(drawn),
        tuple(
            graph.Arrow(
                keys[from_],
                _GONE if to is None else keys[to],
                tuple(wording.wrapped(actions, _WIDTH)),
                gives_up,
            )
            for (to, gives_up), actions in names.items()
        ),
        sideways=True,
    )
