# SPDX-License-Identifier: Apache-2.0
"""What is to be shown: all of the map, one action, or one state."""

import dataclasses

from nova_db_states.machine import atlas
from nova_db_states.machine import model
from nova_db_states.machine import notation
from nova_db_states.machine import power_sync

__all__ = ["Part", "cut"]


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """The map, or a part of it.

    :ivar made: the map it is cut from
    :ivar action: the one action that was asked for; ``None`` for all
    :ivar from_: the one state to start from; ``None`` for all
    :ivar actions: the actions that have an edge in it
    :ivar states: the states that it touches, sorted
    :ivar transitions: the edges that are allowed, sorted
    :ivar defects: the edges that are not, sorted
    :ivar power_rules: of the periodic sync; none with a part of the map
    """

    made: atlas.Atlas
    action: model.Action | None
    from_: notation.State | None
    actions: tuple[model.Action, ...]
    states: tuple[notation.State, ...]
    transitions: tuple[model.Transition, ...]
    defects: tuple[model.Transition, ...]
    power_rules: tuple[power_sync.PowerRule, ...]

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left out."""
        return self.action is None and self.from_ is None


def cut(
    made: atlas.Atlas,
    *,
    action: str | None = None,
    from_: notation.State | None = None,
    release: int | None = None,
) -> Part:
    """Cut a part out of a map.

    :param made: the map
    :param action: the name of the one action wanted; ``None`` for all
    :param from_: the one state to start from; ``None`` for all
    :param release: the one Nova release whose writes are wanted; ``None``
        for all
    :returns: the part
    """

    def wanted(edge: model.Transition) -> bool:
        return (
            action in {None, edge.action}
            and from_ in {None, edge.from_}
            and (release is None or edge.write.is_in(release))
        )

    edges = made.transitions
    if from_ is not None and from_ not in made.leaving:
        # A row that is somebody's mistake: what holds for every row.
        edges = atlas.universal(made, from_)
    transitions = tuple(sorted(filter(wanted, edges), key=place))
    defects = tuple(sorted(filter(wanted, made.defects), key=place))
    whole = action is None and from_ is None
    named = {edge.action for edge in (*transitions, *defects)} | {action}
    touched = {
        end
        for edge in (*transitions, *defects)
        for end in (edge.from_, edge.to)
        if end != notation.ABSENT
    }
    return Part(
        made,
        None if action is None else made.actions[action],
        from_,
        tuple(
            one for one in made.actions.values() if whole or one.name in named
        ),
        made.states if whole else tuple(sorted(touched, key=atlas.order)),
        transitions,
        defects,
        power_sync.POWER_RULES if whole else (),
    )


def place(edge: model.Transition) -> tuple[str, ...]:
    """Give the key by which edges are sorted."""
    return (
        *atlas.order(edge.from_),
        *atlas.order(edge.to),
        edge.action,
        edge.path,
        edge.nova,
    )
