# SPDX-License-Identifier: Apache-2.0
"""Giving an action up, by the failures that the map declares.

The error that made it fail is what its caller has to see. So whatever happens
here becomes a note on that error and a line in the log.
"""

from collections.abc import Mapping
import logging
from typing import Any, Final

from nova_db_states import api
from nova_db_states import exceptions
from nova_db_states._actions import moves
from nova_db_states._actions import plans
from nova_db_states._actions import refusals

__all__ = ["give_up", "run"]

LOG: Final = logging.getLogger(__name__)

Written = Mapping[str, str | None]


def run(
    context: Any,
    instance_uuid: str,
    choices: tuple[moves.Move, ...],
    values: Mapping[str, Any],
) -> moves.Move:
    """Make the one of several updates that the row fits.

    :param context: as for ``api.instance_update``
    :param instance_uuid: the instance
    :param choices: at least one; they exclude each other
    :param values: what to write besides the states
    :returns: the one that was made
    :raises InstanceUpdateConflict: the row fits none
    :raises NovaDBStatesError: as ``api.instance_update``
    """
    for position, move in enumerate(choices, start=1):
        try:
            api.instance_update(
                context,
                instance_uuid,
                {**values, **move.values},
                expected_vm_state=move.vm_state,
                expected_task_state=move.task_state,
            )
        except exceptions.InstanceUpdateConflict:
            if position == len(choices):
                raise
        else:
            return move
    raise AssertionError("there is no move to make")


def give_up(
    context: Any,
    instance_uuid: str,
    plan: plans.Plan,
    held: moves.Span,
    error: BaseException,
    *,
    untouched: bool,
) -> Written:
    """Write what a failed action leaves behind, if the state is still its own.

    :param context: as for ``api.instance_update``
    :param instance_uuid: the instance, canonical
    :param plan: of the action
    :param held: the states that the action may have set last
    :param error: why it failed; gets a note where the row stays as it is
    :param untouched: whether nothing was done to the guest yet
    :returns: the columns written, none where nothing was
    """
    written: dict[str, str | None] = {}
    if refusals.is_refusal(error, instance_uuid, held):
        # Whoever was refused does not try to write the state once more: it
        # may have come back meanwhile, as another's.
        return written
    try:
        steps = _steps(context, instance_uuid, plan, held, untouched=untouched)
        if not steps:
            _note(
                error,
                f"Instance {instance_uuid} stays in {moves.shown(held)}: the "
                f"map declares no failure of {plan.name!r} from there.",
                logging.WARNING,
            )
        for choices in steps:
            made = run(context, instance_uuid, choices, {})
            written.update(made.values)
    except (
        exceptions.InstanceUpdateConflict,
        exceptions.InstanceNotFound,
    ) as refused:
        _note(
            error,
            f"The state of instance {instance_uuid} was left as it is, and "
            f"the failure of {plan.name!r} not written: "
            f"{_found(refused, held)}.",
            logging.WARNING,
        )
    except Exception as failure:  # noqa: BLE001 - must not mask the first
        _note(
            error,
            f"The failure of {plan.name!r} could not be written, and instance "
            f"{instance_uuid} may stay in {moves.shown(held)}: "
            f"{type(failure).__name__}: {failure}",
            logging.ERROR,
        )
    return written


def _steps(
    context: Any,
    instance_uuid: str,
    plan: plans.Plan,
    held: moves.Span,
    *,
    untouched: bool,
) -> list[tuple[moves.Move, ...]]:
    """Find the updates to make, one after the other.

    :raises InstanceUpdateConflict: the state had to be read, and is another's
    """
    ways = {
        state: plan.giving_up(state, untouched=untouched) for state in held
    }
    if len({None if way is None else len(way) for way in ways.values()}) > 1:
        found = moves.State(*api.instance_check(context, instance_uuid))
        if found not in ways:
            raise exceptions.InstanceUpdateConflict(
                "the state is another's",
                instance_uuid=instance_uuid,
                state=found,
            )
        ways = {found: ways[found]}
    known = {state: way for state, way in ways.items() if way is not None}
    length = max(map(len, known.values()), default=0)
    return [
        moves.leading(
            {
                (way[position - 1] if position else state): way[position]
                for state, way in known.items()
            }
        )
        for position in range(length)
    ]


def _found(
    refused: exceptions.InstanceUpdateConflict | exceptions.InstanceNotFound,
    held: moves.Span,
) -> str:
    if isinstance(refused, exceptions.InstanceNotFound):
        return "the row is gone"
    now = "unknown" if refused.state is None else moves.State(*refused.state)
    return f"it is {now} by now, and was {moves.shown(held)}"


def _note(error: BaseException, text: str, level: int) -> None:
    error.add_note(text)
    LOG.log(level, "%s Given up for %s: %s", text, type(error).__name__, error)
