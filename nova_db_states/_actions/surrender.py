# SPDX-License-Identifier: Apache-2.0
"""Giving a task up, by the failures that the map declares.

The error that made it fail is what its caller has to see. So whatever happens
here becomes a note on that error and a line in the log.
"""

import collections
from collections.abc import Mapping
import logging
from typing import Final

from nova_db_states import exceptions
from nova_db_states import retry
from nova_db_states._actions import holding
from nova_db_states._actions import moves
from nova_db_states._actions import plans
from nova_db_states._actions import refusals

__all__ = ["give_up"]

Written = Mapping[str, str | None]
_Ways = Mapping[moves.State, plans.Way]

# Two steps, each of which may have to be looked at again.
_MAX_WRITES: Final = 4


def give_up(
    held: holding.Holding,
    plan: plans.Plan,
    error: BaseException,
    policy: retry.Policy | None,
) -> Written:
    """Write what a failed task leaves behind, if the row is still its own.

    :param held: the instance, and the states that the worker may have set
    :param plan: of the action
    :param error: why it failed; gets a note where the row stays as it is
    :param policy: attempts and waits; ``None`` for that of the worker
    :returns: the columns written, none where nothing was
    """
    written: dict[str, str | None] = {}
    instance_uuid, before = held.instance_uuid, moves.shown(held.states)
    if refusals.is_refusal(error, instance_uuid, held.states) or (
        isinstance(error, exceptions.InstanceNotFound)
        and error.instance_uuid == instance_uuid
    ):
        # Whoever was refused does not try to write the state once more: it
        # may have come back meanwhile, as another's.
        return written
    try:
        if not _write(held, plan, policy, written):
            refusals.note(
                error,
                f"Instance {instance_uuid} stays in {before}: the map "
                f"declares no failure of {plan.name!r} from there.",
                logging.WARNING,
            )
    except refusals.LOST as refused:
        refusals.note(
            error,
            f"The state of instance {instance_uuid} was left as it is, and "
            f"the failure of {plan.name!r} not written: "
            f"{refusals.now_in(refused, before)}.",
            logging.WARNING,
        )
    except Exception as failure:  # noqa: BLE001 - must not mask the first
        refusals.note(
            error,
            f"The failure of {plan.name!r} could not be written, and instance "
            f"{instance_uuid} may stay in {moves.shown(held.states)}: "
            f"{refusals.said(failure)}",
            logging.ERROR,
        )
    return written


def _write(
    held: holding.Holding,
    plan: plans.Plan,
    policy: retry.Policy | None,
    written: dict[str, str | None],
) -> bool:
    """Go the declared way to its end; say whether there is one.

    :raises InstanceUpdateConflict: the row is another's
    """
    for number in range(1, _MAX_WRITES + 1):
        ways = _ways(held, plan)
        if not any(ways.values()):
            return bool(ways)
        choices = moves.leading(
            {state: way[0] for state, way in ways.items() if way}
        )
        try:
            written.update(held.make(choices, {}, policy=policy))
        except exceptions.UnknownUpdateOutcome:
            # Where it is now will be read, and the rest done from there.
            if number == _MAX_WRITES:
                raise
    return True


def _ways(held: holding.Holding, plan: plans.Plan) -> _Ways:
    """Find the way from each state that the row may be in, if it has one."""
    every = {state: plan.giving_up(state) for state in held.states}
    if len({None if way is None else len(way) for way in every.values()}) > 1:
        found = held.learn()
        every = {
            found: every[found] if found in every else _likely(found, every)
        }
    return {state: way for state, way in every.items() if way is not None}


def _likely(
    found: moves.State, ways: Mapping[moves.State, plans.Way | None]
) -> plans.Way | None:
    """Choose a way for a ``vm_state`` that the map does not know.

    It is the way that most others go. Where they keep their ``vm_state``, it
    keeps its own.
    """
    kinds = collections.Counter(
        tuple(
            moves.State(
                found.vm_state
                if target.vm_state == state.vm_state
                else target.vm_state,
                target.task_state,
            )
            for target in way
        )
        for state, way in ways.items()
        if way is not None and state.task_state == found.task_state
    )
    return kinds.most_common(1)[0][0] if kinds else None
