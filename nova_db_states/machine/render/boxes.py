# SPDX-License-Identifier: Apache-2.0
"""How states are written into a box."""

from collections.abc import Collection
from typing import Any, Final

from nova_db_states.machine import instance
from nova_db_states.machine import notation
from nova_db_states.machine import status
from nova_db_states.machine import vocabulary
from nova_db_states.machine.render import graph
from nova_db_states.machine.render import wording

__all__ = ["gone", "of_states", "of_target"]

State = notation.State

_WIDTH: Final = 34
_MANY_LINES: Final = 5
_MANY_STATUSES: Final = 3


def gone(key: str) -> graph.Box:
    """Stand for a row that is marked as deleted.

    :param key: the key of the box
    :returns: the box
    """
    return graph.Box(key, ("(row is deleted)",), (), graph.Look.NO_ROW)


def of_states(
    key: str,
    some: Collection[State],
    *,
    begins: bool = False,
    is_rest: bool = False,
) -> graph.Box:
    """Name some states; so many that nobody would read them are counted.

    :param key: the key of the box
    :param some: the states, at least one
    :param begins: whether this is where somebody may ask for the action
    :param is_rest: whether these are all that the picture does not name
    :returns: the box
    """
    if notation.ABSENT in some:
        return graph.Box(
            key, ("(no row)",), (), graph.Look.NO_ROW, begins=begins
        )
    lines = wording.folded(wording.states(some, instance.MAP.states), _WIDTH)
    small = _statuses(some)
    if len(lines) > _MANY_LINES:
        lines = [f"{len(some)} {'other ' if is_rest else ''}states"]
        small = ("see the table",)
        if is_rest:
            small = ("whatever is not named here",)
    return graph.Box(key, tuple(lines), small, _look(some), begins=begins)


def of_target(
    key: str, some: Collection[State], vm_states: Any, task_states: Any
) -> graph.Box:
    """Name what a write leads to, whatever it began with.

    :param key: the key of the box
    :param some: the states it leads to
    :param vm_states: those it writes; ``None``: it leaves them alone
    :param task_states: in the same way
    :returns: the box
    """
    if None not in {vm_states, task_states}:
        return of_states(key, some)
    kept = "vm_state" if vm_states is None else "task_state"
    halves = (
        notation.KEEP
        if values is None
        else ", ".join(wording.name(one) for one in values)
        for values in (vm_states, task_states)
    )
    small = (f"{kept} as it was", *_statuses(some))
    return graph.Box(key, (" / ".join(halves),), small, _look(some))


def _look(some: Collection[State]) -> graph.Look:
    if all(map(vocabulary.is_settled, some)):
        return graph.Look.SETTLED
    return graph.Look.PASSING


def _statuses(some: Collection[State]) -> tuple[str, ...]:
    """Give what the API reports, unless that is nearly everything."""
    found = sorted({status.reported_status(*state) for state in some})
    return (", ".join(found),) if len(found) <= _MANY_STATUSES else ()
