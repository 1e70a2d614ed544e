# SPDX-License-Identifier: Apache-2.0
"""What a run has to say, as plain data: figures, and one race told twice."""

from collections.abc import Mapping
import dataclasses
from typing import Any

from nova_db_states.demo import actor
from nova_db_states.demo import plan
from nova_db_states.demo import runner
from nova_db_states.demo import verdict
from nova_db_states.demo import writes

__all__ = [
    "Figure",
    "as_mapping",
    "by_pair",
    "did",
    "figures",
    "restarts",
    "told",
    "verdict_of",
]


@dataclasses.dataclass(frozen=True, slots=True)
class Figure:
    """A line of the table.

    :ivar name: for machines
    :ivar damage: whether it must be zero with guards
    """

    name: str
    title: str
    meaning: str
    direct: float
    guarded: float
    damage: bool = False


_TITLES = (
    ("races", "races played", "the same in both modes", False),
    (
        "overwritten",
        "delete marks overwritten",
        "'deleting' wiped off by another write",
        True,
    ),
    (
        "resurrected",
        "servers resurrected",
        "the row then said: alive and idle",
        True,
    ),
    ("lost", "deletes lost", "the row is still there in the end", True),
    ("double", "double winners", "both accepted, only one can run", True),
    (
        "conflicts",
        "conflicts reported",
        "writes refused: the loser is told",
        False,
    ),
    (
        "wasted_mib",
        "MiB downloaded in vain",
        "of images, after the delete",
        False,
    ),
    (
        "saved_mib",
        "MiB not downloaded",
        "the delete stopped the download",
        False,
    ),
    ("seconds", "seconds", "", False),
)


def figures(result: runner.Result) -> tuple[Figure, ...]:
    """Give the lines of the table.

    :param result: of a run
    :returns: one for each figure
    """
    return tuple(
        Figure(
            name,
            title,
            meaning,
            getattr(result.direct.count, name),
            getattr(result.guarded.count, name),
            damage,
        )
        for name, title, meaning, damage in _TITLES
    )


def by_pair(result: runner.Result) -> tuple[tuple[str, int, int, int], ...]:
    """Give, for each pair, the races and those with damage in each mode.

    :param result: of a run
    :returns: pair, races, damaged in the direct mode, in the guarded mode
    """
    lines = []
    for pair in plan.Pair:
        damaged = [
            [
                finding.damaged
                for played, finding in zip(
                    mode.played, mode.findings, strict=True
                )
                if played.race.pair is pair
            ]
            for mode in (result.direct, result.guarded)
        ]
        lines.append(
            (str(pair), len(damaged[0]), sum(damaged[0]), sum(damaged[1]))
        )
    return tuple(line for line in lines if line[1])


def restarts(result: runner.Result) -> int:
    """Count the races with a restart; both modes play the same ones.

    :param result: of a run
    :returns: how many have one in their plan
    """
    return sum(played.race.restart for played in result.direct.played)


def told(
    result: runner.Result,
) -> tuple[verdict.Played, verdict.Played] | None:
    """Choose the race to tell: one that went as wrong as it can.

    :param result: of a run
    :returns: the race in the direct mode, and the same one in the guarded
        mode; ``None`` if no delete was overwritten
    """
    guarded = {
        played.race.number: (played, finding)
        for played, finding in zip(
            result.guarded.played, result.guarded.findings, strict=True
        )
    }

    def worth(
        both: tuple[verdict.Played, verdict.Finding],
    ) -> tuple[bool | int, ...]:
        played, finding = both
        same, other = guarded[played.race.number]
        return (
            finding.resurrected,
            finding.lost,
            bool(other.conflicts) and _is_plain(same),
            _is_plain(played),
            played.race.pair is plan.Pair.BUILD_DELETE,
            bool(same.pieces and other.stop),
            finding.wasted_mib,
        )

    candidates = [
        (played, finding)
        for played, finding in zip(
            result.direct.played, result.direct.findings, strict=True
        )
        if finding.overwritten
    ]
    if not candidates:
        return None
    played, _ = max(candidates, key=worth)
    return played, guarded[played.race.number][0]


def _is_plain(played: verdict.Played) -> bool:
    """Say whether the delete went its usual way, to a server with a host."""
    return [
        event.outcome
        for event in played.events
        if event.did in writes.DELETE_ACCEPTED
    ] == [actor.Outcome.WRITTEN] and not played.events[-1].did.endswith(
        "no host yet"
    )


def verdict_of(
    result: runner.Result,
    direct_name: str = "Direct saves",
    guarded_name: str = "guarded updates",
) -> str:
    """Say in a sentence or two what the run showed.

    :param result: of a run
    :param direct_name: of the first mode, at the beginning of a sentence
    :param guarded_name: of the second mode, inside of one
    :returns: the text
    """
    direct = result.direct.count
    guarded = result.guarded.count
    if guarded.damage:
        return (
            f"With {guarded_name}, {guarded.damaged} of {guarded.races} races "
            f"did damage. That must not be: please report it with the seed "
            f"{result.settings.seed} and this output."
        )
    if not direct.damage:
        return (
            f"No race did damage, not even with the first way to write, so "
            f"this run shows nothing. Play more: --races "
            f"{max(120, 2 * direct.races)}."
        )
    return (
        f"{direct_name} did damage in {direct.damaged} of {direct.races} "
        f"races; {guarded_name} in none."
    )


def as_mapping(result: runner.Result) -> Mapping[str, Any]:
    """Give everything as what JSON can hold.

    :param result: of a run
    :returns: a mapping of plain values
    """
    race = told(result)
    return {
        "seed": result.settings.seed,
        "workers": result.settings.workers,
        "restarts": restarts(result),
        "holds": result.holds,
        "verdict": verdict_of(result),
        "direct": dataclasses.asdict(result.direct.count),
        "guarded": dataclasses.asdict(result.guarded.count),
        "damaged_by_pair": [
            {"pair": pair, "races": races, "direct": one, "guarded": other}
            for pair, races, one, other in by_pair(result)
        ],
        "told": race
        and {
            "race": race[0].race.number,
            "pair": str(race[0].race.pair),
            "direct": [_event(race[0], event) for event in race[0].events],
            "guarded": [_event(race[1], event) for event in race[1].events],
        },
    }


def did(played: verdict.Played, event: actor.Event) -> str:
    """Say what was done.

    :param played: the race
    :param event: of that race
    :returns: the text; for a download that was stopped, what that saved
    """
    stop = verdict.stop_of(played)
    if event.outcome != actor.Outcome.STOPPED or stop is None:
        return event.did
    return (
        f"{event.did}, {stop.saved_mib} MiB not fetched, "
        f"{stop.after_s * 1000:.0f} ms after the delete was accepted"
    )


def _event(played: verdict.Played, event: actor.Event) -> Mapping[str, Any]:
    return {
        "ended_ms": round(event.ended_s * 1000, 1),
        "who": event.who,
        "did": did(played, event),
        "source": event.source,
        "expected": event.expected,
        "outcome": event.outcome,
        "row": None if event.row is None else str(event.row),
    }
