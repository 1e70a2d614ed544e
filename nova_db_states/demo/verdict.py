# SPDX-License-Identifier: Apache-2.0
"""What the races did, counted from the rows and from what was recorded.

Nothing counts as after the delete unless it began when the delete's own write
was committed, so that no order is guessed: what is too close to tell is not
counted. The guarded mode must then be at zero exactly.
"""

from collections.abc import Iterable
import dataclasses

from nova_db_states import states
from nova_db_states.demo import actor
from nova_db_states.demo import plan
from nova_db_states.demo import saves
from nova_db_states.demo import stories
from nova_db_states.demo import writes

__all__ = [
    "Count",
    "Finding",
    "Played",
    "Stop",
    "accepts_delete",
    "count",
    "judge",
    "stop_of",
    "wiped",
]

_ALIVE = frozenset(
    {
        states.VMState.ACTIVE,
        states.VMState.STOPPED,
        states.VMState.RESCUED,
        states.VMState.RESIZED,
    }
)


@dataclasses.dataclass(frozen=True, slots=True)
class Played:
    """One race when it is over.

    :ivar events: of both sides, in the order they ended
    :ivar pieces: of the image, those that came
    :ivar final: the row in the end
    """

    race: plan.Race
    events: tuple[actor.Event, ...]
    pieces: tuple[actor.Piece, ...]
    final: saves.Row


@dataclasses.dataclass(frozen=True, slots=True)
class Stop:
    """The end of a download that was stopped.

    :ivar after_s: how long after the delete was accepted
    :ivar saved_mib: of the image, not downloaded
    """

    after_s: float
    saved_mib: int


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """What happened in one race.

    :ivar overwritten: the delete was accepted, and another write took its
        mark off the row
    :ivar resurrected: after that the row said the server is alive and idle
    :ivar lost: in the end the row is still there
    :ivar double: two operations were both accepted, of which only one can run
    :ivar conflicts: writes refused
    :ivar wasted_mib: of the image, downloaded after the delete was accepted
    :ivar stop: how the download was stopped; ``None`` if it was not
    """

    overwritten: bool
    resurrected: bool
    lost: bool
    double: bool
    conflicts: int
    wasted_mib: int
    stop: Stop | None = None

    @property
    def damaged(self) -> bool:
        """Whether anything happened that must not."""
        return self.overwritten or self.resurrected or self.lost or self.double


@dataclasses.dataclass(frozen=True, slots=True)
class Count:
    """The sums over all races of a mode.

    :ivar stopped: downloads that were stopped
    :ivar slowest_stop_s: the longest that one went on after the delete was
        accepted; ``None`` where none was stopped
    :ivar seconds: of the clock
    """

    races: int
    damaged: int
    overwritten: int
    resurrected: int
    lost: int
    double: int
    conflicts: int
    wasted_mib: int
    saved_mib: int
    stopped: int
    slowest_stop_s: float | None
    seconds: float

    @property
    def damage(self) -> int:
        """Everything that must not happen; a reported conflict may."""
        return self.overwritten + self.resurrected + self.lost + self.double


def judge(played: Played) -> Finding:
    """Say what happened in one race."""
    accepted = _accepted_s(played.events)
    later = [
        event.row
        for event in played.events
        if accepted is not None
        and event.row is not None
        and event.looked_s >= accepted
        and wiped(event)
    ]
    return Finding(
        overwritten=bool(later),
        resurrected=any(
            row.task_state is None and row.vm_state in _ALIVE for row in later
        ),
        lost=accepted is not None and not played.final.deleted,
        double=_both_accepted(played),
        conflicts=sum(
            event.outcome in (actor.Outcome.REFUSED, actor.Outcome.STOPPED)
            for event in played.events
        ),
        wasted_mib=stories.IMAGE_CHUNK_MIB
        * sum(
            accepted is not None and piece.came_s > accepted
            for piece in played.pieces
        ),
        stop=stop_of(played),
    )


def stop_of(played: Played) -> Stop | None:
    """Say how the download of a race was stopped, if it was.

    :param played: the race
    :returns: the stop
    """
    accepted = _accepted_s(played.events)
    for event in played.events:
        if event.outcome == actor.Outcome.STOPPED and accepted is not None:
            # It may know of the delete before the user is told.
            return Stop(
                max(0.0, event.ended_s - accepted),
                stories.IMAGE_CHUNK_MIB
                * (stories.IMAGE_CHUNKS - len(played.pieces)),
            )
    return None


def count(findings: Iterable[Finding], seconds: float) -> Count:
    """Add up the races of a mode.

    :param findings: one for each race
    :param seconds: how long they took
    :returns: the sums
    """
    each = list(findings)
    stops = [one.stop for one in each if one.stop is not None]
    return Count(
        races=len(each),
        damaged=sum(one.damaged for one in each),
        overwritten=sum(one.overwritten for one in each),
        resurrected=sum(one.resurrected for one in each),
        lost=sum(one.lost for one in each),
        double=sum(one.double for one in each),
        conflicts=sum(one.conflicts for one in each),
        wasted_mib=sum(one.wasted_mib for one in each),
        saved_mib=sum(stop.saved_mib for stop in stops),
        stopped=len(stops),
        slowest_stop_s=max((stop.after_s for stop in stops), default=None),
        seconds=seconds,
    )


def accepts_delete(event: actor.Event) -> bool:
    """Say whether the user was told, by this write, that the server goes."""
    return (
        event.did in writes.DELETE_ACCEPTED
        and event.outcome == actor.Outcome.WRITTEN
    )


def wiped(event: actor.Event) -> bool:
    """Say whether the row bore no mark of a delete after this event."""
    return (
        event.row is not None
        and not event.row.deleted
        and event.row.vm_state != states.VMState.DELETED
        and event.row.task_state != states.TaskState.DELETING
    )


def _accepted_s(events: Iterable[actor.Event]) -> float | None:
    return next(
        (event.ended_s for event in events if accepts_delete(event)), None
    )


def _both_accepted(played: Played) -> bool:
    """Say whether the second was accepted before the first was done."""
    if played.race.pair not in (
        plan.Pair.RESCUE_RESCUE,
        plan.Pair.EVACUATE_EVACUATE,
    ):
        return False
    sides: dict[str, list[actor.Event]] = {}
    for event in played.events:
        if event.outcome == actor.Outcome.WRITTEN:
            sides.setdefault(event.who.split()[-1], []).append(event)
    accepts = {
        who: events[0]
        for who, events in sides.items()
        if events[0].did.endswith("accepted")
    }
    if len(accepts) != 2:  # noqa: PLR2004 - both
        return False
    (first, one), (_, other) = sorted(
        accepts.items(), key=lambda item: item[1].ended_s
    )
    last = sides[first][-1]
    return other.ended_s < last.began_s or last is one
