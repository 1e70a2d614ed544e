# SPDX-License-Identifier: Apache-2.0
"""Which writes of state are refused. The policy is in this file.

A write comes with a target (what it sets), perhaps with what its author
expects, and perhaps with a belief (what the writer's object last saw). From
these and the declared map follows the set of states that it may change; the
database judges that set inside the ``UPDATE``.

1. The administrator's reset-state may change everything.
2. A delete may change everything but another kind of delete: it is the only
   writer whose belief does not matter, and so it is carried out, whatever the
   row says by then. But nobody asked for a reclaim: a soft-deleted server is
   marked as deleted only if it was not restored.
3. Everybody else may change what he believes is there, and the states that
   his own action leads to from there, since an action has several
   participants with an object each, and one of them may be ahead. Nova's API
   begins actions only where the map does. Who was at something else, and has
   merely read that another action began, takes no part in that.
   What is there already need not be refused to whom ends his task with it.
4. An expectation of Nova's own holds as it stands; the belief about
   ``vm_state``, which none of them mentions, is added to it. A host that is
   written together with a state is guarded with the host that was seen.
5. Without a belief the map decides alone: refused is what no action does. A
   state that the map does not know is nobody's, and only a delete is kept
   from being overwritten with one. Of half a belief, as a host without the
   plugin has it, the half counts.
6. What writes no state but moves a server to another host, or takes it from
   its host, must not do so under a delete: the host that has to carry the
   delete out would not find the server any more (``places``).
"""

import dataclasses
import functools
from typing import Any, Final

from nova_db_states import guards
from nova_db_states import states
from nova_db_states.machine import atlas
from nova_db_states.machine import instance
from nova_db_states.machine import model
from nova_db_states.machine import notation
from nova_db_states.machine import queries
from nova_db_states.nova import belief
from nova_db_states.nova import participants
from nova_db_states.nova import places
from nova_db_states.nova import writes

__all__ = [
    "NOWHERE",
    "allowed_from",
    "begins",
    "destroy_ruling",
    "explained",
    "idle",
    "ruling",
]

State = notation.State

_MAP: Final = instance.MAP
_API: Final = "nova/compute/api.py:"
_DELETED: Final = states.VMState.DELETED.value
_ERROR: Final = states.VMState.ERROR.value
_SOFT_DELETING: Final = states.TaskState.SOFT_DELETING.value
_DELETING: Final = states.TaskState.DELETING.value

_RECLAIMED: Final = (states.VMState.SOFT_DELETED.value, None)

NOWHERE: Final = guards.Guard(guards.STATE, ("",))
"""Matches no row: the text of a pair has at least its slash."""


def begins(write: writes.Write) -> bool:
    """Say whether a write begins an action, for which it has to be first.

    :param write: the write
    :returns: true where a function of Nova's API makes it and the map has
        that function begin something with it
    """
    return any(
        edge.to.task_state == write.task_state
        for edge in _claims(write.writer) or ()
        if write.task_state not in (states.ANY, None)
    )


def idle(write: writes.Write) -> tuple[str, ...]:
    """Name the columns that need not be set, as they were seen so.

    A field of an object counts as changed also when it is set to what it
    was. Such a write says nothing, and must neither be refused nor bring back
    what another writer has changed meanwhile. To begin an action is another
    matter, and to go on with a task: it has to be there still.

    :param write: the write, of no expectation
    :returns: some of the two columns
    """
    if write.resets or begins(write):
        return ()
    return tuple(
        name
        for name in belief.FIELDS
        if getattr(write, name) == getattr(write.seen, name)
        and (name == "vm_state" or write.task_state is None)
    )


_RULINGS: Final = 4096
"""A service makes some dozens of writes; to judge one takes longer than to
send it."""


def ruling(write: writes.Write) -> guards.Guard | None:
    """Decide what the row must be for a write to be made.

    :param write: the write
    :returns: a guard on both states, beside those that the writer named;
        ``None`` where nothing needs to be guarded
    """
    try:
        return _ruled(write)
    except TypeError:
        # Some value of the caller's that is in no state anyway.
        return _ruled.__wrapped__(write)


@functools.lru_cache(maxsize=_RULINGS)
def _ruled(write: writes.Write) -> guards.Guard | None:
    if write.resets or writes.is_foreign(write):
        return None
    if not write.sets_state:
        return places.settled(write) if write.moves else None
    seen = write.seen.pair
    if writes.is_delete(write) or seen is None:
        return _unbelieving(write)
    if write.seen.overtaken and not begins(write):
        return NOWHERE
    return (
        guards.on_states(allowed)
        if (allowed := allowed_from(write))
        else (NOWHERE)
    )


def explained(write: writes.Write, guard: guards.Guard) -> guards.Guard:
    """Say what a guard wanted, for whom it refused.

    :param write: the write
    :param guard: of :func:`ruling`
    :returns: the guard; for one that nothing can satisfy, the states that
        the write can be made from by who sees one of them
    """
    if guard is not NOWHERE:
        return guard
    blind = dataclasses.replace(write, seen=belief.NONE)
    return guards.on_states(one for one in _MAP.states if _may(blind, one))


def destroy_ruling(seen: belief.Belief) -> guards.Guard | None:
    """Decide what the row must be to be marked as deleted.

    What the writer believes is there, what is being deleted, and what the map
    destroys: a server that was never built on any host.

    :param seen: what the writer last saw
    :returns: a guard on both states; ``None`` for who carries a delete out,
        and where nothing is known of what the writer saw, since a delete is
        not refused for want of that
    """
    if seen.pair is None:
        return None
    mine = State(*seen.pair)
    if participants.is_deletion(mine):
        return None
    return guards.on_states(
        (
            one
            for one in _MAP.states
            if one != mine
            and one not in _DESTROYED
            and not participants.is_deletion(one)
        ),
        negated=True,
    )


def allowed_from(write: writes.Write) -> frozenset[State]:
    """List what a writer with a belief may change.

    :param write: the write, of a known belief
    :returns: the states
    """
    seen = State(*(write.seen.pair or ()))
    others: frozenset[State] = frozenset()
    if not write.writer.startswith(_API):
        # The API begins actions; who works on one may find it ahead of him.
        others = participants.same_action(
            seen, write.vm_state, write.task_state
        ) | _as_wanted(write, seen)
    if write.tasks is None:
        mine = frozenset({seen})
    else:
        mine = frozenset(State(seen.vm_state, task) for task in write.tasks)
        others = frozenset(
            one for one in others if one.task_state in write.tasks
        )
    found = frozenset(one for one in mine if _may(write, one)) | others
    if write.seen.tried is None:
        return found
    # The answer to his last write was lost. It may well have been made.
    other = belief.Belief(*write.seen.tried)
    return found | allowed_from(dataclasses.replace(write, seen=other))


def _as_wanted(write: writes.Write, seen: State) -> frozenset[State]:
    """Give the state that a write would leave as it is.

    Its task goes on, or is over already, as after the administrator's reset.
    """
    if seen.task_state is None or participants.is_deletion(seen):
        return frozenset()
    there = write.target(seen)
    if there.task_state in {seen.task_state, None}:
        return frozenset({there})
    return frozenset()


def _may(write: writes.Write, before: State) -> bool:
    """Say whether a write may change a row in some state at all.

    Who knows what is there may do with it what no map foresees, as drivers
    and tests do; but he does not begin what cannot be begun there, and does
    not take a delete away.
    """
    if before not in _KNOWN:
        return True
    after = write.target(before)
    claims = _claims(write.writer) or ()
    if any(edge.to == after for edge in claims):
        return any(
            edge.from_ == before and edge.to == after for edge in claims
        )
    if write.seen.pair is not None and not participants.is_deletion(before):
        return True
    return (
        after == before
        or after in _reached(before)
        or (after in _reserved(before) and _is_the_delete(write, before))
        or (_is_beside(before, after) and not participants.is_deletion(before))
    )


def _is_beside(before: State, after: State) -> bool:
    """Say whether a write does something that the map is not about.

    That is a state that it does not know, which is nobody's, and another
    ``vm_state`` for a task that goes on.
    """
    return after not in _KNOWN or (
        after.task_state is not None and after.task_state == before.task_state
    )


def _is_the_delete(write: writes.Write, before: State) -> bool:
    """Say whether who writes over a delete carries it out himself.

    Its failure, and the confirm of a resize inside it, take its own mark
    away. A late writer of another action makes the same pairs; but he has
    seen another task. Of whom nothing is known (a host without the plugin),
    he counts as the delete if he expects its task, leaves it there, or
    reverts what has already failed: a server in error whose delete is never
    given up could not be deleted again.
    """
    if write.seen.pair is not None:
        return participants.is_deletion(State(*write.seen.pair))
    if write.seen.task_state is not belief.UNKNOWN:
        return write.seen.task_state in atlas.DELETING
    if write.tasks is not None:
        return before.task_state in write.tasks
    return (
        write.target(before).task_state == before.task_state
        or before.vm_state == _ERROR
    )


def _unbelieving(write: writes.Write) -> guards.Guard | None:
    """Let the map decide alone, or nearly so for a delete."""
    barred = [one for one in _MAP.states if not _passes(write, one)]
    return guards.on_states(barred, negated=True) if barred else None


def _passes(write: writes.Write, before: State) -> bool:
    if not _may(write, before):
        return False
    if write.vm_state == _DELETED and write.seen.pair == _RECLAIMED:
        # Everybody else who carries a delete out was asked to; and the guest
        # is gone by then, whatever has become of the row.
        return before == _RECLAIMED or before.task_state in atlas.DELETING
    return writes.is_delete(write) or _fits_half(write, before)


def _fits_half(write: writes.Write, before: State) -> bool:
    """Judge by the one state that a writer is known to have seen.

    Of an object from a host without the plugin, the field that it does not
    write is what it last saw.
    """
    seen = write.seen
    known = {
        name: value
        for name, value in (
            ("vm_state", seen.vm_state),
            ("task_state", seen.task_state),
        )
        if value is not belief.UNKNOWN
    }
    if not known or (write.tasks is not None and "vm_state" not in known):
        return True
    return _has(before, known) or any(
        before
        in participants.same_action(one, write.vm_state, write.task_state)
        for one in _MAP.states
        if _has(one, known)
    )


def _has(state: State, known: dict[str, Any]) -> bool:
    return all(getattr(state, name) == value for name, value in known.items())


_KNOWN: Final = frozenset(_MAP.states)
_DESTROYED: Final = frozenset(
    edge.from_
    for edge in _MAP.transitions
    if edge.write.event is model.Event.DESTROY
    and "cross-cell" not in edge.action
)
"""Without what cross-cell moves destroy: one of two rows, of which they have
the object at hand."""


@functools.cache
def _reached(before: State) -> frozenset[State]:
    """List where any action may lead from a state at once."""
    return frozenset(
        edge.to for edge in queries.leaving(before) if not edge.reserved
    )


@functools.cache
def _reserved(before: State) -> frozenset[State]:
    """List where only the action itself may lead, and no administrator."""
    return frozenset(
        edge.to
        for edge in queries.leaving(before)
        if edge.reserved and edge.action != atlas.OVERRIDE
    )


@functools.cache
def _claims(writer: str) -> tuple[model.Transition, ...] | None:
    """List the edges of a function of Nova's API; ``None`` for any other."""
    if not writer.startswith(_API):
        return None
    return tuple(edge for edge in _MAP.transitions if edge.nova == writer)
