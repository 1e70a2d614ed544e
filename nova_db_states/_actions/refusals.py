# SPDX-License-Identifier: Apache-2.0
"""What a refused caller is told beyond what ``api`` tells: what is allowed."""

from nova_db_states import exceptions
from nova_db_states import machine
from nova_db_states._actions import moves

__all__ = ["add", "add_allowed", "allowed_in", "is_refusal"]


def add_allowed(conflict: exceptions.InstanceUpdateConflict) -> None:
    """Add to a conflict what may be asked for in the state that was found.

    :param conflict: as ``api`` raised it; nothing is added twice
    """
    if conflict.state is None or conflict.allowed_actions:
        return
    allowed = allowed_in(moves.State(*conflict.state))
    if allowed:
        conflict.allowed_actions = allowed
        add(conflict, f"Allowed in this state: {', '.join(allowed)}.")


def allowed_in(state: moves.State) -> tuple[str, ...]:
    """Name what may be asked for in a state.

    :param state: any, also one that Nova does not have
    :returns: the names, in the order of the map
    """
    try:
        return machine.allowed_actions(state)
    except exceptions.InvalidState:
        return ()


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
