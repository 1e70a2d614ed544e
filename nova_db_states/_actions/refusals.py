# SPDX-License-Identifier: Apache-2.0
"""What a refused caller is told beyond what ``api`` tells: what is allowed."""

from collections.abc import Iterable
import logging
from typing import Final

from nova_db_states import exceptions
from nova_db_states import machine
from nova_db_states import retry
from nova_db_states._actions import moves
from nova_db_states._actions import plans

__all__ = [
    "LOST",
    "add",
    "add_allowed",
    "allowed_in",
    "is_refusal",
    "leaves_doubt",
    "note",
    "now_in",
    "said",
    "some",
]

LOG: Final = logging.getLogger(__name__)

LOST: Final = (
    exceptions.InstanceUpdateConflict,
    exceptions.InstanceNotFound,
)
"""What says that a row is another's by now, or gone."""

# A message is read by people; programs have the attribute.
_SHOWN: Final = 6

_NEVER_RAN: Final = "launched_at"


def add_allowed(
    conflict: exceptions.InstanceUpdateConflict, refused: str = ""
) -> None:
    """Add to a conflict what may be asked for in the state that was found.

    :param conflict: as ``api`` raised it; nothing is added twice
    :param refused: the name of the action that was just refused, which may
        not be asked for; empty for none
    """
    if conflict.state is None or conflict.allowed_actions:
        return
    never_ran = _NEVER_RAN in conflict.actual
    allowed = tuple(
        name
        for name in allowed_in(moves.State(*conflict.state))
        if name != refused
        and not (never_ran and plans.of(name).action.launched)
    )
    if never_ran:
        _say_never_ran(conflict)
    if allowed:
        conflict.allowed_actions = allowed
        add(conflict, f"Allowed in this state: {some(allowed)}.")


def _say_never_ran(conflict: exceptions.InstanceUpdateConflict) -> None:
    text = str(conflict)
    if set(conflict.actual) == {_NEVER_RAN}:
        # No other writer was first, and reading it again will not help.
        text, _, _ = text.partition(". ")
        text = f"{text}."
    conflict.args = (text,)
    add(conflict, "It has never run, as this needs.")


def allowed_in(state: moves.State) -> tuple[str, ...]:
    """Name what may be asked for in a state.

    :param state: any, also one that Nova does not have
    :returns: the names, in the order of the map
    """
    try:
        return machine.allowed_actions(state)
    except exceptions.InvalidState:
        return ()


def some(names: Iterable[str], shown: int = _SHOWN) -> str:
    """Write names of actions for a reader, who need not see all of them.

    :param names: of actions
    :param shown: how many to write at most
    :returns: those first that change the state
    """
    found = sorted(names, key=lambda name: not plans.of(name).first)
    left = len(found) - shown
    # The names have commas in them.
    text = "; ".join(found[:shown])
    return f"{text} and {left} more" if left > 0 else text


def add(conflict: exceptions.InstanceUpdateConflict, sentence: str) -> None:
    """Add a sentence to the message of a conflict.

    :param conflict: any
    :param sentence: with a full stop
    """
    conflict.args = (f"{conflict} {sentence}",)


def is_refusal(
    error: BaseException,
    instance_uuid: str,
    held: moves.Span,
) -> bool:
    """Say whether an error means that a state is no longer its writer's.

    A conflict about another column is none: the state is still held then.

    :param error: whatever was raised
    :param instance_uuid: the instance, canonical
    :param held: the states that the writer may have set
    :returns: whether the row was found in another state
    """
    return (
        isinstance(error, exceptions.InstanceUpdateConflict)
        and error.instance_uuid == instance_uuid
        and error.state is not None
        and error.state not in held
    )


def leaves_doubt(error: BaseException) -> bool:
    """Say whether an update that raised this may have been made all the same.

    :param error: whatever was raised
    :returns: whether its answer was lost, or not waited for
    """
    return isinstance(error, exceptions.UnknownUpdateOutcome) or not (
        isinstance(error, Exception)
    )


def now_in(refused: exceptions.InstanceError, before: str) -> str:
    """Say what a row was found in.

    :param refused: one of :data:`LOST`
    :param before: what it was in for whoever was refused
    :returns: half a sentence
    """
    if isinstance(refused, exceptions.InstanceUpdateConflict):
        found = refused.state
        now = "unknown" if found is None else moves.State(*found)
        return f"it is {now} by now, and was {before}"
    return "the row is gone"


def said(error: BaseException) -> str:
    """Write an error in one line.

    :param error: any; of the database what its driver said
    :returns: its class and message
    """
    origin = retry.driver_error(error)
    return f"{type(origin).__name__}: {origin}"


def note(error: BaseException, text: str, level: int) -> None:
    """Tell what became of a row beside the error that counts.

    :param error: what its caller has to see; gets a note
    :param text: a sentence
    :param level: of the line in the log
    """
    error.add_note(text)
    LOG.log(level, "%s The reason was %s", text, said(error))
