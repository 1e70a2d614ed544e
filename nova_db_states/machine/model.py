# SPDX-License-Identifier: Apache-2.0
"""What an action is: where it starts, what it writes, how it may end.

These are values. ``declared/`` holds the declarations themselves, one
:class:`Action` each, ``atlas`` makes the map from them.
"""

import dataclasses
import enum
from typing import Final

from nova_db_states.machine import notation

__all__ = [
    "Action",
    "Event",
    "Gap",
    "Kind",
    "Path",
    "Transition",
    "Write",
    "destroys",
    "fails",
    "step",
]

State = notation.State

MOMENT_S: Final = 60
"""For what is over with the next statement of the same process."""


class Path(enum.StrEnum):
    """Whether a write brings its action forward or gives it up."""

    SUCCESS = "success"
    FAILURE = "failure"


class Event(enum.StrEnum):
    """What a write does to the row."""

    CREATE = "create"
    UPDATE = "update"
    DESTROY = "destroy"


class Kind(enum.StrEnum):
    """Who begins an action."""

    USER = "user"
    ADMIN = "admin"
    PERIODIC = "periodic"
    START_UP = "start-up"
    EVENT = "event"


@dataclasses.dataclass(frozen=True, slots=True)
class Write:
    """One write of one action, in Nova's code.

    :ivar change: from which states to which
    :ivar nova: the function that makes it, ``file:function``
    :ivar path: whether it brings the action forward
    :ivar event: what it does to the row
    :ivar via: the helper that executes it for ``nova``; empty for none
    :ivar when: what makes it happen, where that is not the usual course
    :ivar at_most_s: seconds after which the state that it leads to counts
        as stuck; ``None`` where that is a state to stay in
    :ivar guarded: whether Nova itself states what ``task_state`` it expects
    :ivar releases: first and last Nova release that has it; ``None`` for no
        bound
    :ivar defect: why nobody may do this although Nova does; empty for what
        is right
    :ivar reserved: whether nobody but the action itself may do this, so that
        it counts only where the action is asked for by name
    :ivar dirty: whether it writes, beside its own, what an earlier save was
        refused and left in the object
    :ivar late: whether who makes it does so after another participant of the
        action, unseen by him, has ended it
    """

    change: notation.Change
    nova: str
    path: Path = Path.SUCCESS
    event: Event = Event.UPDATE
    via: str = ""
    when: str = ""
    at_most_s: int | None = None
    guarded: bool = True
    releases: tuple[int | None, int | None] = (None, None)
    defect: str = ""
    reserved: bool = False
    dirty: bool = False
    late: bool = False

    def is_in(self, release: int) -> bool:
        """Say whether a Nova release has this write."""
        first, last = self.releases
        return (first is None or release >= first) and (
            last is None or release <= last
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Gap:
    """A time in which an action runs and the row does not say so.

    :ivar states: as before the arrow of a change: ``building / NULL``
    :ivar since: the Nova function after whose write it begins
    :ivar until: the Nova function whose write ends it
    :ivar allowed: names of the actions that may start in it; ``None`` where
        the row cannot be told from that of an idle server, so that whatever
        its state allows may start
    :ivar why: what happens in it and what that means for others
    """

    states: str
    since: str
    until: str
    allowed: tuple[str, ...] | None
    why: str


@dataclasses.dataclass(frozen=True, slots=True)
class Action:
    """Something that is done to a server.

    :ivar name: as users and operators know it
    :ivar summary: what it is for, in one sentence
    :ivar starts: the states that it may be asked for in, as before the
        arrow of a change
    :ivar nova: the function that accepts it, ``file:function``
    :ivar writes: what it writes, success path first, in order
    :ivar kind: who begins it
    :ivar launched: whether the server must have run before
    :ivar on_failure: what a worker that gives up leaves behind, as behind
        the arrow of a change; empty where it has no state of its own to
        give up
    :ivar overruled_by: names of the actions that may take the server away
        from it
    :ivar gaps: where the row does not say that it runs
    :ivar note: what else a reader should know
    """

    name: str
    summary: str
    starts: str
    nova: str
    writes: tuple[Write, ...] = ()
    kind: Kind = Kind.USER
    launched: bool = True
    on_failure: str = "= / NULL"
    overruled_by: tuple[str, ...] = ("delete", "soft_delete", "reset-state")
    gaps: tuple[Gap, ...] = ()
    note: str = ""

    def admits(self, state: State) -> bool:
        """Say whether it may be asked for in a state."""
        vm_states, task_states = notation.pattern(self.starts)
        return state.vm_state in vm_states and state.task_state in task_states


@dataclasses.dataclass(frozen=True, slots=True)
class Transition:
    """One edge of the map: one write, from one state to one other.

    :ivar from_: the state before
    :ivar to: the state after
    :ivar action: the name of the action
    :ivar write: the declaration it comes from
    """

    from_: State
    to: State
    action: str
    write: Write

    @property
    def path(self) -> Path:
        """Whether it brings the action forward or gives it up."""
        return self.write.path

    @property
    def reserved(self) -> bool:
        """Whether it counts only where its action is asked for by name."""
        return self.write.reserved

    @property
    def nova(self) -> str:
        """The Nova function that writes it, ``file:function``."""
        return self.write.nova

    def __str__(self) -> str:
        return f"{self.from_} -> {self.to} ({self.action}, {self.nova})"


def step(
    change: str,
    nova: str,
    *,
    at_most_s: int | None = None,
    guarded: bool = True,
    via: str = "",
    when: str = "",
    event: Event = Event.UPDATE,
    releases: tuple[int | None, int | None] = (None, None),
    defect: str = "",
    reserved: bool = False,
    dirty: bool = False,
) -> Write:
    """Declare a write on the way to success; the first is the claim.

    :param change: in the notation
    :param nova: ``file:function``
    :param at_most_s: as in :class:`Write`
    :param guarded: as in :class:`Write`
    :param via: as in :class:`Write`
    :param when: as in :class:`Write`
    :param event: as in :class:`Write`
    :param releases: as in :class:`Write`
    :param defect: as in :class:`Write`
    :param reserved: as in :class:`Write`
    :param dirty: as in :class:`Write`
    :returns: the write
    :raises InvalidMap: ``change`` is not in the notation
    """
    return Write(
        notation.parse(change),
        nova,
        Path.SUCCESS,
        event,
        via,
        when,
        at_most_s,
        guarded,
        releases,
        defect,
        reserved,
        dirty,
    )


def fails(
    change: str,
    nova: str,
    *,
    at_most_s: int | None = None,
    guarded: bool = False,
    via: str = "",
    when: str = "",
    releases: tuple[int | None, int | None] = (None, None),
    defect: str = "",
    reserved: bool = False,
    dirty: bool = False,
    late: bool = False,
) -> Write:
    """Declare a write that gives the action up.

    Nova guards few of these, so ``guarded`` is said only where it does.

    :param change: in the notation
    :param nova: ``file:function``
    :param at_most_s: as in :class:`Write`
    :param guarded: as in :class:`Write`
    :param via: as in :class:`Write`
    :param when: as in :class:`Write`
    :param releases: as in :class:`Write`
    :param defect: as in :class:`Write`
    :param reserved: as in :class:`Write`
    :param dirty: as in :class:`Write`
    :param late: as in :class:`Write`
    :returns: the write
    :raises InvalidMap: ``change`` is not in the notation
    """
    return Write(
        notation.parse(change),
        nova,
        Path.FAILURE,
        Event.UPDATE,
        via,
        when,
        at_most_s,
        guarded,
        releases,
        defect,
        reserved,
        dirty,
        late,
    )


def destroys(states: str, nova: str, *, when: str = "") -> Write:
    """Declare that the row is marked as deleted; its states stay.

    :param states: as before the arrow of a change
    :param nova: ``file:function``
    :param when: as in :class:`Write`
    :returns: the write
    :raises InvalidMap: ``states`` is not in the notation
    """
    return Write(
        notation.parse(f"{states} -> = / ="),
        nova,
        event=Event.DESTROY,
        when=when,
        guarded=False,
    )
