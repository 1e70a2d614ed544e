# SPDX-License-Identifier: Apache-2.0
"""All that the map says of one state."""

from collections.abc import Collection, Iterable
import dataclasses
from typing import Any, Final

from nova_db_states.machine import instance
from nova_db_states.machine import model
from nova_db_states.machine import notation
from nova_db_states.machine import queries
from nova_db_states.machine import vocabulary
from nova_db_states.machine.render import json
from nova_db_states.machine.render import wording

__all__ = ["Portrait", "Step", "as_mapping", "of"]

_GONE: Final = "(row is deleted)"
_LONG: Final = 100
_UNATTENDED: Final = (model.Kind.PERIODIC, model.Kind.START_UP)


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """Some edges that are told in one line.

    :ivar where: the other states: where it leads to, or where it came from
    :ivar actions: the names of the actions
    :ivar path: whether these are steps forward
    :ivar why: why nobody may do it; empty for what is right
    """

    where: str
    actions: tuple[str, ...]
    path: model.Path
    why: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Portrait:
    """A state, as a person wants it explained.

    :ivar state: the state
    :ivar status: what Nova's API reports; ``None`` without a row
    :ivar description: what it means
    :ivar stable: whether a server may stay in it
    :ivar reached: whether anything leads to it
    :ivar max_age_s: seconds after which it counts as stuck; ``None``: never
    :ivar stranded: why nothing of Nova's ends it; empty where something does
    :ivar allowed: the actions that may be asked for now
    :ivar ending: those of them that lead to another state
    :ivar unattended: what may end it without being asked: actions of
        periodic tasks, or of a nova-compute that starts
    :ivar next: what comes next, steps forward first
    :ivar before: what may have led here, steps forward first
    :ivar gaps: what may be going on although the row does not say so
    :ivar defects: what Nova's code does to it and nobody should
    """

    state: notation.State
    status: str | None
    description: str
    stable: bool
    reached: bool
    max_age_s: int | None
    stranded: str
    allowed: tuple[str, ...]
    ending: tuple[str, ...]
    unattended: tuple[str, ...]
    next: tuple[Step, ...]
    before: tuple[Step, ...]
    gaps: tuple[tuple[model.Action, model.Gap], ...]
    defects: tuple[Step, ...]


def of(given: Any) -> Portrait:
    """Tell all that the map says of a state.

    :param given: as for ``queries.state``
    :returns: the portrait
    :raises InvalidState: a name that Nova does not have
    :raises InvalidRequest: not a state
    """
    at = queries.state(given)
    leaving = [
        edge
        for edge in queries.leaving(at)
        if edge.to != at or edge.write.event is model.Event.DESTROY
    ]
    entering = queries.entering(at)
    ways = dict.fromkeys(edge.action for edge in leaving)
    allowed = queries.allowed_actions(at)
    return Portrait(
        at,
        json.reported(at),
        vocabulary.describe(at),
        vocabulary.is_settled(at),
        bool(entering) or at == notation.ABSENT,
        queries.max_age_s(at),
        vocabulary.stranded(at),
        allowed,
        tuple(name for name in allowed if name in ways),
        tuple(
            name
            for name in ways
            if queries.action(name).kind in _UNATTENDED
            and queries.action(name).admits(at)
        ),
        _steps(leaving),
        _origins(entering),
        queries.gaps(at),
        _steps(queries.defects(at)),
    )


def _steps(edges: Iterable[model.Transition]) -> tuple[Step, ...]:
    """Put the actions together that lead to the same state."""
    actions: dict[tuple[str, model.Path, str], dict[str, None]] = {}
    for edge in edges:
        destroyed = edge.write.event is model.Event.DESTROY
        where = _GONE if destroyed else str(edge.to)
        key = (where, edge.path, edge.write.defect)
        actions.setdefault(key, {})[edge.action] = None
    return _forward_first(
        Step(where, tuple(names), path, why)
        for (where, path, why), names in actions.items()
    )


def _origins(edges: Iterable[model.Transition]) -> tuple[Step, ...]:
    """Put the actions together that come from the same states."""
    origins: dict[tuple[str, model.Path], set[notation.State]] = {}
    for edge in edges:
        if edge.write.event is not model.Event.DESTROY:
            origins.setdefault((edge.action, edge.path), set()).add(edge.from_)
    actions: dict[tuple[frozenset[notation.State], model.Path], list[str]] = {}
    for (name, path), some in origins.items():
        actions.setdefault((frozenset(some), path), []).append(name)
    return _forward_first(
        Step(_together(some), tuple(names), path)
        for (some, path), names in actions.items()
    )


def _together(some: Collection[notation.State]) -> str:
    listed = "; ".join(wording.states(some, instance.MAP.states))
    return listed if len(listed) <= _LONG else f"{len(some)} states"


def _forward_first(steps: Iterable[Step]) -> tuple[Step, ...]:
    # A sort keeps the order of the map within a path.
    return tuple(sorted(steps, key=lambda one: one.path is model.Path.FAILURE))


def as_mapping(portrait: Portrait) -> dict[str, Any]:
    """Give a portrait as values of JSON, with every edge on its own.

    :param portrait: of a state
    :returns: one object
    """
    at = portrait.state
    return {
        **json.state(at),
        "reached": portrait.reached,
        "allowed_actions": list(portrait.allowed),
        "ending": list(portrait.ending),
        "unattended": list(portrait.unattended),
        "next": [json.edge(one) for one in queries.leaving(at)],
        "before": [json.edge(one) for one in queries.entering(at)],
        "gaps": [
            {"action": action.name, **json.gap(gap)}
            for action, gap in portrait.gaps
        ],
        "defects": [
            {**json.edge(one), "reason": one.write.defect}
            for one in queries.defects(at)
        ],
    }
