# SPDX-License-Identifier: Apache-2.0
"""From what a worker holds to the updates that lead where it wants."""

from collections.abc import Callable
from typing import Any

from nova_db_states import columns
from nova_db_states import exceptions
from nova_db_states import states
from nova_db_states._actions import holding
from nova_db_states._actions import moves
from nova_db_states._actions import plans

__all__ = ["choices"]


def choices(
    held: holding.Holding,
    plan: plans.Plan,
    options: Callable[[moves.State], set[moves.State]],
    vm_state: Any,
    where: str,
) -> tuple[moves.Move, ...]:
    """Find the updates that lead from what is held to what is wanted.

    :param held: the instance; it is read where the way depends on its state
    :param plan: of the action
    :param options: gives what a state may become
    :param vm_state: the ``vm_state`` after, ``ANY`` where it is not said
    :param where: what is wanted, for an error
    :returns: the updates; they exclude each other
    :raises TransitionNotAllowed: there is none, or there are several
    :raises NovaDBStatesError: as :meth:`holding.Holding.learn`
    """
    if vm_state is not states.ANY:
        vm_state = columns.value("vm_state", vm_state)
    changes, several = moves.choose(held.states, options, vm_state)
    if changes and len(changes) < len(held.states):
        # It depends on which state it is.
        held.learn()
        changes, several = moves.choose(held.states, options, vm_state)
    if several:
        raise _not_allowed(
            held,
            plan,
            f"leads {where} in several ways: "
            f"{' or '.join(sorted(map(str, several)))}. Say which one it is "
            f"with vm_state=",
            tuple(sorted(several, key=str)),
        )
    if not changes:
        declared = plan.following(held.states)
        raise _not_allowed(
            held,
            plan,
            f"does not lead {where}. Declared are: "
            f"{', '.join(map(str, declared)) or 'none'}. Call hand_over() "
            f"where another worker goes on",
            declared,
        )
    return moves.leading(changes)


def _not_allowed(
    held: holding.Holding,
    plan: plans.Plan,
    problem: str,
    declared: tuple[moves.State, ...],
) -> exceptions.TransitionNotAllowed:
    return exceptions.TransitionNotAllowed(
        f"Instance {held.instance_uuid} was not changed: from "
        f"{moves.shown(held.states)} the action {plan.name!r} {problem}.",
        instance_uuid=held.instance_uuid,
        action=plan.name,
        states=tuple(sorted(held.states, key=str)),
        declared=declared,
    )
